"""One connection of a host that has dialled in, as home sees it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from supervisor.hosts.channels import Channels


@dataclass(kw_only=True)
class Session:
    """One connection of a joined host. Only the I/O thread uses more of it than `name`, `python`, `agents`, `why`."""

    identity: bytes
    key: str
    name: str
    python: str
    agents: dict[str, bool]
    channels: Channels
    why: str = ""  # it has ended
    has_left: bool = False  # nothing lives there, as it says itself
    listeners: dict[int, Callable[[], socket.socket]] = field(default_factory=dict)
    asked: dict[int, tuple[int, Future[int]]] = field(default_factory=dict)  # by listener: for which shim
    shims: set[int] = field(default_factory=set)  # those that live; guarded by the listener's condition
    number: int = 0
