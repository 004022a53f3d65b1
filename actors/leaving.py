"""How an agent's actor leaves its place: what runs ends, nothing else begins, the work goes home, then it says so.

Turns and jobs that come meanwhile are put aside. The run asks for them again when the next incarnation is ready; they
are served here if the actor stays after all. All but `take_home` runs in the mailbox's thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from actors.messages import Message, StartJob, StartTurnRequest


class SessionIdle(Message, frozen=True, kw_only=True):
    """The session's thread -> its own actor: no turn runs, and none will."""


class WorkAtHome(Message, frozen=True, kw_only=True):
    """A thread of its own -> its actor: all that was done here until then is at home."""


class Leaving:
    """One actor's part in a move. `take_home` brings the work home in a thread of its own, and then sends `WorkAtHome`;
    `left` is the end. `is_busy`: a job runs.
    """

    def __init__(self, *, is_busy: Callable[[], bool], take_home: Callable[[], None], left: Callable[[], None]) -> None:
        self._is_busy = is_busy
        self._take_home = take_home
        self._left = left
        self.wanted = False
        self._is_idle = False
        self._on_its_way = False
        self.turns: dict[str, StartTurnRequest] = {}  # put aside, by their ids
        self.jobs: dict[str, StartJob] = {}

    def ask(self, *, leaves: bool) -> list[Message]:
        """Begins to leave, or stays after all. Returns what was put aside, when it is to be served."""
        self.wanted, self._is_idle = leaves, False
        if leaves:
            return []
        aside = [*self.turns.values(), *self.jobs.values()]
        self.turns, self.jobs = {}, {}
        return aside

    def keep(self, job_ids: Collection[str]) -> None:
        """The jobs that are not among these are withdrawn."""
        self.jobs = {job_id: job for job_id, job in self.jobs.items() if job_id in job_ids}
        self.look()

    def idle(self) -> None:
        """No turn runs."""
        self._is_idle = self.wanted
        self.look()

    def look(self) -> None:
        """Takes the work home when nothing runs any more."""
        if self.wanted and self._is_idle and not self._on_its_way and not self._is_busy():
            self._on_its_way = True
            threading.Thread(target=self._take_home, name="last journey", daemon=True).start()

    def at_home(self) -> None:
        """The end, unless the actor stays after all."""
        self._on_its_way = False
        if self.wanted and not self._is_busy():
            self._left()
