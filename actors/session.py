"""One agent session beside a mailbox: turns and messages in, events out.

Runs an asyncio loop in a thread of its own, so that its actor's mailbox is free while a turn of three hours runs.
Every step is first an event in the actor's turn ledger (machines/turn), durable, then an act of the adapter. It never
decides what a turn says or what follows from it: that is the run machine's, in the worker.

Its inbox has no bound of its own: what its actor puts in is bounded by the mailbox, and the agent can put in only what
names a message that we gave it, the end of its program, and one line at a time about what it asks a person.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Literal, Protocol

import msgspec
from loguru import logger

from actors.adapters.base import Agent, AgentEvent, EventSink
from actors.adapters.causes import cause_of
from actors.clock import wall_ms
from actors.errors import AgentDiedError, AgentError, AgentUnavailableError, LoopError, SessionNotFoundError
from actors.machines import backoff, prompts, turn
from actors.machines.durations import span
from actors.messages import Cause, FoundTurn, Purpose, RunTurn, TurnOutcome, Usage
from actors.stream import EventStream

# An interrupt is answered in 10-20 ms by both agents; one that is not answered by now goes to a stuck process.
INTERRUPT_PATIENCE_S = 10.0
# Steering is a write to a live process. One that is not answered stays in doubt until the turn's end.
STEER_PATIENCE_S = 10.0
# Pauses before the agent's program is started again, by the number of failures in a row; then what waits for it fails.
REOPEN_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0)
# What is still in doubt then (the agent may have it) only the agent can clear up: it is asked again now and then.
DOUBT_DELAY_S = 60.0


class SessionStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a session does now; the fields are those of `messages.AgentStatus`."""

    session_id: str
    can_steer: bool
    turn_id: str
    purpose: str
    since_ms: int
    waiting: int
    turns: int
    usage: Usage
    asks: str


class SessionListener(Protocol):
    """Told what happened, after it is durable, in the session's thread. Must only pass it on."""

    def session_opened(self, session_id: str) -> None:
        """The agent's session id is known (new, resumed, or replaced)."""

    def turn_ended(self, turn_id: str, purpose: Purpose, outcome: TurnOutcome) -> None:
        """A turn of the run (not a mail) has settled."""

    def mail_changed(self, mail_id: str, state: str, reason: str = "") -> None:
        """`state` is accepted, seen, answered or failed (for this `reason`)."""

    def human_heard(self, message_id: str, how: Literal["steered", "turn", "waits", "settled"], detail: str) -> None:
        """See `messages.HumanHeard`."""

    def session_changed(self, status: SessionStatus) -> None:
        """What the session does now is something else than before."""

    def agent_event(self, event: AgentEvent) -> None:
        """Something the agent did, for people."""

    def session_crashed(self, error: BaseException) -> None:
        """The session cannot go on (a bug, or this incarnation is fenced off): its actor must end."""


class _Brought(msgspec.Struct, frozen=True):
    """Somebody's message to the agent."""

    message_id: str
    purpose: Purpose
    text: str


class _Hold(msgspec.Struct, frozen=True):
    held: bool


class _BreakOff(msgspec.Struct, frozen=True):
    turn_id: str
    reason: str


class _TurnOver(msgspec.Struct, frozen=True):
    turn_id: str
    outcome: TurnOutcome | None  # None: the agent was lost


class _Seen(msgspec.Struct, frozen=True):
    message_id: str


class _InterruptOverdue(msgspec.Struct, frozen=True):
    turn_id: str


class _Alarm(msgspec.Struct, frozen=True):
    """A message that had to wait need not any more."""


class _Rested(msgspec.Struct, frozen=True):
    pass


class _Waits(msgspec.Struct, frozen=True):
    """The agent, for a person's answer in its own TUI; "": no longer."""

    what: str


class _Ended(msgspec.Struct, frozen=True):
    """The agent's program, of itself, while nothing of ours ran."""

    why: str


