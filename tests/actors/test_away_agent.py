"""An agent on another host, with the two couriers and real git; the agent itself is one of these few lines."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.adapters.base import Schema, TakesMoney, WaitsForBackground, discard_event
from actors.errors import AgentDiedError
from actors.messages import FoundTurn, TurnOutcome
from actors.runners.away_agent import AwayAgent, away_as
from tests.actors.test_courier import Pair


class Writer:
    """Its turn writes what it finds in `a.txt`, and the prompt, to `b.txt`."""

    can_steer = True

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        self.turns: list[str] = []
        self.at_work: Callable[[], None] = lambda: None
        self.found = FoundTurn(state="absent")

    async def open(self, session_id: str | None) -> str:
        return session_id or "s"

    async def turn(self, turn_id: str, prompt: str, *, model: str = "", schema: Schema | None = None) -> TurnOutcome:
        del model, schema
        self.turns.append(turn_id)
        (self.cwd / "b.txt").write_text(f"{prompt}: {(self.cwd / 'a.txt').read_text()}")
        self.at_work()
        return TurnOutcome(status="finished", text="written")

    async def steer(self, message_id: str, text: str) -> bool:
        del message_id, text
        return True

    async def interrupt(self) -> None:
        pass

    async def find_turn(self, message_id: str, text: str = "", *, answered: str = "") -> FoundTurn:
        del message_id, text, answered
        return self.found

    async def close(self) -> None:
        pass


class Payer(Writer):
    def give(self, usd: float | None) -> None:
        self.usd = usd

    def money_left(self) -> float | None:
        return self.usd


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def on_its_host(inner: Writer, pair: Pair) -> AwayAgent:
    sessions = pair.sessions(pair.away.parent / "there")
    return away_as(inner)(inner, pair.courier, sessions, discard_event, pair.said.append, advice="; mend that")


def test_every_turn_sees_homes_tree_of_now_and_its_work_is_home_when_it_is_over(pair: Pair):
    async def play() -> None:
        agent = on_its_host(Writer(pair.away), pair)
        await agent.turn("1", "of the run")
        assert (pair.home / "b.txt").read_text() == "of the run: one\n"
        (pair.home / "a.txt").write_text("two\n")
        await agent.turn("2", "of a mail")
        assert (pair.home / "b.txt").read_text() == "of a mail: two\n"
        assert pair.said == []

    asyncio.run(play())


def test_a_turn_that_is_interrupted_on_the_way_does_not_begin_and_leaves_nobody_in_the_tree(pair: Pair):
    async def play() -> None:
        asked, go_on = threading.Event(), threading.Event()

        def wait() -> None:
            asked.set()
            go_on.wait()

        inner = Writer(pair.away)
        agent = on_its_host(inner, pair)
        pair.on_fetch = wait
        turn = asyncio.ensure_future(agent.turn("1", "x"))
        await asyncio.to_thread(asked.wait)
        assert not await agent.steer("m", "by the way")
        await agent.interrupt()
        assert (await turn).status == "interrupted"
        go_on.set()
        (pair.home / "a.txt").write_text("two\n")
        await agent.turn("2", "later")
        assert inner.turns == ["2"]
        assert (pair.home / "b.txt").read_text() == "later: two\n"

    asyncio.run(play())


def test_an_agent_that_is_closed_on_the_way_is_lost(pair: Pair):
    async def play() -> None:
        asked, go_on = threading.Event(), threading.Event()

        def wait() -> None:
            asked.set()
            go_on.wait()

        agent = on_its_host(Writer(pair.away), pair)
        pair.on_fetch = wait
        turn = asyncio.ensure_future(agent.turn("1", "x"))
        await asyncio.to_thread(asked.wait)
        await agent.close()
        with pytest.raises(AgentDiedError):
            await turn
        go_on.set()

    asyncio.run(play())


def test_what_a_killed_actor_has_not_brought_home_comes_when_its_finished_turn_is_found(pair: Pair):
    async def play() -> None:
        inner = Writer(pair.away)
        agent = on_its_host(inner, pair)
        await agent.turn("1", "x")
        (pair.away / "c.txt").write_text("of a turn that is over")
        inner.found = FoundTurn(state="finished", outcome=TurnOutcome(status="finished"))
        await agent.find_turn("2")
        assert (pair.home / "c.txt").read_text() == "of a turn that is over"

    asyncio.run(play())


def test_a_tree_that_cannot_come_fails_the_turn_in_words(tmp_path: Path):
    async def play() -> None:
        pair = Pair(tmp_path, prepare="echo no compiler >&2; exit 3")
        outcome = await on_its_host(Writer(pair.away), pair).turn("1", "x")
        assert (outcome.status, outcome.error.endswith("no compiler; mend that")) == ("failed", True)

    asyncio.run(play())


def test_an_agent_away_can_what_the_agent_can_and_no_more(pair: Pair):
    payer, plain = on_its_host(Payer(pair.away), pair), on_its_host(Writer(pair.away), pair)
    assert isinstance(payer, TakesMoney)
    payer.give(2.0)
    assert payer.money_left() == 2.0
    assert not isinstance(plain, TakesMoney)
    assert not isinstance(payer, WaitsForBackground)
