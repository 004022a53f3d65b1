"""A command that takes long, started at a prompt. It runs in a process of its own, and a thread shows its lines.

One at a time for each prompt. It ends with the prompt, by SIGTERM: the command cleans up as at Ctrl-C. If the prompt's
process is killed, the command ends by itself when it is done.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from actors.edges import environments, processes
from actors.errors import OperationalError

END_PATIENCE_S = 3.0


class Background:
    """`show` gets each line, in the thread that reads it, and must not block. The other methods are for any thread."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def start(self, name: str, command: Sequence[str]) -> None:
        """Starts it. Raises `OperationalError` while one runs, or when it cannot be started."""
        with self._lock:
            if self._is_closed:
                return
            if self._process is not None and self._process.poll() is None:
                raise OperationalError(f"{name} is running: wait for its end")
            try:
                self._process = subprocess.Popen(
                    command,
                    env=environments.handed_on(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    start_new_session=True,  # Ctrl-C at the prompt is for the run
                )
            except OSError as error:
                raise OperationalError(f"{name} cannot be started: {error}") from error
            self._thread = threading.Thread(target=self._read, args=(self._process,), name="background", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Returns when what was started has ended, and all its lines are shown."""
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Ends what runs. Nothing is started any more."""
        with self._lock:
            self._is_closed = True
            process = self._process
        if process is None or process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        if not processes.wait_ended(process.pid, END_PATIENCE_S):
            processes.kill_tree(process.pid)
        self.wait()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process:
            for line in process.stdout:
                if not self._is_closed:
                    self._show(line.rstrip("\n"))
