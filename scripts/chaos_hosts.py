"""One run of the chaos with its agents on other hosts: links, ssh servers and whole hosts are hit as well.

The hosts are network namespaces with an sshd each (tests/lab/ssh_hosts), so it needs root. The plan follows from seed
and run number. What is checked is what chaos_run checks, with the sessions and the processes of all hosts.

A link is ended by the reset of its connections, or cut for a few seconds. A host that is killed has nothing left, and
its sshd is started again a little later. An sshd that is killed leaves its connections.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from actors.embedded.scenario_file import load_scenario
from scripts import chaos_run
from scripts.chaos_run import POINTS, Report, Strike, in_a_world, played_faults
from tests.lab.demo_repo import DEMO_TASK
from tests.lab.inspection import ROLES
from tests.lab.ssh_hosts import SHIM, SshHost, configured, ssh_host
from tests.lab.world import CHECK, Loop, World

STRIKES = {
    ("end", "link"): 16,
    ("cut", "link"): 8,
    ("kill", "shim"): 12,
    ("kill", "sshd"): 6,
    ("kill", "host"): 10,
    ("kill", "worker"): 12,
    ("kill", "reviewer"): 12,
    ("kill", "worker's agent"): 5,
    ("kill", "reviewer's agent"): 5,
    ("kill", "root"): 14,
    ("kill", "run"): 6,
    ("kill", "bridge"): 5,
    ("kill", "persistence"): 5,
}
OF_A_HOST = ("link", "shim", "sshd", "host")
LEASE = {"stop_after_s": 3.0, "lost_after_s": 60.0}
DOWN_S = 1.0  # between the end of a host and its sshd


@dataclass
class HostStrike(Strike):
    """One blow. `number`: of the host that is hit. `lasts_s`: of a cut."""

    number: int = 0
    lasts_s: float = 0.0

    @property
    def row(self) -> str:
        """See `Strike.row`."""
        return f"{self.whom} ({self.what})" if self.whom == "link" else super().row


def planned(seed: int, number: int, hosts: int) -> tuple[list[HostStrike], str, dict[str, int]]:
    """Strikes in order, the scenario with a fault in it, and the number of each role's host."""
    chance = random.Random(f"hosts:{seed}:{number}")
    first = chance.randrange(hosts)
    places = {"worker": first, "reviewer": (first + 1) % hosts}
    if chance.random() < 0.3:  # one of them is at home
        del places[chance.choice(ROLES)]
    strikes = []
    for point in sorted(chance.choices(range(len(POINTS)), k=chance.randint(6, 10))):
        what, whom = chance.choices(list(STRIKES), list(STRIKES.values()))[0]
        after_s = 0.0 if POINTS[point][0] and chance.random() < 0.5 else chance.uniform(0, 1.2)
        at = chance.choice(list(places.values()))
        lasts_s = chance.choice([chance.uniform(0.5, 2.0), chance.uniform(3.5, 7.0)])
        strikes.append(HostStrike(what, whom, point, after_s, number=at, lasts_s=lasts_s))
    return strikes, chaos_run.with_fault(chaos_run.SCENARIO.read_text("utf-8"), chance), places


class HostRun(chaos_run.Run):
    """One run whose agents are on hosts."""

    orphan_patience_s = 10.0  # a shim whose link is gone ends with its lease

    def __init__(self, world: World, hosts: list[SshHost], places: dict[str, int], strikes: list[Strike]) -> None:
        self._hosts = hosts
        self._places = places
        super().__init__(world, "embedded", strikes)

    def homes(self) -> list[Path]:
        """See `Run.homes`."""
        return [self.world.home, *(host.home for host in self._hosts)]

    def _start(self) -> Loop:
        words = [f"--place={role}={self._hosts[number].name}" for role, number in self._places.items()]
        return self.world.start(*self.words, *words, "--check", CHECK, DEMO_TASK)

    def awaited(self, strike: Strike) -> tuple[str, ...]:
        """See `Run.awaited`."""
        if not isinstance(strike, HostStrike) or strike.whom not in OF_A_HOST:
            return super().awaited(strike)
        if strike.whom == "sshd" or (strike.what == "cut" and strike.lasts_s < LEASE["stop_after_s"]):
            return ()
        return tuple(role for role, number in self._places.items() if number == strike.number)

    def _cost(self, strike: Strike) -> int:
        return len(self.awaited(strike)) if strike.whom in OF_A_HOST else super()._cost(strike)

    def _hit(self, strike: Strike) -> None:
        if not isinstance(strike, HostStrike) or strike.whom not in OF_A_HOST:
            super()._hit(strike)
            return
        host = self._hosts[strike.number]
        if strike.whom == "shim" and not any(SHIM in words for words in host.commands()):
            return  # it is being replaced
        self._struck(strike)
        match strike.what, strike.whom:
            case "end", _:
                host.end_connections()
            case "cut", _:
                host.cut()
                time.sleep(strike.lasts_s)
                host.mend()
            case _, "shim":
                host.kill(SHIM)
            case _, "sshd":
                host.start_sshd()
            case _:
                host.end_all()
                time.sleep(DOWN_S)
                host.start_sshd()

    def _check_orphans(self) -> None:
        super()._check_orphans()
        for host in self._hosts:
            left = host.left()
            self.report.orphans += len(left)
            self.report.troubles += [f"orphan on {host.name}: {words}"[:200] for words in left]


def play(seed: int, number: int, hosts: int, limit: int, *, keep: bool) -> tuple[Report, Path]:
    """See `chaos_run.play`."""
    strikes, scenario_text, places = planned(seed, number, hosts)
    return in_a_world(lambda base: play_in(base, hosts, places, list(strikes[:limit]), scenario_text), keep=keep)


def play_in(base: Path, hosts: int, places: dict[str, int], strikes: list[Strike], scenario_text: str) -> Report:
    """Plays one run, in a world at `base`, which it always ends with its hosts; the files stay."""
    scenario = base / "chaos.toml"
    scenario.write_text(scenario_text, "utf-8")
    with ExitStack() as stack:
        world = stack.enter_context(World(base))
        world.play_embedded(scenario)
        there = {name: value for name, value in world.environment.items() if name.startswith("LOOP_") or name == "PATH"}
        known = [
            stack.enter_context(ssh_host(base / f"host{number}", f"host{number}", there))
            for number in range(1, hosts + 1)
        ]
        folder = world.home / ".loop"
        folder.mkdir(mode=0o700)
        (folder / "config.toml").write_text(configured(*known, **LEASE))
        run = HostRun(world, known, places, strikes)
        try:
            report = run.play()
            run.inspect()
            report.faults = played_faults(load_scenario(scenario), run.homes(), None)
        finally:
            (base / "lines").write_text("\n".join(f"{at:.3f} {line}" for at, line in run.lines()))
    (base / "strikes").write_text("\n".join(map(str, [*report.strikes, *report.faults])))
    return report
