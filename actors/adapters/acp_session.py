"""A session of an ACP agent, from the start of its program to its end. Owned by the adapter, acp.AcpAgent.

Uses the official `acp` package, in the session's asyncio thread. The agent works unattended: every permission that it
requests is granted. Our file system and terminals (optional in the protocol) are not offered, so it uses its own.

It chooses the settings' values, and the mode that asks least (acp_choices.py). It logs the agent in where that works
unattended (acp_login.py). It steers agents that announce support, and closes their sessions.

After a crash it loads the session again, and the agent's replay shows which prompts it has: by their ids, for an agent
with our extension (acp_extension.py), else by the marker line of every prompt. The rule is in acp_history.History.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import msgspec
from acp import PROTOCOL_VERSION, Client, RequestError, connect_to_agent, text_block
from acp.client.connection import ClientSideConnection
from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    AuthCapabilities,
    ClientCapabilities,
    ConfigOptionUpdate,
    CurrentModeUpdate,
    EnvVariable,
    HttpHeader,
    HttpMcpServer,
    Implementation,
    InitializeResponse,
    McpServerStdio,
    PromptResponse,
    SessionInfoUpdate,
    ToolCallProgress,
    ToolCallStart,
    ToolCallUpdate,
    UsageUpdate,
    UserMessageChunk,
)
from pydantic import ValidationError

from actors.adapters import acp_login
from actors.adapters.acp_client import AcpClient
from actors.adapters.acp_history import (
    AUTHENTICATION_REQUIRED,
    History,
    Speech,
    as_message,
    chunk_text,
    failed,
    is_echo,
    one_line,
    stopped,
    usage_of,
    with_marker,
)
from actors.adapters.acp_program import AgentProgram
from actors.adapters.acp_replay import Pause, Replay, quiet
from actors.adapters.acp_setup import SessionSetup
from actors.adapters.acp_tools import ToolCalls
from actors.adapters.base import AgentEvent, AgentSettings, EventSink, FoundTurn
from actors.edges import agent_registry, bridge_shim
from actors.errors import AgentBreachError, AgentDiedError, AgentUnavailableError, SessionNotFoundError
from actors.messages import TurnOutcome, Usage
from actors.text import line
from actors.wire.acp_extension import TURN_ENDED, TURN_ID, TURN_IDS

# An agent behind `npx` may have to be downloaded first.
OPEN_PATIENCE_S = 60.0
EXIT_PATIENCE_S = 1.0
BRIDGE_NAME = "loop-bridge"
_MOST_PAGES = 20  # of an agent's list of sessions

_Answer = TypeVar("_Answer")


# The updates of a replay. Others (commands, modes, usage) may come at any time.
_HISTORY = (
    UserMessageChunk,
    AgentMessageChunk,
    AgentThoughtChunk,
    AgentPlanUpdate,
    ToolCallStart,
    ToolCallProgress,
    SessionInfoUpdate,
)


class AcpSession:
    """Implements `base.Agent`. `open` once, then any number of turns, one at a time."""

    def __init__(self, settings: AgentSettings, sink: EventSink, pause: Pause = quiet) -> None:
        self._settings = settings
        self._sink = sink
        self._program: AgentProgram | None = None
        self._connection: ClientSideConnection | None = None
        self._closing = asyncio.Lock()
        self._session_id = ""
        self._gives_ids_back = False
        self._setup: SessionSetup | None = None
        self._agent: InitializeResponse | None = None
        self._calls = ToolCalls()
        self.can_steer = False
        self._history = History()
        self._replay = Replay(pause)
        self._was_loaded = False
        self._is_new = False
        self._sent: list[str] = []  # in the running turn, as it was sent
        self._echo = ""  # the part of it that the agent has echoed
        self._speech = Speech()
        self._turn_id: str | None = None  # of the running turn
        self._interrupted = False
        self._seen = False
        self._cost_usd: float | None = None  # of the session so far; None: not known
        self._cost_at_start: float | None = None  # of the running turn

    async def open(self, session_id: str | None) -> str:
        """Starts the program, opens a new session or loads the old one. After any error, call `close`."""
        return await self._start(OPEN_PATIENCE_S, lambda connection: self._open(connection, session_id))

    async def greet(self, patience_s: float) -> InitializeResponse:
        """Starts the program and gets its introduction, without a session. Otherwise as `open`."""
        return await self._start(patience_s, self._initialize)

    async def _start(
        self, patience_s: float, then: Callable[[ClientSideConnection], Coroutine[Any, Any, _Answer]]
    ) -> _Answer:
        try:
            self._program = await AgentProgram.start(
                self._settings.command, self._settings.environment, self._settings.cwd
            )
        except OSError as error:
            raise AgentUnavailableError(f"agent {self._settings.name!r} cannot be started: {error}") from error
        self._sink(AgentEvent(kind="process", text=" ".join(self._settings.command), pid=self._program.pid))
        # Unstable: elicitation, which needs an answer even if it was not offered.
        client = cast("Client", AcpClient(self.take_update, self._asked, self._note))
        self._connection = connect_to_agent(client, self._program, use_unstable_protocol=True)
        try:
            async with asyncio.timeout(patience_s):
                return await then(self._connection)
        except TimeoutError:
            said = self._program.greeting
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} did not answer within {patience_s:g} s: "
                f"does {' '.join(self._settings.command)!r} speak the Agent Client Protocol?"
                + (f" it printed {said}" if said else "")
            ) from None
        except ConnectionError:
            await self._raise_died(opening=True)
        except RequestError as error:
            if error.code == AUTHENTICATION_REQUIRED:
                raise AgentUnavailableError(self._not_logged_in()) from error
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} cannot be used: {failed(error.code, str(error), error.data, '').error}"
            ) from error
        except ValidationError as error:
            raise AgentUnavailableError(f"agent {self._settings.name!r} cannot be used: {_breach(error)}") from error

    async def turn(self, turn_id: str, prompt: str, *, model: str = "") -> TurnOutcome:
        """Sends the prompt and returns when the agent has answered it."""
        connection = self._open_connection()
        self._turn_id, self._interrupted, self._seen, self._speech = turn_id, False, False, Speech()
        text = self._as_sent(turn_id, prompt)
        self._sent, self._echo = [text], ""
        try:
            await self._replay.over()
            self._cost_at_start = self._cost_usd
            if self._setup is not None:
                await self._setup.choose("model", model or self._settings.model)
            if self._interrupted:  # before there was a prompt to cancel
                return stopped("cancelled", "")
            self._history.begin(turn_id)
            response = await connection.prompt(self._session_id, [text_block(text)], **{TURN_ID: turn_id})
        except ConnectionError:
            await self._raise_died(opening=False)
        except RequestError as error:
            self._end_message()
            outcome = failed(error.code, str(error), error.data, self._speech.last)
            if self._interrupted:  # some agents answer a cancelled prompt with an error
                outcome = stopped("cancelled", self._speech.last)
            elif error.code == AUTHENTICATION_REQUIRED:
                outcome = await self._logged_in_late(connection, outcome)
            outcome = msgspec.structs.replace(outcome, usage=self._usage(None))
        except ValidationError as error:
            self._end_message()
            error_text, usage = _breach(error), self._usage(None)
            outcome = TurnOutcome(status="failed", text=self._speech.last, error=error_text, usage=usage)
        else:
            self._end_message()
            self._saw_turn()
            outcome = stopped(response.stop_reason, self._speech.last, self._usage(response))
        finally:
            self._turn_id = None
        self._history.finish(turn_id, outcome)
        return outcome

    async def interrupt(self) -> None:
        """Cancels the running turn, if there is one."""
        if self._turn_id is None:
            return
        self._interrupted = True
        try:
            await self._open_connection().cancel(self._session_id)
        except ConnectionError:
            await self._raise_died(opening=False)

    async def steer(self, message_id: str, text: str) -> bool:
        """Steers the running turn of an agent that has announced support. Returns whether the agent accepted it."""
        if self._turn_id is None or not self.can_steer:
            return False
        sent = self._as_sent(message_id, text)
        request = {
            "sessionId": self._session_id,
            "prompt": [{"type": "text", "text": sent}],
            # Without it, an agent whose turn has just ended starts a turn of its own, which is not awaited.
            "_meta": {"steering": {"idleBehavior": "promptRequired"}, TURN_ID: message_id},
        }
        try:
            answer = await self._open_connection().ext_method("session/steering", request)
        except RequestError:
            return False
        except ConnectionError:
            await self._raise_died(opening=False)
        taken = isinstance(answer, dict) and answer.get("outcome") in ("injected", "startedNewTurn")
        if taken:
            self._history.begin(message_id)
            self._sent.append(sent)
        return taken

    async def find_turn(self, message_id: str, answered: str) -> FoundTurn:
        """What is known of the prompt with this id, as soon as it is known or the replay is over."""
        await self._replay.over(lambda: self._history.knows(message_id))
        return self._history.find(message_id, answered)

    async def close(self) -> None:
        """Ends the connection, then the program. May be called at any time, even twice concurrently."""
        async with self._closing:
            await self._replay.close()
            if self._setup is not None:
                await self._setup.close()
            connection, self._connection = self._connection, None
            program, self._program = self._program, None
            if connection is not None:
                await self._close_session(program)
                await connection.close()
            if program is not None:
                await program.end()

    async def _close_session(self, program: AgentProgram | None) -> None:
        """Closes the session, if the agent supports it. Does not wait: the agent reads the request before the end of
        its input.

        Never during a turn, which must be resumable: the agent would record that it was cancelled.
        """
        capabilities = self._agent.agent_capabilities if self._agent is not None else None
        of_session = capabilities.session_capabilities if capabilities else None
        can = of_session is not None and of_session.close is not None and bool(self._session_id)
        if program is None or self._turn_id is not None or not can:
            return
        session = {"sessionId": self._session_id}
        request = {"jsonrpc": "2.0", "id": "close", "method": "session/close", "params": session}
        with suppress(ConnectionError):
            await program.send(request)

    # --- opening ---

    async def _initialize(self, connection: ClientSideConnection) -> InitializeResponse:
        agent = await connection.initialize(
            PROTOCOL_VERSION,
            client_capabilities=ClientCapabilities(auth=AuthCapabilities(terminal=True)),
            client_info=Implementation(name="loop", title="loop", version="1"),
        )
        if agent.protocol_version != PROTOCOL_VERSION:
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} speaks version {agent.protocol_version} of the Agent Client Protocol, "
                f"we speak {PROTOCOL_VERSION}: use a release of it that does"
            )
        return agent

    async def _open(self, connection: ClientSideConnection, session_id: str | None) -> str:
        agent = await self._initialize(connection)
        capabilities = agent.agent_capabilities
        self._gives_ids_back = bool(capabilities and (capabilities.field_meta or {}).get(TURN_IDS))
        self._agent = agent
        self.can_steer = _announces_steering(agent)
        servers = self._mcp_servers(agent)
        try:
            await self._begin(connection, agent, session_id, servers)
        except RequestError as error:
            if error.code != AUTHENTICATION_REQUIRED or not await self._log_in(connection):
                raise
            await self._begin(connection, agent, session_id, servers)
        assert self._program is not None
        self._setup = SessionSetup(self._settings, connection, self._program, self._session_id, self._note)
        await self._setup.choose_all()
        return self._session_id

    async def _begin(
        self, connection: ClientSideConnection, agent: InitializeResponse, session_id: str | None, servers: list[Any]
    ) -> None:
        if session_id is None:
            session = await connection.new_session(str(self._settings.cwd), mcp_servers=servers)
            self._session_id, self._is_new = session.session_id, True
        else:
            await self._load(connection, agent, session_id, servers)
            self._session_id = session_id

    async def _load(
        self, connection: ClientSideConnection, agent: InitializeResponse, session_id: str, servers: list[Any]
    ) -> None:
        capabilities = agent.agent_capabilities
        if not (capabilities and capabilities.load_session):
            if not (capabilities and capabilities.session_capabilities and capabilities.session_capabilities.resume):
                raise SessionNotFoundError(
                    f"agent {self._settings.name!r} cannot load a session again (no loadSession, no session/resume)"
                )
            await self._resume(connection, session_id, servers)
            return
        self._replay.begin()
        try:
            # The package hands us updates before the response that follows them.
            await connection.load_session(str(self._settings.cwd), session_id, mcp_servers=servers)
        except RequestError as error:
            self._replay.end()
            self._not_found(error, session_id)
        except BaseException:
            self._replay.end()
            raise
        self._was_loaded = True
        if self._gives_ids_back:  # then the replay is whole, by our extension
            self._replay.end()
        else:
            self._replay.answered()

    async def _resume(self, connection: ClientSideConnection, session_id: str, servers: list[Any]) -> None:
        """Resumes without a replay: it is then unknown whether the agent has an earlier prompt."""
        try:
            await connection.resume_session(session_id, str(self._settings.cwd), mcp_servers=servers)
        except RequestError as error:
            self._not_found(error, session_id)
        self._history.is_blind = True
        self._history.is_listed = await self._lists(connection, session_id)

    async def _lists(self, connection: ClientSideConnection, session_id: str) -> bool | None:
        """Whether the agent's own list of sessions has this one; None: unknown."""
        capabilities = self._agent.agent_capabilities if self._agent is not None else None
        of_session = capabilities.session_capabilities if capabilities else None
        if of_session is None or of_session.list is None:
            return None
        cursor: str | None = None
        with suppress(RequestError, ValidationError):
            for _ in range(_MOST_PAGES):
                page = await connection.list_sessions(cwd=str(self._settings.cwd), cursor=cursor)
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

    async def _log_in(self, connection: ClientSideConnection) -> bool:
        """Logs in by an unattended method; False when there is none."""
        assert self._agent is not None
        method = acp_login.unattended(self._agent.auth_methods or (), self._settings.environment)
        if method is None:
            return False
        try:
            await connection.authenticate(method)
        except RequestError as error:
            reason = failed(error.code, str(error), error.data, "").error
            raise AgentUnavailableError(f"{self._not_logged_in()} ({method!r} failed: {reason})") from error
        self._note(f"logged in by {line(method)}")
        return True

    def _not_logged_in(self) -> str:
        settings = self._settings
        known = agent_registry.read(Path(settings.environment.get("HOME", "/")))
        entry = known.find(settings.name) or known.find(Path(settings.command[0]).name)
        methods = (self._agent.auth_methods if self._agent is not None else None) or ()
        advice = acp_login.advice(methods, settings.command, entry.login if entry is not None else "")
        return f"agent {settings.name!r} is not logged in: {advice}"

    async def _logged_in_late(self, connection: ClientSideConnection, outcome: TurnOutcome) -> TurnOutcome:
        """Logs in when the agent requires it during a session. The turn can then continue as after a cut."""
        try:
            if await self._log_in(connection):
                told = "the agent had to be logged in again, and is"
                return msgspec.structs.replace(outcome, cause="transient", error=told)
        except AgentUnavailableError as error:
            return msgspec.structs.replace(outcome, cause="login", error=str(error))
        return msgspec.structs.replace(outcome, cause="login", error=self._not_logged_in())

    def _mcp_servers(self, agent: InitializeResponse) -> list[Any]:
        """The bridge as an MCP server: over HTTP if the agent supports it, else over stdio, which all must support."""
        bridge = self._settings.bridge
        if bridge is None:
            return []
        capabilities = agent.agent_capabilities and agent.agent_capabilities.mcp_capabilities
        if not (capabilities and capabilities.http):
            program, arguments = bridge_shim.command()
            access = {bridge_shim.URL_VARIABLE: bridge.url, bridge_shim.TOKEN_VARIABLE: bridge.token}
            variables = [EnvVariable(name=name, value=value) for name, value in access.items()]
            return [McpServerStdio(name=BRIDGE_NAME, command=program, args=arguments, env=variables)]
        token = HttpHeader(name="Authorization", value=f"Bearer {bridge.token}")
        return [HttpMcpServer(type="http", name=BRIDGE_NAME, url=bridge.url, headers=[token])]

    # --- a turn ---

    def _open_connection(self) -> ClientSideConnection:
        if self._connection is None:
            raise AgentDiedError(f"agent {self._settings.name!r} is not open")
        return self._connection

    def _as_sent(self, message_id: str, text: str) -> str:
        return text if self._gives_ids_back else with_marker(message_id, as_message(text))

    def _end_message(self) -> None:
        text = self._speech.end()
        if text:
            self._sink(AgentEvent(kind="say", text=text))

    def _saw_turn(self) -> None:
        """The agent has reacted to the prompt, or echoed it."""
        if self._turn_id is not None and not self._seen:
            self._seen = True
            self._sink(AgentEvent(kind="seen", message_id=self._turn_id))

    async def _raise_died(self, *, opening: bool) -> NoReturn:
        program = self._program
        if program is None:
            raise AgentDiedError(f"agent {self._settings.name!r} was closed")
        breach, program.breach = program.breach, None
        if breach is not None and opening:
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} {breach} (command: {' '.join(self._settings.command)})"
            )
        if breach is not None:  # later calls find the connection closed, and a new program starts
            raise AgentBreachError(f"agent {self._settings.name!r} {breach}")
        how = await program.exit_text(EXIT_PATIENCE_S)
        text = f"agent {self._settings.name!r}: {how}"
        if opening and program.failed_by_itself:
            raise AgentUnavailableError(f"{text} (command: {' '.join(self._settings.command)})")
        raise AgentDiedError(text)

    def _note(self, text: str) -> None:
        self._sink(AgentEvent(kind="note", text=text))

    # --- the agent's updates ---

    def take_update(self, session_id: str, update: Any) -> None:
        """Handles one session update, in order of arrival."""
        match update:
            case CurrentModeUpdate() if self._setup is not None:
                self._setup.mode_changed(update.current_mode_id)
            case ConfigOptionUpdate() if self._setup is not None:
                self._setup.options_changed([each.model_dump(by_alias=True) for each in update.config_options])
        if self._is_replayed(update):
            if isinstance(update, UsageUpdate):
                self._take_cost(update)
            return
        if session_id != self._session_id:
            return
        self._sink(AgentEvent(kind="raw", raw=update.model_dump_json(by_alias=True, exclude_none=True)))
        match update:
            case AgentMessageChunk():
                self._saw_turn()
                ended = self._speech.add(update)
                if ended:
                    self._sink(AgentEvent(kind="say", text=ended))
            case ToolCallStart():
                self._saw_turn()
                self._end_message()
                self._tell_call(update)
            case ToolCallProgress():
                self._tell_call(update)
            case AgentThoughtChunk() | AgentPlanUpdate():
                self._saw_turn()
                self._end_message()
            case UserMessageChunk():
                self._saw_turn()
            case CurrentModeUpdate() | ConfigOptionUpdate():
                self._end_message()
            case UsageUpdate():
                self._take_cost(update)
                self._sink(AgentEvent(kind="usage", text=f"{update.used:,} of {update.size:,} tokens of context"))
            case SessionInfoUpdate() if TURN_ENDED in (update.field_meta or {}):
                self._end_message()

    def _is_replayed(self, update: Any) -> bool:
        """Whether this is history: until the replay is over, and when a late rest follows, with a prompt that is not
        ours.

        A late rest never counts for the running turn. It ends with the echo of that turn's prompt, or after a period of
        silence.
        """
        may_be = self._was_loaded and not self._replay.running and isinstance(update, _HISTORY)
        foreign = isinstance(update, UserMessageChunk) and not self._echoes(chunk_text(update))
        if may_be and (foreign or not self._sent):
            self._replay.begin()
            self._replay.answered()
        if not self._replay.running:
            return False
        self._history.replay(update)
        if self._turn_id is not None and self._turn_id in self._history.user_text:
            self._replay.end()
            return False
        if isinstance(update, _HISTORY):
            self._replay.came()
        return True

    def _echoes(self, text: str) -> bool:
        """Whether this text, alone or after the earlier chunks, is this turn's prompt."""
        for echo in (self._echo + text, text):
            if any(is_echo(echo, sent) for sent in self._sent):
                self._echo = echo
                return True
        return False

    def _tell_call(self, call: ToolCallStart | ToolCallProgress | ToolCallUpdate, *, asks: bool = False) -> None:
        for event in self._calls.take(call, asks=asks):
            if event.kind == "tool":
                self._end_message()  # some agents report a call only when it is over
            self._sink(event)

    def _take_cost(self, update: UsageUpdate) -> None:
        if update.cost is not None and update.cost.currency == "USD":
            self._cost_usd = update.cost.amount

    def _usage(self, response: PromptResponse | None) -> Usage:
        usage = usage_of(response, self._cost_of_turn())
        return msgspec.structs.replace(usage, tokens_known=True, cost_known=True) if self._gives_ids_back else usage

    def _cost_of_turn(self) -> float | None:
        """The cost of the running turn; None: unknown."""
        before = 0.0 if self._cost_at_start is None and self._is_new else self._cost_at_start
        return None if self._cost_usd is None or before is None else self._cost_usd - before

    def _asked(self, tool_call: ToolCallUpdate) -> bool:
        """Notes a request for permission; False: its turn is cancelled."""
        self._end_message()
        self._tell_call(tool_call, asks=True)
        return not self._interrupted


def _breach(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return one_line(f"its answer does not follow the protocol: {error.title}.{place}: {first['msg']}")


def _announces_steering(agent: InitializeResponse) -> bool:
    capabilities = agent.agent_capabilities
    for meta in (agent.field_meta, capabilities.field_meta if capabilities else None):
        steering = (meta or {}).get("steering")
        if isinstance(steering, dict) and steering.get("supported") is True:
            return True
    return False
