"""Starting actor processes and ending them with all that they have started. Lives in the root process.

Two launchers implement one Protocol, each in a module of its own. `ForkserverLauncher` (Linux): a forkserver process
forks the actors. `PortableLauncher` (everywhere): each actor is started by exec and watched by a thread that waits for
it. LOOP_PORTABLE=1 in the environment, `portable=True`, or a system without child subreapers chooses the second.

A launcher decides nothing: it restarts nothing, and stops nothing gracefully. Its events come from its own threads, one
at a time. However an actor, the forkserver or the root ends, everything below it ends too:

    the actor is killed       the launcher kills what it left behind, then reports the exit
    the forkserver is killed  each actor sees the end of its lifeline and ends its tree; the root kills the rest
    the root is killed        the forkserver kills everything; each actor sees that end, too, and ends its tree
                              by itself if the forkserver is stopped or if there is none
    several at once           the next root kills what the records name (stale_processes)

The root is deliberately no child subreaper. It would adopt daemons of the user (a tmux server, git's housekeeping), and
could not tell them from what an actor left.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from actors.edges import environments, processes
from supervisor import stale_processes
from supervisor.forkserver_launcher import EarlyForkserver, ForkserverLauncher, fork_early
from supervisor.launcher_parts import ListeningSockets, OnEvent
from supervisor.portable_launcher import PortableLauncher
from supervisor.spawning import Event, Exited, SpawnRequest, Started, StartFailed

__all__ = [
    "EarlyForkserver",
    "Event",
    "Exited",
    "ForkserverLauncher",
    "Launcher",
    "PortableLauncher",
    "SpawnRequest",
    "StartFailed",
    "Started",
    "fork_early",
    "forks",
    "make_launcher",
]


class Launcher(Protocol):
    """Starts and ends processes. Methods may be called from any thread except the one that delivers events."""

    def start(self, request: SpawnRequest) -> None:
        """Starts a process. Events report the outcome: `StartFailed`, or `Started` and later `Exited`.

        Returns before the process runs, and never raises. One incarnation of a child at a time.
        """
        ...

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        """Sends a signal to an actor's process, if it still runs. SIGKILL ends its tree, too."""
        ...

    def listening_port(self, child: str) -> int:
        """The loopback port of a child that wants a socket. It is open before the child is started."""
        ...

    def forget(self, child: str) -> None:
        """Closes the listening socket of a child that will not be started again. May be called twice."""
        ...

    def close(self) -> None:
        """Kills everything that was started, within 3 s, and waits for its end. No event comes after that. May be
        called twice. The supervisor asks actors to end gracefully before it calls this.
        """
        ...


def forks(*, portable: bool = False) -> bool:
    """Whether a forkserver starts the actors on this system."""
    is_portable = portable or environments.own("LOOP_PORTABLE") == {"LOOP_PORTABLE": "1"}
    return processes.HAS_SUBREAPER and not is_portable


def make_launcher(
    on_event: OnEvent,
    *,
    runtime_dir: Path,
    portable: bool = False,
    preload: Sequence[str] = ("actors.actor_process",),
    early: EarlyForkserver | None = None,
    sockets: ListeningSockets | None = None,
) -> Launcher:
    """Returns the launcher for this system. `runtime_dir` belongs to this root alone, which holds its lock.

    First ends what a killed root has left there. `preload` names the modules that actors need; they must not start
    threads. A forkserver imports them once for all actors, those with the prefix `WHEN_IDLE` after the first actors
    were started. Without a forkserver the spare process imports them. `early`: the first forkserver, which runs.
    `sockets`: those that listen already.
    """
    stale_processes.kill(stale_processes.records_root(runtime_dir))
    if early is None and not forks(portable=portable):
        return PortableLauncher(on_event, runtime_dir=runtime_dir, preload=preload, sockets=sockets)
    return ForkserverLauncher(on_event, runtime_dir=runtime_dir, preload=preload, early=early, sockets=sockets)
