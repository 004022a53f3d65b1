"""A gate's question to the user: asked, answered, or left open by a run that ends. Pure. See `gates` for the rules.

The question is a hold, beside the phases. It is open once nothing runs. In a run without a user, the run ends instead.
"""

from __future__ import annotations

from msgspec.structs import replace

from actors.machines.prompts import Note
from actors.machines.run import gates, joblist, review, steps
from actors.machines.run.events import ResumeRequested, ReviewRequested, VerdictSubmitted
from actors.machines.run.jobs.base import Event
from actors.machines.run.jobs.question import AskQuestion, QuestionAnswered
from actors.machines.run.state import PLANNING_PHASES, Hold, Phase, RunState


def question(state: RunState) -> AskQuestion:
    """The open question."""
    hold = _open(state)
    return AskQuestion(question=f"{hold.why}. {hold.ask}")


def leave_open(state: RunState) -> RunState:
    """Ends a run whose user cannot be asked. A resume answers."""
    hold = _open(state)
    how = f"; resume with {hold.resume}" if hold.resume else ""
    return steps.end(state, Phase.STOPPED, f"{hold.why}{how}", goes_on_in=state.phase)


def answers(state: RunState, event: Event) -> bool:
    """Whether the event answers the open question. A verdict or a review does where an iteration would begin."""
    if isinstance(event, QuestionAnswered | ResumeRequested):
        return True
    return state.due is not None and isinstance(event, VerdictSubmitted | ReviewRequested)


def answered(state: RunState, event: Event) -> RunState:
    """The state after the answer; the gates decide next whether it is enough."""
    match event:
        case QuestionAnswered(text=text) if not text.strip():
            return steps.end(state, Phase.STOPPED, "no answer was given", goes_on_in=state.phase)
        case QuestionAnswered(text=text):
            state, words = gates.answered(state, _open(state).by, text.strip())
            return joblist.release(_told(state, words))
        case VerdictSubmitted() if not event.approved:
            return joblist.release(review.note_by_human(_taken(state), event))
        case VerdictSubmitted():
            return steps.pull_request(replace(_taken(state), hold=None, due=None))
        case ReviewRequested():
            return review.after_checks(replace(_taken(state), hold=None, due=None))
        case _:
            return joblist.release(_taken(state))


def _taken(state: RunState) -> RunState:
    return gates.answered(state, _open(state).by, "")[0]


def _told(state: RunState, words: str) -> RunState:
    """The user's words extend the task. A plan that is not written yet replaces the task, so they are a note."""
    if not words:
        return state
    if state.phase in PLANNING_PHASES:
        return steps.add_note(state, Note(kind="human", source="human", text=words))
    return replace(state, task=f"{state.task}\n\nFollow-up:\n{words}")


def _open(state: RunState) -> Hold:
    assert state.hold is not None, "no gate asks"
    return state.hold
