"""A look at a host that dials in, for `loop doctor`: listens for a moment, and says whether it comes. Blocks."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from actors import logs
from actors.edges import join_keys
from actors.hosts import Host
from supervisor.hosts.join_listener import JoinListener
from supervisor.hosts.link import HostAwaitedError

WAIT_S = 3.0  # a host dials each second


class Joined(NamedTuple):
    """What a host says of itself. `agents`: those on its PATH, and whether a login is seen."""

    python: str
    agents: dict[str, bool]


def look(host: Host, home: Path) -> Joined:
    """What is there. Raises `LoopError`: `HostAwaitedError` when it does not come."""
    logs.keep_none()
    join_keys.ready_for(home, host.name)
    listener = JoinListener(host.listen, home)
    words: list[str] = []
    try:
        session = listener.wait(host.name, WAIT_S, lambda: False, words.append)
    finally:
        listener.close()
    if session is None:
        raise HostAwaitedError("; ".join(words) or f"waits for {host.name} to join: it does not dial {host.listen}")
    return Joined(session.python, session.agents)
