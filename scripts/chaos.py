"""The chaos: whole runs whose processes are killed, stopped, cut off and starved of disk, one seeded run after another.

A run gets a plan: strikes, each at a point of the protocol (what the run shows) or a random while after it. After the
run, what the agents' own transcripts, the journal and the process table say is checked (actors/scripted/inspection).
The plan follows from seed and run number alone; when exactly a kill hits is the machine's affair. Linux only.

Columns of the table: `lost` and `repeated` are prompts, mails and verdicts; `orphans` are processes that outlived
their root. Such are seen at the end of a run, so each row has those of the runs in which it was hit. Seconds are from
the kill until the actor that was hit is ready again (of an agent: until its session is open again), with the restart's
back-off in it when the same actor was hit shortly before.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import re
import resource
import shutil
import signal
import sqlite3
import statistics
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psutil

from actors.edges import run_dir
from actors.scripted.inspection import inspect
from actors.scripted.scenario_file import SHIPPED
from actors.scripted.scenarios.demo_repo import DEMO_TASK
from actors.scripted.world import CHECK, Loop, World

SCENARIO = SHIPPED / "chaos.toml"
ACTORS = ("persistence", "bridge", "worker", "reviewer")
MAILS = [f"chaos mail {number}:" for number in range(1, 10)]

# What a run shows, in the order in which it shows it, and the group that a strike then counts for.
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
    ("kill", "worker"): 16,
    ("kill", "reviewer"): 16,
    ("kill", "bridge"): 14,
    ("kill", "persistence"): 14,
    ("kill", "root"): 16,
    ("kill", "nursery"): 4,
    ("kill", "worker's agent"): 8,
    ("kill", "reviewer's agent"): 8,
    ("kill at start", "worker"): 2,
    ("kill at start", "reviewer"): 2,
    ("kill at start", "bridge"): 2,
    ("kill at start", "persistence"): 2,
    ("full disk", "persistence"): 3,
    ("stop", "nursery"): 0.5,
    ("stop", "worker"): 0.5,
    ("stop", "reviewer"): 0.5,
    ("stop", "bridge"): 0.5,
    ("stop", "persistence"): 0.5,
}
FAULTS = {
    "drop": "drop = true",
    "429": "status = 429, resets_in_s = 1",
    "529": "status = 529",
}

# The supervisor allows ten restarts a minute (supervisor/spec.Intensity); a root's own death is not limited.
RESTARTS_PER_MINUTE = 9
RESTARTS = {"nursery": 4, "root": 0, "worker's agent": 0, "reviewer's agent": 0}
POINT_PATIENCE_S = 120.0
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


@dataclass
class Report:
    """What became of one run."""

    strikes: list[Strike] = field(default_factory=list)
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
    """The run does not go on."""


def plan(chance: random.Random) -> tuple[list[Strike], str]:
    """The strikes of one run, in order, and the scenario's text with a fault in it."""
    kinds, weights = list(STRIKES), list(STRIKES.values())
    count = chance.randint(10, 18)
    strikes = []
    if chance.random() < 0.3:  # before anything of the run is durable
        strikes.append(
            Strike("kill", chance.choice(["root", "root", "nursery", "persistence"]), 0, chance.uniform(0, 1.5))
        )
    for point in sorted(chance.choices(range(len(POINTS)), k=count - len(strikes))):
        what, whom = chance.choices(kinds, weights)[0]
        after_s = 0.0 if POINTS[point][0] and chance.random() < 0.5 else chance.uniform(0, 1.2)
        strikes.append(Strike(what, whom, point, after_s))
    return strikes, with_fault(SCENARIO.read_text("utf-8"), chance)


def with_fault(text: str, chance: random.Random) -> str:
    """The scenario with at most one fault, before a step of anybody's choosing."""
    kind = chance.choices(["", *FAULTS], [4, 3, 1, 1])[0]
    marker = "[[turn.step]]\n"
    before, *steps = text.split(marker)
    at = chance.randrange(len(steps))
    if kind:
        steps.insert(at, f"fault = {{ {FAULTS[kind]}, times = 1 }}\n")
    return marker.join([before, *steps])


# --- one run --------------------------------------------------------------------------------------------------


