"""`loop acp`: the agent's side of the protocol on stdin and stdout, over the official library. One asyncio loop.

stdout carries the protocol and nothing else: it is kept from everything that prints. The runs log into their own logs.
The session's id is the run's: `<repository>/<run>`. When stdin ends, or a signal comes, all runs of ours stop in order,
and this process ends after them. When it is killed, they stop as well: see link.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

from actors.edges import environments
from actors.errors import UserError
from actors.text import ForeignJsonError, read_object
from actors.wire.encoding import to_json
from shell import output
from shell.exits import EXIT_COMPLETED


def serve(words: Sequence[str]) -> int:
    """Serves one client until it goes. Returns an exit status. `words`: the options of the runs."""
    try:
        import acp  # noqa: F401 - an optional part of the installation
    except ImportError as error:
        raise UserError("loop acp needs the package agent-client-protocol: install pairloop[acp]") from error
    for stream, name in ((0, "stdin"), (1, "stdout")):
        mode = os.fstat(stream).st_mode
        if os.isatty(stream) or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
            raise UserError(
                f"{name} is no pipe: an editor or another program that speaks the Agent Client Protocol starts "
                "loop acp; see loop acp --help"
            )
    environments.check_open_files(environments.FILES_OF_A_ROOT)
    logging.basicConfig(handlers=[_Notes()], level=logging.WARNING)
    asyncio.run(_serve(list(words)))
    return EXIT_COMPLETED


async def _serve(words: list[str]) -> None:
    from acp import AgentSideConnection
    from acp.core import DEFAULT_STDIO_BUFFER_LIMIT_BYTES

    from shell.acp.agent import LoopAgent

    raw, writer = await _streams(DEFAULT_STDIO_BUFFER_LIMIT_BYTES)
    reader = asyncio.StreamReader(limit=DEFAULT_STDIO_BUFFER_LIMIT_BYTES)
    reading = asyncio.create_task(_read_objects(raw, reader))
    agent = LoopAgent(words)
    connection = AgentSideConnection(cast("Any", agent), writer, reader, listening=False, use_unstable_protocol=True)
    listening = asyncio.create_task(connection.listen())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, listening.cancel)
    with suppress(asyncio.CancelledError):
        await listening
    reading.cancel()
    await agent.close()
    with suppress(ConnectionError):
        await connection.close()


async def _read_objects(raw: asyncio.StreamReader, reader: asyncio.StreamReader) -> None:
    """Passes on the lines that are JSON objects, made valid. The library would end at another one."""
    while True:
        try:
            line = await raw.readline()
        except ValueError:
            output.note("a line of the client was dropped: it is too long")
            continue
        if not line:
            break
        try:
            message = read_object(line) if line.strip() else {}
        except ForeignJsonError as error:
            output.note(f"a line of the client was dropped: {error}")
            continue
        if message:
            reader.feed_data(f"{to_json(message)}\n".encode())
    reader.feed_eof()


class _Notes(logging.Handler):
    """What the library logs, in one line each, on stderr: a client shows it, or keeps it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints the message with its error, without a traceback."""
        error = record.exc_info[1] if record.exc_info else None
        with suppress(OSError):  # nobody reads stderr any more
            output.note(f"{record.getMessage()}{f': {error!r}' if error else ''}")


async def _streams(limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """The protocol's streams. From now on 1 is stderr, and 0 is empty."""
    from acp.stdio import stdio_streams

    kept_in, kept_out = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    sys.stdin, sys.stdout = os.fdopen(kept_in), os.fdopen(kept_out, "w")
    try:
        return await stdio_streams(limit)
    finally:
        sys.stdin, sys.stdout = sys.__stdin__, sys.__stdout__
