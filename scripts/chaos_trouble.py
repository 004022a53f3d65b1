"""The chaos of troubles: runs that meet limits, silence, refusals, idle turns, bad verdicts and kills, from a seed.

Each run has one to three kinds of trouble, each of which knows how a run with it may end: completed, or failed or
stopped with this cause in its last words. Nothing else is well. The plan follows from seed and run number alone. Linux
only: kills are those of chaos_run.py.
"""

from __future__ import annotations

import random
import re
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from actors.clock import wall_ms
from actors.machines.usage import together
from scripts.chaos_plan import POINTS, SCENARIO, Strike
from scripts.chaos_report import Report
from scripts.chaos_run import POINT_PATIENCE_S, Run, StuckError, note_down
from shell import run_files
from tests.lab.inspection import inspect
from tests.lab.world import CHECK, Loop, World

COMPLETED = r"completed: .*"
STEP = "[[turn.step]]\n"
TOKENS_PER_TURN = 1_000
MAX_TOKENS = 6_500
# The turn that crosses the budget. Embedded agents say what a turn has used at its end alone.
TAIL_TURNS = 1
FORGIVING = 0.6  # how often a run has none but troubles that it must survive
END = re.compile(r"^\[loop\] run \S+ ((?:completed|failed|stopped|input-required).*)$")
STATES = ("completed", "failed", "stopped", "input-required")

# Each run comes to a step of these rules, whatever else happens to it: where a fault is put.
_REACHED = ("^Plan review", "^Plan\\\\b", "^Iteration 1")


@dataclass(frozen=True)
class Trouble:
    """One kind. `ends`: how a run with it may end. `fault` is put before a step, `rules` before all others."""

    ends: tuple[str, ...] = (COMPLETED,)
    fault: str = ""
    rules: str = ""
    words: tuple[str, ...] = ()
    scenario: str = ""  # a line for the whole scenario

    @property
    def may_complete(self) -> bool:
        """Whether a run must survive it."""
        return self.ends == (COMPLETED,)


def _says(role: str, when: str, *steps: str) -> str:
    lines = [f'[[turn]]\nrole = "{role}"\nwhen = "{when}"\n']
    return "".join([*lines, *(f"{STEP}{step}\n" for step in steps)])


_STALLED = r"stopped: no progress: .*"
_SILENT = ("--silence", "4s")
_DONE = "say = '''\nI am done.\n\n<promise>DONE</promise>'''"
_PASS = "say = '<review>PASS</review>'"
_DIAGNOSIS = 'say = "I cannot tell why."'
_WORKS = """run = 'sed -i.bak "s/Hello {name}/Hello, {name}!/" greeting.py'"""
_HANGS_ONCE = "test -e .git/hung || { touch .git/hung; sleep 1000; }"
_LIMITED = "status = 429, resets_in_s = 4, everywhere = true"
_FAIL = "say = '''\n{}\n\n<review>FAIL</review>'''"

