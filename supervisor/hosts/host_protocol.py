"""What home and the shim of a host say to each other over its stdin and stdout, beside supervisor.spawning. Pure.

The shim asks for its lease, and home answers. So the shim knows how old an answer may be: its lease runs from the
moment at which it asked. An answer that the network has kept for a minute prolongs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from supervisor.spawning import Exited, SignalRequest, SpawnRequest, Started, StartFailed

if TYPE_CHECKING:  # a shim has none
    from actors.hosts import Host

VERSION = 1


class Begin(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Home's first words: what the shim serves. A shim of the same run that still lives there is ended first."""

    version: int = VERSION
    key: str  # of the run, unique on the host
    root: str  # the directory of loop on the host; "~" is the home directory there
    stop_after_s: float  # how long the shim lives on without its lease
    repository_id: str
    run_id: str
    bus: str = ""  # a socket on the host behind which the bus of home is; the shim takes it into its own directory


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The shim's first words."""

    version: int
    has_bus: bool = True  # whether there is a socket at `Begin.bus`
    python: str
    pid: int
    ended: int = 0  # how many processes of a predecessor were ended
    machine: str = ""  # where that could be done: another machine of this name has another one


class Reach(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The loopback port of the host behind which the bridge of home is."""

    bridge_port: int  # 0 = the run has no bridge


class LeaseAsked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Shim to home: may I go on? Also says how long the last answer took."""

    number: int
    round_trip_s: float | None = None


class LeaseGranted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Home to shim: yes, for `Begin.stop_after_s` from the moment at which you asked."""

    number: int


def first_words(host: Host, *, key: str, run_id: str, repository_id: str, far_bus: str) -> Begin:
    """To the shim of a host, for this run."""
    return Begin(
        key=key,
        root=host.root,
        stop_after_s=host.stop_after_s,
        repository_id=repository_id,
        run_id=run_id,
        bus=far_bus,
    )


ToShim = Begin | Reach | LeaseGranted | SpawnRequest | SignalRequest
FromShim = Begun | LeaseAsked | Started | Exited | StartFailed
