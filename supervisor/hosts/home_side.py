"""What a host's launcher has of home: addresses of the run there, and whom it tells what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from supervisor.hosts.kept_leases import KeptLeases
from supervisor.hosts.link import MakeLink


@dataclass(frozen=True, kw_only=True)
class HomeSide:
    """What the host reaches of home, and what the shim is told of the run."""

    key: str
    run_id: str
    repository_id: str
    bus: Path  # the router's socket
    bridge_port: Callable[[], int]  # 0 = the run has no bridge
    tell: Callable[[str], None]  # a line for the user; any thread
    log: Callable[[str], None]  # what programs on the host print; any thread
    given_up: Callable[[], None]  # the host did not come back: its actors start at home from now on
    link: MakeLink
    leases: KeptLeases = field(default_factory=KeptLeases)  # what outlives this root
