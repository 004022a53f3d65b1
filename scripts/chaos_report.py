"""What one run of the chaos came to: its recoveries, the faults that were played, and what was lost or left behind."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from actors.embedded.scenario import Fault, Scenario
from scripts.chaos_plan import DROPPED, Strike
from tests.lab.model_server import ModelServer

# Which rule of the scenario a fault was played in, by its pattern.
RULES = [
    (r"\^Plan", "plan"),
    (r"\^Iteration", "work"),
    (r"\^Review round", "review"),
    (r"\^Message from", "mail"),
    (r"\^Draft pull request", "end"),
]


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
