"""The root process of one run: takes the run's lock, creates router, launcher and supervisor, waits for the end.

Its main thread waits and takes signals; the router, the launcher, the supervisor and the control server have threads of
their own (run_instance.py). It never drives the run. Its own console is a callback, so it knows nothing of terminals.
All other consoles connect to the control server, whose address is in the run's lock.

Most of a root's parts are imported when it holds the lock. Connections to hosts are made meanwhile, and the forkserver
imports what its actors need.
"""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING

from actors import logs
from actors.edges import run_dir
from actors.errors import LoopError
from supervisor import submissions
from supervisor.forkserver_launcher import EarlyForkserver, start_early
from supervisor.launchers import forks
from supervisor.leases import Lease, lease_run
from supervisor.run_manifest import write_end
from supervisor.run_tree import PRELOAD, RunSpec
from supervisor.tree_protocol import RunResult

if TYPE_CHECKING:
    from supervisor.hosts.early_links import EarlyLinks
    from supervisor.run_instance import Console


@dataclass(frozen=True)
class Ending:
    """How the root ended. `interrupted`: a signal asked for it."""

    result: RunResult
    interrupted: bool


def run_root(spec: RunSpec, console: Console) -> Ending:
    """Runs one run to its end. Raises `UserError` when another root holds it. Leaves no process behind.

    A run that was queued for `loop serve` leaves the queue: it now runs interactively.
    """
    try:
        lease = lease_run(spec.directory)
    except OSError:  # a full disk, say
        run_dir.forget_unbegun(spec.directory)
        raise
    links: EarlyLinks | None = None
    forkserver: EarlyForkserver | None = None
    try:
        if spec.places:
            from supervisor.hosts.early_links import begin_links

            links = begin_links(spec, lease.runtime)
        forkserver = start_early(PRELOAD) if forks() else None
        from supervisor.run_instance import run_log

        submissions.withdraw(spec.directory)
        logs.set_up(run_log(spec), run=spec.key, actor="root")
        ending = _Root(spec, console, lease, links, forkserver).run()
        write_end(spec.directory, ending.result)
        return ending
    except (LoopError, OSError):
        run_dir.forget_unbegun(spec.directory)
        raise
    finally:
        for each in (forkserver, links):
            if each is not None:
                each.close()
        lease.release()


class _Root:
    """Starts the run, takes signals, and waits for the end of the run."""

    def __init__(
        self,
        spec: RunSpec,
        console: Console,
        lease: Lease,
        links: EarlyLinks | None,
        forkserver: EarlyForkserver | None,
    ) -> None:
        from supervisor.run_instance import RootServices, RunInstance

        self._spec = spec
        self._ended: queue.SimpleQueue[RunResult] = queue.SimpleQueue()
        self._signals = 0
        self._services = RootServices(lease.runtime, spec.directory, early=links, forkserver=forkserver)
        self._run = RunInstance(self._services, spec, lease, console, ended=self._ended.put)

    def run(self) -> Ending:
        """Blocks until every process of the run is gone."""
        on_hangup = self._on_hangup if self._spec.headless else self._on_signal
        handlers = {signal.SIGINT: self._on_signal, signal.SIGTERM: self._on_signal, signal.SIGHUP: on_hangup}
        with handled(handlers):
            result = None
            try:
                result = self._ended.get()
                return Ending(result=result, interrupted=self._signals > 0)
            finally:
                self._run.close(result)
                self._services.close()

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self._signals += 1
        name = signal.Signals(number).name
        if self._signals == 1:
            self._run.announce("note", f"{name}: interrupting the agents, then stopping; repeat it to stop immediately")
        elif self._signals == 2:
            self._run.announce("note", f"{name}: stopping immediately")
        self._run.stop(f"stopped by {name}", now=self._signals > 1)

    def _on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        """SIGHUP: log file reopened. Each process reopens a log that was moved away at its next line."""
        self._run.announce("note", "SIGHUP: log file reopened")


Handler = Callable[[int, FrameType | None], None]


@contextmanager
def handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Main thread: installs these handlers inside the block, and restores the previous ones after it."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
