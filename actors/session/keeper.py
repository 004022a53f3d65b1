"""The agent's program: opened in its session, closed, opened again. Lives in the session's thread and loop.

It carries out what `keeping` decides. The driver handles the turns.
"""

from __future__ import annotations

from collections.abc import Callable

from actors.adapters.base import Agent
from actors.errors import AgentError, AgentUnavailableError, AgentUnusableError, SessionNotFoundError
from actors.session import keeping


class Keeper:
    """`make_agent` makes a new adapter each time; `rest` must call `rested` after that many seconds; `note` shows a
    line to the user.
    """

    def __init__(
        self, make_agent: Callable[[], Agent], *, rest: Callable[[float], None], note: Callable[[str], None]
    ) -> None:
        self.agent: Agent | None = None
        self.given: set[str] = set()  # ids of the messages that this program was given
        self._make_agent = make_agent
        self._rest = rest
        self._note = note
        self._keeping = keeping.Keeping()
        self._noted = ""  # the last reason, until a turn comes back

    @property
    def is_resting(self) -> bool:
        """Whether the program must not start now."""
        return self._keeping.resting

    @property
    def can_steer(self) -> bool:
        """Whether the program accepts a message during a turn."""
        return self.agent is not None and self.agent.can_steer

    async def open(self, wanted: str | None, *, is_missed: bool, is_named: bool = False) -> str:
        """Starts the program in the wanted session, or in a new one if that is gone. Returns the session's id.

        A session that the user named (`is_named`) is not replaced by another. Raises `AgentError`; the program is
        closed then.
        """
        agent = self._make_agent()
        try:
            try:
                session_id = await agent.open(wanted)
            except SessionNotFoundError as error:
                if is_named:
                    raise AgentUnusableError(f"{error}; without --session a new one begins") from error
                if is_missed:
                    self._note(f"session {wanted} is gone ({error}); a new one is begun")
                await agent.close()
                agent = self._make_agent()
                session_id = await agent.open(None)
        except BaseException:
            await agent.close()
            raise
        self.agent = agent
        return session_id

    async def close(self) -> None:
        """Ends the program. Twice is harmless."""
        agent, self.agent = self.agent, None
        self.given.clear()
        if agent is not None:
            await agent.close()

    def failed(self, error: AgentError) -> bool:
        """Closes the program because it could not start or answer. True: waiting turns and messages are given up, and
        the caller tells the reason. Else it is noted here, once for a row of the same.
        """
        gives_up = self._take(keeping.CouldNotServe(permanent=isinstance(error, AgentUnavailableError)))
        if not gives_up and str(error) != self._noted:
            self._noted = str(error)
            self._note(self._noted)
        return gives_up

    def lost(self) -> None:
        """Closes the program because it died in a turn."""
        self._take(keeping.LostInTurn())

    def ended(self, why: str) -> None:
        """Closes the program because it ended by itself. It restarts: the user and later mail need its session."""
        self._note(f"the agent {why}; its session will be resumed")
        self._take(keeping.EndedIdle())

    def answered(self) -> None:
        """A turn came back."""
        self._noted = ""
        self._take(keeping.TurnAnswered())

    def leave_in_doubt(self) -> None:
        """After a failure: only the agent can resolve the remaining entries."""
        self._take(keeping.LeftInDoubt())

    def rested(self) -> None:
        """The pause is over."""
        self._take(keeping.Rested())

    def _take(self, event: keeping.Event) -> bool:
        self._keeping, decision = keeping.decide(self._keeping, event)
        if isinstance(decision, keeping.Rest):
            self._rest(decision.delay_s)
        return isinstance(decision, keeping.GiveUp)
