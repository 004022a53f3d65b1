"""The connection to the app-server, over both wires, with a stand-in: what the real one does is in test_codex*.py."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from actors.adapters.codex_link import CodexLink
from actors.adapters.codex_protocol import Json, RequestRefusedError
from actors.edges.marked_processes import MARK_VARIABLE
from actors.errors import AgentBreachError, AgentDiedError, AgentError
from tests.actors.adapters.acp_rig import run

ANSWER = """
import json
def answer(text):
    message = json.loads(text)
    if "id" not in message:
        return
    if "method" not in message:
        yield {"method": "told", "params": {"answer": message["result"]}}
        return
    name, number = message["method"], message["id"]
    if name == "refuse":
        yield {"id": number, "error": {"code": 1, "message": "no such thing"}}
        return
    if name == "ask back":
        for method in ("item/tool/requestUserInput", "item/fileChange/requestApproval"):
            yield {"id": method, "method": method, "params": {}}
    if name == "be odd":
        yield {"id": number, "result": []}
        return
    if name in ("tell", "be long", "go"):
        yield {"method": "told", "params": {"name": "x"}}
    yield {"id": number, "result": {"size": "x" * (2_000_000 if name == "be long" else 1)}}
    if name == "go":
        raise SystemExit(3)
"""
PIPE = """
import sys
for text in sys.stdin:
    for message in answer(text):
        print(json.dumps(message), flush=True)
"""
SOCKET = """
import asyncio, sys
from websockets.asyncio.server import unix_serve
over = asyncio.Event()
async def serve(line):
    async for text in line:
        try:
            for message in answer(text):
                await line.send(json.dumps(message))
        except SystemExit:
            over.set()
async def main():
    async with unix_serve(serve, sys.argv[1], max_size=None):
        await over.wait()
        sys.exit(3)
asyncio.run(main())
"""


class Bench:
    def __init__(self, wire: str, folder: Path) -> None:
        self.heard: list[Json] = []
        self.lost: list[AgentError] = []
        self.told: list[str] = []  # of both, in order
        self.is_lost = asyncio.Event()
        self.socket = folder / "s" if wire == "socket" else None
        script = ANSWER + (SOCKET if self.socket else PIPE)
        self.link = CodexLink(
            command=[sys.executable, "-c", script, *map(str, filter(None, (self.socket,)))],
            cwd=folder,
            environment={MARK_VARIABLE: uuid.uuid4().hex},
            on_notification=self._hear,
            on_lost=self._lose,
            socket=self.socket,
            longest=1_000_000,
        )

    def _hear(self, message: Json) -> None:
        self.heard.append(message)
        self.told.append("heard")

    def _lose(self, error: AgentError) -> None:
        self.lost.append(error)
        self.told.append("lost")
        self.is_lost.set()

    async def __aenter__(self) -> CodexLink:
        await self.link.start()
        await self.link.initialize()
        return self.link

    async def __aexit__(self, *_error: object) -> None:
        await self.link.stop()
        await self.link.stop()
        assert self.link.exit_code is not None
        assert self.socket is None or not self.socket.exists()


@pytest.fixture(params=["pipe", "socket"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with TemporaryDirectory(dir="/tmp") as folder:  # a socket's path is short
        yield Bench(request.param, Path(folder))


def test_an_answer_belongs_to_its_request_and_what_is_told_comes_before_it(bench: Bench) -> None:
    async def play() -> None:
        async with bench as link:
            assert await link.request("tell", {}) == {"size": "x"}
            assert bench.heard == [{"method": "told", "params": {"name": "x"}}]
            with pytest.raises(RequestRefusedError, match="codex refused refuse: no such thing"):
                await link.request("refuse", {})
            with pytest.raises(AgentBreachError, match=r"codex app-server answered be odd with '\[\]' for an object"):
                await link.request("be odd", {})

    run(play())


def test_a_question_is_answered_and_an_approval_is_left_to_the_person_at_the_tui(bench: Bench) -> None:
    async def play() -> None:
        async with bench as link:
            await link.request("ask back", {})
            await link.request("tell", {})
            answers = [message["params"].get("answer") for message in bench.heard][:-1]
            assert answers == [{"answers": {}}, *([] if bench.socket else [{"decision": "accept"}])]

    run(play())


def test_a_message_beyond_the_limit_is_a_breach_once_and_nothing_is_read_after_it(bench: Bench) -> None:
    async def play() -> None:
        async with bench as link:
            with pytest.raises(AgentBreachError, match=r"^codex app-server sent a line of over 1 MB$"):
                await link.request("be long", {})
            with pytest.raises(AgentDiedError):
                await link.request("tell", {})
            assert [type(error) for error in bench.lost] == [AgentDiedError]
            assert bench.told == ["heard", "lost"]

    run(play())


def test_the_end_of_the_program_is_told_once_with_its_exit_code(bench: Bench) -> None:
    async def play() -> None:
        async with bench as link:
            await link.request("go", {})
            await bench.is_lost.wait()
            for _ in range(2):
                with pytest.raises(AgentDiedError, match="codex app-server ended with exit code 3"):
                    await link.request("tell", {})
            assert [str(error)[:39] for error in bench.lost] == ["codex app-server ended with exit code 3"]
            assert bench.told == ["heard", "lost"]

    run(play())
