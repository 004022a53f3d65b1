"""One run of the chaos: its plan, its strikes and faults, and what it leaves behind.

The plan follows from seed and run number alone; the exact moment of a kill depends on the machine. Afterwards the
agents' own transcripts, the journal and the process table are compared (tests/lab/inspection). Linux only.
"""

from __future__ import annotations

import json
import random
import re
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil

from actors.edges import run_dir
from actors.edges.marked_processes import MARK_VARIABLE
from actors.embedded.scenario import Fault, Scenario
from actors.embedded.scenario_file import load_scenario
from tests.lab.demo_repo import DEMO_TASK
from tests.lab.inspection import inspect, spent_iterations
from tests.lab.model_server import ModelServer
from tests.lab.world import CHECK, SCENARIOS, Loop, World, described

SCENARIO = SCENARIOS / "chaos.toml"
ACTORS = ("persistence", "bridge", "run", "worker", "reviewer")
MAILS = [f"chaos mail {number}:" for number in range(1, 10)]

# What a run shows, in order, and the group that counts a strike at that point.
POINTS = [
    (r"", "start"),
    (r"planning: waits for", "plan"),
    (r"I look at the module", "plan"),
    (r"PLAN\.md is written", "plan"),
    (r"plan review: waits for", "plan"),
    (r"The plan fits", "plan"),
    (r"iteration 1 of", "work"),
    (r"chaos mail 1:", "mail"),
    (r"chaos mail 2:", "mail"),
    (r"The greeting is polite", "work"),
    (r"checks of iteration 1", "check"),
    (r"review round 1", "review"),
    (r"chaos mail 4:", "mail"),
    (r"chaos mail 5:", "mail"),
    (r"worker-verdict-1", "review"),
    (r"reviewer-verdict-1", "review"),
    (r"iteration 2 of", "work"),
    (r"chaos mail 7:", "mail"),
    (r"The notes are written", "work"),
    (r"checks of iteration 2", "check"),
    (r"review round 2", "review"),
    (r"chaos mail 9:", "mail"),
    (r"reviewer-verdict-2", "review"),
    (r"iteration 3 of", "work"),
    (r"checks of iteration 3", "check"),
    (r"review round 3", "review"),
    (r"draft pull request", "end"),
    (r"committed on the branch", "end"),
    (r"completed: review approved", "end"),
]
GROUPS = list(dict.fromkeys(group for _, group in POINTS))

# (what, whom) -> how often, relatively. A stop takes 10 s to be noticed, so it is rare.
STRIKES = {
    ("kill", "run"): 16,
    ("kill", "worker"): 16,
    ("kill", "reviewer"): 16,
    ("kill", "bridge"): 14,
    ("kill", "persistence"): 14,
    ("kill", "root"): 16,
    ("kill", "forkserver"): 4,
    ("kill", "worker's agent"): 8,
    ("kill", "reviewer's agent"): 8,
    ("kill at start", "run"): 2,
    ("kill at start", "worker"): 2,
    ("kill at start", "reviewer"): 2,
    ("kill at start", "bridge"): 2,
    ("kill at start", "persistence"): 2,
    ("full disk", "persistence"): 3,
    ("stop", "forkserver"): 0.5,
    ("stop", "run"): 0.5,
    ("stop", "worker"): 0.5,
    ("stop", "reviewer"): 0.5,
    ("stop", "bridge"): 0.5,
    ("stop", "persistence"): 0.5,
}
# What the model does instead of answering, once, as the scenario file has it. To an embedded agent, which is its own
# model, a connection that drops is a crash.
DROPPED = "model: connection dropped"
FAULTS = {
    DROPPED: "drop = true",
    "model: HTTP 429": "status = 429, resets_in_s = 1",
    "model: HTTP 529": "status = 529",
}
FURTHER_FAULTS = {**FAULTS, "model: HTTP 503": "status = 503"}
# Which rule of the scenario a fault was played in, by its pattern.
RULES = [
    (r"\^Plan", "plan"),
    (r"\^Iteration", "work"),
    (r"\^Review round", "review"),
    (r"\^Message from", "mail"),
    (r"\^Draft pull request", "end"),
]

# The supervisor allows ten restarts a minute (supervisor/spec.Intensity); a root's own death is not limited.
RESTARTS_PER_MINUTE = 9
RESTARTS = {"forkserver": 5, "root": 0, "worker's agent": 0, "reviewer's agent": 0}
POINT_PATIENCE_S = 120.0
UNBEGUN = "give its task again"  # the message of a run that was killed before it knew its task
DISK_FULL_S = 2.0