TROUBLES: dict[str, Trouble] = {
    "limit with a reset": Trouble(fault="status = 429, resets_in_s = 1, everywhere = true"),
    "limit, --no-wait": Trouble(
        ends=(r"(?:failed|stopped): .*limit.*--no-wait.*",),
        fault="status = 429, resets_in_s = 600, times = 99",
        words=("--no-wait",),
    ),
    "outage": Trouble(fault="status = 529, times = 3, everywhere = true"),
    "outage, --max-wait": Trouble(
        ends=(r"failed: .*HTTP status (?:529|429).*--max-wait.*",),  # a limit besides is not waited for either
        fault="status = 529, times = 99",
        words=("--max-wait", "2s"),
    ),
    "cut stream": Trouble(fault="drop = true, everywhere = true"),
    "silence, once": Trouble(fault="hang = true, everywhere = true", words=_SILENT),
    "silence, twice": Trouble(fault="hang = true, times = 2, everywhere = true", words=_SILENT),
    "silence, for ever": Trouble(
        ends=(r"failed: .*silent.*",),
        fault="hang = true, times = 99",
        words=_SILENT,
    ),
    "no credit, once": Trouble(fault='refuses = "billing", everywhere = true'),
    "no credit": Trouble(ends=(r"failed: .*insufficient_quota.*",), fault='refuses = "billing", times = 99'),
    "logged out": Trouble(ends=(r"failed: .*HTTP status 401.*",), fault="status = 401, times = 99"),
    "full context, once": Trouble(fault='refuses = "context", everywhere = true'),
    "full context": Trouble(ends=(r"failed: .*prompt is too long.*",), fault='refuses = "context", times = 99'),
    "idle turns": Trouble(ends=(_STALLED,), rules=_says("worker", "^Iteration", 'say = "I have looked at it."')),
    "garbage verdict, once": Trouble(
        rules=_says("reviewer", "^Review round \\\\d+: verdict", "say = '<review>PASS</review>'")
        + _says("reviewer", "^Review round 1\\\\b", 'say = "Hm, well."')
    ),
    "garbage verdicts": Trouble(
        ends=(r"(?:failed|stopped): no verdict can be read: .*",),
        rules=_says("reviewer", "^Review round", 'say = "Hm, well."'),
    ),
    "findings that oscillate": Trouble(
        ends=(_STALLED,),
        rules=_says("worker", "^Iteration \\\\d*[13579]\\\\b", _WORKS, "run = 'echo tabs > style'", _DONE)
        + _says("worker", "^Iteration", _WORKS, "run = 'echo spaces > style'", _DONE)
        + _says("reviewer", "^Review round \\\\d*[13579]\\\\b", _FAIL.format("style:1: use spaces, not tabs"))
        + _says("reviewer", "^Review round", _FAIL.format("style:1: use tabs, not spaces")),
    ),
    "review that never ends": Trouble(
        ends=(r"stopped: \d+ review rounds are over, and the work is not approved.*", _STALLED),
        rules=_says("worker", "^Iteration", _WORKS, "run = 'date +%N >> style'", _DONE)
        + _says("reviewer", "^Review round", _FAIL.format("style:1: another name would be better")),
        words=("--max-rounds", "4"),
    ),
    "check that never passes": Trouble(ends=(_STALLED,), words=("--check", "test -e never")),
    "tool that hangs": Trouble(
        rules=_says("worker", "^Iteration 1\\\\b", f"run = '{_HANGS_ONCE}'", _WORKS, _DONE),
        words=(*_SILENT, "--tool-timeout", "5s"),
    ),
    "limit, --at-limit swap": Trouble(
        rules=_says("worker", "^Iteration 1\\\\b", f"fault = {{ {_LIMITED} }}", _WORKS, _DONE)
        + _says("reviewer", "^Iteration", _WORKS, _DONE),
        words=("--at-limit", "swap"),
    ),
    "reviewer logged out, skipped": Trouble(
        rules=_says("reviewer", "^Review round", "fault = { status = 401, times = 99 }", _PASS),
        words=("--on-unavailable", "skip"),
    ),
    "budget of tokens": Trouble(
        ends=(r"stopped: the budget is used up: .*--max-tokens.*",),
        words=("--max-tokens", str(MAX_TOKENS)),
        scenario=f"tokens_per_turn = {TOKENS_PER_TURN}",
    ),
    "budget of time": Trouble(
        ends=(r"stopped: the budget is used up: .*--max-time.*", COMPLETED),  # kill -9 loses some of the time
        words=("--max-time", "4s"),
    ),
}
# Only one of each group in a run: of those that decide how the agents behave, and of silences, which add up.
_ALONE = (
    {name for name, trouble in TROUBLES.items() if trouble.rules},
    {name for name in TROUBLES if name.startswith("silence")},
)


@dataclass
class TroubleReport(Report):
    """The outcome of one run with troubles. `end`: how it ended, and its last words."""

    names: tuple[str, ...] = ()
    end: str = ""
    tokens: int = 0

    @property
    def state(self) -> str:
        """How it ended."""
        return self.end.partition(":")[0]


