"""A session of an ACP agent, from the start of its program to its end. Owned by the adapter, acp.AcpAgent.

Through the official `acp` package, in the session's asyncio thread. The agent works unattended: every permission it
asks for is granted. It is not offered our file system or terminals (optional in the protocol), so it uses its own.

After a crash the session is loaded again, and the agent's replay of it says which prompts it has: by their ids, for
an agent that knows our extension (acp_extension.py), else by the marker line that every prompt then carries. The rule
is in acp_history.History.
"""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn, cast

from acp import PROTOCOL_VERSION, Client, RequestError, connect_to_agent, text_block
from acp.client.connection import ClientSideConnection
from acp.schema import (
    AgentMessageChunk,
    AgentPlanUpdate,
    AgentThoughtChunk,
    AllowedOutcome,
    ClientCapabilities,
    DeniedOutcome,
    EnvVariable,
    HttpHeader,
    HttpMcpServer,
    Implementation,
    InitializeResponse,
    LoadSessionResponse,
    McpServerStdio,
    NewSessionResponse,
    PermissionOption,
    RequestPermissionResponse,
    SessionConfigOptionSelect,
    SessionInfoUpdate,
    ToolCallProgress,
    ToolCallStart,
    ToolCallUpdate,
    UsageUpdate,
    UserMessageChunk,
)
from pydantic import ValidationError

from actors.adapters.acp_extension import TURN_ENDED, TURN_ID, TURN_IDS
from actors.adapters.acp_history import (
    AUTHENTICATION_REQUIRED,
    History,
    Speech,
    chunk_text,
    failed,
    is_echo,
    one_line,
    stopped,
    with_marker,
)
from actors.adapters.acp_program import AgentProgram
from actors.adapters.acp_replay import Pause, Replay, quiet
from actors.adapters.base import AgentEvent, AgentSettings, EventSink, FoundTurn
from actors.edges import bridge_shim
from actors.errors import AgentBreachError, AgentDiedError, AgentUnavailableError, SessionNotFoundError
from actors.messages import TurnOutcome, Usage

# An agent behind `npx` may have to be downloaded first.
OPEN_PATIENCE_S = 60.0
EXIT_PATIENCE_S = 1.0
BRIDGE_NAME = "loop-bridge"


