"""What a root begins before it imports its own parts: the connections to the hosts of its run. Main thread.

ssh takes longer than those imports. It needs what is there as soon as the run is locked: the path of the bus, and the
port of the bridge. Connections to them wait until somebody listens, and the shim's words until somebody reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from actors.hosts import Host
from supervisor.hosts.host_protocol import first_words
from supervisor.hosts.links import Links
from supervisor.launcher_parts import ListeningSockets
from supervisor.private_socket import socket_path
from supervisor.run_tree import RunSpec, bridge_of
from supervisor.spawning import frame


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
        early.links.begin(host, partial(_words, spec, host), bus, port)
    return early


def _words(spec: RunSpec, host: Host, far_bus: str) -> bytes:
    return frame(first_words(host, key=spec.key, run_id=spec.run_id, repository_id=spec.repo_id, far_bus=far_bus))
