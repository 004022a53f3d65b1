"""Runs the turn ledger: turns and messages come in, the agent gets them one after the other.

Every step is first a durable event in the actor's turn ledger (machines/turn), then an act of the adapter. It never
decides on prompts or consequences: the run machine does.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from loguru import logger

from actors.adapters.base import Agent, AgentEvent, TakesMoney
from actors.errors import AgentDiedError, AgentError, LoopError
from actors.machines import accounts, continuations, turn
from actors.machines.review_answer import SCHEMA, rendered
from actors.messages import ROLE_PROMPT, FoundTurn, StartTurnRequest, TurnOutcome
from actors.session import choices, keeping, silence
from actors.session.deliveries import Deliveries
from actors.session.guard import Guard
from actors.session.inbox import (
    Alarm,
    Granted,
    HoldChanged,
    InterruptOverdue,
    InterruptRequested,
    Item,
    LeaveAsked,
    LookDue,
    MessageDelivered,
    ProgramEnded,
    PromptSeen,
    TurnOver,
    UsageReported,
    UserAsked,
)
from actors.session.keeper import Keeper
from actors.session.opening import Opening, hand_over
from actors.session.options import SessionOptions
from actors.session.permit import Permit
from actors.session.purse import Purse
from actors.session.reporter import Reporter
from actors.session.settlement import Settlement


class Driver:
    """Processes the inbox. Everything runs in `loop`, except `on_agent_event`, which any thread may call."""

    def __init__(self, options: SessionOptions, loop: asyncio.AbstractEventLoop) -> None:
        self._options = options
        self._report = Reporter(options.listener)
        self._clock = options.clock
        self._loop = loop
        self._inbox: asyncio.Queue[Item] = asyncio.Queue()
        self._keeper = Keeper(self._make_agent, rest=self._rest, note=self._report.note)
        self._alarm: asyncio.TimerHandle | None = None
        self.ledger = turn.Ledger()
        self._running: str | None = None  # turn id
        self._running_since_ms = 0  # Unix time
        self._turn_task: asyncio.Task[None] | None = None
        self._purse = Purse(options.left_usd)
        self._permit = Permit(options.listener)
        self._held = options.is_held
        self._finishing = False
        self._leaving: Callable[[], None] | None = None
        self._asks = ""  # the agent's question to the user in its own TUI
        self._interrupting = False
        self._is_cut = False  # interrupted to be resumed
        self._guard = Guard(
            loop,
            options.patience,
            note=self._report.note,
            wake=lambda turn_id: self._inbox.put_nowait(LookDue(turn_id)),
            interrupt_s=options.interrupt_s,
        )
        self._settlement = Settlement(self, options, self._keeper, self._guard, self._report)
        self._deliveries = Deliveries(self, self._keeper, self._report)
        self._opening = Opening(self, options, self._keeper, self._permit, self._report, settle=self._settlement.settle)

    def _make_agent(self) -> Agent:
        account = self.ledger.account
        agent = self._options.make_agent(self._on_agent_event, account if account < self._options.accounts else 0)
        if isinstance(agent, TakesMoney):
            agent.give(self._purse.left(self.ledger.spent.cost_usd))
        return agent

    def put(self, item: Item) -> None:
        """Any thread."""
        with suppress(RuntimeError):  # closed: the request is in its sender's journal
            self._loop.call_soon_threadsafe(self._inbox.put_nowait, item)

    async def live(self) -> None:
        """Runs until it is cancelled, which also ends the agent's program."""
        try:
            for event in await asyncio.to_thread(self._options.stream.load):
                self.ledger = turn.apply(self.ledger, event)
            for entry in self.ledger.open.values():
                self._report.spends(entry)
            self._report.costs(self.ledger.costs)  # their receiver may have missed the last of them
            await self._opening.ready()
            while True:
                await self._advance()
                self._report.status(
                    self.ledger,
                    running=self._running,
                    since_ms=self._running_since_ms,
                    can_steer=self._keeper.can_steer,
                    asks=self._asks,
                    account=accounts.label(self.ledger.account, self._options.accounts),
                )
                if self._leaving is not None and self._running is None:
                    self._leaving()
                await self._take(await self._inbox.get())
        finally:
            await self.drop_agent()

    async def _take(self, item: Item) -> None:
        match item:
            case StartTurnRequest():
                await self._start_turn(item)
            case MessageDelivered():
                await self._deliveries.take(item, running=self._running, is_held=self._held)
            case HoldChanged():
                self._held, self._finishing = item.held, item.finishing
                self._permit.is_needed(by_grant=item.by_grant)
                self._guard.patience = item.patience or self._guard.patience
                await self._watch()
            case LeaveAsked():
                self._leaving = item.then
                if item.now:
                    await self._cut()
            case Granted():
                self._permit.grant(item.turn_id)
            case InterruptRequested():
                await self._interrupt(item)
            case TurnOver():
                await self._turn_over(item)
            case PromptSeen():
                await self._deliveries.seen(item.message_id)
            case UsageReported():
                await self._usage_reported(item)
            case keeping.Rested():
                self._keeper.rested()
                await self._opening.ready()
            case UserAsked():
                self._asks = item.what
                await self._watch()
            case ProgramEnded():
                await self._ended(item.why)
            case Alarm():
                pass  # what follows from the time is done by `_advance`
            case LookDue():
                if self._running == item.turn_id:
                    await self._watch()
            case InterruptOverdue():
                if self._running == item.turn_id:
                    await self.drop_agent()

    async def record(self, *events: turn.LedgerEvent) -> None:
        """Write-ahead: durable first, then true here."""
        await asyncio.to_thread(self._options.stream.append, events)
        for event in events:
            self.ledger = turn.apply(self.ledger, event)

    async def _start_turn(self, request: StartTurnRequest) -> None:
        if request.purpose != ROLE_PROMPT:  # that one is the root's, which does not know
            self._purse = Purse(request.left_usd, self.ledger.spent.cost_usd)
        outcome = self.ledger.settled.get(request.turn_id)
        if outcome is not None:
            self._options.listener.turn_settled(request.turn_id, request.purpose, outcome)
        elif not turn.knows(self.ledger, request.turn_id):
            prompt = request.prompt
            if self.ledger.lost and request.continues:
                prompt = await hand_over(self._options, prompt, continuations.GONE, texts=request.texts)
            await self.record(
                turn.TurnIntended(
                    turn_id=request.turn_id,
                    purpose=request.purpose,
                    prompt=prompt,
                    model=request.model,
                    continues=request.continues,
                    reminder=request.reminder,
                    within_ms=request.within_ms,
                    typed=request.typed,
                    texts=request.texts,
                )
            )

    async def _interrupt(self, request: InterruptRequested) -> None:
        entry = self.ledger.open.get(request.turn_id)
        if entry is None:
            return  # it has settled, and its outcome is on its way
        if self._running != entry.turn_id:
            await self._settlement.settle(entry, TurnOutcome(status="interrupted", error=request.reason))
            return
        self._guard.ending, self._is_cut = None, False  # its owner's decision counts
        if (agent := self._keeper.agent) is not None:  # else its program is already ended for it
            await self._end_turn(agent, entry)

    async def _cut(self) -> None:
        """Interrupts the running turn, which stays open: the next incarnation resumes it."""
        agent, entry = self._keeper.agent, self.ledger.open.get(self._running or "")
        if agent is not None and entry is not None and not self._interrupting:
            self._is_cut = True
            await self._end_turn(agent, entry)

    async def _end_turn(self, agent: Agent, entry: turn.Entry) -> None:
        self._interrupting = True
        self._loop.call_later(self._options.interrupt_s, self._inbox.put_nowait, InterruptOverdue(entry.turn_id))
        with suppress(AgentError, TimeoutError):  # a dead agent's turn is over as well; its task reports it
            async with asyncio.timeout(self._options.interrupt_s):
                await agent.interrupt()

    async def _watch(self) -> None:
        """Interrupts the running turn when its agent is silent, or takes too long."""
        agent, entry = self._keeper.agent, self.ledger.open.get(self._running or "")
        if agent is None or entry is None or self._interrupting:
            return
        if await self._guard.look(agent, entry, asks=bool(self._asks)):
            await self._end_turn(agent, entry)

    async def _turn_over(self, over: TurnOver) -> None:
        self._running, self._turn_task = None, None
        ending = self._guard.end()
        interrupting, self._interrupting = self._interrupting, False
        is_cut, self._is_cut = self._is_cut, False
        entry = self.ledger.open[over.turn_id]
        if ending is not None and silence.ended_it(over.outcome):
            await self._settlement.take_interrupted(ending, entry, over.outcome)
            return
        if is_cut and silence.ended_it(over.outcome):
            await self._settlement.cut(entry, over.outcome)
            return
        if over.outcome is not None:
            self._keeper.answered()
            if interrupting and ending is None and not is_cut:
                await self._settlement.settle(entry, over.outcome)
            else:
                await self._settlement.take(entry, over.outcome)
            return
        await self.drop_agent()
        if interrupting:
            await self._settlement.settle(entry, TurnOutcome(status="interrupted", error="the agent had to be killed"))
        else:
            self._keeper.lost()

    async def _ended(self, why: str) -> None:
        if self._running is None and self._keeper.agent is not None:  # else the turn reports it
            await self.drop_agent()
            self._keeper.ended(why)

    async def _usage_reported(self, item: UsageReported) -> None:
        entry = turn.sent_as(self.ledger, item.message_id)
        if entry is not None and entry.status != "intended" and entry.spent != item.usage:
            await self.record(turn.TurnSpent(turn_id=entry.turn_id, usage=item.usage))
            self._report.spends(self.ledger.open[entry.turn_id], item.model)

    async def _advance(self) -> None:
        """When nothing runs: resolves what is in doubt, then starts the oldest waiting turn."""
        waiting: turn.Entry | None = None
        while (action := self._next_step()) is not None and await self._opening.ready():
            if isinstance(action, turn.Look):
                await self._look(action.entry)
            elif not self._permit.allows(action.entry):
                waiting = action.entry
                break
            elif not self._has_its_money(self._keeper.agent):
                await self.drop_agent()  # it is opened again, with what is left
            else:
                await self._send(action.entry)
        if self._running is None:
            self._permit.want(waiting, self.ledger, self._clock())

    def _has_its_money(self, agent: object) -> bool:
        spent_usd = self.ledger.spent.cost_usd
        return not isinstance(agent, TakesMoney) or self._purse.fits(agent.money_left(), spent_usd)

    def _next_step(self) -> turn.Send | turn.Look | None:
        self._set_alarm()
        return choices.next_step(
            self.ledger,
            self._clock(),
            is_running=self._running is not None,
            is_resting=self._keeper.is_resting,
            is_held=self._held or self._leaving is not None,
            is_finishing=self._finishing and self._leaving is None,
        )

    async def _look(self, entry: turn.Entry) -> None:
        agent = self._keeper.agent
        assert agent is not None
        try:
            answer = await self.found(agent, entry)
        except AgentError as error:
            await self._opening.failed(error)
            return
        left_alone = entry.carrier not in self.ledger.open and entry.message_id not in self._keeper.given
        event = turn.found(entry, answer, str(uuid.uuid4()), left_alone=left_alone)
        if answer.state != "absent":
            self._report.message(entry.purpose, entry.turn_id, "seen")
        if isinstance(event, turn.SessionTurnSettled):
            await self._settlement.take(entry, event.outcome)
        else:
            await self.record(event)

    async def found(self, agent: Agent, entry: turn.Entry) -> FoundTurn:
        """What the agent's transcript has of the entry."""
        text = turn.text_of(self.ledger, entry)
        return await agent.find_turn(entry.message_id, text, answered=self.ledger.answered)

    async def _send(self, entry: turn.Entry) -> None:
        agent = self._keeper.agent
        assert agent is not None
        now_ms = self._clock()
        command = self._options.last_command() if turn.was_cut(entry) else ""
        await self.record(
            turn.TurnSubmitted(turn_id=entry.turn_id, message_id=entry.message_id, at_ms=now_ms, command=command)
        )
        entry = self.ledger.open[entry.turn_id]
        self._running, self._running_since_ms = entry.turn_id, now_ms
        self._guard.begin(entry, now_ms)
        self._report.heard(entry, "turn")
        self._turn_task = self._loop.create_task(self._turn(agent, entry, turn.text_of(self.ledger, entry)))

    async def _turn(self, agent: Agent, entry: turn.Entry, text: str) -> None:
        """Reports the end of the turn, also where the adapter does not end it with its program."""
        outcome: TurnOutcome | None = None
        try:
            schema = SCHEMA if entry.typed else None
            outcome = await agent.turn(entry.message_id, text, model=entry.model, schema=schema)
        except AgentDiedError as error:
            self._report.note(f"the agent was lost: {error}; its session will be resumed")
        except LoopError as error:
            outcome = choices.outcome_of(error)
        except Exception as error:  # an adapter's foreign error must not end the session; the log has all of it
            logger.exception("turn {} failed in the adapter", entry.turn_id)
            outcome = TurnOutcome(status="failed", error=f"{type(error).__name__}: {error}")
        finally:
            self._inbox.put_nowait(TurnOver(entry.turn_id, outcome))

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        now_ms = self._clock()
        at_ms = turn.next_alarm_ms(self.ledger, now_ms)
        if at_ms is not None:
            self._alarm = self._loop.call_later((at_ms - now_ms) / 1_000, self._inbox.put_nowait, Alarm())

    def _rest(self, delay_s: float) -> None:
        """Pauses; the inbox is served meanwhile."""
        self._loop.call_later(delay_s, self._inbox.put_nowait, keeping.Rested())

    async def drop_agent(self) -> None:
        """Closes the agent's program, and waits for its turn."""
        self._asks = ""
        await self._keeper.close()
        if self._turn_task is not None and asyncio.current_task() is not self._turn_task:
            task = self._turn_task
            await asyncio.wait([task], timeout=self._options.interrupt_s)
            task.cancel()

    def _on_agent_event(self, event: AgentEvent) -> None:
        self._guard.hear(event)
        match event.kind:
            case "seen":
                self.put(PromptSeen(event.message_id))
            case "waits":
                if event.text:  # first, so that the question itself is shown before the status
                    self._report.note(event.text)
                self.put(UserAsked(event.text))
            case "spent":
                self.put(UsageReported(event.message_id, event.usage, event.text))
            case "ended":
                self.put(ProgramEnded(event.text))
            case "say":  # a typed answer, as the text that a user reads
                self._options.listener.agent_event(replace(event, text=rendered(event.text)))
            case _:
                self._options.listener.agent_event(event)
