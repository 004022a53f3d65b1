"""What keeps a run from going on by itself: gates. Pure.

A gate reads the state alone and says what holds the run, or None. `check` asks all of them after each event, at one
place (`steps.pass_gates`); nobody else does. What depends on the time is not for a gate: a wait is a job, and its
answer an event. A gate that older versions did not have is off unless the settings switch it on, so that their
journals fold to what they came to.

What only the end of one turn shows (a provider that stays away, verdicts that nobody can read) is found where that end
is understood, in waits and review, and holds the run in the same way (`steps.hold_back`).
"""

from __future__ import annotations

from collections.abc import Callable

from actors.machines.run.state import Hold, RunState

Gate = Callable[[RunState], Hold | None]

# A turn that fails costs an agent start and tokens and brings nothing. One or two in a row are a passing fault; after
# five, each with a cool-down between, the cause is not passing, and the other fifteen iterations would be burnt on it.
MAX_FAILURES_IN_A_ROW = 5


def check(state: RunState) -> Hold | None:
    """What the first gate that holds the run says; None when it may go on."""
    return next((hold for gate in GATES if (hold := gate(state)) is not None), None)


def max_iterations(state: RunState) -> Hold | None:
    """An iteration is due, and none is left."""
    if state.due is None or state.iteration < state.run.max_iterations:
        return None
    return Hold(kind="ask", by="max-iterations", why=out_of_iterations(state))


def failures_in_a_row(state: RunState) -> Hold | None:
    """An iteration is due after a turn that failed, as those before it did."""
    if not state.due or state.failures < MAX_FAILURES_IN_A_ROW:
        return None
    return Hold(kind="fail", by="failures", why=f"{state.failures} turns failed in a row; {state.due}")


GATES: tuple[Gate, ...] = (max_iterations, failures_in_a_row)


def out_of_iterations(state: RunState) -> str:
    """That it is, in words."""
    return f"iteration {state.iteration} of {state.run.max_iterations} is over, and the task is not proved done"
