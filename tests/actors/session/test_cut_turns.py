"""The turn that a session cuts when its actor moves at once: it is not over, and the next incarnation resumes it."""

from __future__ import annotations

import queue
from collections.abc import Iterator

import pytest

from tests.actors.session.test_agent_session import PATIENCE_S, Rig, request


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    for session in made.sessions:
        session.close(PATIENCE_S)


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
    session, listener = rig.start(interrupt_s=0.1)
    session.start_turn(request("a"))
    listener.wait_for("say", "holding do a")
    session.leave(lambda: None, now=True)
    session.interrupt("a", "the run was stopped")
    assert listener.wait_for("ended")[1:3] == ("a", "interrupted")