# What a replay is made of. The rest (commands, modes, usage) comes whenever the agent likes.
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
    """What `base.Agent` asks for, but for steering. `open` once, then any number of turns, one at a time."""

    def __init__(self, settings: AgentSettings, sink: EventSink, pause: Pause = quiet) -> None:
        self._settings = settings
        self._sink = sink
        self._program: AgentProgram | None = None
        self._connection: ClientSideConnection | None = None
        self._closing = asyncio.Lock()
        self._session_id = ""
        self._gives_ids_back = False
        self._model_option: SessionConfigOptionSelect | None = None
        self._history = History()
        self._replay = Replay(pause)
        self._was_loaded = False
        self._prompt = ""  # of the running turn, as it was sent
        self._echo = ""  # what the agent has given back of it
        self._speech = Speech()
        self._turn_id: str | None = None  # of the running turn
        self._interrupted = False
        self._seen = False
        self._noted: set[str] = set()
        self._cost_usd: float | None = None  # of the session so far; None: not known yet

    async def open(self, session_id: str | None) -> str:
        """Starts the program, opens a new session or loads the old one. After any error `close` is to be called."""
        try:
            self._program = await AgentProgram.start(
                self._settings.command, self._settings.environment, self._settings.cwd
            )
        except OSError as error:
            raise AgentUnavailableError(f"agent {self._settings.name!r} cannot be started: {error}") from error
        self._sink(AgentEvent(kind="process", text=" ".join(self._settings.command), pid=self._program.pid))
        self._connection = connect_to_agent(cast("Client", _Client(self)), self._program)
        try:
            async with asyncio.timeout(OPEN_PATIENCE_S):
                return await self._open(self._connection, session_id)
        except TimeoutError:
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} did not answer within {OPEN_PATIENCE_S:.0f} s: "
                f"does {' '.join(self._settings.command)!r} speak the Agent Client Protocol?"
            ) from None
        except ConnectionError:
            await self._raise_died(opening=True)
        except RequestError as error:
            if error.code == AUTHENTICATION_REQUIRED:
                raise AgentUnavailableError(
                    f"agent {self._settings.name!r} is not logged in: run {self._settings.command[0]!r} once and log in"
                ) from error
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} cannot be used: {failed(error.code, str(error), error.data, '').error}"
            ) from error
        except ValidationError as error:
            raise AgentUnavailableError(f"agent {self._settings.name!r} cannot be used: {_breach(error)}") from error

    async def turn(self, turn_id: str, prompt: str, *, model: str = "") -> TurnOutcome:
        """Sends the prompt and returns when the agent has answered it."""
        connection = self._open_connection()
        self._turn_id, self._interrupted, self._seen, self._speech = turn_id, False, False, Speech()
        text = prompt if self._gives_ids_back else with_marker(turn_id, prompt)
        self._prompt, self._echo = text, ""
        try:
            await self._replay.over()
            cost_before = self._cost_usd
            await self._use_model(connection, model or self._settings.model)
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
        except ValidationError as error:
            self._end_message()
            outcome = TurnOutcome(status="failed", text=self._speech.last, error=_breach(error))
        else:
            self._end_message()
            self._saw_turn()
            tokens = response.usage
            usage = Usage(
                input_tokens=tokens.input_tokens if tokens else 0,
                output_tokens=tokens.output_tokens if tokens else 0,
                cost_usd=0.0 if cost_before is None else max(0.0, (self._cost_usd or 0.0) - cost_before),
            )
            outcome = stopped(response.stop_reason, self._speech.last, usage)
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

    async def find_turn(self, message_id: str, answered: str) -> FoundTurn:
        """What is known of the prompt with this id, as soon as it is known or the replay is over."""
        await self._replay.over(lambda: self._history.knows(message_id))
        return self._history.find(message_id, answered)

    async def close(self) -> None:
        """Ends the connection, then the program. May be called at any time, also twice at once."""
        async with self._closing:
            await self._replay.close()
            connection, self._connection = self._connection, None
            program, self._program = self._program, None
            if connection is not None:
                await connection.close()
            if program is not None:
                await program.end()

    # --- opening ---

    async def _open(self, connection: ClientSideConnection, session_id: str | None) -> str:
        agent = await connection.initialize(
            PROTOCOL_VERSION,
            client_capabilities=ClientCapabilities(),
            client_info=Implementation(name="loop", title="loop", version="1"),
        )
        if agent.protocol_version != PROTOCOL_VERSION:
            raise AgentUnavailableError(
                f"agent {self._settings.name!r} speaks version {agent.protocol_version} of the Agent Client Protocol, "
                f"we speak {PROTOCOL_VERSION}: use a release of it that does"
            )
        capabilities = agent.agent_capabilities
        self._gives_ids_back = bool(capabilities and (capabilities.field_meta or {}).get(TURN_IDS))
        session: NewSessionResponse | LoadSessionResponse
        if session_id is None:
            session = await connection.new_session(str(self._settings.cwd), mcp_servers=self._mcp_servers(agent))
            self._session_id, self._cost_usd = session.session_id, 0.0
        else:
            session = await self._load(connection, agent, session_id)
            self._session_id = session_id
        for option in session.config_options or []:
            if isinstance(option, SessionConfigOptionSelect) and option.category == "model":
                self._model_option = option
        return self._session_id

    async def _load(
        self, connection: ClientSideConnection, agent: InitializeResponse, session_id: str
    ) -> LoadSessionResponse:
        if not (agent.agent_capabilities and agent.agent_capabilities.load_session):
            raise SessionNotFoundError(f"agent {self._settings.name!r} cannot load a session again (no loadSession)")
        self._replay.begin()
        try:
            # The package hands us updates before the response that follows them.
            session = await connection.load_session(
                str(self._settings.cwd), session_id, mcp_servers=self._mcp_servers(agent)
            )
        except RequestError as error:
            if error.code == AUTHENTICATION_REQUIRED:
                raise
            reason = failed(error.code, str(error), error.data, "").error
            raise SessionNotFoundError(
                f"agent {self._settings.name!r} cannot load session {session_id}: {reason}"
            ) from error
        except BaseException:
            self._replay.end()
            raise
        self._was_loaded = True
        if self._gives_ids_back:  # then the replay is whole, by our extension
            self._replay.end()
        else:
            self._replay.answered()
        return session

    def _mcp_servers(self, agent: InitializeResponse) -> list[Any]:
        """The bridge: every agent can reach it, over HTTP where it says so, else over stdio, which all must have."""
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

    async def _use_model(self, connection: ClientSideConnection, model: str) -> None:
        """Chooses the model; "" leaves the agent's own. An agent that offers no such choice works on with its own."""
        option = self._model_option
        if not model or (option is not None and option.current_value == model):
            return
        if option is None:
            self._note_once(f"the agent offers no choice of model over ACP: {model!r} is not used")
            return
        response = await connection.set_config_option(option.id, self._session_id, model)
        for changed in response.config_options:
            if isinstance(changed, SessionConfigOptionSelect) and changed.id == option.id:
                self._model_option = changed

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
        if breach is not None:  # what comes after it finds the connection closed, and a new program is started
            raise AgentBreachError(f"agent {self._settings.name!r} {breach}")
        how = await program.exit_text(EXIT_PATIENCE_S)
        text = f"agent {self._settings.name!r}: {how}"
        if opening and program.failed_by_itself:
            raise AgentUnavailableError(f"{text} (command: {' '.join(self._settings.command)})")
        raise AgentDiedError(text)

    def _note(self, text: str) -> None:
        self._sink(AgentEvent(kind="note", text=text))

    def _note_once(self, text: str) -> None:
        if text not in self._noted:
            self._noted.add(text)
            self._note(text)

    # --- what the agent tells us ---

    def take_update(self, session_id: str, update: Any) -> None:
        """One session update, in the order in which they came."""
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
                self._sink(AgentEvent(kind="tool", text=one_line(update.title)))
                self._tool_result(update)
            case ToolCallProgress():
                self._tool_result(update)
            case UserMessageChunk() | AgentThoughtChunk() | AgentPlanUpdate():
                self._saw_turn()
            case UsageUpdate():
                self._take_cost(update)
                self._sink(AgentEvent(kind="usage", text=f"{update.used:,} of {update.size:,} tokens of context"))
            case SessionInfoUpdate() if TURN_ENDED in (update.field_meta or {}):
                self._end_message()

    def _is_replayed(self, update: Any) -> bool:
        """Whether this is history: until the replay is over, and when it goes on late, with a prompt that is not ours.

        A late rest never counts for the running turn. It is over with the echo of that turn's prompt, or a while later.
        """
        if self._was_loaded and not self._replay.running and isinstance(update, _HISTORY):
            if isinstance(update, UserMessageChunk):
                self._echo += chunk_text(update)
            if not is_echo(self._echo, self._prompt) or not self._prompt:
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

    def _tool_result(self, call: ToolCallStart | ToolCallProgress) -> None:
        if call.status not in {"completed", "failed"}:
            return
        texts = [
            part.content.text for part in call.content or [] if part.type == "content" and part.content.type == "text"
        ]
        self._sink(AgentEvent(kind="tool-result", text=one_line(" ".join(texts)) or call.status))

    def _take_cost(self, update: UsageUpdate) -> None:
        if update.cost is not None and update.cost.currency == "USD":
            self._cost_usd = update.cost.amount

    def grant(self, options: list[PermissionOption], tool_call: ToolCallUpdate) -> RequestPermissionResponse:
        """Grants what is asked, for good where that is offered; a cancelled turn's requests are answered as such."""
        kinds = {option.kind: option for option in reversed(options)}
        option = kinds.get("allow_always") or kinds.get("allow_once")
        if option is None or self._interrupted:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        self._note(f"granted: {tool_call.title or tool_call.tool_call_id}")
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=option.option_id))


def _breach(error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    return one_line(f"its answer does not follow the protocol: {error.title}.{place}: {first['msg']}")


class _Client:
    """Our side of the protocol: the two methods that an agent may call when nothing optional is offered."""

    def __init__(self, session: AcpSession) -> None:
        self._session = session

    async def session_update(self, session_id: str, update: Any, **_meta: Any) -> None:
        self._session.take_update(session_id, update)

    async def request_permission(
        self, session_id: str, tool_call: ToolCallUpdate, options: list[PermissionOption], **_meta: Any
    ) -> RequestPermissionResponse:
        del session_id
        return self._session.grant(options, tool_call)
