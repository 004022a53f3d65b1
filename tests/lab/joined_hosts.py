"""A host that dials in from a network of its own, for the end-to-end tests of hosts. Needs root.

It has the network of an `SshHost`, whose cable can be cut; `loop join` there dials home at the near end of the cable.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from actors.edges import join_keys
from tests.lab.host_worlds import SCENARIO
from tests.lab.ports import own_port
from tests.lab.ssh_hosts import SshHost, ssh_host
from tests.lab.world import LOOP, Loop, World


class JoinedHost:
    """One host, by the name of its key, and home's configuration for it."""

    def __init__(self, world: World, machine: SshHost, lease: Mapping[str, float]) -> None:
        self.world, self.machine = world, machine
        self.port = own_port(machine.near)
        self.key = Path(shutil.move(join_keys.make(world.home, machine.name, 1), machine.folder / "its.key"))
        rows = {"root": machine.host.root, "join": "true", **lease}
        table = "".join(f"{key} = {value if key == 'join' else repr(value)}\n" for key, value in rows.items())
        text = f"[join]\nlisten = '{machine.near}:{self.port}'\n[hosts.{machine.name}]\n{table}"
        folder = world.home / ".loop"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "config.toml").write_text(text)

    def join(self, **variables: str) -> Loop:
        """Starts `loop join` in the host's network, with the host's variables and these."""
        inside = ("ip", "netns", "exec", self.machine.namespace)
        words = ("join", f"{self.machine.near}:{self.port}", "--key", str(self.key))
        there = self.machine.environment | variables
        return self.world.start_program(*inside, *LOOP, *words, cwd=str(self.machine.home), **there)


@contextmanager
def joined_host(
    base: Path, *, slow: tuple[float, float] | None = None, **lease: float
) -> Iterator[tuple[World, JoinedHost]]:
    """A world of embedded agents, and `big`, which has not dialled in yet."""
    with World(base) as world:
        world.play_embedded(SCENARIO)
        with ssh_host(base / "big", slow=slow) as machine:
            yield world, JoinedHost(world, machine, lease)