@dataclass
class Plan:
    """What one run gets."""

    names: tuple[str, ...]
    strikes: list[Strike] = field(default_factory=list)
    scenario: str = ""

    @property
    def troubles(self) -> list[Trouble]:
        """Its troubles."""
        return [TROUBLES[name] for name in self.names]

    @property
    def words(self) -> tuple[str, ...]:
        """Its options; those of one flag once."""
        found: dict[str, tuple[str, ...]] = {}
        for trouble in self.troubles:
            words = list(trouble.words)
            while words:
                flag = words.pop(0)
                value = (words.pop(0),) if words and not words[0].startswith("--") else ()
                found.setdefault(flag, (flag, *value))
        return tuple(word for words in found.values() for word in words)

    def fits(self, end: str) -> bool:
        """Whether a run with these troubles may end so. One that it cannot survive decides, and any of several."""
        fatal = [trouble for trouble in self.troubles if not trouble.may_complete]
        allowed = [pattern for trouble in fatal or self.troubles for pattern in trouble.ends]
        return any(re.fullmatch(pattern, end, re.DOTALL) for pattern in allowed or (COMPLETED,))


def planned(seed: int, number: int) -> Plan:
    """What run `number` of this seed gets."""
    chance = random.Random(f"trouble:{seed}:{number}")
    forgiving = [name for name, trouble in TROUBLES.items() if trouble.may_complete]
    fatal = [name for name, trouble in TROUBLES.items() if not trouble.may_complete]
    names = chance.sample(forgiving, chance.randint(1, 3 if chance.random() < FORGIVING else 2))
    if chance.random() > FORGIVING:
        names = [chance.choice(fatal), *names[:1]]
    for group in _ALONE:
        surplus = [name for name in names if name in group][1:]
        names = [name for name in names if name not in surplus]
    plan = Plan(tuple(names), _strikes(chance))
    plan.scenario = _scenario(plan, chance)
    return plan


def _strikes(chance: random.Random) -> list[Strike]:
    kinds = ["root", "worker", "reviewer", "run", "bridge", "persistence", "worker's agent", "reviewer's agent"]
    points = sorted(chance.choices(range(len(POINTS) - 8), k=chance.choice([0, 1, 2, 3])))
    return [Strike("kill", chance.choice(kinds), point, chance.uniform(0, 1.0)) for point in points]


def _scenario(plan: Plan, chance: random.Random) -> str:
    """The chaos's own scenario with the troubles in it."""
    text = SCENARIO.read_text("utf-8")
    for trouble in plan.troubles:
        if trouble.fault:
            text = _with_fault(text, trouble.fault, chance)
    rules = "\n".join(trouble.rules for trouble in plan.troubles)
    lines = "\n".join(trouble.scenario for trouble in plan.troubles)
    return f"{lines}\n{rules}\n{_says('worker', '^Diagnosis', _DIAGNOSIS)}\n{text}"


def _with_fault(text: str, fault: str, chance: random.Random) -> str:
    """The fault before a step that each run comes to."""
    rules = text.split("[[turn]]\n")
    place = chance.choice([number for number, rule in enumerate(rules) if any(each in rule for each in _REACHED)])
    head, *steps = rules[place].split(STEP)
    steps.insert(chance.randrange(len([step for step in steps if "if_result" not in step])), f"fault = {{ {fault} }}\n")
    rules[place] = STEP.join([head, *steps])
    return "[[turn]]\n".join(rules)


