"""A proof in words. Pure.

Beside the machine of the run, whose package costs a console more than all else that it imports of ours.
"""

from __future__ import annotations

from datetime import UTC, datetime

from actors.messages import Proof, ProvingCheck

_SHOWN_DIGITS = 12
_SHOWN_COMMAND = 60


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
