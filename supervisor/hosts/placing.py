"""The launcher of a root: hands each child to the launcher of its place. Lives in the root process; decides nothing.

Below it, pure: what the user sees of a run's places.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from actors.hosts import Host
from actors.settings import Role
from supervisor.control.protocol import HostReport
from supervisor.launchers import Launcher
from supervisor.spawning import SpawnRequest

if TYPE_CHECKING:  # few runs have one
    from supervisor.hosts.fence import Fence


class PlacingLauncher:
    """See `supervisor.launchers.Launcher`. A child without a place is at home."""

    def __init__(self, home: Launcher) -> None:
        self._home = home
        self._guard = threading.Lock()
        self._places: dict[str, Launcher] = {}
        self._fences: dict[str, Fence] = {}

    def fence(self, child: str, fence: Fence) -> None:
        """The starts of the child wait for this."""
        with self._guard:
            self._fences[child] = fence

    def place(self, child: str, launcher: Launcher | None) -> None:
        """From the next start on, the child runs there; None: at home."""
        with self._guard:
            if launcher is None:
                self._places.pop(child, None)
            else:
                self._places[child] = launcher

    def _of(self, child: str) -> Launcher:
        with self._guard:
            return self._places.get(child, self._home)

    def start(self, request: SpawnRequest) -> None:
        """See `Launcher.start`."""
        launcher = self._of(request.child)
        if (fence := self._fences.get(request.child)) is not None:
            fence.start(request, launcher.start)
        else:
            launcher.start(request)

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        """See `Launcher.kill`."""
        if (fence := self._fences.get(child)) is None or not fence.kill(child, incarnation):
            self._of(child).kill(child, incarnation, number)

    def listening_port(self, child: str) -> int:
        """See `Launcher.listening_port`."""
        return self._home.listening_port(child)

    def forget(self, child: str) -> None:
        """See `Launcher.forget`."""
        self._home.forget(child)
        self.place(child, None)
        with self._guard:
            self._fences.pop(child, None)

    def close(self) -> None:
        """See `Launcher.close`. The launchers of places are closed by those who made them."""
        self._home.close()


def reports(places: Mapping[Role, str], known: Mapping[str, Host], linked: Iterable[HostReport]) -> list[HostReport]:
    """Each host that the run uses, has used or may use, with the actors there."""
    found = {name: HostReport(name=name, actors=[], state="idle", since_ms=0) for name in known}
    found |= {each.name: each for each in linked}
    return [
        replace(each, actors=[role for role, name in places.items() if name == each.name]) for each in found.values()
    ]
