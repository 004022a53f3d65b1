"""With a budget, a session begins no turn without the run's grant. Needs no real agent."""

from actors.errors import AgentError
from actors.machines import turn
from actors.messages import TurnOutcome, Usage
from tests.actors.session.test_agent_session import Rig, request
from tests.patience import PATIENCE_S


def test_each_turn_waits_for_its_grant_and_at_its_end_the_next_one_is_asked_for(rig: Rig):
    rig.program.outcome = TurnOutcome(status="finished", usage=Usage(input_tokens=7))
    session, listener = rig.start(is_held=True)
    session.hold(held=False, by_grant=True)
    listener.wait_for("wants", "", "", "")
    session.start_turn(request("a"))
    listener.wait_for("wants", "a", "work", "")
    session.deliver("m", "hello")
    listener.wait_for("mail", "m", "accepted")
    assert rig.prompts() == []
    session.grant("a")
    listener.wait_for("ended", "a", "finished")
    listener.wait_for("wants", "m", "mail", "a")
    assert rig.prompts() == ["do a"]
    session.grant("m")
    listener.wait_for("usage", "m")
    listener.wait_for("wants", "", "", "a")


def test_a_grant_for_a_turn_that_is_not_asked_for_any_more_grants_nothing(rig: Rig):
    session, listener = rig.start(is_held=True)
    session.hold(held=False, by_grant=True)
    session.start_turn(request("a"))
    listener.wait_for("wants", "a")
    session.interrupt("a", "stopped")
    listener.wait_for("wants", "")
    session.grant("a")
    session.start_turn(request("b"))
    listener.wait_for("wants", "b", "work", "a")
    assert rig.prompts() == []


def test_a_turn_that_is_cut_short_keeps_its_grant(rig: Rig):
    rig.program.dies_in = {"do a"}
    session, listener = rig.start(is_held=True)
    session.hold(held=False, by_grant=True)
    session.start_turn(request("a"))
    listener.wait_for("wants", "a")
    session.grant("a")
    listener.wait_for("ended", "a", "finished")
    assert listener.wait_for("wants")[1] == ""
    assert len(rig.prompts()) == 2


def test_a_new_session_claims_what_was_begun_even_while_it_is_held(rig: Rig):
    rig.stream.events = [
        turn.SessionBegan(session_id="s"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
        turn.TurnSubmitted(turn_id="a", message_id="a"),
    ]
    rig.program.sessions.add("s")
    rig.program.transcript["a"] = ("unfinished", "do a")
    session, listener = rig.start(is_held=True)
    session.hold(held=True, by_grant=True)
    listener.wait_for("wants", "a", "work", "")
    session.hold(held=False, by_grant=True)
    session.grant("a")
    listener.wait_for("ended", "a", "finished")


def test_a_session_whose_program_is_given_up_gives_its_grant_back(rig: Rig):
    """What the agent may have is in doubt for as long as it does not start; others do not wait for it."""
    rig.stream.events = [
        turn.SessionBegan(session_id="s"),
        turn.TurnIntended(turn_id="m", purpose="mail", prompt="hello"),
        turn.TurnSubmitted(turn_id="m", message_id="m"),
    ]
    rig.program.refuses = lambda _attempt: AgentError("port taken")
    session, listener = rig.start(is_held=True)
    session.hold(held=False, by_grant=True)
    listener.wait_for("wants", "m", "mail", "")
    session.grant("m")
    listener.wait_for("wants", "", "", "")


def test_without_a_budget_nothing_is_asked_for(rig: Rig):
    session, listener = rig.start(is_held=True)
    session.hold(held=False)
    session.start_turn(request("a"))
    heard = []
    while heard[-1:] != [("ended", "a", "finished", "")]:
        heard.append(listener.told.get(timeout=PATIENCE_S))
    assert not [each for each in heard if each[0] == "wants"]
