"""A review round: all reviewers in parallel, their verdicts, and a user's verdict in their place. Pure."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from actors.machines import prompts
from actors.machines.prompts import Note
from actors.machines.review_answer import Answer, rendered
from actors.machines.run import joblist, ledger, progress, steps
from actors.machines.run.events import VerdictSubmitted
from actors.machines.run.jobs.checks import ChecksJob
from actors.machines.run.jobs.hook import HookFacts
from actors.machines.run.jobs.turn import TurnJob, agent_label
from actors.machines.run.state import Hold, Phase, RoundVerdict, RunState
from actors.machines.verdict import Verdict, unavailable
from actors.messages import TurnOutcome
from actors.settings import Role, other

_DIGITS = 12  # of a commit


def after_checks(state: RunState) -> RunState:
    """Runs our own checks first: a failure there saves the reviewers' time."""
    if state.run.binds_to_tree:
        state = replace(state, phase=Phase.CHECKING, moves=0, moved=(), repeated=False, unclear=0)
        return steps.take_tree(state, "checks")
    return run_checks(state)


def run_checks(state: RunState) -> RunState:
    """Checks the current tree; without checks, starts the review. Earlier approvals do not count."""
    state = replace(state, approved_by_human=False, approved_at_ms=0)
    if not state.run.checks:
        return start(state)
    return joblist.add(replace(state, phase=Phase.CHECKING), ChecksJob(label=f"checks-{state.iteration}"))


def start(state: RunState) -> RunState:
    """Starts all reviewers in parallel. Without reviewers, our checks or the agent's claim decide."""
    run, state = state.run, replace(state, review_wanted=False)
    if not run.reviewers:
        return steps.publish(state)
    number = state.review_round + 1
    state = replace(state, phase=Phase.REVIEWING, review_round=number, verdicts=(), peer_wrote=False)
    state = progress.reviewed(state)
    return steps.hook(state, "before_review", HookFacts()) or ask_reviewers(state)


def ask_reviewers(state: RunState) -> RunState:
    """The reviewers' turns of this round."""
    for role in steps.reviewers(state):
        state = _ask(state, role)
    return state


def _ask(state: RunState, role: Role) -> RunState:
    run, number, author = state.run, state.review_round, steps.agent_name(state.run, state.author)
    prompt = prompts.review(
        number,
        task=state.task,
        request=steps.request(state),
        proof=run.proof,
        done_signal=run.done_signal,
        checks=run.checks,
        changed=state.moved,
        compared=(state.kept_before[:_DIGITS], state.kept[:_DIGITS]) if state.kept_before else None,
        send_notes_to=author if run.paired and role != state.author and role not in state.absent else None,
        findings=ledger.for_reviewer(state, role),
        diagnosis=state.progress.diagnosis,
        template=run.prompts.get("review", ""),
    )
    return steps.turn(state, f"review-{number}-{role}", role, "review", prompt)


def settled(state: RunState, job: TurnJob, outcome: TurnOutcome) -> RunState:
    """One reviewer has finished. The round ends with the last one."""
    if outcome.cause == "overdue" and not job.asked_again and state.overruled is None:
        state = steps.say(state, f"{agent_label(state.run, job.role)}'s verdict is asked for now: {outcome.error}")
        template = state.run.prompts.get("verdict_now", "")
        return _ask_again(state, job, "", prompts.verdict_now(state.review_round, template=template))
    if outcome.status == "finished":
        answer = ledger.answer_of(state, outcome.text, job.said)
    else:
        answer = Answer(unavailable(outcome.error or outcome.status))
    verdict = answer.verdict
    if verdict.kind == "inconclusive" and state.run.asks_again and state.overruled is None:
        label = agent_label(state.run, job.role)
        if not job.asked_again:
            state = steps.say(state, f"{label}'s verdict is asked for once more: {verdict.reason}")
            prompt = prompts.verdict(state.review_round, verdict.reason, template=state.run.prompts.get("verdict", ""))
            return _ask_again(state, job, outcome.text, prompt)
        state = steps.say(state, f"{label}'s verdict counts neither way: {verdict.reason}, twice", error=True)
    if verdict.kind == "changes" and job.said.strip():  # the findings are above the malformed verdict
        verdict = replace(verdict, reason=rendered(job.said).strip() if state.run.keeps_findings else job.said.strip())
    if state.overruled is None:
        state = ledger.take_review(state, job.role, answer, verdict.reason)
    return _round_over(_with_verdict(state, job.role, verdict))


def _with_verdict(state: RunState, role: Role, verdict: Verdict) -> RunState:
    """It is one on the tree that is known."""
    this = RoundVerdict(
        review_round=state.review_round, role=role, verdict=verdict, tree=state.known_tree, at_ms=state.at_ms
    )
    return replace(state, verdicts=(*state.verdicts, this))


def leave_out(state: RunState, job: TurnJob, why: str, kind: Literal["unavailable", "limited"]) -> RunState:
    """A reviewer cannot work, and is not waited for: the others decide, or the other agent reviews in its place."""
    label, run = agent_label(state.run, job.role), state.run
    state = steps.say(state, f"{label} does not review: {why} (--on-unavailable {run.on_unavailable})", error=True)
    this = RoundVerdict(
        review_round=state.review_round, role=job.role, verdict=Verdict(kind=kind, reason=why), at_ms=state.at_ms
    )
    state = replace(state, verdicts=(*state.verdicts, this))
    peer = other(job.role)
    asked = {each.role for each in state.verdicts} | {turn.role for turn in joblist.turns(state)}
    if run.on_unavailable == "other" and run.paired and peer not in asked:
        own = ", which is its own work: that review is not independent" if peer == state.author else ""
        state = steps.say(state, f"{agent_label(run, peer)} reviews in place of {label}{own}")
        return _ask(state, peer)
    return _round_over(state)


