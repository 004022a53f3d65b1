"""The form in which a running `claude` gives its answers.

The program takes a schema at its start, for all its turns: it then offers the model a tool, and asks once more for a
turn that ends without a call of it. So a turn with another form needs another start, in the same session. The program
keeps its form until a turn of another kind comes.

Lives in the session's loop; `leaves_something` may run in any thread.
"""

from __future__ import annotations

import time

from actors.adapters.base import Schema
from actors.edges import marked_processes

SHORT_S = 1.0
LOOK_AGAIN_S = 0.1


class Form:
    """What the running program was started with. `refused`: it does not start with a schema, e.g. an older version."""

    def __init__(self) -> None:
        self.session_id = ""
        self.refused = False
        self.interrupted = False  # since the last look
        self._schema: Schema | None = None
        self._mark = ""
        self._spawned_s = 0.0  # on the scale of processes, where the monotonic clock is 0
        self._started_s = 0.0

    def spawned(self, pid: int) -> None:
        """The program runs, and is not ready yet."""
        self._spawned_s = marked_processes.begun_s(pid) - time.monotonic()

    def started(self, session_id: str, schema: Schema | None, mark: str) -> None:
        """The program is ready."""
        self.session_id = session_id
        self._schema, self._mark, self._started_s = schema, mark, self._spawned_s + time.monotonic()

    def differs(self, schema: Schema | None) -> bool:
        """Whether a turn with this schema needs another start."""
        return schema != self._schema and not (schema is not None and self.refused)

    def leaves_something(self) -> bool:
        """Whether a command of the model still runs, such as a server: a restart would end it.

        The program starts short commands of its own as well, such as git: what ends within a second is none.
        """
        until_s = time.monotonic() + SHORT_S
        found = marked_processes.marked_since(self._mark, self._started_s)
        while found and time.monotonic() < until_s:
            time.sleep(LOOK_AGAIN_S)
            found &= marked_processes.marked_since(self._mark, self._started_s)
        return bool(found)
