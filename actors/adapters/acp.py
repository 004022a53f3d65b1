"""The adapter of any coding agent that speaks the Agent Client Protocol (Gemini, OpenCode, Goose, the embedded agent).

Runs in the session's asyncio thread. acp_session.py does the work; it is imported when the agent opens. The protocol's
package takes 0.6 s of CPU to import, and need not be installed.
"""

from __future__ import annotations

import asyncio
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from actors.adapters.acp_replay import Pause, quiet
from actors.adapters.base import Agent, AgentSettings, EventSink, FoundTurn, Introduction, Schema, discard_event
from actors.errors import AgentDiedError, AgentError, AgentUnavailableError, AgentUnusableError
from actors.messages import TurnOutcome
from actors.text import line

if TYPE_CHECKING:
    from actors.adapters.acp_session import AcpSession

PROBE_PATIENCE_S = 10.0


def factory(settings: AgentSettings, sink: EventSink) -> Agent:
    """An adapter for the program `settings.command`. Nothing is started or imported yet."""
    return AcpAgent(settings, sink)


def preflight(settings: AgentSettings) -> None:
    """Raises `AgentUnavailableError` when the agent's program or the protocol's package is missing. Starts nothing."""
    program_of(settings)
    if find_spec("acp") is None:
        raise AgentUnavailableError(
            f"agent {settings.name!r} needs the Python package agent-client-protocol: pip install 'pairloop[acp]'"
        )


def probe(settings: AgentSettings) -> Introduction:
    """Starts the program, gets its introduction, and ends all its processes. Raises `AgentUnavailableError`.

    For the doctor, not for a run: Gemini or Copilot take some seconds, and a run finds out at its own start. Blocks for
    `PROBE_PATIENCE_S` at most, in an asyncio loop of its own; what the program printed instead is quoted.
    """
    preflight(settings)
    return asyncio.run(_probe(settings))


async def _probe(settings: AgentSettings) -> Introduction:
    from actors.adapters.acp_session import AcpSession

    session = AcpSession(settings, discard_event)
    try:
        agent = await session.greet(PROBE_PATIENCE_S)
    except AgentError as error:
        raise AgentUnavailableError(str(error)) from error
    finally:
        await session.close()
    info = agent.agent_info
    return Introduction(
        name=line(info.title or info.name) if info is not None else "",
        version=line(info.version) if info is not None else "",
        protocol=f"ACP {agent.protocol_version}",
        logins=tuple(line(method.id) for method in agent.auth_methods or ()),
    )


def program_of(settings: AgentSettings) -> Path:
    """The agent's program. Raises `AgentUnavailableError` when it is missing."""
    if not settings.command:
        raise AgentUnusableError(f"agent {settings.name!r} has no command: set it in [agents.{settings.name}]")
    program = settings.command[0]
    path = str(settings.cwd / program) if "/" in program else program
    found = shutil.which(path, path=settings.environment.get("PATH", ""))
    if found is None:
        raise AgentUnavailableError(
            f"agent {settings.name!r}: program {program!r} was not found: install it, "
            f"or correct `command` in [agents.{settings.name}]"
        )
    return Path(found)


class AcpAgent:
    """One session of one ACP agent; see `base.Agent` for the contract."""

    def __init__(self, settings: AgentSettings, sink: EventSink, pause: Pause = quiet) -> None:
        """`pause`: the silence after which a replay counts as over."""
        self._settings = settings
        self._sink = sink
        self._pause = pause
        self._session: AcpSession | None = None
        self.can_steer = False  # unknown before it is open

    async def open(self, session_id: str | None) -> str:
        """Beyond the contract: gives up when the agent is silent for `acp_session.OPEN_PATIENCE_S`."""
        preflight(self._settings)
        from actors.adapters.acp_library import AcpSession

        self._session = AcpSession(self._settings, self._sink, self._pause)
        opened = await self._session.open(session_id)
        self.can_steer = self._session.can_steer
        return opened

    async def turn(
        self,
        turn_id: str,
        prompt: str,
        *,
        model: str = "",
        schema: Schema | None = None,  # noqa: ARG002 - the protocol has none
    ) -> TurnOutcome:
        """Beyond the contract: for an agent that returns no ids, the prompt ends with a marker line."""
        return await self._opened().turn(turn_id, prompt, model=model)

    async def steer(self, message_id: str, text: str) -> bool:
        """Steers the running turn of an agent that has announced support: the protocol itself has none."""
        return await self._opened().steer(message_id, text)

    async def interrupt(self) -> None:
        """Cancels the turn; the agent answers its prompt once it has stopped."""
        if self._session is not None:
            await self._session.interrupt()

    async def find_turn(
        self,
        message_id: str,
        text: str = "",  # noqa: ARG002 - the id comes first here
        *,
        answered: str = "",
    ) -> FoundTurn:
        """Uses the replay at `open` and our own turns since, by the rule of `acp_history.History`."""
        return await self._opened().find_turn(message_id, answered)

    async def close(self) -> None:
        """Ends the connection, then the program with all that it started."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> AcpSession:
        if self._session is None:
            raise AgentDiedError(f"agent {self._settings.name!r} was never opened")
        return self._session