_Item = (
    RunTurn | _Brought | _Hold | _BreakOff | _TurnOver | _Seen | _InterruptOverdue | _Rested | _Alarm | _Waits | _Ended
)


class AgentSession:
    """The session of one agent. `start` once, `close` once; the others any time between, from any thread.

    `make_agent` gives a fresh adapter each time the agent's program has to be started (again). `retry_ms` and
    `max_wait_ms` are for messages whose provider is away; the run's own turns are waited for by the run.
    """

    def __init__(
        self,
        *,
        make_agent: Callable[[EventSink], Agent],
        stream: EventStream[turn._Event],
        listener: SessionListener,
        first_session_id: str | None = None,
        retry_ms: int = backoff.RETRY_FIRST_MS,
        max_wait_ms: int | None = backoff.MAX_WAIT_MS,
        clock: Callable[[], int] = wall_ms,
    ) -> None:
        self._make_agent = make_agent
        self._stream = stream
        self._listener = listener
        self._first_session_id = first_session_id
        self._retry_ms = retry_ms
        self._max_wait_ms = max_wait_ms
        self._clock = clock
        self._alarm: asyncio.TimerHandle | None = None
        self._ledger = turn.Ledger()
        self._agent: Agent | None = None
        self._given: set[str] = set()  # ids of the messages that this program of the agent was given
        self._running: str | None = None  # turn id
        self._running_since_ms = 0  # Unix time
        self._status: SessionStatus | None = None  # the last one that was told
        self._turn_task: asyncio.Task[None] | None = None
        self._held = False
        self._asks = ""  # what the agent asks a person in its own TUI
        self._interrupting = False
        self._failures = 0  # of the agent's program, in a row
        self._endings = 0  # how often it ended while idle since its last turn
        self._resting = False  # before the next attempt to start it
        self._inbox: asyncio.Queue[_Item] = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._main: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="agent-session", daemon=True)

    # --- from any thread ---

    def start(self) -> None:
        """Loads the ledger, starts the agent's program, takes up what was left open."""
        self._thread.start()

    def want(self, order: RunTurn) -> None:
        """Runs this turn when it is its turn. The same turn id again: only its outcome is told again."""
        self._put(order)

    def deliver(self, mail_id: str, text: str) -> None:
        """Brings a mail to the agent: into the running turn where the agent can, else as a turn of its own."""
        self._put(_Brought(mail_id, "mail", text))

    def say(self, message_id: str, text: str) -> None:
        """Brings a person's words to the agent, as `deliver` does with mail."""
        self._put(_Brought(message_id, "human", text))

    def hold(self, *, held: bool) -> None:
        """While held, no turn starts, mail included; what runs goes on."""
        self._put(_Hold(held))

    def break_off(self, turn_id: str, reason: str) -> None:
        """Ends this turn now, or before it has begun. It settles as interrupted, unless it was faster."""
        self._put(_BreakOff(turn_id, reason))

    def close(self, timeout_s: float) -> None:
        """Ends the agent's program. An unfinished turn stays open in the ledger and is taken up next time."""
        if self._thread.is_alive():
            with suppress(RuntimeError):  # the loop may end at this very moment
                self._loop.call_soon_threadsafe(self._cancel)
            self._thread.join(timeout_s)

    # --- in the session's thread ---

    def _put(self, item: _Item) -> None:
        with suppress(RuntimeError):  # closed: what was asked is in the journal of whoever asked
            self._loop.call_soon_threadsafe(self._inbox.put_nowait, item)

    def _cancel(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._main = self._loop.create_task(self._live())
            with suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._main)
        except BaseException as error:
            self._listener.session_crashed(error)
        finally:
            self._loop.close()

    async def _live(self) -> None:
        try:
            for event in await asyncio.to_thread(self._stream.load):
                self._ledger = turn.apply(self._ledger, event)
            await self._ready_agent()
            while True:
                await self._advance()
                self._tell_status()
                await self._take(await self._inbox.get())
        finally:
            await self._drop_agent()

    async def _take(self, item: _Item) -> None:
        match item:
            case RunTurn():
                await self._intend(item)
            case _Brought():
                await self._take_message(item)
            case _Hold():
                self._held = item.held
            case _BreakOff():
                await self._break_off(item)
            case _TurnOver():
                await self._turn_over(item)
            case _Seen():
                await self._seen(item.message_id)
            case _Rested():
                self._resting = False
                await self._ready_agent()
            case _Waits():
                self._asks = item.what
            case _Ended():
                await self._ended(item.why)
            case _Alarm():
                pass  # what follows from the time is done by `_advance`
            case _InterruptOverdue():
                if self._running == item.turn_id:
                    await self._drop_agent()

    async def _record(self, *events: turn._Event) -> None:
        """Write-ahead: durable first, then true here."""
        await asyncio.to_thread(self._stream.append, events)
        for event in events:
            self._ledger = turn.apply(self._ledger, event)

    async def _intend(self, order: RunTurn) -> None:
        outcome = self._ledger.settled.get(order.turn_id)
        if outcome is not None:
            self._listener.turn_ended(order.turn_id, order.purpose, outcome)
        elif not turn.knows(self._ledger, order.turn_id):
            await self._record(
                turn.TurnIntended(
                    turn_id=order.turn_id,
                    purpose=order.purpose,
                    prompt=order.prompt,
                    model=order.model,
                    continues=order.continues,
                    reminder=order.reminder,
                )
            )

    async def _take_message(self, brought: _Brought) -> None:
        message_id = brought.message_id
        if turn.is_settled(self._ledger, message_id):
            self._message_changed(brought.purpose, message_id, "answered")
            return
        if not turn.knows(self._ledger, message_id):
            await self._record(turn.TurnIntended(turn_id=message_id, purpose=brought.purpose, prompt=brought.text))
        self._message_changed(brought.purpose, message_id, "accepted")
        entry = self._ledger.open[message_id]
        if entry.status == "running":
            self._message_changed(brought.purpose, message_id, "seen")
        if entry.status == "intended" and not entry.cuts:  # one that was cut has its prompt in the transcript
            await self._steer(entry)

    async def _steer(self, entry: turn.Entry) -> None:
        """Into the running turn, if there is one that takes it; else it waits for its own."""
        agent, carrier = self._agent, self._running
        why = self._why_not_steered()
        if agent is None or carrier is None or why:
            if why and entry.purpose == "human":
                self._listener.human_heard(entry.turn_id, "waits", why)
            return
        await self._record(turn.TurnSubmitted(turn_id=entry.turn_id, message_id=entry.message_id, carrier=carrier))
        self._given.add(entry.message_id)
        try:
            taken = await asyncio.wait_for(agent.steer(entry.message_id, entry.prompt), STEER_PATIENCE_S)
        except (AgentError, TimeoutError):
            return  # in doubt: the transcript is asked when the carrier is over
        if not taken:
            await self._record(turn.TurnReturned(turn_id=entry.turn_id))
        if entry.purpose == "human":
            self._listener.human_heard(
                entry.turn_id, "steered" if taken else "waits", "" if taken else "the turn's end"
            )

    def _why_not_steered(self) -> str:
        """What a message waits for, for people; "" when the running turn takes it, or it has a turn of its own now."""
        if self._agent is None:
            return "the agent's program"
        if self._running is None:
            return "the run to go on" if self._held else ""
        purpose = self._ledger.open[self._running].purpose
        if not self._agent.can_steer:
            return f"the end of the {purpose} turn: this agent takes nothing in the middle of one"
        if not turn.may_carry(self._ledger, self._running):
            return f"the end of the {purpose} turn, which is not disturbed"
        return ""

    def _message_changed(self, purpose: Purpose, message_id: str, state: str) -> None:
        if purpose == "mail":
            self._listener.mail_changed(message_id, state)
        elif state == "answered":
            self._listener.human_heard(message_id, "settled", "")

    def _tell_status(self) -> None:
        """Only what has changed."""
        running = self._ledger.open.get(self._running or "")
        waiting = [each for each in self._ledger.open.values() if each is not running and not each.carrier]
        status = SessionStatus(
            session_id=self._ledger.session_id,
            can_steer=self._agent is not None and self._agent.can_steer,
            turn_id=running.turn_id if running else "",
            purpose=running.purpose if running else "",
            since_ms=self._running_since_ms if running else 0,
            waiting=len(waiting),
            turns=self._ledger.turns,
            usage=self._ledger.spent,
            asks=self._asks,
        )
        if status != self._status:
            self._status = status
            self._listener.session_changed(status)

    async def _break_off(self, order: _BreakOff) -> None:
        entry = self._ledger.open.get(order.turn_id)
        if entry is None:
            return  # it has settled, and its outcome is on its way
        agent = self._agent
        if self._running != entry.turn_id or agent is None:
            await self._conclude(entry, TurnOutcome(status="interrupted", error=order.reason))
            return
        self._interrupting = True
        self._loop.call_later(INTERRUPT_PATIENCE_S, self._inbox.put_nowait, _InterruptOverdue(entry.turn_id))
        with suppress(AgentError, TimeoutError):  # a dead agent's turn is over as well; its task tells us
            await asyncio.wait_for(agent.interrupt(), INTERRUPT_PATIENCE_S)

    async def _turn_over(self, over: _TurnOver) -> None:
        self._running, self._turn_task = None, None
        interrupting, self._interrupting = self._interrupting, False
        entry = self._ledger.open[over.turn_id]
        if over.outcome is not None:
            self._failures = self._endings = 0
            if interrupting:
                await self._conclude(entry, over.outcome)
            else:
                await self._take_outcome(entry, over.outcome)
            return
        await self._drop_agent()
        if interrupting:
            await self._conclude(entry, TurnOutcome(status="interrupted", error="the agent had to be killed"))
        else:
            self._failures += 1
            self._rest(REOPEN_DELAYS_S[min(self._failures, len(REOPEN_DELAYS_S)) - 1])

    async def _ended(self, why: str) -> None:
        """Its session has to be there for the people who look at it, and for the next message: it is opened again."""
        if self._running is not None or self._agent is None:
            return  # the turn tells
        self._note(f"the agent {why}; its session will be resumed")
        await self._drop_agent()
        self._endings += 1
        self._rest(REOPEN_DELAYS_S[min(self._endings, len(REOPEN_DELAYS_S) - 1)])

    async def _take_outcome(self, entry: turn.Entry, outcome: TurnOutcome) -> None:
        """What the turn came to, which need not be its end: see the ledger."""
        if turn.has_room(entry, outcome):
            await self._move(entry, outcome)
            return
        now_ms = self._clock()
        until_ms = turn.deferred_until_ms(
            entry, outcome, now_ms, retry_ms=self._retry_ms, max_wait_ms=self._max_wait_ms
        )
        unfinished = outcome.status == "limited" or bool(outcome.cause)
        remembered = unfinished and await self._stands(entry)
        if until_ms is None:
            await self._conclude(entry, outcome, remembered=remembered)
            return
        await self._record(
            turn.TurnDeferred(
                turn_id=entry.turn_id,
                next_message_id=str(uuid.uuid4()),
                at_ms=now_ms,
                not_before_ms=until_ms,
                remembered=remembered,
            )
        )
        self._given.discard(entry.message_id)
        if remembered:
            self._message_changed(entry.purpose, entry.turn_id, "seen")
        why = f"{outcome.error}: retry {entry.deferrals + 1} in {span(until_ms - now_ms)}"
        self._note(f"the {entry.purpose} turn is put off: {why}")
        if entry.purpose == "human":
            self._listener.human_heard(entry.turn_id, "waits", why)

    async def _move(self, entry: turn.Entry, outcome: TurnOutcome) -> None:
        """Into a new session, which begins with what the old one was asked."""
        prompt = prompts.hand_over(entry.prompt, said=outcome.text)
        await self._record(turn.TurnMoved(turn_id=entry.turn_id, next_message_id=str(uuid.uuid4()), prompt=prompt))
        self._note(f"the session is full ({outcome.error}): a new one takes the turn over")
        await self._drop_agent()

    async def _stands(self, entry: turn.Entry) -> bool:
        """Whether the prompt is in the agent's transcript."""
        if entry.status == "running":
            return True
        if self._agent is None:
            return False
        try:
            found = await self._found(self._agent, entry)
        except AgentError:
            return False
        return found.state != "absent"

    async def _conclude(self, entry: turn.Entry, outcome: TurnOutcome, *, remembered: bool = False) -> None:
        await self._record(turn.TurnConcluded(turn_id=entry.turn_id, outcome=outcome, remembered=remembered))
        self._given.discard(entry.message_id)
        if entry.purpose == "human":
            self._listener.human_heard(entry.turn_id, "settled", outcome.error)
        elif entry.purpose == "mail":
            failed = outcome.status in ("failed", "limited")
            self._listener.mail_changed(entry.turn_id, "seen")  # the agent took it, whatever became of its turn
            self._listener.mail_changed(entry.turn_id, "failed" if failed else "answered", outcome.error)
        else:
            self._listener.turn_ended(entry.turn_id, entry.purpose, outcome)

    async def _seen(self, message_id: str) -> None:
        entry = next((one for one in self._ledger.open.values() if one.message_id == message_id), None)
        if entry is None or entry.status != "submitted":
            return
        await self._record(turn.TurnSeen(turn_id=entry.turn_id))
        self._message_changed(entry.purpose, entry.turn_id, "seen")

    async def _advance(self) -> None:
        """When nothing runs: clears up what is in doubt, then starts the oldest turn that waits."""
        while self._running is None and not self._resting:
            action = turn.next_action(self._ledger, self._clock())
            self._set_alarm()
            if action is None or (self._held and isinstance(action, turn.Send)):
                return
            if not await self._ready_agent():
                return
            if isinstance(action, turn.Look):
                await self._look(action.entry)
            else:
                await self._send(action.entry)

    async def _look(self, entry: turn.Entry) -> None:
        agent = self._agent
        assert agent is not None
        try:
            answer = await self._found(agent, entry)
        except AgentError as error:
            await self._agent_failed(error)
            return
        left_alone = entry.carrier not in self._ledger.open and entry.message_id not in self._given
        event = turn.found(entry, answer, str(uuid.uuid4()), left_alone=left_alone)
        if answer.state != "absent":
            self._message_changed(entry.purpose, entry.turn_id, "seen")
        if isinstance(event, turn.TurnConcluded):
            await self._take_outcome(entry, event.outcome)
        else:
            await self._record(event)

    async def _found(self, agent: Agent, entry: turn.Entry) -> FoundTurn:
        text = turn.text_of(self._ledger, entry)
        return await agent.find_turn(entry.message_id, text, answered=self._ledger.answered)

    async def _send(self, entry: turn.Entry) -> None:
        agent = self._agent
        assert agent is not None
        await self._record(turn.TurnSubmitted(turn_id=entry.turn_id, message_id=entry.message_id))
        self._running, self._running_since_ms = entry.turn_id, self._clock()
        if entry.purpose == "human":
            self._listener.human_heard(entry.turn_id, "turn", "")
        self._turn_task = self._loop.create_task(self._turn(agent, entry, turn.text_of(self._ledger, entry)))

    async def _turn(self, agent: Agent, entry: turn.Entry, text: str) -> None:
        outcome: TurnOutcome | None
        try:
            outcome = await agent.turn(entry.message_id, text, model=entry.model)
        except AgentDiedError as error:
            self._note(f"the agent was lost: {error}; its session will be resumed")
            outcome = None
        except LoopError as error:
            outcome = TurnOutcome(status="failed", error=str(error), cause=_cause(error))
        except Exception as error:  # an adapter's foreign error must not end the session; the log has all of it
            logger.exception("turn {} failed in the adapter", entry.turn_id)
            outcome = TurnOutcome(status="failed", error=f"{type(error).__name__}: {error}")
        self._inbox.put_nowait(_TurnOver(entry.turn_id, outcome))

    async def _ready_agent(self) -> bool:
        """Starts the agent's program when there is none. False: it failed, and is tried again after a rest."""
        if self._agent is not None:
            return True
        agent = self._make_agent(self._on_agent_event)
        wanted = None if self._ledger.full else self._ledger.session_id or self._first_session_id
        try:
            try:
                session_id = await agent.open(wanted)
            except SessionNotFoundError as error:
                if any(entry.status != "intended" for entry in self._ledger.open.values()) or self._ledger.settled:
                    self._note(f"session {wanted} is gone ({error}); a new one is begun")
                await agent.close()
                agent = self._make_agent(self._on_agent_event)
                session_id = await agent.open(None)
        except AgentError as error:
            await agent.close()
            await self._agent_failed(error)
            return False
        except BaseException:
            await agent.close()
            raise
        self._agent = agent
        if session_id != self._ledger.session_id:
            await self._record(turn.SessionBegan(session_id=session_id))
        self._listener.session_opened(session_id)
        return True

    async def _agent_failed(self, error: AgentError) -> None:
        """The program cannot be started or asked. After a few tries what waits for it fails with the reason."""
        await self._drop_agent()
        self._failures += 1
        self._note(str(error))
        if self._failures < len(REOPEN_DELAYS_S) and not isinstance(error, AgentUnavailableError):
            self._rest(REOPEN_DELAYS_S[self._failures - 1])
            return
        self._failures = 0
        for entry in list(self._ledger.open.values()):
            if entry.purpose != "mail":
                await self._conclude(entry, TurnOutcome(status="failed", error=str(error), cause=_cause(error)))
            elif entry.status == "intended":
                await self._record(turn.TurnWithdrawn(turn_id=entry.turn_id))
                self._listener.mail_changed(entry.turn_id, "failed", str(error))
        if self._ledger.open:
            self._rest(DOUBT_DELAY_S)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now_ms = self._clock()
        at_ms = turn.next_alarm_ms(self._ledger, now_ms)
        if at_ms is not None:
            self._alarm = self._loop.call_later((at_ms - now_ms) / 1_000, self._inbox.put_nowait, _Alarm())

    def _rest(self, delay_s: float) -> None:
        """No attempt to start the program before that; the inbox is served meanwhile."""
        self._resting = True
        self._loop.call_later(delay_s, self._inbox.put_nowait, _Rested())

    async def _drop_agent(self) -> None:
        agent, self._agent = self._agent, None
        self._asks = ""
        self._given.clear()
        if agent is not None:
            await agent.close()
        if self._turn_task is not None and asyncio.current_task() is not self._turn_task:
            task = self._turn_task
            await asyncio.wait([task], timeout=INTERRUPT_PATIENCE_S)
            task.cancel()

    def _on_agent_event(self, event: AgentEvent) -> None:
        match event.kind:
            case "seen":
                self._put(_Seen(event.message_id))
            case "waits":
                if event.text:  # first: whoever is told that it asks can have read what
                    self._note(event.text)
                self._put(_Waits(event.text))
            case "ended":
                self._put(_Ended(event.text))
            case _:
                self._listener.agent_event(event)

    def _note(self, text: str) -> None:
        self._listener.agent_event(AgentEvent(kind="note", text=text))


def _cause(error: LoopError) -> Cause:
    """An agent that cannot be started here cannot tomorrow either, unless its words say why."""
    return cause_of(str(error)) or ("unavailable" if isinstance(error, AgentUnavailableError) else "")