@dataclass
class Strike:
    """One blow. `row` and `group` place it in the table."""

    what: str
    whom: str
    point: int
    after_s: float
    at: float = 0.0  # Unix time; 0: never carried out
    group: str = ""
    recovery_s: float | None = None

    @property
    def row(self) -> str:
        """Its row in the table."""
        return self.whom if self.what == "kill" else f"{self.whom} ({self.what})"


@dataclass(frozen=True)
class PlayedFault:
    """What the model did instead of answering. `row` and `group` place it in the table."""

    row: str
    group: str


@dataclass
class Report:
    """The outcome of one run."""

    strikes: list[Strike] = field(default_factory=list)
    faults: list[PlayedFault] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    lost: int = 0
    repeated: int = 0
    orphans: int = 0
    seconds: float = 0.0

    @property
    def well(self) -> bool:
        """Whether the run completed, with nothing lost, repeated or left behind."""
        return not self.troubles


class StuckError(Exception):
    """The run makes no progress."""


def plan(chance: random.Random) -> tuple[list[Strike], str]:
    """The strikes of one run, in order, and the scenario's text with a fault in it."""
    kinds, weights = list(STRIKES), list(STRIKES.values())
    count = chance.randint(10, 18)
    strikes = []
    if chance.random() < 0.3:  # before anything of the run is durable
        strikes.append(
            Strike("kill", chance.choice(["root", "root", "forkserver", "persistence"]), 0, chance.uniform(0, 1.5))
        )
    for point in sorted(chance.choices(range(len(POINTS)), k=count - len(strikes))):
        what, whom = chance.choices(kinds, weights)[0]
        after_s = 0.0 if POINTS[point][0] and chance.random() < 0.5 else chance.uniform(0, 1.2)
        strikes.append(Strike(what, whom, point, after_s))
    return strikes, with_fault(SCENARIO.read_text("utf-8"), chance)


def with_fault(text: str, chance: random.Random) -> str:
    """The scenario with at most two faults, each before a step that chance chooses."""
    kind = chance.choices(["", *FAULTS], [4, 3, 1, 1])[0]
    marker = "[[turn.step]]\n"
    before, *steps = text.split(marker)
    at = chance.randrange(len(steps))
    further = chance.choices(["", *FURTHER_FAULTS], [6, 1, 1, 1, 1])[0]
    further_at = chance.randrange(len(steps))
    for place, fault in sorted([(at, kind), (further_at, further)], reverse=True):
        if fault:
            steps.insert(place, f"fault = {{ {FURTHER_FAULTS[fault]}, times = 1 }}\n")
    return marker.join([before, *steps])


# --- one run --------------------------------------------------------------------------------------------------