def _round_over(state: RunState) -> RunState:
    """What a round comes to, once nothing of it runs."""
    if state.overruled is not None:
        return overrule_when_free(state)
    if state.jobs:
        return state
    return steps.hook(state, "after_review", _facts(state)) or round_ended(state)


def _facts(state: RunState) -> HookFacts:
    verdicts = tuple(
        (agent_label(state.run, each.role), each.verdict.kind, each.verdict.reason) for each in state.verdicts
    )
    return HookFacts(outcome="approved" if _all_approve(state) else "changes", verdicts=verdicts)


def round_ended(state: RunState) -> RunState:
    """What the verdicts of a round come to."""
    if not any(each.verdict.kind in ("pass", "changes") for each in state.verdicts):
        state = progress.no_verdict(state)
    if not steps.counting_verdicts(state):
        return _nobody_is_left(state)
    unasked = {*steps.reviewers(state)} - {each.role for each in state.verdicts}
    if unasked and state.run.keeps_findings and _all_approve(state):  # named by a resume in the middle of the round
        return start(state)
    if state.run.asks_again and _nobody_wants_changes(state) and not _all_approve(state):
        return _review_again(state)
    state = _note_verdicts(state)
    if _all_approve(state):
        return steps.take_tree(state, "approval") if state.run.binds_to_tree else steps.publish(state)
    return steps.next_iteration(replace(state, unclear=0))


def _nobody_is_left(state: RunState) -> RunState:
    """Without a reviewer nothing is approved, and nothing is turned down: the user is asked."""
    causes = "; ".join(each.verdict.reason for each in state.verdicts)
    return start(steps.hold_back(state, Hold(kind="pause", by="reviewers", why=f"no reviewer can work: {causes}")))


def _all_approve(state: RunState) -> bool:
    return all(each.verdict.approves for each in steps.counting_verdicts(state))


def _nobody_wants_changes(state: RunState) -> bool:
    return {each.verdict.kind for each in steps.counting_verdicts(state)} <= {"pass", "inconclusive"}


def _ask_again(state: RunState, job: TurnJob, said: str, prompt: str) -> RunState:
    """Asks for the last line alone, in the same session."""
    fresh = TurnJob(
        label=f"{job.label}-verdict",
        role=job.role,
        purpose=job.purpose,
        prompt=prompt,
        model=job.model,
        asked_again=True,
        said=said,
    )
    return joblist.add(state, fresh)


def _review_again(state: RunState) -> RunState:
    """No reviewer asks for changes, so an iteration would have no work. After two rounds in a row the user decides."""
    state = replace(state, unclear=state.unclear + 1)
    if state.unclear == 1:
        return start(state)
    unclear = [agent_label(state.run, each.role) for each in state.verdicts if each.verdict.kind == "inconclusive"]
    why = f"no verdict can be read: {' and '.join(unclear)} broke the form in two review rounds, asked twice in each"
    return start(steps.hold_back(replace(state, unclear=0), Hold(kind="pause", by="verdicts", why=why)))


def human_verdict_on_review(state: RunState, event: VerdictSubmitted) -> RunState:
    """Interrupts the reviews, which are pointless now. The user's last verdict counts."""
    if state.stuck and not state.stopping:  # it waits for the user, who is here
        state = replace(state, hold=None)
    state = replace(state, overruled=event)
    state = joblist.drop(state, *(job for job in state.jobs if not (isinstance(job, TurnJob) and job.issued)))
    return overrule_when_free(joblist.cut(state, "the user has decided"))


def human_verdict_on_checks(state: RunState, event: VerdictSubmitted) -> RunState:
    """The user decides without waiting for the checks."""
    state = joblist.drop(state, *state.jobs)
    return overrule_when_free(replace(state, overruled=event))


def overrule_when_free(state: RunState) -> RunState:
    """A session runs one turn at a time, so the next step waits until the interrupted turns have settled."""
    if state.jobs:
        return state
    event = state.overruled
    assert event is not None, "nobody has decided anything"
    state = replace(state, overruled=None)
    if event.approved:
        return steps.pull_request(state)
    return steps.next_iteration(note_by_human(_note_verdicts(state), event))


def _note_verdicts(state: RunState) -> RunState:
    ranking = (*steps.reviewers(state), "worker", "reviewer")  # who stands in for another is not in the settings
    for each in sorted(steps.counting_verdicts(state), key=lambda each: ranking.index(each.role)):
        if each.verdict.kind == "changes":
            kind: prompts.NoteKind = "self-review" if each.role == state.author else "review"
        else:
            kind = "no-verdict"
        if not each.verdict.approves:
            source = agent_label(state.run, each.role)
            state = steps.add_note(state, Note(kind=kind, source=source, text=each.verdict.reason))
    return state


def note_by_human(state: RunState, event: VerdictSubmitted) -> RunState:
    """The user's requested changes, for the next iteration."""
    text = event.notes.strip() or "the user rejected the work without a reason"
    return steps.add_note(state, Note(kind="human", source="human", text=text))
