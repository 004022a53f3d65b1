"""Interprets the trees that are read: checks and verdicts apply to one tree, and to no other. Pure.

The tree (edges/tree.py) is read before the checks and after them, when all reviewers approve, and after the turn that
publishes the work. When an agent or the user changes it in between, earlier results do not count. The checks run again,
and all reviewers are asked again, with the changed files. That ends: after `MOST_MOVES` changes in one iteration the
next iteration begins, and their number is limited.

Checks that change the tree themselves run a second time, on the result. Files that they change again (e.g. a report
with a time stamp) are excluded from then on.

An unknown tree binds nothing. A transition from or to a known tree is a change.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from actors.machines import continuations, findings
from actors.machines.prompts import Note
from actors.machines.run import joblist, progress, proof, review, steps
from actors.machines.run.jobs.tree import Tree, TreeJob, TreeTaken
from actors.machines.run.state import RunState

MOST_MOVES = 2
_SHOWN_NAMES = 5
_SHOWN_DIGITS = 12


def taken(state: RunState, event: TreeTaken) -> RunState:
    """Continues at the step that the tree was read for."""
    state, job = joblist.take(state, event.take_id, TreeJob)
    state = _kept(state, event)
    state = replace(state, findings=findings.code_changed(state.findings, event.changed))
    match job.moment:
        case "begin":
            return steps.start_iteration(progress.begun(replace(state, base=event.tree), event.tree))
        case "worked":
            state = state if job.trouble else progress.worked(state, event.tree)
            return steps.next_iteration(state, job.trouble)
        case "checks":
            state = progress.worked(state, event.tree)
            return _before_checks(state, event)
        case "checked":
            return _after_checks(state, event)
        case "apart":
            return review.start(proof.same_checks(replace(state, tree=event.tree), event.tree.id))
        case "approval":
            if _same(state.tree, event.tree):
                return steps.publish(state)
            return _changed(state, event, "after the checks, before the last reviewer was through")
        case "publish":
            return steps.publish(replace(state, tree=event.tree))
        case "published":
            if state.base is not None:  # it may have made a branch for the pull request
                state = replace(state, base=replace(state.base, branch=event.tree.branch))
            if not _same(state.tree, event.tree):
                return _changed(state, event, "while it was published")
            return _published(replace(state, tree=event.tree, uncommitted=event.uncommitted), job)
        case "swap":
            assert job.then is not None, "it is looked at for a turn"
            facts = continuations.tree_facts(
                event.tree.commit, event.tree.branch, changed=event.changed, uncommitted=event.uncommitted
            )
            return joblist.add(state, replace(job.then, prompt=continuations.with_tree(job.then.prompt, facts)))


def shown(state: RunState) -> str:
    """For the last line of a run: the approved tree, and what of it is not committed."""
    if state.tree is None or not state.tree.id:
        return ""
    rest = f" (not committed: {_names(state.uncommitted)})" if state.uncommitted else ""
    return f", tree {state.tree.id[:_SHOWN_DIGITS]}{rest}"


def _kept(state: RunState, event: TreeTaken) -> RunState:
    """Says once, for each reason, that there is no checkpoint: it costs the run nothing."""
    if event.unkept and event.unkept != state.unkept:
        state = steps.say(state, f"there is no checkpoint of the tree: {event.unkept}")
    if not event.kept:  # a look that keeps nothing, or could not
        unkept, before = event.unkept or state.unkept, "" if event.unkept else state.kept_before
        return replace(state, unkept=unkept, kept_before=before)
    before = state.kept if event.kept != state.kept else ""
    return replace(state, kept=event.kept, kept_before=before, unkept="")


def _before_checks(state: RunState, event: TreeTaken) -> RunState:
    directory = f", {event.place.directory}" if event.place is not None else ", in which you were started"
    if elsewhere := _elsewhere(state.base, event.tree):
        text = (
            "The run's directory is as it was before the run began, but another working tree of the repository has "
            f"work: {elsewhere}. Checks and reviewers look into the run's directory{directory}: "
            "bring the work there, and work nowhere else."
        )
        state = steps.say(state, f"the work is not in the run's directory, but in {elsewhere}", error=True)
        return steps.next_iteration(steps.add_note(state, Note(kind="place", source="loop", text=text)))
    if (strayed := _strayed(state.base, event)) is not None and strayed.found != state.strayed:
        state = steps.say(replace(state, strayed=strayed.found), strayed.found, error=True)
        text = f"Before anything is checked: {strayed.found}. {strayed.remedy}"
        return steps.next_iteration(steps.add_note(state, Note(kind="place", source="loop", text=text)))
    if not event.tree.id and (state.base is None or state.base.id or state.iteration == 1):
        state = steps.say(state, f"what is checked and approved is bound to no tree: {event.tree.reason}")
    return review.run_checks(replace(state, tree=event.tree))


def _after_checks(state: RunState, event: TreeTaken) -> RunState:
    if _same(state.tree, event.tree):
        return review.start(state)
    names = _names(event.changed)
    if not state.repeated:
        state = steps.say(state, f"the tree changed while the checks ran{names and f': {names}'}; they run again")
        return review.run_checks(replace(state, tree=event.tree, repeated=True))
    state = replace(state, tree=event.tree)
    if not event.changed:
        return review.start(state)
    state = steps.say(state, f"the checks change the tree each time they run; this does not count: {names}")
    return steps.take_tree(replace(state, apart=tuple(sorted({*state.apart, *event.changed}))), "apart")


def _changed(state: RunState, event: TreeTaken, when: str) -> RunState:
    names = _names(event.changed)
    what = f"the tree was changed {when}{names and f': {names}'}"
    state = replace(state, tree=event.tree, moves=state.moves + 1, moved=event.changed or (".",), repeated=False)
    if state.moves > MOST_MOVES:
        state = steps.say(state, f"{what}; that was change number {state.moves}: this iteration is over", error=True)
        text = (
            f"Nothing was approved, because {what}. Look at what was changed; whatever is approved must stay as it is."
        )
        return steps.next_iteration(steps.add_note(state, Note(kind="place", source="loop", text=text)))
    again = (
        "the checks run again, and every reviewer is asked again"
        if state.run.checks
        else "every reviewer is asked again"
    )
    return review.run_checks(steps.say(state, f"{what}; what was approved before does not count: {again}", error=True))


def _published(state: RunState, job: TreeJob) -> RunState:
    if state.run.looks_for_pull_request:
        return steps.look_for_pull_request(state)
    trouble = f", but there may be no pull request; {job.trouble}" if job.trouble else ""
    return steps.complete(state, f"{steps.approved(state)}{trouble}{shown(state)}")


def _same(before: Tree | None, after: Tree) -> bool:
    return before is not None and before.id == after.id


def _elsewhere(base: Tree | None, now: Tree) -> str:
    """Another working tree that is new or has new commits, when nothing has changed here."""
    if base is None or not base.id or (base.id, base.commit) != (now.id, now.commit):
        return ""
    return ", ".join(each.rpartition(" ")[0] for each in now.worktrees if each not in base.worktrees)


class _Strayed(NamedTuple):
    found: str
    remedy: str


def _strayed(base: Tree | None, event: TreeTaken) -> _Strayed | None:
    """Work on a branch that is not the run's. The agent is told once; when it leaves it so, that is checked and
    reviewed.

    A branch that it made on top of where the run began is fine, unless the run has a branch of its own.
    """
    place, now = event.place, event.tree
    if base is None or place is None:
        return None
    if base.branch and now.branch != base.branch and not (place.grown and not place.own):
        where = f"branch {now.branch}" if now.branch else "no branch: HEAD is detached"
        return _Strayed(
            f"the run's directory {place.directory} is on {where}; the run's branch is {base.branch}",
            f"The work has to be in that directory and on {base.branch}: bring it there, commits included, and switch "
            "back. If it has to be where it is, say why, and say again that you are done.",
        )
    if place.moved and (base.id, base.commit) == (now.id, now.commit):
        return _Strayed(
            f"the run's directory {place.directory} is as it was before the run began, but there are new commits on "
            f"{_names(place.moved)}",
            f"If they are yours, bring them to that directory{f' and to {now.branch}' if now.branch else ''}: that is "
            "what is checked and reviewed. If they are not, say again that you are done.",
        )
    return None


def _names(names: tuple[str, ...]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")
