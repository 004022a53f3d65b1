"""The leases under which a run's actors may live on hosts, in a file of the run: they outlive the root.

A root that is killed while a host is cut off leaves actors there that work until their lease ends. The next root has to
know, since it may start the same actor elsewhere. The rules:

- A lease is written down before an actor is asked for, and before it is prolonged. It is struck off when the end of
  the actor is certain. So the file may name an actor that has ended, and never lacks one that lives.
- An actor of an earlier root is ended by the next shim on its machine, or by its lease. Before that, no incarnation of
  it is started anywhere else (hosts/fence).
- Time is monotonic, because the user's clock may be set. It begins again with the machine: a moment that is ahead of it
  was before the machine has begun. The time of another machine says nothing.

Only the root that holds the run writes the file. One that cannot be written stops nobody, as with a move.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec
from loguru import logger
from msgspec.structs import replace

from actors.edges import files
from actors.errors import BadFileError

FILE = "leases.json"


class KeptLease(msgspec.Struct, frozen=True, kw_only=True):
    """What may live on one machine of a host. `lasts_s`: from `granted_at_s` on, until nothing lives there."""

    host: str
    machine: str  # as it has named itself: another one may come in the host's name
    actors: tuple[str, ...]
    granted_at_s: float
    lasts_s: float
    node: str  # whose time that is

    def left_s(self, now_s: float) -> float:
        """Seconds from now until nothing can live there."""
        return max(0.0, self.granted_at_s + self.lasts_s - now_s)


def actor_of(child: str) -> str:
    """The actor's own name, of its launcher's one."""
    return child.rpartition("/")[2]


def in_time_of(lease: KeptLease, now_s: float, node: str) -> KeptLease:
    """The lease in the time of a machine that has been up for `now_s`. It never ends earlier by that. Pure."""
    if lease.node != node:
        return replace(lease, granted_at_s=now_s, node=node)
    return lease if lease.granted_at_s <= now_s else replace(lease, granted_at_s=0.0)


def against(leases: Iterable[KeptLease], actor: str, host: str, machine: str, now_s: float) -> list[KeptLease]:
    """Those that keep the actor from being started there, the longest one first. Pure.

    `host`: "" = home. `machine`: "" = whichever is the host; its shim has still to begin, and looks for itself.
    """
    found = [
        lease
        for lease in leases
        if actor in lease.actors
        and lease.left_s(now_s) > 0
        and not (lease.host == host and machine in ("", lease.machine))
    ]
    return sorted(found, key=lambda lease: -lease.left_s(now_s))


def read(directory: Path) -> list[KeptLease]:
    """The leases of the run in `directory`, as its last root has left them."""
    with suppress(BadFileError, OSError, ValueError):
        return msgspec.json.decode(files.read_bytes(directory / FILE), type=list[KeptLease])
    return []


class KeptLeases:
    """Those of one run. Any thread. `directory`: None = nothing is kept."""

    def __init__(self, directory: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = directory / FILE if directory is not None else None
        self._clock = clock
        self._node = os.uname().nodename
        self._guard = threading.Lock()
        found = read(directory) if directory is not None else []
        self._earlier = [in_time_of(lease, clock(), self._node) for lease in found]  # of roots before this one
        self._own: dict[tuple[str, str], KeptLease] = {}

    @property
    def has_earlier(self) -> bool:
        """Whether something of an earlier root may live on a host."""
        now_s = self._clock()
        with self._guard:
            return any(lease.left_s(now_s) > 0 for lease in self._earlier)

    def against(self, child: str, host: str, machine: str = "") -> list[KeptLease]:
        """See `against`, of this module. `child` is the launcher's name, here as below."""
        with self._guard:
            return against(self._earlier, actor_of(child), host, machine, self._clock())

    def left_s(self, lease: KeptLease) -> float:
        """Seconds from now until nothing can live there."""
        return lease.left_s(self._clock())

    def begun(self, host: str, machine: str) -> None:
        """A shim has begun there: it has ended what was left on its machine."""
        with self._guard:
            others = [lease for lease in self._earlier if (lease.host, lease.machine) != (host, machine)]
            if len(others) < len(self._earlier):
                self._earlier = others
                self._write()

    def starts(self, child: str, host: str, machine: str, lasts_s: float) -> None:
        """The actor is about to be asked for there. It does not wait for the disk: what is written outlives us, and
        the machine once the lease is prolonged.
        """
        now_s = self._clock()
        with self._guard:
            known = self._own.get((host, machine))
            actors = tuple(sorted({actor_of(child), *(known.actors if known else ())}))
            self._own[host, machine] = KeptLease(
                host=host, machine=machine, actors=actors, granted_at_s=now_s, lasts_s=lasts_s, node=self._node
            )
            self._write(durable=False)

    def granted(self, host: str, machine: str) -> None:
        """The lease there is about to be prolonged. Durable when it returns."""
        now_s = self._clock()
        with self._guard:
            if (known := self._own.get((host, machine))) is not None:
                self._own[host, machine] = replace(known, granted_at_s=now_s)
                self._write()

    def ended(self, child: str, host: str) -> None:
        """No incarnation of the actor that this root has asked for lives on the host any more."""
        actor = actor_of(child)
        with self._guard:
            before = dict(self._own)
            for key, lease in before.items():
                if lease.host != host or actor not in lease.actors:
                    continue
                if left := tuple(each for each in lease.actors if each != actor):
                    self._own[key] = replace(lease, actors=left)
                else:
                    del self._own[key]
            if self._own != before:
                self._write(durable=False)

    def _write(self, *, durable: bool = True) -> None:
        if self._path is None:
            return
        now_s = self._clock()
        kept = [*(lease for lease in self._earlier if lease.left_s(now_s) > 0), *self._own.values()]
        try:
            if kept:
                files.replace(self._path, msgspec.json.encode(kept), lone=True, durable=durable)
            else:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the leases of hosts cannot be written down: {}", error)
