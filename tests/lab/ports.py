"""Ports of this machine for tests that listen there later, or never."""

from __future__ import annotations

import random
import socket
from contextlib import suppress

OWN_PORTS = (20_000, 32_000)  # below those that Linux and macOS give out


def own_port(address: str = "127.0.0.1") -> int:
    """A port of this address that nobody has, nor gets: the kernel gives those of its own range to any connection."""
    while True:
        port = random.randrange(*OWN_PORTS)
        with suppress(OSError), socket.create_server((address, port)):
            return port
