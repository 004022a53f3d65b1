"""Gates: rules that stop a run from continuing by itself. Pure.

A gate reads the state alone and returns what holds the run, or None. `check` calls all of them after each event, only
from `steps.pass_gates`. A gate never depends on the time: a wait is a job, and its answer an event. A newer gate is off
unless the settings switch it on, so that older journals fold to the same state.

Only the end of a turn shows a lasting outage or unreadable verdicts. waits and review handle these, and hold the run in
the same way (`steps.hold_back`).

A gate asks the user with `Hold(kind="ask", by="its name", why="what happened", ask="what to answer")`. It may do so at
any event, whether or not an iteration is due. What runs finishes; what is new or waits is held. Then:

- Where the user can be asked, the question is `why` and `ask`, and the run is `input-required`. A blank answer stops
  the run. Any other text extends the task, for the next turns, and the run resumes where it was.
- Else the run ends `stopped`, with `why` as its last line, and the command that resumes it. A resume is an answer
  without text.

An answer does not silence the gate: it holds the run again unless the state has changed. So a gate that counts names a
function in `ANSWERED`. It gets the state and the text of the answer, and returns the state with a new count, and the
words that extend the task: the whole text, or what remains after a value that the gate reads.

The gate of `max_iterations` alone differs: its question has a phase, `FOLLOW_UP`, and its answer a new count.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from actors.machines.run import budgets, progress
from actors.machines.run.state import Hold, RunState

Gate: TypeAlias = Callable[[RunState], Hold | None]
Answered: TypeAlias = Callable[[RunState, str], tuple[RunState, str]]

ITERATIONS = "max-iterations"

# A failed turn costs an agent start and tokens for nothing. One or two in a row are a transient fault. After five, with
# a cool-down between them, the cause is permanent, and would waste the other fifteen iterations.
MAX_FAILURES_IN_A_ROW = 5


def check(state: RunState) -> Hold | None:
    """The hold of the first gate that applies; None when the run may continue."""
    return next((hold for gate in GATES if (hold := gate(state)) is not None), None)


def max_iterations(state: RunState) -> Hold | None:
    """An iteration is due, and none is left."""
    if state.due is None or state.iteration < state.run.max_iterations:
        return None
    return Hold(kind="ask", by=ITERATIONS, why=out_of_iterations(state))


def failures_in_a_row(state: RunState) -> Hold | None:
    """An iteration is due after too many failed turns in a row."""
    if not state.due or state.failures < MAX_FAILURES_IN_A_ROW:
        return None
    return Hold(kind="fail", by="failures", why=f"{state.failures} turns failed in a row; {state.due}")


GATES: tuple[Gate, ...] = (max_iterations, failures_in_a_row, progress.gate, progress.rounds, budgets.gate)

# What an answer changes in what a gate counts, by the name of the gate (`Hold.by`). The text is "" for a resume.
ANSWERED: Mapping[str, Answered] = {
    progress.STALLED: progress.answered,
    progress.ROUNDS: progress.answered,
    budgets.NAME: budgets.answered,
}


def answered(state: RunState, by: str, text: str) -> tuple[RunState, str]:
    """The state after an answer to this gate's question, and the words that extend the task; "" = a resume."""
    change = ANSWERED.get(by)
    return (state, text) if change is None else change(state, text)


def out_of_iterations(state: RunState) -> str:
    """The message for a run that is out of iterations."""
    return f"iteration {state.iteration} of {state.run.max_iterations} is over, and the task is not proved done"
