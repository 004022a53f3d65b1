"""An agent on another host. Home's tree comes before each of its turns; its work and its session go home after it.

One order holds for every turn, of the run, of mail or of the user: home's tree comes, the agent works, its work goes
home, the turn is over. So no journey runs beside a turn: both are in the session's sequence. A turn that is interrupted
on the way does not begin.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Literal

from actors.adapters.base import Agent, AgentEvent, EventSink, Schema, TakesMoney, WaitsForBackground
from actors.errors import AgentDiedError, LoopError
from actors.messages import FoundTurn, TurnOutcome
from actors.runners.courier import AwayCourier
from actors.runners.session_courier import AwaySessions

_ON_THE_WAY = "the tree's way"


class AwayAgent:
    """See `base.Agent`; `inner` is the agent itself. `say` tells the user what has not come home. `advice` ends the
    line of a turn whose tree cannot come.
    """

    def __init__(
        self,
        inner: Agent,
        courier: AwayCourier,
        sessions: AwaySessions,
        sink: EventSink,
        say: Callable[[str], None],
        *,
        advice: str = "",
    ) -> None:
        self._advice = advice
        self._inner = inner
        self._courier = courier
        self._sessions = sessions
        self._session_id = ""
        self._sink = sink
        self._say = say
        self._at_work = False
        self._interrupted = asyncio.Event()
        self._closed = asyncio.Event()
        self.can_steer = inner.can_steer

    async def open(self, session_id: str | None) -> str:
        """See `base.Agent.open`. The session's file comes first: another host may have it."""
        if session_id is not None:
            try:
                await self._travel(lambda: self._sessions.bring(session_id))
            except (LoopError, OSError) as error:
                self._say(f"the session {session_id} has not come from home: {error}")
        if self._closed.is_set():
            raise AgentDiedError("it was closed before it was open")
        self._session_id = opened = await self._inner.open(session_id)
        self.can_steer = self._inner.can_steer
        return opened

    async def turn(self, turn_id: str, prompt: str, *, model: str = "", schema: Schema | None = None) -> TurnOutcome:
        """See `base.Agent.turn`. It fails when home's tree cannot come."""
        self._interrupted.clear()
        try:
            going = await self._travel(self._courier.enter, self._interrupted)
        except (LoopError, OSError) as error:
            return TurnOutcome(status="failed", error=f"{error}{self._advice}")
        if going is not None:  # it arrives where nobody is any longer
            going.add_done_callback(lambda done: self._go_home() if done.exception() is None else None)
            if self._closed.is_set():
                raise AgentDiedError("it was closed on the way")
            return TurnOutcome(status="interrupted")
        self._at_work = True
        try:
            return await self._inner.turn(turn_id, prompt, model=model, schema=schema)
        finally:
            self._at_work = False
            await self._travel(self._go_home)

    async def _travel(self, journey: Callable[[], None], *unless: asyncio.Event) -> Future[None] | None:
        """Waits for the journey, which may take long. Returns it when the agent is closed, or one of `unless` is set,
        before it is over.
        """
        going = _in_thread(journey)
        over = asyncio.wrap_future(going)
        stops = [asyncio.ensure_future(each.wait()) for each in (self._closed, *unless)]
        self._sink(AgentEvent(kind="raw", begins=_ON_THE_WAY))
        try:
            waits: list[asyncio.Future[None] | asyncio.Task[Literal[True]]] = [over, *stops]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                return going
            over.result()
        finally:
            over.cancel()
            for each in stops:
                each.cancel()
            self._sink(AgentEvent(kind="raw", ends=_ON_THE_WAY))
        return None

    def _go_home(self) -> None:
        try:
            self._courier.leave()
        except (LoopError, OSError) as error:  # the next journey takes it home
            self._say(f"what was done there has not come home: {error}")
        self._take_session_home()

    def _take_session_home(self) -> None:
        try:
            self._sessions.send(self._session_id)
        except (LoopError, OSError) as error:
            self._say(f"the session {self._session_id} has not come home: {error}")

    async def steer(self, message_id: str, text: str) -> bool:
        """See `base.Agent.steer`. A message that comes on the way gets a turn of its own."""
        return self._at_work and await self._inner.steer(message_id, text)

    async def interrupt(self) -> None:
        """See `base.Agent.interrupt`."""
        self._interrupted.set()
        await self._inner.interrupt()

    async def find_turn(self, message_id: str, text: str = "", *, answered: str = "") -> FoundTurn:
        """See `base.Agent.find_turn`. The work of a turn that is over may not have come home."""
        found = await self._inner.find_turn(message_id, text, answered=answered)
        if found.state == "finished":
            with suppress(LoopError, OSError):  # the next journey takes it home
                await self._travel(self._courier.send)
            await self._travel(self._take_session_home)
        return found

    async def close(self) -> None:
        """See `base.Agent.close`."""
        self._closed.set()
        await self._inner.close()


class _WithMoney(AwayAgent):
    """See `base.TakesMoney`."""

    def give(self, usd: float | None) -> None:
        assert isinstance(self._inner, TakesMoney)
        self._inner.give(usd)

    def money_left(self) -> float | None:
        assert isinstance(self._inner, TakesMoney)
        return self._inner.money_left()


class _WithBackground(AwayAgent):
    """See `base.WaitsForBackground`."""

    def background(self) -> tuple[str, ...]:
        assert isinstance(self._inner, WaitsForBackground)
        return self._inner.background() if self._at_work else ()

    async def stop_background(self) -> None:
        assert isinstance(self._inner, WaitsForBackground)
        await self._inner.stop_background()


class _WithBoth(_WithMoney, _WithBackground):
    """Both."""


def away_as(inner: Agent) -> type[AwayAgent]:
    """The class whose agent can what `inner` can."""
    kinds = {(True, True): _WithBoth, (True, False): _WithMoney, (False, True): _WithBackground}
    return kinds.get((isinstance(inner, TakesMoney), isinstance(inner, WaitsForBackground)), AwayAgent)


def _in_thread(call: Callable[[], None]) -> Future[None]:
    """In one that does not delay the end of the process."""
    future: Future[None] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            call()
        except BaseException as error:  # the waiting coroutine raises it
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=work, name="journey", daemon=True).start()
    return future
