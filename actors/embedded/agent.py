"""The embedded agent: a deterministic coding agent that plays a scenario file and needs no model and no network.

A program of its own: `python -m actors.embedded.agent --scenario FILE --role worker`. One process per session owner
speaks the Agent Client Protocol on stdin and stdout. It really runs the scenario's commands and calls the bridge. Its
sessions are durable: `<state>/<session-id>.jsonl` has a line per event, written to disk before the agent acts on it. So
it can be killed at any moment, load the session and continue. Every prompt is a line there, even a repeated one: tests
count them.

It never asks for permission, follows only the scenario, and ends when its stdin ends.

It speaks the protocol's seven messages itself instead of through `acp`: importing that package takes 0.6 s of CPU, six
times as long as everything else here. An agent restarts after every crash. The adapter on the other side uses the
package, so this program's output is still checked against the official types.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from actors.embedded.actions import call_bridge, greet_bridge, run_command, strike
from actors.embedded.rpc import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    Json,
    RpcError,
)
from actors.embedded.scenario import (
    BridgeCall,
    Fault,
    Run,
    Say,
    Scenario,
    Step,
    ToolCall,
)
from actors.embedded.scenario_file import load_scenario
from actors.embedded.session_file import Transcript, updates
from actors.errors import UserError
from actors.settings import Role
from actors.wire.acp_extension import TURN_ID, TURN_IDS

PROTOCOL_VERSION = 1
STATE_FOLDER = ".loop-embedded"  # in HOME
LONGEST_LINE = 64 * 1024 * 1024  # bytes of one message; a prompt may carry a whole plan

# --- the protocol -------------------------------------------------------------------------------------------


class Session:
    """An open session: its transcript, where it works, its bridge, and the turn that is running."""

    def __init__(self, session_id: str, transcript: Transcript, params: Json, *, greets: bool) -> None:
        self.id = session_id
        self.transcript = transcript
        self.cwd: str = params["cwd"]
        http = [server for server in params.get("mcpServers") or [] if server.get("type") == "http"]
        self.bridge: Json | None = http[0] if http else None
        self.greeting = asyncio.create_task(greet_bridge(self.bridge)) if self.bridge and greets else None
        self.turn: asyncio.Task[None] | None = None


class EmbeddedAgent:
    """The agent's side of one connection. `send` writes a message to the client."""

    def __init__(self, scenario: Scenario, role: Role, state: Path, send: Callable[[Json], None]) -> None:
        self._scenario = scenario
        self._everywhere = scenario.counted_everywhere()
        self._role = role
        self._state = state
        self._send = send
        self._sessions: dict[str, Session] = {}
        self._client_gone = False

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Serves until the client is gone. A turn running then is left unfinished in the transcript."""
        while line := await reader.readline():
            self._receive(json.loads(line))
        self._client_gone = True
        for session in self._sessions.values():
            if session.greeting is not None:
                session.greeting.cancel()
                await asyncio.wait([session.greeting])
            if session.turn is not None:
                session.turn.cancel()
                await asyncio.wait([session.turn])

    def _receive(self, message: Json) -> None:
        request_id, params = message.get("id"), message.get("params") or {}
        try:
            match message.get("method"):
                case "initialize":
                    self._answer(request_id, self._initialize())
                case "session/new":
                    self._answer(request_id, self._new_session(params))
                case "session/load":
                    self._load_session(params)
                    self._answer(request_id, {})
                case "session/prompt":
                    self._prompt(request_id, params)
                case "session/cancel":
                    session = self._sessions.get(params["sessionId"])
                    if session is not None and session.turn is not None:
                        # Not immediately: a turn that is cancelled before its first step never answers.
                        asyncio.get_running_loop().call_soon(session.turn.cancel)
                case method if request_id is not None:
                    self._fail(request_id, RpcError(METHOD_NOT_FOUND, f"no method {method!r}"))
        except RpcError as error:
            self._fail(request_id, error)
        except KeyError as error:
            self._fail(request_id, RpcError(INVALID_PARAMS, f"parameter {error} is missing"))

    def _initialize(self) -> Json:
        return {
            "protocolVersion": PROTOCOL_VERSION,
            "agentInfo": {"name": "embedded", "version": str(PROTOCOL_VERSION)},
            "agentCapabilities": {
                "loadSession": True,
                "mcpCapabilities": {"http": True},
                "_meta": {TURN_IDS: True},
            },
        }

    def _new_session(self, params: Json) -> Json:
        session_id = str(uuid.uuid4())
        transcript = Transcript.create(self._state, session_id, params["cwd"])
        self._opened(session_id, transcript, params)
        return {"sessionId": session_id}

    def _opened(self, session_id: str, transcript: Transcript, params: Json) -> Session:
        # A greeting has the bridge import its library. That is half a second of CPU, which a scenario without calls
        # does not pay for.
        session = Session(session_id, transcript, params, greets=self._scenario.calls_bridge())
        self._sessions[session_id] = session
        return session

    def _load_session(self, params: Json) -> None:
        session_id = params["sessionId"]
        session = self._opened(session_id, Transcript.load(self._state, session_id), params)
        for index, line in enumerate(session.transcript.lines):
            self._tell(session, line, index)

    def _prompt(self, request_id: object, params: Json) -> None:
        session = self._sessions.get(params["sessionId"])
        if session is None:
            raise RpcError(NOT_FOUND, f"session {params['sessionId']!r} is not open")
        if session.turn is not None and not session.turn.done():
            raise RpcError(INVALID_REQUEST, "a turn is running in this session")
        text = "\n".join(block["text"] for block in params["prompt"] if block["type"] == "text")
        turn_id = (params.get("_meta") or {}).get(TURN_ID) or str(uuid.uuid4())
        self._record(session, "prompt", id=turn_id, text=text)
        session.turn = asyncio.create_task(self._turn(session, turn_id, request_id))

    async def _turn(self, session: Session, turn_id: str, request_id: object) -> None:
        try:
            await self._play(session)
        except asyncio.CancelledError:
            if self._client_gone:
                return  # nobody to answer
            self._record(session, "end", id=turn_id, stop_reason="cancelled")
            self._answer(request_id, {"stopReason": "cancelled"})
        except BrokenPipeError:
            return  # no client to answer: left unfinished, as at the end of our input
        except RpcError as error:
            self._record(session, "end", id=turn_id, error=error.described())
            self._fail(request_id, error)
        except Exception as error:  # after any error, the client must learn that its turn is over
            failure = RpcError(INTERNAL_ERROR, repr(error))
            self._record(session, "end", id=turn_id, error=failure.described())
            self._fail(request_id, failure)
        else:
            self._record(session, "end", id=turn_id, stop_reason="end_turn")
            self._answer(request_id, {"stopReason": "end_turn", **self._usage()})

    def _usage(self) -> Json:
        """What a turn has used, if the scenario says so: most of it for reading."""
        total = self._scenario.tokens_per_turn
        output = total // 10
        usage = {"totalTokens": total, "inputTokens": total - output, "outputTokens": output}
        return {"usage": usage} if total else {}

    async def _play(self, session: Session) -> None:
        """Plays steps until none is left. The next step follows from the transcript alone."""
        over = False
        while not over:
            over = True  # unless the last step is a call, whose result needs a reaction
            conversation = session.transcript.conversation()
            for step in self._scenario.reply(self._role, conversation, session.transcript.spent(self._everywhere)):
                await asyncio.sleep(step.delay_ms / 1000)
                over = await self._step(session, step)

    async def _step(self, session: Session, step: Step) -> bool:
        """Carries out one step; False when a result was added to the conversation."""
        match step.action:
            case Say(text):
                self._record(session, "say", text=text)
                return True
            case Fault() as fault:
                self._record(session, "fault", key=fault.key)
                await strike(fault)
                return True
            case Run(command):
                call_id = self._call(session, command)
                text, ok = await run_command(command, session.cwd)
            case BridgeCall(tool, arguments):
                call_id = self._call(session, f"{tool} {json.dumps(arguments)}", of="other")
                text, ok = await call_bridge(session.bridge, tool, arguments)
            case ToolCall(name, arguments):
                call_id = self._call(session, f"{name} {json.dumps(arguments)}", of="other")
                text, ok = f"the embedded agent has no tool {name!r}", False
        self._record(session, "result", id=call_id, text=text, ok=ok)
        return False

    def _call(self, session: Session, text: str, *, of: str = "execute") -> str:
        call_id = f"call-{len(session.transcript.lines)}"
        self._record(session, "call", id=call_id, text=text, of=of)
        return call_id

    def _record(self, session: Session, kind: str, **fields: object) -> None:
        """On disk first, then to the client."""
        index = len(session.transcript.lines)
        self._tell(session, session.transcript.append(kind, **fields), index)

    def _tell(self, session: Session, line: Json, index: int) -> None:
        for update in updates(line, index):
            params = {"sessionId": session.id, "update": update}
            self._send({"jsonrpc": "2.0", "method": "session/update", "params": params})

    def _answer(self, request_id: object, result: Json) -> None:
        self._send({"jsonrpc": "2.0", "id": request_id, "result": result})

    def _fail(self, request_id: object, error: RpcError) -> None:
        self._send({"jsonrpc": "2.0", "id": request_id, "error": error.described()})


# --- the program --------------------------------------------------------------------------------------------


async def serve_stdio(scenario: Scenario, role: Role, state: Path) -> None:
    """Serves the client at stdin and stdout until stdin ends."""
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def send(message: Json) -> None:
        sys.stdout.buffer.write(json.dumps(message).encode() + b"\n")
        sys.stdout.buffer.flush()

    try:
        await EmbeddedAgent(scenario, role, state, send).serve(reader)
    finally:
        transport.close()


def main() -> int:
    """The command line. Exit status 2 with one line on stderr for a bad scenario; 0 when the client has gone."""
    parser = argparse.ArgumentParser(prog="embedded-agent", description="Plays a scenario as an ACP agent.")
    parser.add_argument("--scenario", type=Path, required=True, help="scenario file (TOML)")
    parser.add_argument("--role", choices=get_args(Role), required=True, help="whose rules are played")
    parser.add_argument("--state", type=Path, help=f"folder of the sessions (default: ~/{STATE_FOLDER})")
    arguments = parser.parse_args()
    try:
        scenario = load_scenario(arguments.scenario)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    state = arguments.state or Path.home() / STATE_FOLDER
    try:
        asyncio.run(serve_stdio(scenario, arguments.role, state))
    except BrokenPipeError:
        os._exit(0)  # the client ended while we wrote; flushing stdout at exit would fail again
    return 0


if __name__ == "__main__":
    sys.exit(main())
