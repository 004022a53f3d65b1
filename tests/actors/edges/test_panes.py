"""Panes in a real tmux on a private socket."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from actors.access import PaneAccess
from actors.edges import processes
from actors.edges.panes import Pane
from actors.errors import AgentDiedError, OperationalError
from tests.drawn import Drawn
from tests.patience import PATIENCE_S

# A stand-in for a TUI: says that it is there, then repeats each line that is typed.
ECHO = [
    sys.executable,
    "-c",
    "import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print('got', line, flush=True)",
]
# One that empties the pane and draws on a screen of its own, as TUIs do.
FULL_SCREEN = [
    sys.executable,
    "-c",
    "import sys\nprint('\\x1b[2J\\x1b[H\\x1b[?1049hdrawn', flush=True)\nsys.stdin.read()",
]


class Tmux:
    """A server of this test alone, with a session that has a console pane."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self("-f", "/dev/null", "new-session", "-d", "-s", "place", "-x", "120", "-y", "40", "cat")
        self("set-option", "-w", "-t", "place", "remain-on-exit", "on")
        self("set-option", "-p", "-t", "place", "@loop_pane", "console")
        self.drawn = Drawn(["tmux", "-S", str(socket)], "place")

    async def shows(self, pane: str, text: str) -> None:
        def look() -> str:
            return self("capture-pane", "-p", "-t", pane)

        await asyncio.to_thread(self.drawn.until, lambda: text in look(), PATIENCE_S, look)

    async def says_dead(self, pane: str) -> None:
        """The pane's program has ended, and tmux has drawn its own line about it."""

        def state() -> str:
            return self("display-message", "-p", "-t", pane, "#{pane_dead}").strip()

        await asyncio.to_thread(self.drawn.until, lambda: state() == "1", PATIENCE_S, state)
        self("run-shell", "true")  # tmux 3.3a may miss the end of a program, and then hears of it with the next one's
        await self.shows(pane, "Pane is dead")

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-S", str(self.socket), *arguments], capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="pane-", dir="/tmp") as made:  # sockets need a short path
        yield Path(made)


@pytest.fixture
def tmux(folder: Path) -> Iterator[Tmux]:
    server = Tmux(folder / "tmux")
    yield server
    server("kill-server")
    server.drawn.close()


