"""How a session of an ACP agent is opened: the introduction, the log-in, then a new session or the old one.

Asks the agent over a connection that acp_session.py has made, in its asyncio loop. An agent is logged in where that
works unattended (acp_login.py). It gets our bridge as an MCP server. The old session is loaded with a replay where the
agent can do that, else resumed without one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import msgspec
from acp import PROTOCOL_VERSION, RequestError
from acp.client.connection import ClientSideConnection
from acp.schema import (
    AuthCapabilities,
    ClientCapabilities,
    EnvVariable,
    HttpHeader,
    HttpMcpServer,
    Implementation,
    InitializeResponse,
    McpServerStdio,
    SessionCapabilities,
)
from pydantic import ValidationError

from actors.adapters import acp_login
from actors.adapters.acp_history import AUTHENTICATION_REQUIRED, failed
from actors.adapters.acp_updates import AcpUpdates
from actors.adapters.base import AgentSettings
from actors.edges import agent_registry, bridge_shim
from actors.errors import AgentUnavailableError, AgentUnusableError, SessionNotFoundError
from actors.messages import TurnOutcome
from actors.text import line
from actors.wire.acp_extension import TURN_IDS

BRIDGE_NAME = "loop-bridge"
_MOST_PAGES = 20  # of an agent's list of sessions


class AcpOpening:
    """One connection's opening. Call `introduce` first; `log_in` and `logged_in_late` may follow at any time."""

    def __init__(self, settings: AgentSettings, connection: ClientSideConnection, note: Callable[[str], None]) -> None:
        self._settings = settings
        self._connection = connection
        self._note = note
        self._agent: InitializeResponse | None = None

    # --- what the agent is ---

    async def introduce(self) -> InitializeResponse:
        """The agent's introduction. Raises `AgentUnusableError` for a version of the protocol that is not ours."""
        agent = await self._connection.initialize(
            PROTOCOL_VERSION,
            client_capabilities=ClientCapabilities(auth=AuthCapabilities(terminal=True)),
            client_info=Implementation(name="loop", title="loop", version="1"),
        )
        if agent.protocol_version != PROTOCOL_VERSION:
            raise AgentUnusableError(
                f"agent {self._settings.name!r} speaks version {agent.protocol_version} of the Agent Client Protocol, "
                f"we speak {PROTOCOL_VERSION}: use a release of it that does"
            )
        self._agent = agent
        return agent

    @property
    def gives_ids_back(self) -> bool:
        """Whether the agent has our extension, with ids of prompts."""
        capabilities = self._agent.agent_capabilities if self._agent is not None else None
        return bool(capabilities and (capabilities.field_meta or {}).get(TURN_IDS))

    @property
    def can_steer(self) -> bool:
        """Whether the agent has announced that it takes messages during a turn."""
        capabilities = self._agent.agent_capabilities if self._agent is not None else None
        for meta in (self._agent and self._agent.field_meta, capabilities.field_meta if capabilities else None):
            steering = (meta or {}).get("steering")
            if isinstance(steering, dict) and steering.get("supported") is True:
                return True
        return False

    @property
    def of_sessions(self) -> SessionCapabilities | None:
        """What the agent can do with its sessions; None: it does not say."""
        capabilities = self._agent.agent_capabilities if self._agent is not None else None
        return capabilities.session_capabilities if capabilities else None

    # --- the session ---

    async def open(self, session_id: str | None, updates: AcpUpdates) -> None:
        """Opens a new session or the old one, logged in if that is needed. `updates` gets its id and its history."""
        try:
            await self._open(session_id, updates)
        except RequestError as error:
            if error.code != AUTHENTICATION_REQUIRED or not await self.log_in():
                raise
            await self._open(session_id, updates)

    async def _open(self, session_id: str | None, updates: AcpUpdates) -> None:
        if session_id is None:
            session = await self._connection.new_session(str(self._settings.cwd), mcp_servers=self._mcp_servers())
            updates.session_id, updates.is_new = session.session_id, True
        else:
            await self._load(session_id, updates)
            updates.session_id = session_id

    async def _load(self, session_id: str, updates: AcpUpdates) -> None:
        capabilities = self._agent.agent_capabilities if self._agent is not None else None
        if not (capabilities and capabilities.load_session):
            if self.of_sessions is None or not self.of_sessions.resume:
                raise SessionNotFoundError(
                    f"agent {self._settings.name!r} cannot load a session again (no loadSession, no session/resume)"
                )
            await self._resume(session_id, updates)
            return
        replay = updates.replay
        replay.begin()
        try:
            # The package hands us updates before the response that follows them.
            await self._connection.load_session(str(self._settings.cwd), session_id, mcp_servers=self._mcp_servers())
        except RequestError as error:
            replay.end()
            self._not_found(error, session_id)
        except BaseException:
            replay.end()
            raise
        updates.was_loaded = True
        if self.gives_ids_back:  # then the replay is whole, by our extension
            replay.end()
        else:
            replay.answered()

    async def _resume(self, session_id: str, updates: AcpUpdates) -> None:
        """Resumes without a replay: it is then unknown whether the agent has an earlier prompt."""
        try:
            await self._connection.resume_session(session_id, str(self._settings.cwd), mcp_servers=self._mcp_servers())
        except RequestError as error:
            self._not_found(error, session_id)
        updates.history.is_blind = True
        updates.history.is_listed = await self._lists(session_id)

    async def _lists(self, session_id: str) -> bool | None:
        """Whether the agent's own list of sessions has this one; None: unknown."""
        if self.of_sessions is None or self.of_sessions.list is None:
            return None
        cursor: str | None = None
        with suppress(RequestError, ValidationError):
            for _ in range(_MOST_PAGES):
                page = await self._connection.list_sessions(cwd=str(self._settings.cwd), cursor=cursor)
                if any(each.session_id == session_id for each in page.sessions):
                    return True
                cursor = page.next_cursor
                if not cursor:
                    return False
        return None

    def _not_found(self, error: RequestError, session_id: str) -> NoReturn:
        if error.code == AUTHENTICATION_REQUIRED:
            raise error
        reason = failed(error.code, str(error), error.data, "").error
        raise SessionNotFoundError(
            f"agent {self._settings.name!r} cannot load session {session_id}: {reason}"
        ) from error

    def _mcp_servers(self) -> list[Any]:
        """The bridge as an MCP server: over HTTP if the agent supports it, else over stdio, which all must support."""
        bridge = self._settings.bridge
        if bridge is None:
            return []
        capabilities = self._agent.agent_capabilities if self._agent is not None else None
        over_http = capabilities is not None and capabilities.mcp_capabilities
        if not (over_http and over_http.http):
            program, arguments = bridge_shim.command()
            access = {bridge_shim.URL_VARIABLE: bridge.url, bridge_shim.TOKEN_VARIABLE: bridge.token}
            variables = [EnvVariable(name=name, value=value) for name, value in access.items()]
            return [McpServerStdio(name=BRIDGE_NAME, command=program, args=arguments, env=variables)]
        token = HttpHeader(name="Authorization", value=f"Bearer {bridge.token}")
        return [HttpMcpServer(type="http", name=BRIDGE_NAME, url=bridge.url, headers=[token])]

    # --- the log-in ---

    async def log_in(self) -> bool:
        """Logs in by an unattended method; False when there is none."""
        assert self._agent is not None
        method = acp_login.unattended(self._agent.auth_methods or (), self._settings.environment)
        if method is None:
            return False
        try:
            await self._connection.authenticate(method)
        except RequestError as error:
            reason = failed(error.code, str(error), error.data, "").error
            raise AgentUnavailableError(f"{self.not_logged_in()} ({method!r} failed: {reason})") from error
        self._note(f"logged in by {line(method)}")
        return True

    async def logged_in_late(self, outcome: TurnOutcome) -> TurnOutcome:
        """Logs in when the agent requires it during a session. The turn can then continue as after a cut."""
        try:
            if await self.log_in():
                told = "the agent was logged in again"
                return msgspec.structs.replace(outcome, cause="transient", error=told)
        except AgentUnavailableError as error:
            return msgspec.structs.replace(outcome, cause="login", error=str(error))
        return msgspec.structs.replace(outcome, cause="login", error=self.not_logged_in())

    def not_logged_in(self) -> str:
        """What the user must do to log the agent in."""
        settings = self._settings
        known = agent_registry.read(Path(settings.environment.get("HOME", "/")))
        entry = known.find(settings.name) or known.find(Path(settings.command[0]).name)
        methods = (self._agent.auth_methods if self._agent is not None else None) or ()
        advice = acp_login.advice(methods, settings.command, entry.login if entry is not None else "")
        return f"agent {settings.name!r} is not logged in: {advice}"
