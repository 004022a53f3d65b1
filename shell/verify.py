"""`loop verify`: repeats a run's checks on the tree that it ended with, and says whether its directory still has it.

`python -m shell.verify RUN` is the same as a program; a prompt starts it.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from actors.edges import environments, git, tree, verification
from actors.edges.checks import TIMEOUT_S, CheckProgress, CheckRun
from actors.errors import OperationalError
from actors.machines.checkpoint import Checkpoint
from actors.machines.run import CheckResult, Phase, RunState
from shell import checkpoints, output, run_files
from shell.checkpoints import Place
from shell.exits import reported
from shell.run_files import RunFiles

OUTPUTS = "checks"  # in the run's directory
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The outcome. `same`: whether the run's directory has the tree; None: there is no such directory."""

    run_id: str
    target: Checkpoint
    approved: bool  # it is the tree that the run was completed with
    here: bool
    cwd: Path
    same: bool | None
    changed: tuple[str, ...]
    results: tuple[CheckResult, ...]
    wanted: int  # how many checks there are

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return len(self.results) == self.wanted and all(each.exit_code == 0 for each in self.results)

    def lines(self) -> list[str]:
        """For the user."""
        found = [f"{each.command}: {_how(each)}" for each in self.results]
        passing = "the check passes" if self.wanted == 1 else f"all {self.wanted} checks pass"
        verdict = passing if self.passed else "the checks FAIL"
        where = "in its directory" if self.here else "in a temporary worktree"
        which = "the tree that was approved" if self.approved else "which was not approved"
        found.append(
            f"run {self.run_id}: {verdict} {where} on tree {self.target.tree[:_DIGITS]} "
            f"(checkpoint {self.target.number}: {self.target.about}; {which})"
        )
        if self.same is None:
            found.append(f"its directory {self.cwd} is gone")
        elif self.same:
            found.append(f"its directory {self.cwd} has the same tree")
        else:
            names = f": {checkpoints.listed(self.changed)}" if self.changed else ""
            found.append(f"its directory {self.cwd} has ANOTHER tree now{names}")
        if not self.passed and not self.here:
            found.append(
                "a temporary worktree has no ignored files, such as installed dependencies: "
                f"loop verify {self.run_id} --here repeats the checks in the run's directory"
            )
        return found

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "runId": self.run_id,
            "passed": self.passed,
            "tree": self.target.tree,
            "commit": self.target.commit,
            "checkpoint": self.target.number,
            "approved": self.approved,
            "here": self.here,
            "directory": {"path": str(self.cwd), "same": self.same, "changed": list(self.changed)},
            "checks": [
                {
                    "command": each.command,
                    "exitCode": each.exit_code,
                    "error": each.error,
                    "output": each.output,
                    "outputTail": each.output_tail,
                }
                for each in self.results
            ],
        }


def _how(result: CheckResult) -> str:
    if result.exit_code == 0:
        return "passed"
    return result.error or f"exited with {result.exit_code}"


def verify(found: RunFiles, *, here: bool, tell: Callable[[str], None]) -> Verified:
    """Repeats the checks. `tell` shows what runs. Raises `LoopError` where nothing can be said about the tree."""
    run_files.check_whole(found)
    state = run_files.state_of(found.directory)
    if state is None or not state.run.checks:
        raise OperationalError(f"run {found.run_id} has no check to repeat: --check names one at the start of a run")
    place = checkpoints.place(found)
    target = _last(state, place)
    approved = state.proof is not None and target.commit in (state.kept, state.proof.checkpoint)
    same, changed = _compared(found, state, place, target)
    if here and not same:
        why = f": {checkpoints.listed(changed)}" if changed else ""
        raise OperationalError(
            f"{place.cwd} does not have the tree of run {found.run_id} any more{why}; leave out --here"
        )
    inner = _inner(found, place)
    with nullcontext(None) if here else verification.worktree_of(place.cwd, found.directory, target.commit) as made:
        cwd = place.cwd if made is None else made / inner if (made / inner).is_dir() else made
        results = _run(found, state, cwd, tell)
    return Verified(
        run_id=found.run_id,
        target=target,
        approved=approved,
        here=here,
        cwd=Path(found.text("cwd")),
        same=same,
        changed=changed,
        results=tuple(results),
        wanted=len(state.run.checks),
    )


def _last(state: RunState, place: Place) -> Checkpoint:
    """The checkpoint of the tree that the run ended with."""
    own = [each for each in place.known.values() if each.commit == state.kept]
    return own[0] if own else place.known[max(place.known)]


def _compared(
    found: RunFiles, state: RunState, place: Place, target: Checkpoint
) -> tuple[bool | None, tuple[str, ...]]:
    """Whether the directory has the tree, and what differs. What the checks write themselves does not count."""
    if not place.own:
        return None, ()
    store = found.directory / tree.FOLDER
    now = tree.take(place.cwd, store, apart=state.apart)
    done = state.phase is Phase.COMPLETED or state.proof is not None
    if done and state.tree is not None and state.tree.id:
        return now.id == state.tree.id, tree.changed(place.cwd, store, state.tree.id, now.id)
    whole = tree.take(place.cwd, store)
    return whole.id == target.tree, tree.changed(place.cwd, store, target.tree, whole.id)


def _inner(found: RunFiles, place: Place) -> str:
    """The run's directory within its working tree."""
    if place.own:
        return git.git(place.cwd, "rev-parse", "--show-prefix") or ""
    top, cwd = Path(found.text("worktree") or found.text("cwd")), Path(found.text("cwd"))
    return str(cwd.relative_to(top)) if cwd.is_relative_to(top) else ""


def _run(found: RunFiles, state: RunState, cwd: Path, tell: Callable[[str], None]) -> Sequence[CheckResult]:
    def show(progress: CheckProgress) -> None:
        if not progress.seconds:
            tell(f"check $ {progress.command}")

    checks = CheckRun(
        *(state.run.checks, cwd, environments.handed_on()),
        timeout_s=state.run.check_timeout_s or TIMEOUT_S,
        output=found.directory / OUTPUTS,
        name="verify",
    )
    return checks.run(show) or ()


def show(run: str, *, here: bool, is_json: bool) -> int:
    """Repeats the checks of the run that the user means, and prints how they end. Returns an exit status."""
    # As Ctrl-C: the check's processes and the temporary worktree go first.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    done = verify(run_files.choose(run, running=False), here=here, tell=output.note if is_json else output.say)
    if is_json:
        output.say_json(done.as_json())
    else:
        for each in done.results:
            if each.exit_code != 0:
                output.say(each.output_tail.rstrip())
        output.say_lines(done.lines())
    return 0 if done.passed else 1


if __name__ == "__main__":
    sys.exit(reported(lambda: show(sys.argv[1], here=False, is_json=False)))
