"""A stand-in for `codex app-server` with output that the real one never gives. On stdio or on a Unix socket.

`codex --version`, `codex … app-server --listen ADDRESS`; with any other words it is a TUI, which waits for its end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

LONG = 10_000_000
GARBAGE = "{broken \x1b]0;owned\x07"

Write = Callable[[str], Awaitable[None]]


async def answer(request: dict[str, Any], write: Write) -> None:
    async def send(**message: Any) -> None:
        await write(json.dumps(message))

    if "id" not in request:
        return
    results: dict[str, dict[str, Any]] = {
        "initialize": {"userAgent": "codex/9.9.9"},
        "config/read": {"config": {}},
        "thread/start": {"thread": {"id": "stand-in"}, "model": "scripted"},
        "turn/start": {"turn": {"id": "turn-1", "status": "inProgress", "items": []}},
    }
    await send(id=request["id"], result=results.get(request["method"], {}))
    if request["method"] != "turn/start":
        return
    params = request["params"]
    asked = params["input"][0]["text"]
    if asked == "babble":
        await write(GARBAGE)
        return
    own = {"threadId": "stand-in", "turnId": "turn-1"}
    turn = {"id": "turn-1", "status": "completed", "items": []}
    say = {"type": "agentMessage", "id": "i", "text": "x" * LONG}
    await send(method="turn/started", params=own | {"turn": turn | {"status": "inProgress"}})
    await send(method="item/completed", params=own | {"item": say})
    await send(method="turn/completed", params=own | {"turn": turn})


async def on_stdio() -> None:
    async def write(line: str) -> None:
        print(line, flush=True)

    while line := await asyncio.to_thread(sys.stdin.readline):
        await answer(json.loads(line), write)


async def on_socket(path: str) -> None:
    from websockets.asyncio.server import ServerConnection, unix_serve

    async def serve(connection: ServerConnection) -> None:
        async for frame in connection:
            await answer(json.loads(frame), connection.send)

    async with unix_serve(serve, path, compression=None, max_size=None):
        await asyncio.Event().wait()


def main() -> None:
    if sys.argv[1:] == ["--version"]:
        print("codex-cli 9.9.9")
    elif "app-server" not in sys.argv:
        sys.stdin.read()
    elif sys.argv[-1] == "stdio://":
        asyncio.run(on_stdio())
    else:
        asyncio.run(on_socket(sys.argv[-1].removeprefix("unix://")))


main()
