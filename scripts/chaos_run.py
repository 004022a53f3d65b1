"""One run of the chaos: it strikes as chaos_plan says, and looks at what the run leaves behind.

Afterwards the agents' own transcripts, the journal and the process table are compared (tests/lab/inspection). Linux
only.
"""

from __future__ import annotations

import re
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from pathlib import Path

import psutil

from actors.edges import run_dir
from actors.edges.marked_processes import MARK_VARIABLE
from actors.embedded.scenario_file import load_scenario
from scripts.chaos_plan import ACTORS, DROPPED, FAULTS, FURTHER_FAULTS, MAILS, POINTS, Strike, planned
from scripts.chaos_report import Report, played_faults, readies, recovery
from tests.lab.demo_repo import DEMO_TASK
from tests.lab.inspection import inspect, spent_iterations
from tests.lab.world import CHECK, PATIENCE_S, Loop, World, described

# The supervisor allows ten restarts a minute (supervisor/spec.Intensity); a root's own death is not limited.
RESTARTS_PER_MINUTE = 9
RESTARTS = {"forkserver": 5, "root": 0, "worker's agent": 0, "reviewer's agent": 0}
POINT_PATIENCE_S = PATIENCE_S
VICTIM_PATIENCE_S = 30.0  # for one that is being replaced
UNBEGUN = "give its task again"  # the message of a run that was killed before it knew its task
DISK_FULL_S = 2.0


class StuckError(Exception):
    """The run makes no progress."""


# --- one run --------------------------------------------------------------------------------------------------


class Run:
    """One run in a world of its own, with its plan. `server` is the real agents' model."""

    orphan_patience_s = PATIENCE_S  # an orphan never ends; what is ending may take long on a busy machine

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
        deadline = time.monotonic() + VICTIM_PATIENCE_S
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


def note_down(path: Path, lines: Iterable[object]) -> None:
    """Keeps what is of use when a run was not well. Never raises: it is called while an error is on its way, which is
    the one to be shown, and the folder may be gone.
    """
    with suppress(OSError):
        path.write_text("\n".join(map(str, lines)))


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
                note_down(base / "lines", [f"{at:.3f} {line}" for at, line in run.lines()])
                world.end()  # before the model, which remaining agents would ask
    (base / "strikes").write_text("\n".join(map(str, [*report.strikes, *report.faults])))
    return report
