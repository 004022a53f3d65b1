"""Gates: rules that stop a run from continuing by itself. Pure.

A gate reads the state alone and returns what holds the run, or None. `check` calls all of them after each event, only
from `steps.pass_gates`. A gate never depends on the time: a wait is a job, and its answer an event. A newer gate is off
unless the settings switch it on, so that older journals fold to the same state.

Only the end of a turn shows a lasting outage or unreadable verdicts. waits and review handle these, and hold the run in
the same way (`steps.hold_back`).
"""

from __future__ import annotations

from collections.abc import Callable

from actors.machines.run.state import Hold, RunState

Gate = Callable[[RunState], Hold | None]

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
    return Hold(kind="ask", by="max-iterations", why=out_of_iterations(state))


def failures_in_a_row(state: RunState) -> Hold | None:
    """An iteration is due after too many failed turns in a row."""
    if not state.due or state.failures < MAX_FAILURES_IN_A_ROW:
        return None
    return Hold(kind="fail", by="failures", why=f"{state.failures} turns failed in a row; {state.due}")


GATES: tuple[Gate, ...] = (max_iterations, failures_in_a_row)


def out_of_iterations(state: RunState) -> str:
    """The message for a run that is out of iterations."""
    return f"iteration {state.iteration} of {state.run.max_iterations} is over, and the task is not proved done"
