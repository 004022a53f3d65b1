"""What one run of the chaos gets: its strikes, and the faults of its model. All follows from seed and run number.

The exact moment of a kill depends on the machine.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.lab.world import SCENARIOS

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


def planned(seed: int, number: int) -> tuple[list[Strike], str]:
    """What run `number` of this seed gets, whatever other runs there are."""
    return plan(random.Random(f"{seed}:{number}"))
