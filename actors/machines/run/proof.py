"""What a completed task is proved by: its tree, the checks on it, the verdicts on it, by whom and when. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from msgspec.structs import replace

from actors.machines.run.jobs.checks import ChecksEnded
from actors.machines.run.jobs.turn import agent_label
from actors.machines.run.state import Checked, RunState
from actors.messages import Proof, ProvingCheck, ProvingVerdict

_SHOWN_DIGITS = 12
_SHOWN_COMMAND = 60


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


def lines(proof: Proof) -> list[str]:
    """The proof for the user and for the pull request."""
    found = [_tree(proof)] if proof.tree else []
    if proof.checks:
        names = ", ".join(f"{_short(each.command)}{_how(each)}" for each in proof.checks)
        passed = all(each.exit_code == 0 for each in proof.checks)
        found.append(f"checks{' passed' if passed else ''}: {names}{_when(proof.checks_at_ms)}")
    else:
        found.append("checks: none ran on this tree")
    if proof.verdicts:
        names = ", ".join(f"{each.by} {each.verdict}{_when(each.at_ms)}" for each in proof.verdicts)
        found.append(f"review round {proof.review_round}: {names}")
    if proof.approved_by:
        found.append(f"approved by the user{_when(proof.approved_at_ms)}")
    elif not proof.verdicts:
        found.append("reviews: none")
    return found


def _tree(proof: Proof) -> str:
    commit = f", commit {proof.commit[:_SHOWN_DIGITS]}" if proof.commit else ""
    branch = f" on {proof.branch}" if proof.branch else ""
    return f"tree {proof.tree[:_SHOWN_DIGITS]}{commit}{branch}"


def _short(command: str) -> str:
    first, _, more = command.strip().partition("\n")
    return f"{first[:_SHOWN_COMMAND]}..." if more or len(first) > _SHOWN_COMMAND else first


def _how(check: ProvingCheck) -> str:
    return f" exited with {check.exit_code}" if check.exit_code else ""


def _when(at_ms: int) -> str:
    return f" ({datetime.fromtimestamp(at_ms / 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC)" if at_ms else ""