class Run:
    """One run in a world of its own, with its plan."""

    def __init__(self, world: World, agents: str, strikes: list[Strike]) -> None:
        self.world = world
        self.words = ["--agent", "embedded"] if agents == "embedded" else []
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
        except Exception:  # a campaign of hours is not to end with a slip of its own
            self.report.troubles.append(traceback.format_exc())
        self.report.seconds = time.monotonic() - begun
        return self.report

    # --- following ---

    def lines(self) -> list[tuple[float, str]]:
        """All that was shown, by all roots, with Unix times."""
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
        code = self.loop.wait()
        if code == 1 and "scripted fault: HTTP" in self.loop.lines[-3]:  # there is no plan without its turn
            self._resume()
            self._finish()
        elif code != 0:
            raise StuckError(f"exit status {code}:\n" + "\n".join(self.loop.lines[-10:]))

    # --- striking ---

    def _carry_out(self, strike: Strike) -> None:
        if self.loop.process.poll() is not None:
            return  # too late
        cost = RESTARTS.get(strike.whom, 1) if (strike.what, strike.whom) != ("stop", "nursery") else 0
        cost += strike.what == "kill at start"
        now = time.time()
        if cost and sum(at > now - 61 for at in self._restarts) + cost > RESTARTS_PER_MINUTE:
            strike.what, strike.whom = "kill", "root"
        if strike.whom == "root":
            self._kill_root(strike)
            return
        victim = self._victim(strike.whom)
        if victim is None:
            return
        number = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}.get(strike.what)
        with suppress(psutil.NoSuchProcess):
            if strike.what == "kill at start":
                self._kill_twice(victim, strike)
            elif number is None:
                self._fill_disk(victim, strike)
            else:
                victim.send_signal(number)
                self._struck(strike)
            self._restarts += [time.time()] * cost

    def _struck(self, strike: Strike) -> None:
        strike.at = time.time()
        strike.group = POINTS[self._reached()][1]
        self.report.strikes.append(strike)

    def _victim(self, whom: str) -> psutil.Process | None:
        """The process to hit; waits a little while it is being replaced. None: there is none, e.g. no agent yet."""
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline and self.loop.process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                if whom == "nursery":
                    for child in psutil.Process(self.loop.process.pid).children():
                        if "nursery" in child.cmdline():
                            return child
                actor = whom.removesuffix("'s agent")
                process = self._actor(actor) if actor in ACTORS else None
                if process is not None and process.status() != psutil.STATUS_ZOMBIE:
                    if actor == whom:
                        return process
                    agents = [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
                    if agents:
                        return agents[0]
            time.sleep(0.02)
        return None

    def _actor(self, name: str) -> psutil.Process | None:
        ready = [pid for _, actor, pid in readies(self._log()) if actor == name]
        return psutil.Process(ready[-1]) if ready else None

    def _log(self) -> str:
        found = [path for path in self.world.home.glob(".loop/runs/*/*/log") if path.exists()]
        return "".join(path.read_text("utf-8", "replace") for path in found)

    def _kill_twice(self, victim: psutil.Process, strike: Strike) -> None:
        """The actor, and then its successor before that is ready."""
        victim.send_signal(signal.SIGKILL)
        self._struck(strike)
        nursery = self._victim("nursery")
        deadline = time.monotonic() + 8
        while nursery is not None and time.monotonic() < deadline:
            ready = {pid for _, _, pid in readies(self._log())}
            newborn = [child for child in nursery.children() if child.pid not in ready | {victim.pid}]
            if newborn:
                newborn[0].send_signal(signal.SIGKILL)
                strike.at = time.time()
                return
            if any(at > strike.at and actor == strike.whom for at, actor, _ in readies(self._log())):
                return  # it was too quick for us
            time.sleep(0.005)

    def _fill_disk(self, victim: psutil.Process, strike: Strike) -> None:
        """Files of the persistence process cannot grow for a while: what a full disk is to it, without being root."""
        largest = max(
            (path.stat().st_size for path in self.world.home.glob(".loop/runs/*/*/journal.sqlite-wal")), default=0
        )
        before = resource.prlimit(victim.pid, resource.RLIMIT_FSIZE)
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
        """As a person would."""
        self._seen = self.lines()
        run_id = self._run_id()
        if run_id is None:
            self.loop = self._start()
            return
        self.loop = self.world.start(*self.words, "--run-id", run_id)
        if self.loop.wait_until(lambda: any("give its task again" in line for line in self.loop.lines), 0.5):
            self.loop = self.world.start(*self.words, "--run-id", run_id, "--check", CHECK, DEMO_TASK)

    def _check_orphans(self) -> None:
        try:
            self.world.wait_until_empty(5)
        except AssertionError:
            self._report_orphans(self.world.survivors())

    def _report_orphans(self, orphans: list[psutil.Process]) -> None:
        self.report.orphans += len(orphans)
        for orphan in orphans:
            with suppress(psutil.Error):
                self.report.troubles.append(f"orphan: {orphan.pid} {orphan.cmdline()}"[:200])

    def _run_id(self) -> str | None:
        """Of the run that can be resumed."""
        known = [path for path in self.world.home.glob(".loop/runs/*/*") if run_dir.read_manifest(path)]
        return max(known, key=lambda path: int(path.name)).name if known else None

    # --- afterwards ---

    def inspect(self) -> None:
        """Checks what is left of the run, and measures the recoveries."""
        self._check_orphans()
        run_id = self._run_id()
        if run_id is None:
            self.report.troubles.append("there is no run")
            return
        directory = self.world.run_directory(run_id)
        found = inspect(self.world.home, directory, None if refused(directory) else MAILS)
        self.report.troubles += list(found)
        self.report.lost, self.report.repeated = len(found.lost), len(found.repeated)
        log = self._log()
        lines = self.lines()
        for strike in self.report.strikes:
            strike.recovery_s = recovery(strike, log, lines)


def refused(directory: Path) -> bool:
    """Whether the model has refused to answer in the middle of a turn, which was then begun anew as another one."""
    with closing(sqlite3.connect(f"file:{directory / 'journal.sqlite'}?mode=ro", uri=True)) as db:
        return bool(db.execute("SELECT 1 FROM events WHERE body LIKE '%scripted fault: HTTP%'").fetchone())


def readies(log: str) -> Iterator[tuple[float, str, int]]:
    """When which actor was ready under which pid."""
    pattern = r"^(\S+ \S+) .* (\w+)#\d+ is ready: pid (\d+)$"
    for stamp, actor, pid in re.findall(pattern, log, re.MULTILINE):
        yield datetime.fromisoformat(stamp).timestamp(), actor, int(pid)


def recovery(strike: Strike, log: str, lines: list[tuple[float, str]]) -> float | None:
    """Seconds until what was hit was back. None: it was not needed again, or nothing had to come back."""
    if strike.what == "full disk" or (strike.what, strike.whom) == ("stop", "nursery"):
        return None
    if strike.whom.endswith("agent"):
        role = strike.whom.removesuffix("'s agent")
        name = r"(embedded|codex)" if role == "worker" else r"(embedded-reviewer|claude)"
        back = [at for at, line in lines if at > strike.at and re.match(rf"\S+ {name} +session ", line)]
        return back[0] - strike.at if back else None
    after = [(at, actor) for at, actor, _ in readies(log) if at > strike.at]
    wanted = ACTORS if strike.whom in {"root", "nursery"} else (strike.whom,)
    firsts = [next((at for at, actor in after if actor == name), None) for name in wanted]
    known = [at for at in firsts if at is not None]
    return max(known) - strike.at if len(known) == len(wanted) else None


# --- the campaign ---------------------------------------------------------------------------------------------


def planned(number: int, seed: int) -> tuple[list[Strike], str]:
    """What run `number` gets, whatever other runs there are."""
    return plan(random.Random(f"{seed}:{number}"))


def play(number: int, options: argparse.Namespace, limit: int) -> tuple[Report, Path]:
    """One run, in a world that is removed again if all is well. Of its strikes, at most `limit`."""
    strikes, scenario_text = planned(number, options.seed)
    strikes = strikes[:limit]
    base = Path(tempfile.mkdtemp(prefix="loop-chaos-"))
    world = World(base)
    scenario = base / "chaos.toml"
    scenario.write_text(scenario_text, "utf-8")
    world.play_embedded(scenario)
    with world.play_real(scenario) if options.agents == "real" else nullcontext():
        run = Run(world, options.agents, strikes)
        try:
            report = run.play()
            run.inspect()
        finally:
            (base / "lines").write_text("\n".join(f"{at:.3f} {line}" for at, line in run.lines()))
            world.end()
    (base / "strikes").write_text("\n".join(str(strike) for strike in report.strikes))
    if report.well and not options.keep:
        shutil.rmtree(base, ignore_errors=True)
    return report, base


def show_table(reports: list[Report]) -> None:
    """Roles down, points of the protocol across, then what became of it."""
    cells: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    times: dict[str, list[float]] = defaultdict(list)
    recovered: dict[str, int] = defaultdict(int)
    for report in reports:
        for strike in report.strikes:
            cells[strike.row][strike.group] += 1
            recovered[strike.row] += report.well
            if strike.recovery_s is not None:
                times[strike.row].append(strike.recovery_s)
    print(f"| hit | {' | '.join(GROUPS)} | hits | recovered | lost | repeated | orphans | p50 s | p95 s |")
    print("| --- |" + " ---: |" * (len(GROUPS) + 7))
    for row in sorted(cells, key=lambda name: ("(" in name, name)):
        counts = " | ".join(str(cells[row][group] or "") for group in GROUPS)
        harm = harms([report for report in reports if any(strike.row == row for strike in report.strikes)])
        numbers = " | ".join(map(str, (sum(cells[row].values()), recovered[row], *harm)))
        print(f"| {row} | {counts} | {numbers} | {percentiles(times[row])} |")
    totals = " | ".join(str(sum(cells[row][group] for row in cells)) for group in GROUPS)
    everything = [second for row in times.values() for second in row]
    hits = sum(len(report.strikes) for report in reports)
    lost, repeated, orphans = harms(reports)
    numbers = " | ".join(map(str, (hits, sum(recovered.values()), lost, repeated, orphans)))
    print(f"| all | {totals} | {numbers} | {percentiles(everything)} |")
    print(
        f"\n{len(reports)} runs, {hits} hits, {sum(recovered.values())} recovered; "
        f"{lost} lost, {repeated} repeated, {orphans} orphans"
    )


def harms(reports: list[Report]) -> tuple[int, int, int]:
    """What was lost, repeated and left behind in these runs."""
    return (
        sum(report.lost for report in reports),
        sum(report.repeated for report in reports),
        sum(report.orphans for report in reports),
    )


def percentiles(seconds: list[float]) -> str:
    """The 50th and the 95th."""
    if not seconds:
        return " | "
    ordered = sorted(seconds)
    return f"{statistics.median(ordered):.2f} | {ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))]:.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description="Kills whole runs at random and checks them.")
    parser.add_argument("--kills", type=int, default=100, help="how many hits in all (100)")
    parser.add_argument("--seed", type=int, default=1, help="what the plans of all runs follow from (1)")
    parser.add_argument("--agents", choices=["embedded", "real"], default="embedded")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs side by side (1)")
    parser.add_argument("--keep", action="store_true", help="leave all worlds where they are")
    parser.add_argument("--run", type=int, help="play only the run with this number")
    options = parser.parse_args()
    if not hasattr(resource, "prlimit"):
        print("[chaos] needs Linux: prlimit and /proc", file=sys.stderr)
        return 2
    reports: list[Report] = []
    try:
        for number, report, base in campaign(options):
            reports.append(report)
            show_run(number, report, base, options)
    except KeyboardInterrupt:  # enough: what was seen so far still counts
        pass
    show_table(reports)
    return 0 if all(report.well for report in reports) else 1


def campaign(options: argparse.Namespace) -> Iterator[tuple[int, Report, Path]]:
    """Runs as they end, `jobs` at a time, each in a process and a world of its own, until there were enough hits."""
    if options.run is not None:
        yield options.run, *play(options.run, options, options.kills)
        return
    left, number = options.kills, 0
    playing: dict[Future[tuple[Report, Path]], tuple[int, int]] = {}  # run and its planned hits
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        while left > 0 or playing:
            while left > 0 and len(playing) < options.jobs:
                number += 1
                count = min(left, len(planned(number, options.seed)[0]))
                playing[pool.submit(play, number, options, count)] = (number, count)
                left -= count
            for ended in wait(playing, return_when=FIRST_COMPLETED).done:
                run, count = playing.pop(ended)
                report, base = ended.result()
                left += count - len(report.strikes)  # not every strike finds somebody to hit
                yield run, report, base


def show_run(number: int, report: Report, base: Path, options: argparse.Namespace) -> None:
    """A line, and what is wrong."""
    hits = ", ".join(f"{strike.row}@{strike.group}" for strike in report.strikes)
    word = "ok" if report.well else "NOT WELL"
    print(f"run {number}: {word}, {len(report.strikes)} hits, {report.seconds:.0f} s: {hits}", flush=True)
    if not report.well:
        for trouble in report.troubles:
            print(f"    {trouble}")
        again = f"scripts/chaos --seed {options.seed} --run {number} --agents {options.agents} --keep"
        print(f"    its world is left in {base}; to play it again: {again}", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    sys.exit(main())