@pytest.fixture
def root() -> Iterator[subprocess.Popen[bytes]]:
    """A process in the place of the run's root."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


class Ends:
    def __init__(self) -> None:
        self.happened: asyncio.Queue[str] = asyncio.Queue()

    async def next(self) -> str:
        return await asyncio.wait_for(self.happened.get(), PATIENCE_S)


@asynccontextmanager
async def echo(
    tmux: Tmux, root: subprocess.Popen[bytes], command: Sequence[str] = ECHO, cwd: Path = Path("/")
) -> AsyncIterator[tuple[Pane, int, Ends]]:
    ends = Ends()
    access = PaneAccess(
        server=str(tmux.socket), session="place", side="left", folder=tmux.socket.parent, root_pid=root.pid, run_id="7"
    )
    pane = Pane(access, label="echo", on_end=ends.happened.put_nowait)
    try:
        yield pane, await pane.run(command, cwd=cwd, environment=dict(os.environ)), ends
    finally:
        await pane.close()


def test_what_is_pasted_is_submitted(tmux: Tmux, root: subprocess.Popen[bytes]):
    async def story() -> None:
        async with echo(tmux, root) as (pane, pid, _):
            assert processes.is_running(pid)
            await tmux.shows(pane._id, "ready")
            assert "ready" in await pane.screen()
            await pane.paste("over to you")
            await tmux.shows(pane._id, "got over to you")

    asyncio.run(story())


def test_nothing_that_is_pasted_is_a_key(tmux: Tmux, root: subprocess.Popen[bytes]):
    async def story() -> None:
        async with echo(tmux, root) as (pane, _, _):
            await tmux.shows(pane._id, "ready")
            await pane.paste("over\x1b[201~ \x03to\r you")
            await tmux.shows(pane._id, "got over[201~ to you")

    asyncio.run(story())


def test_the_end_of_the_program_is_told_and_shown(tmux: Tmux, root: subprocess.Popen[bytes]):
    async def story() -> None:
        async with echo(tmux, root) as (pane, pid, ends):
            processes.send(pid, 9)
            assert await ends.next() == "was killed by SIGKILL"
            await tmux.shows(pane._id, "the run restarts it in its session")
            with pytest.raises(AgentDiedError, match="echo was killed by SIGKILL"):
                await pane.paste("too late")

    asyncio.run(story())


def test_a_pane_that_is_killed_takes_its_program_along_and_is_made_again(tmux: Tmux, root: subprocess.Popen[bytes]):
    async def story() -> None:
        async with echo(tmux, root) as (pane, pid, ends):
            tmux("kill-pane", "-t", pane._id)
            await ends.next()
            assert processes.wait_ended(pid, PATIENCE_S)
        async with echo(tmux, root) as (again, _, _):
            await tmux.shows(again._id, "ready")
            assert again._id != pane._id
            assert tmux("list-panes", "-t", "place", "-F", "#{@loop_pane}").split() == ["left", "console"]

    asyncio.run(story())


def test_a_program_does_not_outlive_the_wrapper_in_its_pane(tmux: Tmux, root: subprocess.Popen[bytes]):
    async def story() -> None:
        async with echo(tmux, root) as (_, pid, ends):
            processes.send(psutil.Process(pid).ppid(), 9)
            assert await ends.next() == "was killed with its pane"
            assert not processes.is_running(pid)

    asyncio.run(story())


def test_closing_ends_the_program_and_leaves_the_farewell(tmux: Tmux, root: subprocess.Popen[bytes]):
    async def story() -> None:
        async with echo(tmux, root) as (pane, pid, ends):
            await pane.close("[loop] run 7 is over")
            assert not processes.is_running(pid)
            await tmux.shows(pane._id, "[loop] run 7 is over")
            assert ends.happened.empty()

    asyncio.run(story())


def test_the_farewell_is_seen_also_where_a_tui_has_emptied_its_pane(tmux: Tmux, root: subprocess.Popen[bytes]):
    async def story() -> None:
        async with echo(tmux, root, FULL_SCREEN) as (pane, _, _):
            await tmux.shows(pane._id, "drawn")
            await pane.close("[loop] run 7 is over")
            await tmux.says_dead(pane._id)
            assert "[loop] run 7 is over" in tmux("capture-pane", "-p", "-t", pane._id)

    asyncio.run(story())


def test_a_pane_that_tmux_does_not_start_leaves_no_environment_on_disk(tmux: Tmux, root: subprocess.Popen[bytes]):
    async def story() -> None:
        async with echo(tmux, root, cwd=Path("/", "x" * 20_000)):  # longer than tmux takes
            pass

    with pytest.raises(OperationalError, match="tmux respawn-pane failed: command too long"):
        asyncio.run(story())
    assert not (tmux.socket.parent / "left.order").exists()


def killed_with_the_actor(tmux: Tmux, root: subprocess.Popen[bytes]) -> subprocess.Popen[str]:
    """Drives a pane from a process of its own, which can be killed."""
    story = (
        "import asyncio, sys\n"
        "from tests.actors.edges.test_panes import *\n"
        "async def main():\n"
        "    access = PaneAccess(server=sys.argv[1], session='place', side='left', folder=Path(sys.argv[1]).parent,"
        " root_pid=int(sys.argv[2]), run_id='7')\n"
        "    pane = Pane(access, label='echo', on_end=print)\n"
        "    print(await pane.run(ECHO, cwd=Path('/'), environment={}), flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", story, str(tmux.socket), str(root.pid)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_the_pane_says_what_happened_when_the_actor_or_the_root_was_killed(tmux: Tmux, root: subprocess.Popen[bytes]):
    for root_too, told in ((False, "the run restarts it"), (True, "to resume: loop --run-id 7")):
        actor = killed_with_the_actor(tmux, root)
        assert actor.stdout is not None
        with actor.stdout:
            pid = int(actor.stdout.readline())
            if root_too:
                root.kill()
                root.wait()
            actor.kill()
            actor.wait()
        assert processes.wait_ended(pid, PATIENCE_S)
        asyncio.run(tmux.shows("place:0.0", told))
