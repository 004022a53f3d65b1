from __future__ import annotations

import asyncio
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from actors.adapters.child import Child, Patience
from tests.actors.adapters.acp_rig import is_alive, run
from tests.patience import PATIENCE_S

PATIENCE = Patience(leave_s=5, terminate_s=5, kill_s=5)
BRIEF = Patience(leave_s=0, terminate_s=0.01, kill_s=5)


class ChildSeenToExit(Child):
    """It says when its process has exited, whatever its pipes hold."""

    has_exited: asyncio.Event

    def process_exited(self) -> None:
        super().process_exited()
        self.has_exited.set()


class Heard:
    """A child, and all that it says."""

    def __init__(self, last_words_s: float = 0.01) -> None:
        self.output = b""
        self.ends = 0
        self._news = asyncio.Event()
        self.child = ChildSeenToExit(
            mark=uuid.uuid4().hex, on_output=self._take, on_end=self._end, last_words_s=last_words_s
        )
        self.child.has_exited = asyncio.Event()

    def _take(self, data: bytes) -> None:
        self.output += data
        self._news.set()

    def _end(self) -> None:
        self.ends += 1
        self._news.set()

    async def start(self, script: str, folder: Path) -> None:
        await self.child.start([sys.executable, "-c", script], {"PATH": os.environ["PATH"]}, folder)

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not met():
                self._news.clear()
                await self._news.wait()


def test_what_a_process_says_is_handed_on_and_its_end_is_told_once_with_its_last_words(tmp_path: Path) -> None:
    async def play() -> None:
        heard = Heard()
        await heard.start(
            "import sys; print(input()); print('the \\x1b disk\\n\\nis full', file=sys.stderr); sys.exit(3)", tmp_path
        )
        heard.child.write(b"hello\n")
        await heard.until(lambda: heard.ends == 1)
        assert (heard.output, heard.child.exit_code, heard.child.failed_by_itself) == (b"hello\n", 3, True)
        assert heard.child.said == ["the \u241b disk", "is full"]
        with pytest.raises(ConnectionError):
            heard.child.write(b"more")
        await heard.child.end(PATIENCE)
        await heard.child.end(PATIENCE)
        assert heard.ends == 1

    run(play())


LATE_WORDS = """
import os, subprocess, sys
subprocess.Popen(["/bin/sh", "-c", "read -r go < gate; echo the disk is full >&2"], stdout=subprocess.DEVNULL)
sys.exit(3)
"""


def test_an_end_is_told_when_the_last_words_have_been_read_and_not_at_the_exit(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")

    async def play() -> None:
        heard = Heard(last_words_s=20)
        await heard.start(LATE_WORDS, tmp_path)
        asked = asyncio.create_task(heard.child.has_ended_within(20))
        gate = await asyncio.to_thread((tmp_path / "gate").open, "w")
        await heard.child.has_exited.wait()
        assert (heard.ends, asked.done(), heard.child.said) == (0, False, [])
        with gate:
            gate.write("go\n")
        assert await asked
        await heard.until(lambda: heard.ends == 1)
        assert heard.child.said == ["the disk is full"]
        await heard.child.end(PATIENCE)

    run(play())


def test_a_process_that_only_closes_its_output_is_over_as_well(tmp_path: Path) -> None:
    async def play() -> None:
        heard = Heard()
        await heard.start("import os, time; os.close(1); time.sleep(60)", tmp_path)
        await heard.until(lambda: heard.ends == 1)
        assert heard.child.exit_code is None
        await heard.child.end(BRIEF)

    run(play())


STRAY = """
import subprocess, sys
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
stray = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
stray.stdout.readline()
print(stray.pid, flush=True)
"""


@pytest.mark.parametrize("then", ["", "input()"])
def test_the_end_takes_along_what_left_the_tree_also_when_the_process_is_gone_already(
    tmp_path: Path, then: str
) -> None:
    async def play() -> None:
        heard = Heard()
        await heard.start(STRAY + then, tmp_path)
        await heard.until(lambda: heard.output.endswith(b"\n"))
        stray = psutil.Process(int(heard.output))
        if not then:
            await heard.until(lambda: heard.ends == 1)
        assert is_alive(stray)
        await heard.child.end(PATIENCE)
        assert not is_alive(stray)
        assert heard.ends == 1

    run(play())


def test_a_program_that_heeds_nothing_is_killed(tmp_path: Path) -> None:
    async def play() -> None:
        heard = Heard()
        await heard.start(
            "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True)\nwhile True: signal.pause()", tmp_path
        )
        await heard.until(lambda: heard.output != b"")
        await heard.child.end(BRIEF)
        assert heard.child.exit_code == -9

    run(play())