class TroubledRun(Run):
    """A run that may end otherwise than completed."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._options = plan.words
        super().__init__(world, "embedded", plan.strikes)
        self.words = [*self.words, *plan.words]

    def _start(self) -> Loop:
        return self.world.start(*self.words, *self._options, "--check", CHECK, TASK)

    def _finish(self) -> None:
        deadline = time.monotonic() + POINT_PATIENCE_S
        while self.loop.process.poll() is None and time.monotonic() < deadline:
            self.loop.wait_until(lambda: False, 1.0)
            with suppress(Exception):
                self.loop.process.wait(0.2)
        if self.loop.process.poll() is None:
            raise StuckError("does not end:\n" + "\n".join(self.loop.lines[-10:]))
        self.loop.wait()

    @property
    def end(self) -> str:
        """How it ended, in its last words; "" = it never said."""
        return next((hit[1] for line in reversed(self.loop.lines) if (hit := END.match(line))), "")


def play(seed: int, number: int, *, keep: bool) -> tuple[TroubleReport, Path]:
    """One run, in a world that is removed again if all is well."""
    plan = planned(seed, number)
    base = Path(tempfile.mkdtemp(prefix="loop-trouble-"))
    report: TroubleReport | None = None
    try:
        report = _play_in(base, plan)
    finally:
        if not keep and (report is None or report.well):
            shutil.rmtree(base, ignore_errors=True)
    return report, base


def _play_in(base: Path, plan: Plan) -> TroubleReport:
    scenario = base / "trouble.toml"
    scenario.write_text(plan.scenario, "utf-8")
    with World(base) as world:
        world.play_embedded(scenario)
        run = TroubledRun(world, plan)
        try:
            played = run.play()
            found = TroubleReport(**vars(played), names=plan.names, end=run.end)
            _inspect(world, run, plan, found)
        finally:
            note_down(base / "lines", [f"{at:.3f} {line}" for at, line in run.lines()])
            world.end()
    return found


def _inspect(world: World, run: TroubledRun, plan: Plan, found: TroubleReport) -> None:
    """The end is one that its troubles explain; nothing is lost, repeated, left behind or overdrawn."""
    if not plan.fits(found.end):
        found.troubles.append(f"it ended: {found.end or 'without a word'}")
    run.report = found
    if run.loop.process.poll() is None:
        run.loop.end()  # it is stuck, and the processes below it are no orphans
        world.wait_until_empty(10)
    run._check_orphans()
    run_id = run._run_id()
    if run_id is None:
        found.troubles.append("there is no run")
        return
    directory = world.run_directory(run_id)
    facts = inspect(world.home, directory)
    if found.state != "completed":  # what it had not come to is not lost
        facts.lost = [each for each in facts.lost if "never had the mail" not in each]
        facts.broken = [each for each in facts.broken if "is not what the journal has" in each or "journal:" in each]
    found.troubles += list(facts)
    found.lost, found.repeated = len(facts.lost), len(facts.repeated)
    files = run_files.look_at(directory)
    status = run_files.report(files, wall_ms()).status if files is not None else None
    if status is not None:
        spent = together(each.usage for each in status.spent)
        found.tokens = spent.input_tokens + spent.output_tokens
    if "budget of tokens" in plan.names and found.tokens > MAX_TOKENS + TAIL_TURNS * TOKENS_PER_TURN:
        found.troubles.append(f"{found.tokens} tokens were used, and the budget was {MAX_TOKENS}")


# --- what is shown ----------------------------------------------------------------------------------------------------


def show_table(reports: list[TroubleReport]) -> None:
    """A row for each kind of trouble: how the runs that met it ended. A run with several is in each of their rows."""
    print(f"| trouble | runs | {' | '.join(STATES)} | not explained | lost | repeated | orphans |")
    print("| --- |" + " ---: |" * (len(STATES) + 5))
    for name in TROUBLES:
        if met := [report for report in reports if name in report.names]:
            print(_row(name, met))
    print(_row("with kills besides", [report for report in reports if report.strikes]))
    print(_row("all", reports))
    hits, well = sum(len(report.strikes) for report in reports), sum(report.well for report in reports)
    lost, repeated, orphans = (sum(getattr(each, what) for each in reports) for what in ("lost", "repeated", "orphans"))
    tokens = max((report.tokens for report in reports if "budget of tokens" in report.names), default=0)
    print(
        f"\n{len(reports)} runs, {well} ended as their troubles explain, {hits} kills; "
        f"{lost} lost, {repeated} repeated, {orphans} orphans; "
        f"budgets of {MAX_TOKENS:,} tokens: {tokens:,} at most, and a turn is {TOKENS_PER_TURN:,}",
        flush=True,
    )


def _row(name: str, reports: list[TroubleReport]) -> str:
    counts = [sum(report.state == state for report in reports) for state in STATES]
    wrong = sum(not report.well for report in reports)
    harm = [sum(getattr(each, what) for each in reports) for what in ("lost", "repeated", "orphans")]
    return f"| {name} | {' | '.join(map(str, (len(reports), *counts, wrong, *harm)))} |"


TASK = "Make the greeting polite"
