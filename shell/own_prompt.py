"""The loop> prompt in the terminal of a run: a console of its root, in a thread of the root's process.

prompt_toolkit is imported in that thread, while the actors start.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from loguru import logger

from actors.messages import Progress
from shell import output

if TYPE_CHECKING:
    from shell.repl import Repl

END_PATIENCE_S = 6.0


class OwnPrompt:
    """Implements `supervisor.run_instance.Console`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._endpoint = ""
        self._repl: Repl | None = None
        self._thread = threading.Thread(target=self._run, name="prompt", daemon=True)

    def opened(self, endpoint: str) -> None:
        """Starts the prompt, a client of the control server like all others."""
        self._endpoint = endpoint
        self._thread.start()

    def show(self, progress: Progress) -> None:
        """No-op: the prompt gets it from the control server."""

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C has ended the run."""
        return self._repl is not None and self._repl.interrupted

    def close(self) -> None:
        """Prints the rest and restores the terminal."""
        if self._repl is not None:
            self._repl.leave()
        if self._thread.ident is not None:
            self._thread.join(END_PATIENCE_S)

    def _run(self) -> None:
        try:
            from shell.repl import Repl

            self._repl = Repl(self._endpoint, self._directory, own=True)
            self._repl.run()
        except Exception as error:  # a broken prompt must not end the run
            logger.opt(exception=error).error("the prompt failed")
            run_id = self._directory.name
            output.note(f"the prompt failed ({error!r}): loop shell {run_id} attaches another")
