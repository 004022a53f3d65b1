"""A world whose run has actors on hosts, for the end-to-end tests of hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from actors.hosts import Host
from tests.lab.inspection import inspect
from tests.lab.ssh_hosts import SshHost, configured, ssh_host
from tests.lab.turns import held
from tests.lab.world import CHECK, Loop, World

TASK = "Make greet() polite: greet('Ada') must return 'Hello, Ada!'."
SCENARIO = Path(__file__).parents[2] / "actors" / "embedded" / "scenarios" / "demo.toml"


@contextmanager
def world_with_hosts(
    base: Path,
    *names: str,
    slow: tuple[float, float] | None = None,
    environment: dict[str, str] | None = None,
    **lease: float,
) -> Iterator[tuple[World, list[SshHost]]]:
    """Embedded agents, hosts of these names, and the configuration that knows them."""
    with ExitStack() as stack:
        world = stack.enter_context(World(base))
        world.play_embedded(SCENARIO)
        there = {name: value for name, value in world.environment.items() if name.startswith("LOOP_")}
        there |= environment or {}
        hosts = [stack.enter_context(ssh_host(base / name, name, there, slow=slow)) for name in names]
        configure(world, *hosts, **lease)
        yield world, hosts


@contextmanager
def world_with_host(base: Path, **lease: float) -> Iterator[tuple[World, SshHost]]:
    """With one host, `big`."""
    with world_with_hosts(base, "big", slow=None, environment=None, **lease) as (world, hosts):
        yield world, hosts[0]


@contextmanager
def held_world(base: Path, prompt: str, command: str, **lease: float) -> Iterator[tuple[World, SshHost, Path]]:
    """The same. The first command that begins so, of the rule for prompts that begin so, waits until there is the file
    that is returned.
    """
    go, scenario = base / "go", base / "held.toml"
    scenario.write_text(held(SCENARIO.read_text(), prompt, command, go))
    with world_with_host(base, **lease) as (world, host):
        world.play_embedded(scenario)
        host.start_sshd(LOOP_EMBEDDED_SCENARIO=str(scenario))
        yield world, host, go


def configure(world: World, *hosts: SshHost | Host, **lease: float) -> None:
    """Writes the user's configuration."""
    folder = world.home / ".loop"
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "config.toml").write_text(configured(*hosts, **lease))


def start(world: World, *places: str) -> Loop:
    """Starts the task of the demo with actors at these places."""
    words = [word for place in places for word in ("--place", place)]
    return world.start("--agent", "embedded", *words, "--check", CHECK, TASK)


def wrong(world: World, *hosts: SshHost) -> list[str]:
    """What was lost, repeated or damaged, by the agents' own session files of all homes."""
    return list(inspect(world.home, world.run_directory(), None, [host.home for host in hosts]))
