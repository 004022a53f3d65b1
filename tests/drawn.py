"""Tells a test when something was drawn in a tmux session, so that it looks at the screen when there is something new.

tmux itself tells: a control client (tmux -C) of the session gets a line for all output of its panes. It takes part in
nothing: no keys, no size. Threads: one that reads the client; `until` blocks its caller.
"""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

# What is not drawn is looked for that often: a pane that has died, a process that has started behind a screen.
SILENCE_S = 1.0


class Drawn:
    """Made when the session is there; `close` before or after the server's end."""

    def __init__(self, tmux: Sequence[str], session: str, environment: Mapping[str, str] | None = None) -> None:
        self._news = threading.Event()
        self._client = subprocess.Popen(
            [*tmux, "-C", "attach-session", "-f", "ignore-size,read-only", "-t", session],
            env=environment,
            stdin=subprocess.PIPE,  # its end would be the client's
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, met: Callable[[], object], patience_s: float, why: Callable[[], str]) -> None:
        """Returns when `met` says so, which is asked whenever something was drawn; else fails, and says `why`."""
        deadline = time.monotonic() + patience_s
        while True:
            self._news.clear()  # before the look: what is drawn while it looks makes it look again
            if met():
                return
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(why())
            self._news.wait(min(left, SILENCE_S))

    def close(self) -> None:
        self._client.kill()
        self._client.wait()
        self._reader.join()
        for pipe in (self._client.stdin, self._client.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._client.stdout is not None
        for line in self._client.stdout:
            if line.startswith(b"%"):
                self._news.set()
