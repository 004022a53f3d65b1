"""A program in a tmux pane, for the actor that drives it: starts it, types, reads the screen, ends it.

Runs in its creator's asyncio loop. The program is a child of the tmux server, so it is not in our process tree.
`pane_program` runs in the pane: it starts the program, holds a socket of ours as its lifeline, and shows what happened
when either end is gone. Touches only the server and session it was given; never ends the session.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from actors.access import PaneAccess, Side
from actors.edges import environments, processes
from actors.edges.unix_server import close_server
from actors.errors import AgentDiedError, OperationalError
from actors.machines import hints

PANE_OPTION = "@loop_pane"  # of a pane: its role, "left", "right" or "console"
TITLE_OPTION = "@loop_title"  # of a pane: the text on its border
START_PATIENCE_S = 20.0  # of a loaded machine; an interpreter's start
END_PATIENCE_S = 1.5
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # all but tab and line feed


class Pane:
    """One pane and the program in it. `run` once; it remakes a missing pane, and replaces a program that is left in it.

    `on_end(why)` is called in the loop, once, when the program has ended, or its pane was killed; not after `close`.
    Errors: `OperationalError` when tmux refuses (the session is gone), `AgentDiedError` when the program is.
    """

    def __init__(self, access: PaneAccess, *, label: str, on_end: Callable[[str], None]) -> None:
        self._access = access
        self._label = label
        self._on_end = on_end
        self._path = access.folder / f"{access.side}.pane"
        self._id = ""
        self._pid = 0
        self._started: str | None = None
        self._server: asyncio.Server | None = None
        self._line: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._closing = False
        self.ended = ""  # why it has; "" while it runs

    async def run(self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> int:
        """Starts the program in the pane; its pid."""
        self._path.unlink(missing_ok=True)  # left by an actor that was killed
        hello: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._closing:  # closed while the program was being started: the end of this line ends it
                writer.close()
                return
            self._line = writer
            self._reading = asyncio.get_running_loop().create_task(self._follow(reader, hello))

        # In two steps: a cancellation between them leaves a server that `close` knows.
        self._server = await asyncio.start_unix_server(connected, self._path, start_serving=False)
        await self._server.start_serving()
        start = {
            "argv": list(argv),
            "cwd": str(cwd),
            "environment": dict(environment),
            "socket": str(self._path),
            "root_pid": self._access.root_pid,
            "run_id": self._access.run_id,
            "resume": self._access.resume or hints.resume(self._access.run_id),
            "label": self._label,
        }
        self._id = await self._pane()
        path = self._path.with_suffix(".start")
        program = shlex.join([sys.executable, "-P", "-m", "actors.edges.pane_program", str(path)])
        try:
            _write_private(path, json.dumps(start))
            await self._tmux("respawn-pane", "-k", "-t", self._id, "-c", str(cwd), program)
            async with asyncio.timeout(START_PATIENCE_S):
                self._pid = await hello
        except TimeoutError as error:
            raise AgentDiedError(
                f"{self._label} did not start in its tmux pane within {START_PATIENCE_S:.0f} s"
            ) from error
        finally:
            path.unlink(missing_ok=True)
        self._started = processes.start_time(self._pid)
        return self._pid

    async def paste(self, text: str, *, submit: bool = True) -> None:
        """Puts the text into the program's input as one bracketed paste, and submits it.

        Control characters are left out: they would be keys, and an escape could end the paste.
        """
        self._alive()
        text = _CONTROL.sub("", text)
        buffer = f"loop-{self._access.side}-{self._access.run_id}"
        await self._tmux("load-buffer", "-b", buffer, "-", text=text)
        await self._tmux("paste-buffer", "-p", "-r", "-d", "-b", buffer, "-t", self._id)
        if submit:
            await self.press("Enter")

    async def press(self, *keys: str) -> None:
        """Presses keys by tmux's names, as in `send-keys`. Leaves copy mode first, in which keys would be lost."""
        self._alive()
        await self._tmux("copy-mode", "-q", "-t", self._id, ";", "send-keys", "-t", self._id, *keys)

    async def type(self, text: str) -> None:
        """Types one line, key by key; does not submit it."""
        self._alive()
        text = _CONTROL.sub("", text)
        await self._tmux("copy-mode", "-q", "-t", self._id, ";", "send-keys", "-t", self._id, "-l", "--", text)

    async def screen(self) -> str:
        """The pane's visible text."""
        return await self._tmux("capture-pane", "-p", "-t", self._id)

    async def close(self, farewell: str = "") -> None:
        """Ends the program with all its processes; the pane stays and shows `farewell`. Idempotent; allowed after any
        error.
        """
        self._closing = True
        server, self._server = self._server, None
        if server is None:
            return
        line, self._line = self._line, None
        if line is not None:
            with suppress(OSError):
                line.write(json.dumps({"farewell": farewell or f"[loop] {self._label} was ended"}).encode() + b"\n")
                await line.drain()
            line.close()
        await close_server(server)
        await asyncio.to_thread(self._end)
        if self._reading is not None:
            self._reading.cancel()
        self._path.unlink(missing_ok=True)

    # --- helpers ---

    def _alive(self) -> None:
        if self.ended or self._closing:
            raise AgentDiedError(f"{self._label} {self.ended or 'was closed'}")

    async def _follow(self, reader: asyncio.StreamReader, hello: asyncio.Future[int]) -> None:
        """Reads the program's pid and how it ended; silence means that it was killed with its pane."""
        why = "was killed with its pane"
        while line := await reader.readline():
            said = json.loads(line)
            if "pid" in said and not hello.done():
                hello.set_result(said["pid"])
            why = said.get("ended", why)
        if self._closing:
            return
        self.ended = why
        if not hello.done():
            hello.set_exception(AgentDiedError(f"{self._label} {why}"))
            return
        await asyncio.to_thread(self._end)
        self._on_end(why)

    def _end(self) -> None:
        """Blocks until the program has ended: `pane_program` ends it, unless it was killed."""
        if self._pid and self._started and not processes.wait_ended(self._pid, 0.5):
            processes.end_stale(self._pid, self._started)

    async def _pane(self) -> str:
        """The id of our pane; makes a new one when it was killed."""
        panes = await self._panes()
        if self._access.side in panes:
            return panes[self._access.side]
        other: Side = "right" if self._access.side == "left" else "left"
        if other in panes:
            before = ["-b"] if self._access.side == "left" else []
            where = ["-h", *before, "-t", panes[other]]
        elif "console" in panes:
            where = ["-v", "-b", "-l", "75%", "-t", panes["console"]]
        else:
            where = ["-h", "-t", f"={self._access.session}:"]
        quiet = [] if self._access.primary else ["-d"]
        made = (await self._tmux("split-window", *quiet, *where, "-P", "-F", "#{pane_id}", "cat")).strip()
        await self._tmux("set-option", "-p", "-t", made, PANE_OPTION, self._access.side)
        await self._tmux("set-option", "-p", "-t", made, TITLE_OPTION, self._label)
        return made

    async def _panes(self) -> dict[str, str]:
        form = f"#{{{PANE_OPTION}}} #{{pane_id}}"
        rows = (await self._tmux("list-panes", "-s", "-t", f"={self._access.session}", "-F", form)).splitlines()
        return {name: pane for name, _, pane in (row.rpartition(" ") for row in rows) if name}

    async def _tmux(self, *arguments: str, text: str = "") -> str:
        command = ["tmux", "-S", self._access.server, *arguments]
        done = await asyncio.to_thread(
            subprocess.run,
            command,
            env=environments.handed_on(),
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=END_PATIENCE_S * 10,
        )
        if done.returncode != 0:
            raise OperationalError(f"tmux {arguments[0]} failed: {done.stderr.strip()}")
        return str(done.stdout)


def _write_private(path: Path, text: str) -> None:
    """The environment holds secrets: never on a command line, only in a private, short-lived file."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
