"""The end of a server while somebody connects."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from actors.edges.unix_server import close_server
from tests.patience import PATIENCE_S


async def says_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize("steps", range(5))
def test_a_connection_that_comes_while_its_server_closes_has_an_end(steps: int) -> None:
    async def play(path: Path) -> None:
        server = await asyncio.start_unix_server(says_nothing, path)
        with socket.socket(socket.AF_UNIX) as caller:
            caller.setblocking(False)
            caller.connect(str(path))
            for _ in range(steps):
                await asyncio.sleep(0)
            await close_server(server)
            await close_server(server)
            with suppress(ConnectionResetError):  # nobody has taken it
                async with asyncio.timeout(PATIENCE_S):
                    assert await asyncio.get_running_loop().sock_recv(caller, 1) == b""

    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path is short
        asyncio.run(play(Path(folder) / "s"))
