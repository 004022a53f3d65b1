"""A `loop` in a real pseudo-terminal: typed at, and read until something stands there.

What several processes say comes in any order (`expect_all`), and what is asked about may still be on its way
(`ask_until`).
"""

import re
import sys
from contextlib import suppress

import pexpect

from tests.end_to_end.conftest import World
from tests.lab.world import PATIENCE_S

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


class Terminal:
    """The program sees a terminal that cannot say where its cursor is, so there is no toolbar; tmux has one."""

    def __init__(self, world: World, *words: str) -> None:
        self.child = pexpect.spawn(
            sys.executable,
            ["-m", "shell.cli", *words],
            cwd=str(world.project),
            env=world.environment | {"TERM": "xterm", "NO_COLOR": "1", "PROMPT_TOOLKIT_NO_CPR": "1"},
            dimensions=(50, 250),
            encoding="utf-8",
            timeout=PATIENCE_S,
        )
        self.seen = ""

    def see_only_the_end(self) -> None:
        """Of all that is shown while something is expected, only the end is searched from now on: floods take long."""
        self.child.searchwindowsize = 4_000

    def expect(self, pattern: str) -> str:
        """Waits for the pattern, after what was expected before; returns what stood before it, and it."""
        try:
            self.child.expect(pattern)
        except (pexpect.TIMEOUT, pexpect.EOF):
            rest = _CONTROL.sub("", self.seen + str(self.child.before))
            raise AssertionError(f"no {pattern!r} in:\n{rest}") from None
        text = f"{self.child.before}{self.child.after}"
        self.seen += text
        return _CONTROL.sub("", text)

    def expect_all(self, *patterns: str) -> None:
        """Waits for all of them, in any order. No two of them fit the same text."""
        left = list(patterns)
        while left:
            self.expect("|".join(f"(?P<p{number}>{pattern})" for number, pattern in enumerate(left)))
            found = self.child.match
            left = [pattern for number, pattern in enumerate(left) if found[f"p{number}"] is None]

    def type(self, line: str) -> None:
        self.child.sendline(line)

    def ask(self, line: str, pattern: str) -> str:
        self.type(line)
        return self.expect(pattern)

    def ask_until(self, line: str, pattern: str, before: str) -> None:
        """Repeats the line until its answer fits the pattern. `before` fits the answers until then."""
        self.type(line)
        self.expect(f"(?P<found>{pattern})|{before}")
        while self.child.match["found"] is None:
            self.type(line)
            self.expect(f"(?P<found>{pattern})|{before}")

    def control(self, letter: str) -> None:
        self.child.sendcontrol(letter)

    def wait(self) -> int:
        """The exit status, once all that it says is read."""
        self.child.expect(pexpect.EOF)
        self.seen += str(self.child.before)
        self.child.wait()  # `close` would end it when it is not gone at once
        self.child.close()
        return self.child.exitstatus

    def hang_up(self) -> None:
        """Closes the terminal and no more. `child.close` would also kill, when the program is not gone in 0.3 s."""
        self.child.ptyproc.fileobj.close()

    @property
    def text(self) -> str:
        return _CONTROL.sub("", self.seen)

    def end(self) -> None:
        with suppress(pexpect.ExceptionPexpect):  # one that was hung up may have been waited for by the world
            self.child.close(force=True)
