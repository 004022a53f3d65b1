"""The turn that a session cuts when its actor moves at once: it is not over, and the next incarnation resumes it.

Also the turn whose program has to be ended for that, or for any other interruption.
"""

from __future__ import annotations

import asyncio
import queue
import threading

import pytest

from actors.messages import TurnOutcome
from tests.actors.session.test_agent_session import PATIENCE_S, Rig, request


@pytest.mark.parametrize("is_deaf", [False, True])
def test_a_turn_that_is_cut_for_a_move_is_told_to_nobody_and_continues_in_the_next_incarnation(
    rig: Rig, is_deaf: bool
) -> None:
    rig.program.holds, rig.program.is_deaf = {"do a"}, is_deaf
    session, listener = rig.start(interrupt_s=0.1)
    session.start_turn(request("a"))
    listener.wait_for("say", "holding do a")
    idle: queue.SimpleQueue[bool] = queue.SimpleQueue()
    session.leave(lambda: idle.put(True), now=True)
    assert idle.get(timeout=PATIENCE_S)
    session.close(PATIENCE_S)
    assert [told for told in list(listener.told.queue) if told[0] == "ended"] == []
    _, listener = rig.start()
    assert listener.wait_for("ended")[1:3] == ("a", "finished")
    first, second = rig.prompts()
    assert (first, second.startswith("do a (continued)")) == ("do a", True)


def test_a_mail_whose_turn_is_cut_for_a_move_is_handled_in_the_next_incarnation(rig: Rig) -> None:
    rig.program.holds = {"a mail"}
    session, listener = rig.start()
    session.deliver("m", "a mail")
    listener.wait_for("say", "holding a mail")
    session.leave(lambda: None, now=True)
    session.close(PATIENCE_S)
    _, listener = rig.start()
    assert listener.wait_for("mail", "m", "handled")


def test_an_actor_that_stays_after_all_resumes_the_turn_that_it_has_cut(rig: Rig) -> None:
    rig.program.holds = {"do a"}
    session, listener = rig.start()
    session.start_turn(request("a"))
    listener.wait_for("say", "holding do a")
    session.leave(lambda: None, now=True)
    session.leave(None)
    assert listener.wait_for("ended")[1:3] == ("a", "finished")


def test_a_turn_that_its_owner_breaks_off_while_it_is_cut_is_over(rig: Rig) -> None:
    rig.program.holds, rig.program.is_deaf = {"do a"}, True
    session, listener = rig.start(interrupt_s=1)  # time for the next lines
    session.start_turn(request("a"))
    listener.wait_for("say", "holding do a")
    session.leave(lambda: None, now=True)
    session.interrupt("a", "the run was stopped")
    assert listener.wait_for("ended")[1:3] == ("a", "interrupted")


def test_a_message_whose_turn_meets_an_outage_while_it_is_cut_is_put_off_and_not_given_up(rig: Rig) -> None:
    rig.program.holds = {"a word"}
    rig.program.interrupted = TurnOutcome(status="failed", error="529: overloaded", cause="transient")
    session, listener = rig.start()
    session.say("h", "a word")
    listener.wait_for("say", "holding a word")
    session.leave(lambda: None, now=True)
    assert listener.wait_for("human", "h", "waits")[3].startswith("529: overloaded: retry 1")


def test_a_turn_that_its_owner_breaks_off_while_its_program_is_being_ended_is_over_once(rig: Rig) -> None:
    ending, may_end = threading.Event(), threading.Event()

    async def closes() -> None:
        ending.set()
        await asyncio.to_thread(may_end.wait, PATIENCE_S)

    rig.program.holds, rig.program.is_deaf, rig.program.closes = {"do a"}, True, closes
    session, listener = rig.start(interrupt_s=0.1)
    session.start_turn(request("a"))
    listener.wait_for("say", "holding do a")
    session.leave(lambda: None, now=True)
    assert ending.wait(PATIENCE_S)
    session.interrupt("a", "the run was stopped")
    session.leave(None)
    may_end.set()
    assert listener.wait_for("ended")[1:3] == ("a", "interrupted")
    session.start_turn(request("b"))
    assert listener.wait_for("ended")[1:3] == ("b", "finished")


def test_a_turn_that_does_not_end_with_its_program_does_not_hold_the_session_up(rig: Rig) -> None:
    rig.program.holds, rig.program.is_deaf, rig.program.is_stuck = {"do a"}, True, True
    session, listener = rig.start(interrupt_s=0.1)
    session.start_turn(request("a"))
    listener.wait_for("say", "holding do a")
    session.interrupt("a", "the run was stopped")
    assert listener.wait_for("ended")[1:3] == ("a", "interrupted")
    session.start_turn(request("b"))
    assert listener.wait_for("ended")[1:3] == ("b", "finished")
