"""Keeps an actor from being started while one of an earlier root may live on a host: never two writers of a session.

The host is reached, since the shim that begins there ends what it finds. If that cannot be done, the start waits until
the lease there has ended (hosts/kept_leases), and the user sees how long. A start on that very host needs nothing of
this: its own shim is the one that begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field

from actors.hosts import HOME
from actors.machines.durations import span
from supervisor.hosts.kept_leases import KeptLeases, actor_of
from supervisor.spawning import Event, SpawnRequest, lost

RETRY_S = 2.0  # between two attempts to reach the host
TELL_S = 10.0  # between two lines that say how long it takes

Go = Callable[[SpawnRequest], None]


@dataclass(kw_only=True)
class _Held:
    """A start that waits."""

    request: SpawnRequest
    place: str
    go: Go
    is_over: threading.Event = field(default_factory=threading.Event)

    @property
    def actor(self) -> str:
        return actor_of(self.request.child)


class Fence:
    """One run's. See `supervisor.launchers.Launcher` for `start` and `kill`.

    `place_of`: where the actor is placed; "" = home. `reach` results in why the host cannot be reached, "" = it is.
    """

    def __init__(
        self,
        leases: KeptLeases,
        *,
        place_of: Callable[[str], str],
        reach: Callable[[str], Future[str]],
        tell: Callable[[str], None],
        report: Callable[[Event], None],
    ) -> None:
        self._leases = leases
        self._place_of = place_of
        self._reach = reach
        self._tell = tell
        self._report = report
        self._guard = threading.Lock()
        self._held: dict[str, _Held] = {}

    def start(self, request: SpawnRequest, go: Go) -> None:
        """Calls `go` when the actor may be started."""
        held = _Held(request=request, place=self._place_of(actor_of(request.child)), go=go)
        with self._guard:
            if not self._leases.against(held.actor, held.place):
                go(request)
                return
            self._held[request.child] = held
        threading.Thread(target=self._hold, args=(held,), name=f"fence of {held.actor}", daemon=True).start()

    def kill(self, child: str, incarnation: int) -> bool:
        """Gives a start up that still waits. False: there is none."""
        with self._guard:
            held = self._held.get(child)
            if held is None or held.request.incarnation != incarnation:
                return False
            del self._held[child]
        held.is_over.set()
        self._report(lost(held.request))
        return True

    def longest_s(self, actor: str) -> float:
        """Seconds for which a start of the actor may wait."""
        found = self._leases.against(actor, "")
        return self._leases.left_s(found[0]) if found else 0.0

    def close(self) -> None:
        """Nothing is started any more."""
        with self._guard:
            for held in self._held.values():
                held.is_over.set()
            self._held.clear()

    def _hold(self, held: _Held) -> None:
        """A thread of its own."""
        asked: dict[str, Future[str]] = {}
        told_s: float | None = None  # what was left when the user was told
        host = ""
        while found := self._leases.against(held.actor, held.place):
            host, left_s = found[0].host, self._leases.left_s(found[0])
            if told_s is not None and told_s - left_s >= TELL_S:
                told_s = left_s
                self._tell(f"{held.actor} starts at {held.place or HOME} in {_span(left_s)}")
            if host not in asked:
                asked[host] = self._reach(host)
            try:
                failure = asked[host].result(min(left_s, RETRY_S))
            except FutureTimeout:
                failure = f"host {host} has not answered yet"
            else:
                del asked[host]
            if held.is_over.is_set():
                return
            if not failure and found[0] not in self._leases.against(held.actor, held.place):
                continue
            if told_s is None:
                told_s = left_s = self._leases.left_s(found[0])
                self._tell(
                    f"{failure or f'host {host} is another machine now'}; {held.actor} starts at {held.place or HOME} "
                    f"in {_span(left_s)}, when nothing of it can live on {host} any more"
                )
            held.is_over.wait(min(left_s, RETRY_S))
        with self._guard:
            if self._held.get(held.request.child) is not held:
                return
            del self._held[held.request.child]
            if told_s is not None:
                self._tell(f"{held.actor} starts at {held.place or HOME}: nothing of it lives on {host} any more")
            held.go(held.request)


def _span(seconds: float) -> str:
    return span(round(seconds * 1_000))
