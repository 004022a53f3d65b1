"""The jobs that run in one process beside its mailbox, one thread per job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

from actors.machines import run
from actors.messages import Message
from actors.runners.base import Runner


class JobOver(Message, frozen=True, kw_only=True):
    """A job's thread -> its own actor. Never leaves the process."""

    job_id: str
    answer: run.Event


class Crew:
    """Used from the mailbox's thread alone; `over` is called in the job's thread. A job never starts twice."""

    def __init__(self, over: Callable[[JobOver], None]) -> None:
        self._over = over
        self._running: dict[str, Runner] = {}
        self._ended: set[str] = set()  # answered: the answer is on its way, or has arrived

    def start(self, job_id: str, make: Callable[[], Runner]) -> None:
        """Starts the job, unless it already started and was not interrupted."""
        if job_id in self._running or job_id in self._ended:
            return
        runner = self._running[job_id] = make()

        def work() -> None:
            answer = runner.run()
            if answer is not None:
                self._over(JobOver(job_id=job_id, answer=answer))

        threading.Thread(target=work, name=f"job {job_id}", daemon=True).start()

    @property
    def is_busy(self) -> bool:
        """Whether a job runs that is wanted."""
        return bool(self._running)

    def take(self, over: JobOver) -> bool:
        """Whether this answer is still wanted: False for a job that was interrupted meanwhile."""
        wanted = self._running.pop(over.job_id, None) is not None
        if wanted:
            self._ended.add(over.job_id)
        return wanted

    def keep(self, job_ids: Collection[str]) -> None:
        """Interrupts the jobs that are not among these."""
        for job_id in [each for each in self._running if each not in job_ids]:
            self._running.pop(job_id).cancel()

    def close(self) -> None:
        """Interrupts all jobs; the journal has them as unanswered."""
        self.keep(())
