"""What a completed task is proved by: its tree, the checks on it, the verdicts on it, by whom and when. Pure."""

from __future__ import annotations

from msgspec.structs import replace

from actors.machines.run.jobs.checks import ChecksEnded
from actors.machines.run.jobs.turn import agent_label
from actors.machines.run.state import Checked, RunState
from actors.messages import Proof, ProvingCheck, ProvingVerdict


def checked(state: RunState, event: ChecksEnded) -> RunState:
    """The checks ran on the tree that is known."""
    results = tuple(ProvingCheck(command=each.command, exit_code=each.exit_code) for each in event.results)
    return replace(state, checked=Checked(tree=state.known_tree, results=results, at_ms=event.at_ms))


def same_checks(state: RunState, tree: str) -> RunState:
    """The last checks count for this tree as well: it differs in what they write themselves."""
    return state if state.checked is None else replace(state, checked=replace(state.checked, tree=tree))


def of(state: RunState) -> Proof:
    """What stands for the tree now."""
    tree, found = state.tree, state.checked
    verdicts = [each for each in state.verdicts if each.tree == state.known_tree]
    verdicts.sort(key=lambda each: each.role, reverse=True)  # the worker's first, whichever was faster
    is_checked = found is not None and found.tree == state.known_tree
    return Proof(
        tree=state.known_tree,
        commit=tree.commit if tree is not None else "",
        branch=tree.branch if tree is not None else "",
        checkpoint=state.kept,
        checks=found.results if found is not None and is_checked else (),
        checks_at_ms=found.at_ms if found is not None and is_checked else 0,
        review_round=state.review_round if verdicts else 0,
        verdicts=tuple(
            ProvingVerdict(by=agent_label(state.run, each.role), verdict=each.verdict.kind, at_ms=each.at_ms)
            for each in verdicts
        ),
        approved_by="human" if state.approved_by_human else "",
        approved_at_ms=state.approved_at_ms,
    )