class Run:
    """One run in a world of its own, with its plan. `server` is the real agents' model."""

    orphan_patience_s = 5.0

    def __init__(self, world: World, agents: str, strikes: list[Strike]) -> None:
        self.world = world
        self.words = words_for(agents)
        self.names = names_of(agents)
        self.strikes = strikes
        self.report = Report()
        self.loop = self._start()
        self._restarts: list[float] = []
        self._seen: list[tuple[float, str]] = []  # lines of roots that are gone

    def _start(self) -> Loop:
        return self.world.start(*self.words, "--check", CHECK, DEMO_TASK)

    def play(self) -> Report:
        """Strikes as planned, and follows the run to its end."""
        begun = time.monotonic()
        try:
            for strike in self.strikes:
                if not self._reach(strike.point):
                    break  # the run is over
                time.sleep(strike.after_s)
                self._carry_out(strike)
            self._finish()
        except StuckError as error:
            self.report.troubles.append(str(error)[:2000])
        except Exception:  # a bug of the chaos must not end a campaign of hours
            self.report.troubles.append(traceback.format_exc())
        self.report.seconds = time.monotonic() - begun
        return self.report

    # --- following ---

    def lines(self) -> list[tuple[float, str]]:
        """All lines of all roots, with Unix times."""
        return [*self._seen, *zip(self.loop.times, self.loop.lines, strict=False)]

    def _reached(self) -> int:
        text = "\n".join(line for _, line in self.lines())
        return max(number for number, (pattern, _) in enumerate(POINTS) if re.search(pattern, text))

    def _reach(self, point: int) -> bool:
        """Waits until the run has come this far. False: it has ended before."""
        if self.loop.wait_until(lambda: self._reached() >= point, POINT_PATIENCE_S):
            return True
        if not self.loop.ended:
            raise StuckError(f"stuck before {POINTS[point][0]!r}:\n" + "\n".join(self.loop.lines[-10:]))
        return False

    def _finish(self) -> None:
        deadline = time.monotonic() + POINT_PATIENCE_S
        while self.loop.process.poll() is None and time.monotonic() < deadline:
            self.loop.wait_until(lambda: False, 1.0)
            with suppress(Exception):
                self.loop.process.wait(0.2)
        if self.loop.process.poll() is None:
            raise StuckError("does not end:\n" + "\n".join(self.loop.lines[-10:]))
        if (code := self.loop.wait()) != 0:
            raise StuckError(f"exit status {code}:\n" + "\n".join(self.loop.lines[-10:]))

    # --- striking ---

    def _carry_out(self, strike: Strike) -> None:
        if self.loop.process.poll() is not None:
            return  # too late
        cost = self._cost(strike)
        now = time.time()
        if cost and sum(at > now - 61 for at in self._restarts) + cost > RESTARTS_PER_MINUTE:
            strike.what, strike.whom = "kill", "root"
        if strike.whom == "root":
            self._kill_root(strike)
            return
        self._hit(strike)
        if strike.at:
            self._restarts += [time.time()] * cost

    def _cost(self, strike: Strike) -> int:
        """How many restarts it causes."""
        cost = RESTARTS.get(strike.whom, 1) if (strike.what, strike.whom) != ("stop", "forkserver") else 0
        return cost + (strike.what == "kill at start")

    def _hit(self, strike: Strike) -> None:
        victim = self._victim(strike.whom)
        if victim is None:
            return
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}.get(strike.what)
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # the victim, or another examined process, has ended
            if strike.what == "kill at start":
                self._kill_twice(victim, strike)
            elif number is None:
                self._fill_disk(victim, strike)
            else:
                victim.send_signal(number)
                self._struck(strike)

    def _struck(self, strike: Strike) -> None:
        strike.at = time.time()
        strike.group = POINTS[self._reached()][1]
        self.report.strikes.append(strike)

    def _victim(self, whom: str) -> psutil.Process | None:
        """The process to hit; waits a little while it is being replaced. None: there is none, e.g. no agent yet."""
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline and self.loop.process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                if whom == "forkserver":
                    for child in psutil.Process(self.loop.process.pid).children():
                        if "forkserver" in child.cmdline():
                            return child
                actor = whom.removesuffix("'s agent")
                process = self._actor(actor) if actor in ACTORS else None
                if process is not None and process.status() != psutil.STATUS_ZOMBIE:
                    if actor == whom:
                        return process
                    agents = [child for child in process.children() if is_agent(child)]
                    if agents:
                        return agents[0]
            time.sleep(0.02)
        return None

    def _actor(self, name: str) -> psutil.Process | None:
        ready = [pid for _, actor, pid in readies(self._log()) if actor == name]
        return psutil.Process(ready[-1]) if ready else None

    def homes(self) -> list[Path]:
        """All home directories that have agents' sessions; the run's is the first."""
        return [self.world.home]

    def _log(self) -> str:
        found = [path for path in self.world.home.glob(".loop/runs/*/*/log") if path.exists()]
        return "".join(path.read_text("utf-8", "replace") for path in found)

    def _kill_twice(self, victim: psutil.Process, strike: Strike) -> None:
        """Kills the actor, and then its successor before that is ready."""
        victim.send_signal(signal.SIGKILL)
        self._struck(strike)
        forkserver = self._victim("forkserver")
        deadline = time.monotonic() + 8
        while forkserver is not None and time.monotonic() < deadline:
            ready = {pid for _, _, pid in readies(self._log())}
            newborn = [child for child in forkserver.children() if child.pid not in ready | {victim.pid}]
            if newborn:
                newborn[0].send_signal(signal.SIGKILL)
                strike.at = time.time()
                return
            if any(at > strike.at and actor == strike.whom for at, actor, _ in readies(self._log())):
                return  # it was too quick for us
            time.sleep(0.005)

    def _fill_disk(self, victim: psutil.Process, strike: Strike) -> None:
        """Keeps the files of the persistence process from growing for a while: a full disk, without being root."""
        largest = max(
            (path.stat().st_size for path in self.world.home.glob(".loop/runs/*/*/journal.sqlite-wal")), default=0
        )
        before = resource.prlimit(victim.pid, resource.RLIMIT_FSIZE)  # raises ProcessLookupError when it has ended
        resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, (min(largest, 4096), before[1]))
        self._struck(strike)
        time.sleep(DISK_FULL_S)
        with suppress(ProcessLookupError):
            resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, before)

    def _kill_root(self, strike: Strike) -> None:
        self._restarts.clear()
        self.loop.signal(signal.SIGKILL)
        self._struck(strike)
        self.loop.process.wait()
        self._check_orphans()
        self._resume()

    def _resume(self) -> None:
        """Resumes the run as a user would."""
        self._seen = self.lines()
        run_id = self._run_id()
        if run_id is None:
            self.loop = self._start()
            return
        self.loop = self.world.start(*self.words, "--run-id", run_id)
        # Waits until it says which: a start takes longer on a busy machine, and without its task again the run ends.
        self.loop.wait_until(lambda: UNBEGUN in self.loop.output or "are ready" in self.loop.output, POINT_PATIENCE_S)
        if UNBEGUN in self.loop.output:
            self.loop = self.world.start(*self.words, "--run-id", run_id, "--check", CHECK, DEMO_TASK)

    def _check_orphans(self) -> None:
        try:
            self.world.wait_until_empty(self.orphan_patience_s)
        except AssertionError:
            self._report_orphans(self.world.survivors())

    def _report_orphans(self, orphans: list[psutil.Process]) -> None:
        self.report.orphans += len(orphans)
        self.report.troubles += [f"orphan: {described(orphan)}"[:200] for orphan in orphans]

    def _run_id(self) -> str | None:
        """The id of the run that can be resumed."""
        known = [path for path in self.world.home.glob(".loop/runs/*/*") if run_dir.read_manifest(path)]
        return max(known, key=lambda path: int(path.name)).name if known else None

    # --- afterwards ---

    def awaited(self, strike: Strike) -> tuple[str, ...]:
        """The actors that have to be ready again after the strike."""
        return ACTORS if strike.whom in {"root", "forkserver"} else (strike.whom,)

    def inspect(self) -> None:
        """Checks what the run has left, and measures the recoveries."""
        self._check_orphans()
        run_id = self._run_id()
        if run_id is None:
            self.report.troubles.append("there is no run")
            return
        directory = self.world.run_directory(run_id)
        found = inspect(self.world.home, directory, MAILS, self.homes()[1:])
        self.report.troubles += list(found)
        self.report.lost, self.report.repeated = len(found.lost), len(found.repeated)
        if spent := spent_iterations(directory):
            self.report.troubles.append(f"{spent} iterations were spent on turns that failed")
        log = self._log()
        lines = self.lines()
        for strike in self.report.strikes:
            strike.recovery_s = recovery(strike, log, lines, self.names, self.awaited(strike))


