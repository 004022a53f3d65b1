"""What the end of an attempt comes to: the turn's outcome, another attempt, a wait, another account, a new session.

Lives in the session's thread and loop, as the driver does. The ledger and `silence`, `accounts` decide; this records it
and tells it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Protocol

from actors.adapters.base import Agent
from actors.errors import AgentError
from actors.machines import accounts, continuations, turn
from actors.machines.durations import span
from actors.messages import FoundTurn, TurnOutcome
from actors.session import silence
from actors.session.guard import Guard
from actors.session.interfaces import ProgramOwner
from actors.session.keeper import Keeper
from actors.session.opening import hand_over
from actors.session.options import SessionOptions
from actors.session.reporter import Reporter


class Session(ProgramOwner, Protocol):
    """What it needs of the driver."""

    async def found(self, agent: Agent, entry: turn.Entry) -> FoundTurn:
        """What the agent's transcript has of the entry."""


class Settlement:
    """The ends of one session's attempts."""

    def __init__(
        self, session: Session, options: SessionOptions, keeper: Keeper, guard: Guard, report: Reporter
    ) -> None:
        self._session = session
        self._options = options
        self._keeper = keeper
        self._guard = guard
        self._report = report
        self._clock: Callable[[], int] = options.clock

    async def take(self, entry: turn.Entry, outcome: TurnOutcome) -> None:
        """Records the turn's outcome, which need not be its end: see the ledger."""
        if turn.has_room(self._session.ledger, entry, outcome):
            await self._move(entry, outcome)
            return
        outcome = turn.given_up(self._session.ledger, outcome)
        now_ms = self._clock()
        choice = accounts.choose(
            self._session.ledger.account,
            self._session.ledger.used_up,
            outcome,
            count=self._options.accounts,
            now_ms=now_ms,
        )
        if choice is None:
            await self._settle_or_defer(entry, outcome, now_ms)
            return
        self._report.note(accounts.told(choice, outcome, self._options.accounts))
        chosen = turn.AccountChosen(account=choice.account, used_up=choice.used_up, until_ms=choice.until_ms)
        if choice.is_free and outcome.status != "finished":  # the same turn, in the same session
            cut = turn.TurnCut(
                turn_id=entry.turn_id, next_message_id=str(uuid.uuid4()), remembered=await self._stands(entry)
            )
            await self._session.record(chosen, *turn.attempt_spent(entry, outcome), cut)
            self._report.spends(self._session.ledger.open[entry.turn_id])
        else:
            await self._settle_or_defer(entry, accounts.after(outcome, choice), now_ms, chosen)
        await self._session.drop_agent()  # the next start is in the other account

    async def take_interrupted(
        self, why: silence.Silent | silence.Overdue, entry: turn.Entry, outcome: TurnOutcome | None
    ) -> None:
        """A silent turn is tried again, first in the same session, then in a new one; one that is overdue fails."""
        outcome = await self._interrupted(outcome)
        if isinstance(why, silence.Overdue):
            failed = silence.overdue(entry, self._guard.limit_ms(entry), outcome)
            await self.settle(entry, failed, remembered=await self._stands(entry))
            return
        silences = self._guard.silences(entry)
        match silence.remedy(silences):
            case "same session":
                await self.cut(entry, outcome, silences=silences)
            case "new session":
                await self._move(entry, outcome, silences=silences)
            case "give up":
                failed = silence.given_up(why, outcome)
                await self.settle(entry, failed, remembered=await self._stands(entry))

    async def cut(self, entry: turn.Entry, outcome: TurnOutcome | None, *, silences: int = 0) -> None:
        """The turn was interrupted, and continues in the same session: here, or where the actor moves."""
        outcome = await self._interrupted(outcome)
        next_id, remembered = str(uuid.uuid4()), await self._stands(entry)
        cut = turn.TurnCut(turn_id=entry.turn_id, next_message_id=next_id, remembered=remembered, silences=silences)
        await self._session.record(*turn.attempt_spent(entry, outcome), cut)
        self._report.spends(self._session.ledger.open[entry.turn_id])

    async def _interrupted(self, outcome: TurnOutcome | None) -> TurnOutcome:
        """None: the agent had to be killed."""
        if outcome is None:
            await self._session.drop_agent()
        return outcome or TurnOutcome(status="interrupted")

    async def _settle_or_defer(
        self, entry: turn.Entry, outcome: TurnOutcome, now_ms: int, *first: turn.LedgerEvent
    ) -> None:
        """`first`: events that are recorded with this one."""
        until_ms = turn.deferred_until_ms(
            entry, outcome, now_ms, retry_ms=self._options.retry_ms, max_wait_ms=self._options.max_wait_ms
        )
        unfinished = outcome.status == "limited" or bool(outcome.cause)
        remembered = unfinished and await self._stands(entry)
        if until_ms is None:
            await self.settle(entry, outcome, *first, remembered=remembered)
            return
        deferred = turn.TurnDeferred(
            turn_id=entry.turn_id,
            next_message_id=str(uuid.uuid4()),
            at_ms=now_ms,
            not_before_ms=until_ms,
            remembered=remembered,
        )
        await self._session.record(*first, *turn.attempt_spent(entry, outcome), deferred)
        self._report.spends(self._session.ledger.open[entry.turn_id])
        self._keeper.given.discard(entry.message_id)
        if remembered:
            self._report.message(entry.purpose, entry.turn_id, "seen")
        why = f"{outcome.error}: retry {entry.deferrals + 1} in {span(until_ms - now_ms)}"
        self._report.note(f"the {entry.purpose} turn is put off: {why}")
        self._report.heard(entry, "waits", why)

    async def _move(self, entry: turn.Entry, outcome: TurnOutcome, *, silences: int = 0) -> None:
        """Moves the turn into a new session, which starts with the old session's request."""
        why = continuations.NO_SIGN_OF_LIFE if silences else continuations.TOO_LONG
        prompt = await hand_over(self._options, entry.prompt, why, outcome.text, texts=entry.texts)
        moved = turn.TurnMoved(
            turn_id=entry.turn_id, next_message_id=str(uuid.uuid4()), prompt=prompt, silences=silences
        )
        await self._session.record(*turn.attempt_spent(entry, outcome), moved)
        self._report.spends(self._session.ledger.open[entry.turn_id])
        what = "is silent" if silences else f"is full ({outcome.error})"
        self._report.note(f"the session {what}: a new one takes the turn over")
        await self._session.drop_agent()

    async def _stands(self, entry: turn.Entry) -> bool:
        """Whether the prompt is in the agent's transcript."""
        if entry.status == "running":
            return True
        if self._keeper.agent is None:
            return False
        try:
            found = await self._session.found(self._keeper.agent, entry)
        except AgentError:
            return False
        return found.state != "absent"

    async def settle(
        self, entry: turn.Entry, outcome: TurnOutcome, *first: turn.LedgerEvent, remembered: bool = False
    ) -> None:
        """Records the outcome as the turn's end. `first`: events that are recorded with it."""
        outcome = turn.with_all_attempts(self._session.ledger.open[entry.turn_id], outcome)
        await self._session.record(
            *first, turn.SessionTurnSettled(turn_id=entry.turn_id, outcome=outcome, remembered=remembered)
        )
        self._keeper.given.discard(entry.message_id)
        self._report.settled(entry, outcome)
