"""The events and commands of `supervisor.tree`. Pure.

Three more events come from a launcher: Started, Exited, StartFailed of `supervisor.spawning`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.messages import Message, ProgressKind
from supervisor.spawning import Exited, Started, StartFailed

Action = Literal["restart", "kill", "start"]


class RunResult(msgspec.Struct, frozen=True):
    """How a run ended, as the driver reports it; as the supervisor does when the driver cannot."""

    state: str
    detail: str
    resume: str = ""  # the options with which it resumes


# --- events -----------------------------------------------------------------------------------------------------------


class TreeBegun(msgspec.Struct, frozen=True):
    """The supervisor has started. Sent once, first."""


class ChildSaid(msgspec.Struct, frozen=True):
    """An actor has sent a message to its supervisor."""

    child: str
    incarnation: int
    message: Message


class ReadyOverdue(msgspec.Struct, frozen=True):
    """The child's time to become ready is over."""

    child: str
    incarnation: int


class KillDue(msgspec.Struct, frozen=True):
    """The child's time to end after a stop request is over."""

    child: str
    incarnation: int


class RestartDue(msgspec.Struct, frozen=True):
    """The back-off is over. Names the incarnation of each child at the time of the decision."""

    children: tuple[tuple[str, int], ...]


class GraceOver(msgspec.Struct, frozen=True):
    """The driver's time to end the run is over."""


class Tick(msgspec.Struct, frozen=True):
    """Time to look for children that hang."""


class StopAsked(msgspec.Struct, frozen=True):
    """The user or a signal asks for the end of the run: in order, or `now`."""

    reason: str
    now: bool


class ChangeAsked(msgspec.Struct, frozen=True):
    """The user asks to kill (it stays down), start or restart one child, whatever the policy says."""

    action: Action
    child: str


class MoveAsked(msgspec.Struct, frozen=True):
    """The user asks for an actor to run elsewhere. The place can be used: it has been tried."""

    child: str
    place: str  # a host's name; "" = home
    now: bool = False  # its running turn is cut, and continues there


class PlaceGivenUp(msgspec.Struct, frozen=True):
    """Nothing of ours lives at this place any more, and nothing can be started there."""

    place: str


class SupervisorFailed(msgspec.Struct, frozen=True):
    """A command could not be carried out: an error of ours."""

    error: str


Event = (
    TreeBegun
    | Started
    | Exited
    | StartFailed
    | ChildSaid
    | ReadyOverdue
    | KillDue
    | RestartDue
    | GraceOver
    | Tick
    | StopAsked
    | ChangeAsked
    | MoveAsked
    | PlaceGivenUp
    | SupervisorFailed
)


# --- commands ---------------------------------------------------------------------------------------------------------


class StartChild(msgspec.Struct, frozen=True):
    """Route mail to this incarnation, then start it."""

    child: str
    incarnation: int


class PlaceChild(msgspec.Struct, frozen=True):
    """The child is down. From its next start on it runs there."""

    child: str
    place: str  # a host's name; "" = home
    why: str  # it is placed there, where no user asked for it


class KeepMove(msgspec.Struct, frozen=True):
    """Write down where the child is to run, for the next root. None: it is there, or stays where it is."""

    child: str
    place: str | None
    now: bool = False


class KillChild(msgspec.Struct, frozen=True):
    """End its process, now."""

    child: str
    incarnation: int


class TellChild(msgspec.Struct, frozen=True):
    """Send it the message."""

    child: str
    message: Message


class ReportUp(msgspec.Struct, frozen=True):
    """Tell all actors of the run."""

    child: str
    incarnation: int


class ReportDown(msgspec.Struct, frozen=True):
    """Route no more mail to this incarnation; tell all actors of the run."""

    child: str
    incarnation: int
    reason: str


class Wake(msgspec.Struct, frozen=True):
    """Hand in this event, `after_ms` from now."""

    after_ms: int
    event: ReadyOverdue | KillDue | RestartDue | GraceOver | Tick


class Note(msgspec.Struct, frozen=True):
    """Write it into the log."""

    text: str


class Announce(msgspec.Struct, frozen=True):
    """Show it to the user. `kind` as of a `Progress`."""

    kind: ProgressKind
    text: str


class AskUser(msgspec.Struct, frozen=True):
    """Every child is down until this is answered. "": it has been, and nothing is started yet."""

    question: str


class FinishRun(msgspec.Struct, frozen=True):
    """Every child is down for good. Once, last."""

    result: RunResult


class AnswerChange(msgspec.Struct, frozen=True):
    """Answer the request for a change. `refused`: nothing was done."""

    text: str
    refused: bool = False


Command = (
    StartChild
    | PlaceChild
    | KeepMove
    | KillChild
    | TellChild
    | ReportUp
    | ReportDown
    | Wake
    | Note
    | Announce
    | AskUser
    | FinishRun
    | AnswerChange
)
