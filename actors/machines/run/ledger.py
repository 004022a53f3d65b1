"""The findings of a run: what its events do to the ledger, and what its prompts say of it. Pure.

Off in older journals (`RunSettings.keeps_findings`): there, a review is its verdict and its text alone.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.machines import findings
from actors.machines.finding_prompts import ReviewFindings
from actors.machines.review_answer import Answer, read_answer, read_refusals
from actors.machines.run import steps
from actors.machines.run.events import FindingWaived
from actors.machines.run.jobs.turn import agent_label
from actors.machines.run.state import RunState
from actors.machines.verdict import MIXED, NOTHING_BLOCKS, Verdict, read_verdict
from actors.settings import Role


def answer_of(state: RunState, said: str, earlier_text: str = "") -> Answer:
    """A finished review. `earlier_text`: the review itself, where `said` is only its verdict, asked for once more.

    A mixed answer is inconclusive, and so is one that asks for changes and names nothing that blocks.
    """
    if not state.run.keeps_findings:
        return Answer(read_verdict(said))
    answer = read_answer(said)
    if not answer.is_structured and earlier_text:
        answer = read_answer(earlier_text)._replace(verdict=answer.verdict)
    if answer.verdict.kind == "pass" and findings.keeps_a_blocker(state.findings, answer):
        return answer._replace(verdict=Verdict(kind="inconclusive", reason=MIXED))
    if answer.verdict.kind == "changes" and not findings.names_a_blocker(state.findings, answer):
        return answer._replace(verdict=Verdict(kind="inconclusive", reason=NOTHING_BLOCKS))
    return answer


def for_reviewer(state: RunState, role: Role) -> ReviewFindings | None:
    """What this reviewer is told of earlier findings; None: this run keeps none."""
    if not state.run.keeps_findings:
        return None
    is_open = findings.open_ones(state.findings)
    return ReviewFindings(
        own=findings.lines([each for each in is_open if each.by == role]),
        others=findings.lines([each for each in is_open if each.by != role]),
        suppressed=findings.lines(findings.suppressed_ones(state.findings)),
    )


def take_review(state: RunState, role: Role, answer: Answer, text: str) -> RunState:
    """Notes the findings of a review, whose verdict counts. `text`: the review, without its verdict."""
    if not state.run.keeps_findings or answer.verdict.kind not in ("pass", "changes"):
        return state
    after = findings.after_review(state.findings, answer, by=role, review_round=state.review_round, text=text)
    return replace(state, findings=after)


def take_work(state: RunState, text: str) -> RunState:
    """Notes the refusals in the worker's answer."""
    if not state.findings:
        return state
    after = findings.after_work(state.findings, read_refusals(text))
    for each in (each for each in after if each.state == "refused" and each not in state.findings):
        state = steps.say(state, f"{agent_label(state.run, state.author)} refuses {each.id}: {each.reason}")
    return replace(state, findings=after)


def waive(state: RunState, event: FindingWaived) -> RunState:
    """The user does not want this finding."""
    known = next((each for each in state.findings if each.id == event.finding_id), None)
    if known is None:
        ids = ", ".join(each.id for each in state.findings) or "none"
        return steps.say(state, f"there is no finding {event.finding_id}: the run has {ids}")
    if known.state == "waived":
        return steps.say(state, f"{known.id} is waived already")
    after = findings.waived(state.findings, known.id, event.reason.strip())
    return steps.say(replace(state, findings=after), f"waived: {findings.text_of(known)}")
