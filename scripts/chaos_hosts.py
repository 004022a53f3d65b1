"""One run of the chaos with its agents on other hosts: links, ssh servers and whole hosts are hit as well.

The hosts are network namespaces with an sshd each (tests/lab/ssh_hosts), so it needs root. The plan follows from seed
and run number. What is checked is what chaos_run checks, with the sessions and the processes of all hosts.

A link is ended by the reset of its connections, or cut for a few seconds. A host that is killed has nothing left, and
its sshd is started again a little later. An sshd that is killed leaves its connections. In half of the runs the last
host is one that dials in (chaos_joined): its `loop join` is killed in the place of links and of sshd.

Agents are moved as well, also while a host is cut off or dead (chaos_moves).
"""

from __future__ import annotations

import random
import subprocess
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from actors.edges import run_dir
from actors.embedded.scenario_file import load_scenario
from actors.hosts import HOME
from scripts import chaos_moves, chaos_run
from scripts.chaos_joined import JOIN, JoinedHost
from scripts.chaos_moves import Asked, Writers
from scripts.chaos_plan import POINTS, SCENARIO, Strike, with_fault
from scripts.chaos_report import Report, played_faults
from scripts.chaos_run import in_a_world, note_down
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
    ("move", "worker"): 16,
    ("move", "reviewer"): 16,
    ("move now", "worker"): 8,
    ("move now", "reviewer"): 8,
}
OF_A_HOST = ("link", "joined link", "join", "shim", "sshd", "host")
MOVES = ("move", "move now")
LEASE = {"stop_after_s": 3.0, "lost_after_s": 60.0}


@dataclass
class HostStrike(Strike):
    """One blow. `number`: of the host that is hit, or which of the other places a move is to. `lasts_s`: of a cut, or
    of a host's absence. `meanwhile`: the role that is moved then. `stays`: a move to where it is.
    """

    number: int = 0
    lasts_s: float = 0.0
    meanwhile: str = ""
    stays: bool = False
    waits_for: tuple[str, ...] = ()

    @property
    def row(self) -> str:
        """See `Strike.row`."""
        return f"{self.whom} ({self.what})" if "link" in self.whom else super().row


@dataclass
class Plan:
    """What one run gets. `places`: the number of each role's host. `joined`: which of them dials in, or -1."""

    strikes: list[HostStrike]
    scenario: str
    places: dict[str, int]
    joined: int = -1


def planned(seed: int, number: int, hosts: int) -> Plan:
    """The plan of run `number` of this seed."""
    chance = random.Random(f"hosts:{seed}:{number}")
    first = chance.randrange(hosts)
    places = {"worker": first, "reviewer": (first + 1) % hosts}
    if chance.random() < 0.3:  # one of them is at home
        del places[chance.choice(ROLES)]
    joined = hosts - 1 if chance.random() < 0.5 else -1
    strikes = []
    for point in sorted(chance.choices(range(len(POINTS)), k=chance.randint(7, 12))):
        what, whom = chance.choices(list(STRIKES), list(STRIKES.values()))[0]
        after_s = 0.0 if POINTS[point][0] and chance.random() < 0.5 else chance.uniform(0, 1.2)
        at = chance.randrange(hosts)
        lasts_s = chance.choice([chance.uniform(0.5, 2.0), chance.uniform(3.5, 7.0)])
        meanwhile = chance.choice(ROLES) if chance.random() < 0.4 else ""
        stays = chance.random() < 0.08
        strike = HostStrike(what, whom, point, after_s, number=at, lasts_s=lasts_s, meanwhile=meanwhile, stays=stays)
        strikes.append(_fitting(strike, is_joined=at == joined))
    return Plan(strikes, with_fault(SCENARIO.read_text("utf-8"), chance), places, joined)


def _fitting(strike: HostStrike, *, is_joined: bool) -> HostStrike:
    """A host that dials in has neither an sshd nor a connection that somebody else can end."""
    if is_joined and (strike.what, strike.whom) in {("end", "link"), ("kill", "sshd")}:
        strike.what, strike.whom = "kill", "join"
    elif is_joined and strike.whom == "link":
        strike.whom = "joined link"
    return strike


