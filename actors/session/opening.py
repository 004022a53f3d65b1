"""How a session gets its agent: the program starts with the wanted session, and lost work is handed over to a new one.

Lives in the session's thread and loop, as the driver does. `keeping` decides; the keeper starts the program.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping

from actors.errors import AgentError
from actors.machines import continuations, turn
from actors.messages import TurnOutcome
from actors.session import choices, keeping
from actors.session.interfaces import ProgramOwner
from actors.session.keeper import Keeper
from actors.session.options import SessionOptions
from actors.session.permit import Permit
from actors.session.reporter import Reporter


async def hand_over(options: SessionOptions, prompt: str, why: str, said: str = "", *, texts: Mapping[str, str]) -> str:
    """The prompt for a new session, with what is in the directory."""
    facts = await asyncio.to_thread(options.tree_facts)
    told = continuations.hand_over(prompt, said=said, why=why, template=texts.get("hand_over", ""))
    return continuations.with_tree(told, facts)


class Opening:
    """The starts of one session's program. `settle` records the outcome of a turn that cannot be run."""

    def __init__(
        self,
        session: ProgramOwner,
        options: SessionOptions,
        keeper: Keeper,
        permit: Permit,
        report: Reporter,
        *,
        settle: Callable[[turn.Entry, TurnOutcome], Awaitable[None]],
    ) -> None:
        self._session = session
        self._options = options
        self._keeper = keeper
        self._permit = permit
        self._report = report
        self._settle = settle

    async def ready(self) -> bool:
        """Starts the agent's program when there is none. False: it failed, and is retried after a rest."""
        if self._keeper.agent is not None:
            return True
        ledger, options = self._session.ledger, self._options
        wanted = keeping.wanted_session(ledger, options.first_session_id)
        missed = keeping.is_missed(ledger) or not ledger.session_id  # one that no journal knows was given from outside
        named = options.first_session_is_named and not ledger.session_id
        try:
            session_id = await self._keeper.open(wanted, is_missed=missed, is_named=named)
        except AgentError as error:
            await self.failed(error)
            return False
        if session_id != self._session.ledger.session_id:
            await self._begin_session(session_id)
        self._report.opened(session_id)
        return True

    async def _begin_session(self, session_id: str) -> None:
        """Hands the run's open turns over when the session before was lost."""
        ledger = self._session.ledger
        lost = bool(ledger.session_id) and not ledger.full and keeping.is_missed(ledger)
        events: list[turn.LedgerEvent] = [turn.SessionBegan(session_id=session_id, replaces_lost=lost)]
        for entry in filter(turn.was_begun, ledger.open.values() if lost else ()):
            prompt = await hand_over(self._options, entry.prompt, continuations.GONE, texts=entry.texts)
            message_id = str(uuid.uuid4())
            events.append(turn.TurnHandedOver(turn_id=entry.turn_id, next_message_id=message_id, prompt=prompt))
        await self._session.record(*events)

    async def failed(self, error: AgentError) -> None:
        """The program cannot start or answer. After a few tries, waiting turns and messages fail with the reason."""
        await self._session.drop_agent()
        if not self._keeper.failed(error):
            return
        is_told = False
        for entry in list(self._session.ledger.open.values()):
            match keeping.fate(entry):
                case "failed":
                    is_told = True
                    await self._settle(entry, choices.outcome_of(error))
                case "withdrawn":
                    is_told = True
                    await self._session.record(turn.TurnWithdrawn(turn_id=entry.turn_id))
                    self._report.withdrawn(entry, str(error))
                case "in doubt":
                    pass
        if not is_told:
            self._report.note(str(error))
        if self._session.ledger.open:
            self._keeper.leave_in_doubt()
            self._permit.give_back()
