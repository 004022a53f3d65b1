"""What a root begins before it imports its own parts: the connections to the hosts of its run. Main thread.

ssh takes longer than those imports. It needs what is there as soon as the run is locked: the path of the bus, and the
port of the bridge. Their sockets wait until somebody listens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from supervisor.hosts.links import Links
from supervisor.launcher_parts import ListeningSockets
from supervisor.private_socket import socket_path
from supervisor.run_tree import RunSpec, bridge_of


@dataclass(frozen=True)
class EarlyLinks:
    """Once the root has its services, they close what is here."""

    links: Links = field(default_factory=Links)
    sockets: ListeningSockets = field(default_factory=ListeningSockets)

    def close(self) -> None:
        """May be called twice, also after the services have."""
        self.links.close()
        self.sockets.close()


def begin_links(spec: RunSpec, runtime: Path) -> EarlyLinks:
    """`runtime`: the directory of the bus. Raises `UserError` for one that has no room for it."""
    early = EarlyLinks()
    bus = socket_path(runtime)
    port = early.sockets.port(bridge_of(spec.key)) if spec.paired else 0
    for host in {host.name: host for host in spec.places.values()}.values():
        early.links.begin(host, bus, port)
    return early
