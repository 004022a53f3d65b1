"""What a turn of the protocol does next, from the state of its run. Pure.

A prompt's turn lasts while the run works by itself. It rests when a person is needed: the last message says what for,
and the next prompt is the answer. Two questions are put as a permission request, because they have a safe answer of
one word. A question about a limit is never one of them: a client that allows everything would lift the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from supervisor.control.protocol import (
    AnswerQuestion,
    ChangeActor,
    Control,
    Report,
    Request,
    Say,
    SubmitVerdict,
)

Kind = Literal["allow_once", "reject_once", "reject_always"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One answer of a permission request. `request` None: the user says in the next prompt what is to be done."""

    id: str
    name: str
    kind: Kind
    request: Request | None


@dataclass(frozen=True)
class Question:
    """A question that is put as a permission request."""

    text: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Rest:
    """The turn ends, and the run waits for the user; `why` is for the user."""

    why: str


_SAY = Choice(id="say", name="No: I say in the next prompt what to do", kind="reject_once", request=None)


def next_step(report: Report) -> Question | Rest | None:
    """None: the run works by itself."""
    if report.question:
        return _question_of_supervisor(report)
    status = report.status
    if status is None:
        return None
    if status.question and status.phase == "follow-up":
        approve = Choice(
            id="approve",
            name="Approve the work as it is",
            kind="allow_once",
            request=SubmitVerdict(approved=True),
        )
        stop = Choice(id="stop", name="Stop the run", kind="reject_always", request=AnswerQuestion(text=""))
        return Question(status.question, (approve, _SAY, stop))
    if status.question:
        return Rest(status.question)
    return Rest(status.line) if status.state == "input-required" else None


def _question_of_supervisor(report: Report) -> Question:
    down = next((actor.name for actor in report.actors if actor.state == "dead"), report.actors[0].name)
    restart = Choice(
        id="restart",
        name=f"Restart {down}",
        kind="allow_once",
        request=ChangeActor(action="restart", actor=down),
    )
    stop = Choice(id="stop", name="Stop the run", kind="reject_always", request=Control(action="stop"))
    return Question(report.question, (restart, stop))


def hand_over(report: Report, text: str, message_id: str) -> list[Request]:
    """The requests that bring the user's text to a run that is there already."""
    assert report.status is not None
    if report.status.question:
        return [AnswerQuestion(text=text)]
    requests: list[Request] = [Say(message_id=message_id, agent="worker", text=text)]
    if report.status.hold == "pause":
        requests.append(Control(action="resume"))
    return requests