class HostRun(chaos_run.Run):
    """One run whose agents are on hosts."""

    orphan_patience_s = 10.0  # a shim whose link is gone ends with its lease

    def __init__(
        self,
        world: World,
        hosts: list[SshHost],
        places: dict[str, int],
        strikes: list[Strike],
        joined: dict[str, JoinedHost],
    ) -> None:
        self._hosts = hosts
        self._joined = joined
        self._places = places
        self.asked: list[Asked] = []
        self._moving: threading.Thread | None = None
        super().__init__(world, "embedded", strikes)

    def homes(self) -> list[Path]:
        """See `Run.homes`."""
        return [self.world.home, *(host.home for host in self._hosts)]

    def _start(self) -> Loop:
        words = [f"--place={role}={self._hosts[number].name}" for role, number in self._places.items()]
        return self.world.start(*self.words, *words, "--check", CHECK, DEMO_TASK)

    def awaited(self, strike: Strike) -> tuple[str, ...]:
        """See `Run.awaited`."""
        return strike.waits_for if isinstance(strike, HostStrike) and self._is_ours(strike) else super().awaited(strike)

    @staticmethod
    def _is_ours(strike: Strike) -> bool:
        return strike.whom in OF_A_HOST or strike.what in MOVES

    def _present(self) -> dict[str, str]:
        """Where the agents are, as the manifest has it."""
        run_id = self._run_id()
        manifest = run_dir.read_manifest(self.world.run_directory(run_id)) if run_id else None
        places = (manifest or {}).get("places")
        return {str(role): str(name) for role, name in places.items()} if isinstance(places, dict) else {}

    def _aim(self, strike: HostStrike) -> None:
        """Finds out which actors will have to be ready again."""
        if strike.what in MOVES:
            strike.waits_for = (strike.whom,)
        elif strike.whom != "sshd" and (strike.what != "cut" or strike.lasts_s >= LEASE["stop_after_s"]):
            name = self._hosts[strike.number].name
            strike.waits_for = tuple(role for role, at in self._present().items() if at == name)

    def _cost(self, strike: Strike) -> int:
        if not isinstance(strike, HostStrike) or not self._is_ours(strike):
            return super()._cost(strike)
        self._aim(strike)
        return 0 if strike.what in MOVES else len(strike.waits_for)

    def _hit(self, strike: Strike) -> None:
        if not isinstance(strike, HostStrike) or not self._is_ours(strike):
            super()._hit(strike)
            return
        self._hit_places(strike)
        if self._moving is not None:
            self._moving.join()
            self._moving = None

    def _hit_places(self, strike: HostStrike) -> None:
        host = self._hosts[strike.number]
        if strike.what in MOVES:
            if self._move(strike.whom, strike):
                self._struck(strike)
            return
        if strike.whom == "shim" and not host.pids_of(SHIM):
            return  # it is being replaced
        self._struck(strike)
        match strike.what, strike.whom:
            case "end", _:
                host.end_connections()
            case "cut", _:
                host.cut()
                self._absent(strike)
                host.mend()
            case _, "join":
                self._joined[host.name].kill()
                self._joined[host.name].start()
            case _, "shim":
                host.kill(SHIM)
            case _, "sshd":
                host.start_sshd()
            case _:
                host.end_all()
                self._absent(strike)
                if (joined := self._joined.get(host.name)) is None:
                    host.start_sshd()
                else:
                    joined.kill()
                    joined.start()

    def _absent(self, strike: HostStrike) -> None:
        """Passes the time in which the host cannot be reached."""
        until_s = time.monotonic() + strike.lasts_s
        moving = threading.Thread(target=self._move, args=(strike.meanwhile, strike))
        if strike.meanwhile:
            moving.start()
        time.sleep(max(0.0, until_s - time.monotonic()))
        self._moving = moving if strike.meanwhile else None

    def _move(self, role: str, strike: HostStrike) -> bool:
        """Asks for a move, as a user does. Returns whether the run has taken it."""
        present = self._present().get(role, HOME)
        others = [place for place in (HOME, *(host.name for host in self._hosts)) if place != present]
        place = present if strike.stays else others[strike.number % len(others)]
        now = strike.what == "move now"
        done = self.world.start("place", role, place, *(["--now"] if now else []))
        try:
            done.wait()
        except subprocess.TimeoutExpired:
            self.report.troubles.append(f"place {role} {place} is not answered")
            return False
        asked = Asked(time.time(), role, place, now, done.process.returncode, done.output.strip())
        self.asked.append(asked)
        return asked.is_taken

    def _check_orphans(self) -> None:
        until_s = time.monotonic() + self.orphan_patience_s
        super()._check_orphans()
        for host in self._hosts:
            while (left := [words for words in host.left() if JOIN not in words]) and time.monotonic() < until_s:
                time.sleep(0.05)
            self.report.orphans += len(left)
            self.report.troubles += [f"orphan on {host.name}: {words}"[:200] for words in left]

    def inspect(self) -> None:
        """See `Run.inspect`."""
        super().inspect()
        lines = self.lines()
        ended_at = lines[-1][0] if lines else 0.0
        self.report.troubles += chaos_moves.faults(self.asked, lines, self._present(), ended_at)
        self.report.troubles += [words for each in self._joined.values() if (words := each.ended_meanwhile())]


def play(seed: int, number: int, hosts: int, limit: int, *, keep: bool) -> tuple[Report, Path]:
    """See `chaos_run.play`."""
    plan = planned(seed, number, hosts)
    return in_a_world(lambda base: play_in(base, hosts, plan, limit), keep=keep)


def play_in(base: Path, hosts: int, plan: Plan, limit: int) -> Report:
    """Plays one run, in a world at `base`, which it always ends with its hosts; the files stay."""
    scenario = base / "chaos.toml"
    scenario.write_text(plan.scenario, "utf-8")
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
        joined = {known[plan.joined].name: JoinedHost(known[plan.joined], world.home)} if plan.joined >= 0 else {}
        tables = [
            joined[host.name].configured(LEASE) if host.name in joined else configured(host, **LEASE) for host in known
        ]
        (folder / "config.toml").write_text("\n".join(tables))
        for each in joined.values():
            stack.callback(each.end)
            each.start()
        writers = Writers(world.mark, [str(host.home) for host in known])
        writers.start()
        run = HostRun(world, known, plan.places, list(plan.strikes[:limit]), joined)
        try:
            report = run.play()
            run.inspect()
            report.faults = played_faults(load_scenario(scenario), run.homes(), None)
        finally:
            writers.stop()
            note_down(base / "lines", [f"{at:.3f} {line}" for at, line in run.lines()])
            note_down(base / "moves", run.asked)
        report.troubles += writers.faults
    (base / "strikes").write_text("\n".join(map(str, [*report.strikes, *report.faults])))
    return report
