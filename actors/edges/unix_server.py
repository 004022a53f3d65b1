"""Closes an asyncio server so that no connection is left open.

A server that closes between a connection's arrival and its transport forgets the connection (CPython issue 109564): it
stays open until the interpreter happens to collect it, and its other end waits for as long.
"""

from __future__ import annotations

import asyncio


async def close_server(server: asyncio.Server) -> None:
    """Takes no further connection, and closes when each that has come has its transport. It may be closed already."""
    loop = asyncio.get_running_loop()
    for listening in server.sockets:
        loop.remove_reader(listening.fileno())
    await asyncio.sleep(0)
    server.close()
