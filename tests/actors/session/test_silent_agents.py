"""The session against an agent that falls silent, whose tools run without output, and that takes too long."""

from __future__ import annotations

from actors.adapters.base import AgentEvent
from actors.machines import turn
from actors.messages import Patience, StartTurnRequest
from tests.actors.session.test_agent_session import Rig, request

SHORT = Patience(silence_ms=50)


def test_a_silent_turn_is_interrupted_and_tried_again_in_the_same_session(rig: Rig) -> None:
    rig.program.holds = {"do a"}
    session, listener = rig.start(patience=SHORT)
    session.start_turn(request("a"))
    listener.wait_for_note("nothing was heard from it for 1 s: the work turn is interrupted")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")
    first, second = rig.prompts()
    assert first == "do a"
    assert second.startswith("do a (continued)")
    assert "no sign of life from you" in second
    assert len(rig.agents) == 1


def test_a_turn_that_stays_silent_gets_a_new_session_and_fails_after_that_with_its_cause(rig: Rig) -> None:
    rig.program.holds_all = True
    session, listener = rig.start(patience=SHORT)
    session.start_turn(request("a"))
    listener.wait_for_note("the session is silent: a new one takes the turn over")
    _, turn_id, status, error = listener.wait_for("ended")
    assert (turn_id, status) == ("a", "failed")
    assert error.startswith("the agent is silent")
    assert len(rig.prompts()) == 3
    assert rig.program.sessions == {"session-1", "session-2"}


def test_the_count_of_silences_survives_a_restart(rig: Rig) -> None:
    rig.stream.events = [
        turn.SessionBegan(session_id="s"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
        turn.TurnSubmitted(turn_id="a", message_id="a"),
        turn.TurnCut(turn_id="a", next_message_id="b", silences=1),
        turn.TurnSubmitted(turn_id="a", message_id="b"),
        turn.TurnMoved(turn_id="a", next_message_id="c", prompt="do a", silences=2),
    ]
    rig.program.sessions = {"s"}
    rig.program.holds_all = True
    _, listener = rig.start(patience=SHORT)
    assert listener.wait_for("ended")[1:3] == ("a", "failed")
    assert len(rig.prompts()) == 1


def test_an_agent_that_does_not_answer_its_interruption_is_restarted(rig: Rig) -> None:
    rig.program.holds = {"do a"}
    rig.program.is_deaf = True
    session, listener = rig.start(patience=SHORT, interrupt_s=0.1)
    session.start_turn(request("a"))
    listener.wait_for_note("the work turn is interrupted")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")
    assert len(rig.agents) == 2


def test_a_tool_that_runs_without_output_is_told_once_and_is_not_silence(rig: Rig) -> None:
    rig.program.holds = {"do a"}
    rig.program.begins = "sleep 1200"
    session, listener = rig.start(patience=Patience(silence_ms=50, tool_ms=3_600_000))
    session.start_turn(request("a"))
    note = listener.wait_for_note("without any output")
    assert note == "without any output for 1 s: sleep 1200; after 1 h it counts as silent (--tool-timeout)"
    session.hold(held=False, patience=Patience(silence_ms=50, tool_ms=100))
    listener.wait_for_note("nothing was heard from it for 1 s, while this ran: sleep 1200")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")


def test_a_heartbeat_is_no_sign_of_life(rig: Rig) -> None:
    rig.program.holds = {"do a"}
    rig.program.beats = True
    session, listener = rig.start(patience=SHORT)
    session.start_turn(request("a"))
    listener.wait_for_note("nothing was heard from it")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")


def test_a_question_to_the_user_is_not_silence(rig: Rig) -> None:
    rig.program.holds = {"do a"}
    rig.program.asks = "may I?"
    session, listener = rig.start(patience=SHORT)
    session.start_turn(request("a"))
    listener.wait_for("asks", "may I?")
    rig.agents[0].sink(AgentEvent(kind="waits"))  # it was answered: from now on the silence counts
    listener.wait_for("asks", "")
    listener.wait_for_note("nothing was heard from it")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")


def test_a_turn_that_takes_too_long_is_interrupted_and_fails(rig: Rig) -> None:
    rig.program.holds = {"do a", "do r"}
    session, listener = rig.start(patience=Patience(turn_ms=50))
    session.start_turn(request("a"))
    error = "the work turn took longer than 1 s, and was interrupted"
    assert listener.wait_for("ended") == ("ended", "a", "failed", error)
    session.hold(held=False, patience=Patience())
    session.start_turn(StartTurnRequest(turn_id="r", purpose="review", prompt="do r", within_ms=50))
    assert listener.wait_for("ended")[1:3] == ("r", "failed")


def test_a_turn_that_its_owner_breaks_off_is_not_tried_again(rig: Rig) -> None:
    rig.program.holds = {"do a"}
    rig.program.is_deaf = True
    session, listener = rig.start(patience=SHORT, interrupt_s=1)  # time for the next lines
    session.start_turn(request("a"))
    listener.wait_for_note("the work turn is interrupted")
    session.interrupt("a", "the run was stopped")
    assert listener.wait_for("ended")[1:3] == ("a", "interrupted")


def test_an_agent_that_does_not_hear_that_its_background_tasks_end_is_interrupted(rig: Rig) -> None:
    rig.program.holds, rig.program.is_deaf = {"do a"}, True
    rig.program.background = ("npm run dev",)
    session, listener = rig.start(patience=Patience(silence_ms=50, tool_ms=200), interrupt_s=0.1)
    session.start_turn(request("a"))
    listener.wait_for_note("it is ended: npm run dev")
    listener.wait_for_note("the work turn is interrupted")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")


def test_background_tasks_of_an_answered_turn_are_asked_about_and_ended_when_their_time_is_up(rig: Rig) -> None:
    rig.program.holds = {"do a"}
    rig.program.background = ("npm run dev",)
    session, listener = rig.start(patience=Patience(silence_ms=50, tool_ms=200))
    session.start_turn(request("a"))
    listener.wait_for_note("without any output for 1 s")
    listener.wait_for_note("it is ended: npm run dev")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")
    assert any("npm run dev" in text and text.startswith("Background tasks") for text in rig.prompts())
