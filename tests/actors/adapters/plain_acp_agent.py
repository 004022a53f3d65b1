"""A second ACP agent for the tests: written with the official package, knows nothing of our extension.

Obeys the first word of a prompt; says hello where that is no order's name. Its sessions are plain lists of (who, text)
in HOME, replayed without any `_meta`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from actors.edges.imports import lean_models

with lean_models():
    from acp import (
        PROTOCOL_VERSION,
        RequestError,
        run_agent,
        start_tool_call,
        text_block,
        tool_content,
        update_agent_message_text,
        update_tool_call,
        update_user_message_text,
    )
    from acp.schema import (
        AgentCapabilities,
        Cost,
        InitializeResponse,
        LoadSessionResponse,
        NewSessionResponse,
        PermissionOption,
        PromptResponse,
        SessionConfigOptionSelect,
        SessionConfigSelectOption,
        SetSessionConfigOptionResponse,
        ToolCallUpdate,
        UsageUpdate,
    )

HOME = Path(os.environ["HOME"])


def next_session() -> str:
    return f"plain-{len(list(HOME.glob('plain-*'))) + 1}"


class PlainAgent:
    def __init__(self) -> None:
        self.client: Any = None
        self.cancelled = asyncio.Event()
        self.model = "small"
        self.pieces: list[Any] = []  # of a late replay: one is sent for each SIGUSR1
        self.servers: list[Any] = []

    def on_connect(self, client: Any) -> None:
        self.client = client

    async def initialize(self, protocol_version: int, **_: Any) -> InitializeResponse:
        if "--old" in sys.argv:
            protocol_version = 0
        return InitializeResponse(
            protocol_version=protocol_version,
            agent_capabilities=AgentCapabilities(load_session="--no-load" not in sys.argv),
        )

    async def new_session(self, cwd: str, mcp_servers: list[Any] | None = None, **_: Any) -> NewSessionResponse:
        if "--login" in sys.argv:
            raise RequestError.auth_required()
        self.servers = mcp_servers or []
        session_id = next_session()
        self.store(session_id, "cwd", cwd)
        return NewSessionResponse(session_id=session_id, config_options=[self.option()])

    async def load_session(
        self, session_id: str, mcp_servers: list[Any] | None = None, **_: Any
    ) -> LoadSessionResponse:
        self.servers = mcp_servers or []
        path = HOME / session_id
        if not path.exists():
            raise RequestError.resource_not_found(session_id)
        pieces = []
        for line in path.read_text().splitlines():
            who, text = json.loads(line)
            if who == "user" and "--silent" not in sys.argv:
                # cut in the middle, as agents may do
                pieces += [update_user_message_text(h) for h in (text[: len(text) // 2], text[len(text) // 2 :])]
            elif who == "agent":
                pieces.append(update_agent_message_text(text))
        if "--late" in sys.argv:
            asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.send_piece, session_id)
            self.pieces = pieces
        else:
            for piece in pieces:
                await self.client.session_update(session_id, piece)
        return LoadSessionResponse()

    def send_piece(self, session_id: str) -> None:
        self.sending = asyncio.ensure_future(self.client.session_update(session_id, self.pieces.pop(0)))

    async def set_config_option(self, config_id: str, session_id: str, value: Any, **_: Any) -> Any:
        self.model = value
        return SetSessionConfigOptionResponse(config_options=[self.option()])

    def option(self) -> SessionConfigOptionSelect:
        return SessionConfigOptionSelect(
            id="m",
            name="Model",
            category="model",
            type="select",
            current_value=self.model,
            options=[SessionConfigSelectOption(value=v, name=v) for v in ("small", "large")],
        )

    async def cancel(self, session_id: str, **_: Any) -> None:
        self.cancelled.set()

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> PromptResponse:
        self.cancelled.clear()  # of an earlier turn
        text = prompt[0].text
        self.store(session_id, "user", text)
        order = text.splitlines()[0]
        reason = await getattr(self, word if (word := order.split()[0]).isidentifier() else "hello")(session_id)
        return PromptResponse(stop_reason=reason or "end_turn")

    async def say(self, session_id: str, text: str) -> None:
        self.store(session_id, "agent", text)
        await self.client.session_update(session_id, update_agent_message_text(text))

    def store(self, session_id: str, who: str, text: str) -> None:
        with (HOME / session_id).open("a") as file:
            file.write(json.dumps([who, text]) + "\n")

    # --- what a prompt may ask for ---

    async def chunks(self, session_id: str) -> None:
        for piece in ("let me ", "look"):
            await self.say(session_id, piece)
        await self.client.session_update(session_id, start_tool_call("t1", "ls -l", status="in_progress"))
        done = update_tool_call("t1", status="completed", content=[tool_content(text_block("a file"))])
        await self.client.session_update(session_id, done)
        cost = Cost(amount=0.25, currency="USD")
        usage = UsageUpdate(session_update="usage_update", used=10, size=1000, cost=cost)
        await self.client.session_update(session_id, usage)
        for piece in ("all ", "done"):
            await self.say(session_id, piece)

    async def use(self, session_id: str) -> None:
        await self.chunks(session_id)

    async def hello(self, session_id: str) -> None:
        await self.say(session_id, "hello")

    async def give(self, session_id: str) -> None:
        """A verdict."""
        await self.say(session_id, '{"verdict": "pass", "summary": "Fine.", "findings": [], "earlier": []}')

    async def wait(self, session_id: str) -> None:
        """For a word in a pipe of its working directory."""
        await self.client.session_update(session_id, start_tool_call("t1", "cat word", status="in_progress"))
        await asyncio.to_thread(Path("word").read_text)
        await self.say(session_id, "waited")

    async def ask(self, session_id: str) -> None:
        kinds = ("reject_once", "allow_once", "allow_always", "reject_always")
        options = [PermissionOption(option_id=f"id-{kind}", name=kind, kind=kind) for kind in kinds]
        call = ToolCallUpdate(tool_call_id="t1", title="rm -r build")
        answer = await self.client.request_permission(session_id, call, options)
        await self.say(session_id, answer.outcome.option_id)

    async def hang(self, session_id: str) -> str:
        await self.say(session_id, "working")
        await self.cancelled.wait()
        return "cancelled"

    async def hang_badly(self, session_id: str) -> str:
        await self.hang(session_id)
        raise RequestError.internal_error({"details": "aborted"})

    async def refuse(self, session_id: str) -> str:
        return "refusal"

    async def talk_on(self, session_id: str) -> str:
        return "max_tokens"

    async def invent(self, session_id: str) -> None:
        """An answer that no version of the protocol knows."""
        answer = {"jsonrpc": "2.0", "id": 2, "result": {"stopReason": "bored"}}
        print(json.dumps(answer), flush=True)
        await asyncio.Event().wait()

    async def half(self, session_id: str) -> None:
        """An emoji that a JavaScript agent has cut: half of it is lost, then both halves come, in two chunks."""
        self.write(session_id, "cut \\ud83d off, and ")
        self.write(session_id, "whole \\ud83d")
        self.write(session_id, "\\ude00\\nAll done.")

    async def long(self, session_id: str) -> None:
        """A line of 70 MB."""
        os.set_blocking(sys.stdout.fileno(), True)
        sys.stdout.write("[" + "1," * 35_000_000)
        sys.stdout.flush()
        await asyncio.Event().wait()

    async def pour(self, session_id: str) -> None:
        """A line of 10 MB."""
        await self.say(session_id, "x" * 10_000_000)

    async def babble(self, session_id: str) -> None:
        print("{broken \x1b]0;owned\x07", flush=True)
        await self.say(session_id, "printed")

    async def deep(self, session_id: str) -> None:
        print('{"jsonrpc": "2.0", "method": "x", "params": ' + "[" * 100_000, flush=True)
        await asyncio.Event().wait()

    def write(self, session_id: str, escaped: str) -> None:
        """Past the package, which would not send it."""
        content = f'{{"type": "text", "text": "{escaped}"}}'
        chunk = f'{{"sessionUpdate": "agent_message_chunk", "content": {content}}}'
        params = f'{{"sessionId": "{session_id}", "update": {chunk}}}'
        print(f'{{"jsonrpc": "2.0", "method": "session/update", "params": {params}}}', flush=True)

    async def write_to_peer(self, session_id: str) -> None:
        """Starts the MCP server that it was given, as every agent can, and calls its tool."""
        from mcp.client.client import Client
        from mcp.client.stdio import StdioServerParameters

        (server,) = self.servers
        environment = {variable.name: variable.value for variable in server.env}
        program = StdioServerParameters(command=server.command, args=server.args, env=environment)
        async with Client(program, mode="legacy") as client:
            sent = await client.call_tool("send_message", {"target": "claude", "message": "hello"})
        await self.say(session_id, sent.content[0].text)  # type: ignore[union-attr]

    async def limit(self, session_id: str) -> str:
        raise RequestError(429, "Rate limit exceeded. Try again later.")

    async def which_model(self, session_id: str) -> None:
        await self.say(session_id, self.model)

    async def leave_child(self, session_id: str) -> None:
        await self.leave(session_id, "env={}")

    async def leave_daemon(self, session_id: str) -> None:
        await self.leave(session_id, "start_new_session=True")

    async def leave(self, session_id: str, how: str = "start_new_session=True") -> None:
        """A process that holds our stdout and ignores SIGTERM, and whose parent is gone at once."""
        stray = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
        parent = (
            "import subprocess as s, sys;"
            f"p = s.Popen([sys.executable, '-c', {stray!r}], stdin=s.DEVNULL, stderr=1, stdout=s.PIPE, {how});"
            "p.stdout.readline(); print(p.pid, file=sys.stderr)"
        )
        arguments = (sys.executable, "-c", parent)
        shell = await asyncio.create_subprocess_exec(*arguments, stdout=None, stderr=asyncio.subprocess.PIPE)
        _, said = await shell.communicate()
        await self.say(session_id, said.decode().strip())
        await asyncio.Event().wait()

    async def die(self, session_id: str) -> None:
        await self.say(session_id, "farewell")
        print("the disk is full", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


assert PROTOCOL_VERSION == 1
if "--stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
asyncio.run(run_agent(PlainAgent()))  # type: ignore[arg-type]
while "--stubborn" in sys.argv:
    signal.pause()
