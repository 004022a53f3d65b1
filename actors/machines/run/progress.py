"""No progress: an iteration after the other without effect. First the worker is asked why, then the user. Pure.

Three signs, each counted when an iteration is over:

- The tree is as it was at the end of an earlier iteration, or before the first. `max_stalled` times in a row: one such
  iteration may be a look around, a second one a finding refused with a reason. A tree that comes back is counted, too:
  changes that are taken back and made again are no progress. Files that git ignores do not count. Only work turns that
  finished count: no plan, no mail, no review, and no turn that was interrupted or failed.
- The number of failing checks does not fall below its lowest, while the tree changes. `max_stalled` + 2 times in a row:
  checks stop at the first that fails, so a single check is coarse.
- A reviewer says twice of a finding, which it has raised before, that it is not fixed.

At the first sign the worker gets one turn for a diagnosis instead of an iteration, once in a task. Its answer goes to
the user, to the next work turn and to the reviewers. Without progress in the very next iteration, a person is needed:
the gate asks, with the diagnosis. An answer of the user begins all counts again.

`max_rounds` is the hard limit of review rounds in a task. A round without any verdict is none: its reviewers could not
work, or broke the form (`RunSettings.counts_verdicts`; in older journals each round counts).

Not used, since they failed for others: the trend of the number of findings, the length of answers, the same topic
several times.

Off in older journals, where `max_stalled` and `max_rounds` are 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from actors.machines.prompts import Note
from actors.machines.run.jobs.checks import CheckResult
from actors.machines.run.jobs.tree import Tree
from actors.machines.run.jobs.turn import agent_label
from actors.machines.run.state import Hold, Progress, RunState
from actors.messages import Finding, TurnOutcome
from actors.text import line

STALLED = "no-progress"
ROUNDS = "max-rounds"
MORE_CHECKS = 2  # rounds of failing checks, more than iterations with an old tree
MOST_TREES = 16
TIMES_RAISED = 3  # the finding, and twice that it is not fixed
SHOWN_LENGTH = 400  # characters of a diagnosis in the message to the user


def begun(state: RunState, tree: Tree) -> RunState:
    """Before the first iteration."""
    return _with(state, trees=(tree.id,) if tree.id else ())


def worked(state: RunState, tree: Tree) -> RunState:
    """After a work turn that finished. Twice for the same turn counts once."""
    before = state.progress
    if before.worked == state.worked:
        return state
    if not tree.id:
        return _with(state, worked=state.worked, same=0)
    same = before.same + 1 if tree.id in before.trees else 0
    trees = (*(each for each in before.trees if each != tree.id), tree.id)
    return _with(state, worked=state.worked, same=same, trees=trees[-MOST_TREES:])


def checked(state: RunState, results: Sequence[CheckResult]) -> RunState:
    """After the checks. When all of them pass, the count begins again."""
    before, tree = state.progress, state.known_tree
    failing = len(state.run.checks) - sum(each.exit_code == 0 for each in results)
    if not failing or not tree:
        return _with(state, fewest=None, stalled=0, checked=tree)
    if before.fewest is None or failing < before.fewest:
        return _with(state, fewest=failing, stalled=0, checked=tree)
    return _with(state, stalled=before.stalled + (tree != before.checked), checked=tree)


def reviewed(state: RunState) -> RunState:
    """A review round begins."""
    return _with(state, rounds=state.progress.rounds + 1)


def no_verdict(state: RunState) -> RunState:
    """The review round has ended without any verdict."""
    return _with(state, rounds=max(state.progress.rounds - 1, 0)) if state.run.counts_verdicts else state


def why(state: RunState) -> str:
    """Why there is no progress, in words for the user and the worker; "" when there is some."""
    most, seen = state.run.max_stalled, state.progress
    if not most:
        return ""
    if seen.same >= most:
        times = "1 iteration" if seen.same == 1 else f"{seen.same} iterations in a row"
        return f"{times} left the files as they had been before (ignored files do not count)"
    if seen.stalled >= most + MORE_CHECKS:
        return f"the code changed {seen.stalled} times, and no fewer checks fail: at best {seen.fewest}"
    stuck = [each for each in state.findings if _is_stuck(seen, each)]
    if stuck:
        said = "; ".join(f"{each.id}: {line(each.description)[:100]}" for each in stuck[:3])
        return f"a reviewer said more than once that this is not fixed: {said}"
    return ""


def wants_diagnosis(state: RunState) -> bool:
    """Whether the worker is to be asked for a diagnosis, instead of another iteration."""
    return not state.progress.asked and bool(why(state))


def diagnosed(state: RunState, outcome: TurnOutcome) -> RunState:
    """The worker has answered, or not. The next iteration shows whether that helped."""
    finished, most, seen = outcome.status == "finished", state.run.max_stalled, state.progress
    text = outcome.text.strip() if finished else ""
    state = _with(
        state,
        asked=True,
        diagnosis=text,
        same=min(seen.same, most - 1),
        stalled=min(seen.stalled, most + MORE_CHECKS - 1),
        patience={each.id: each.times_raised + 1 for each in state.findings if _is_stuck(seen, each)},
    )
    if not text:
        return state
    note = Note(kind="diagnosis", source=agent_label(state.run, state.author), text=text)
    return replace(state, notes=(*state.notes, note))


def gate(state: RunState) -> Hold | None:
    """An iteration is due, the worker has given its diagnosis, and there is still no progress."""
    if state.due is None or not state.progress.asked or not (what := why(state)):
        return None
    label = agent_label(state.run, state.author)
    said = line(state.progress.diagnosis)
    shown = f"{said[:SHOWN_LENGTH]}…" if len(said) > SHOWN_LENGTH else said
    diagnosis = f"{label}'s diagnosis: {shown.rstrip('.')}" if shown else f"{label} gave no diagnosis"
    return Hold(kind="ask", by=STALLED, why=f"no progress: {what}; {diagnosis}", ask=_ASK)


def rounds(state: RunState) -> Hold | None:
    """An iteration is due, and all review rounds of the task are used up."""
    most = state.run.max_rounds
    if state.due is None or not most or state.progress.rounds < most:
        return None
    ended = f"{state.progress.rounds} review rounds are over, and the work is not approved (--max-rounds {most})"
    return Hold(kind="ask", by=ROUNDS, why=ended, ask=_ASK)


_ASK = "What next? (blank stops the run)"


def answered(state: RunState, text: str) -> tuple[RunState, str]:
    """The user has answered: all counts begin again."""
    trees = state.progress.trees[-1:]
    patience = {each.id: each.times_raised + TIMES_RAISED - 1 for each in state.findings}
    fresh = Progress(trees=trees, worked=state.progress.worked, patience=patience)
    return replace(state, progress=fresh), text


def _is_stuck(seen: Progress, finding: Finding) -> bool:
    return finding.open and finding.blocks and finding.times_raised >= seen.patience.get(finding.id, TIMES_RAISED)


def _with(state: RunState, **changes: object) -> RunState:
    return replace(state, progress=replace(state.progress, **changes))