def played_faults(scenario: Scenario, homes: list[Path], server: ModelServer | None) -> list[PlayedFault]:
    """The faults that were played, each as often as it was: the model's record, or the embedded agents' own."""
    if server is not None:
        keys = [request.fault for request in server.requests if request.fault]
    else:
        paths = [path for home in homes for path in home.glob(".loop-embedded/*.jsonl")]
        lines = [line for path in paths for line in path.read_bytes().splitlines()]
        keys = [entry["key"] for line in lines if (entry := read_line(line)).get("kind") == "fault"]
    known = {
        step.action.key: (rule.when.pattern, step.action)
        for rule in scenario.rules
        for step in rule.steps
        if isinstance(step.action, Fault)
    }
    found = []
    for key in keys:
        pattern, fault = known[key]
        row = DROPPED if fault.drop else f"model: HTTP {fault.status}"
        found.append(PlayedFault(row, next(group for rule, group in RULES if re.match(rule, pattern))))
    return found


def read_line(line: bytes) -> dict[str, str]:
    """Empty for one that was torn when its agent was killed."""
    try:
        return json.loads(line)
    except ValueError:
        return {}


def readies(log: str) -> Iterator[tuple[float, str, int]]:
    """When which actor was ready under which pid."""
    pattern = r"^(\S+ \S+) .* (\w+)#\d+ is ready: pid (\d+)$"
    for stamp, actor, pid in re.findall(pattern, log, re.MULTILINE):
        yield datetime.fromisoformat(stamp).timestamp(), actor, int(pid)


def recovery(
    strike: Strike, log: str, lines: list[tuple[float, str]], names: tuple[str, str], wanted: tuple[str, ...]
) -> float | None:
    """Seconds until the victim was ready again. None: it was not needed again, or did not have to return.

    `names`: of the worker and the reviewer, as lines have them. `wanted`: the actors that have to be ready again.
    """
    if strike.what == "full disk" or (strike.what, strike.whom) == ("stop", "forkserver"):
        return None
    if strike.whom.endswith("agent"):
        name = names[strike.whom != "worker's agent"]
        back = [at for at, line in lines if at > strike.at and re.match(rf"\S+ {name} +session ", line)]
        return back[0] - strike.at if back else None
    after = [(at, actor) for at, actor, _ in readies(log) if at > strike.at]
    firsts = [next((at for at, actor in after if actor == name), None) for name in wanted]
    known = [at for at in firsts if at is not None]
    return max(known) - strike.at if known and len(known) == len(wanted) else None


def is_agent(child: psutil.Process) -> bool:
    """Whether this child of an actor is its agent's program, which has a mark of its own, and not a check."""
    with suppress(psutil.Error):
        return child.status() != psutil.STATUS_ZOMBIE and MARK_VARIABLE in child.environ()
    return False


# --- the agents ---------------------------------------------------------------------------------------------------


def names_of(agents: str) -> tuple[str, str]:
    """The run's names of worker and reviewer: of `embedded`, of `real`, or of a pair such as gemini,copilot."""
    pair = {"embedded": "embedded,embedded", "real": "codex,claude"}.get(agents, agents)
    worker, _, reviewer = pair.partition(",")
    return worker, f"{worker}-reviewer" if worker == reviewer else reviewer


def words_for(agents: str) -> list[str]:
    """The words of the command line that choose them."""
    if agents in {"embedded", "real"}:
        return ["--agent", "embedded"] if agents == "embedded" else []
    worker, _, reviewer = agents.partition(",")
    return ["--agent", worker, "--peer", reviewer]


# --- the whole of it ------------------------------------------------------------------------------------------


def planned(seed: int, number: int) -> tuple[list[Strike], str]:
    """What run `number` of this seed gets, whatever other runs there are."""
    return plan(random.Random(f"{seed}:{number}"))


def play(seed: int, number: int, agents: str, limit: int, *, keep: bool) -> tuple[Report, Path]:
    """One run, in a world that is removed again if all is well. Of its strikes, at most `limit`."""
    strikes, scenario_text = planned(seed, number)
    if "gemini" in agents:  # Gemini CLI takes half an answer for a whole one, without an error
        scenario_text = scenario_text.replace(FAULTS[DROPPED], FURTHER_FAULTS["model: HTTP 503"])
    return in_a_world(lambda base: play_in(base, agents, strikes[:limit], scenario_text), keep=keep)


def in_a_world(play_there: Callable[[Path], Report], *, keep: bool) -> tuple[Report, Path]:
    """Plays in a directory of its own, which is removed again if all is well."""
    base = Path(tempfile.mkdtemp(prefix="loop-chaos-"))
    report: Report | None = None
    try:
        report = play_there(base)
    finally:
        if not keep and (report is None or report.well):  # None: interrupted, which says nothing about the run
            shutil.rmtree(base, ignore_errors=True)
    return report, base


def play_in(base: Path, agents: str, strikes: list[Strike], scenario_text: str) -> Report:
    """Plays one run, in a world at `base`, which it always ends; the files stay."""
    scenario = base / "chaos.toml"
    scenario.write_text(scenario_text, "utf-8")
    with World(base) as world:
        world.play_embedded(scenario)
        worker, _, reviewer = agents.partition(",") if agents != "real" else ("codex", "", "claude")
        with world.play_real(scenario, "", worker, reviewer) if agents != "embedded" else nullcontext() as server:
            run = Run(world, agents, strikes)
            try:
                report = run.play()
                run.inspect()
                report.faults = played_faults(load_scenario(scenario), run.homes(), server)
            finally:
                (base / "lines").write_text("\n".join(f"{at:.3f} {line}" for at, line in run.lines()))
                world.end()  # before the model, which remaining agents would ask
    (base / "strikes").write_text("\n".join(map(str, [*report.strikes, *report.faults])))
    return report
