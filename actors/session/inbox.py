"""The inputs of a session: from its actor, the agent and its own timers. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actors.messages import Patience, Purpose, StartTurnRequest, TurnOutcome, Usage
from actors.session import keeping


class MessageDelivered(msgspec.Struct, frozen=True):
    """A message of the peer or the user to the agent."""

    message_id: str
    purpose: Purpose
    text: str


class HoldChanged(msgspec.Struct, frozen=True):
    """While held, no turn starts. `finishing`: what the run waits for is still done. `by_grant`: a turn
    needs `Granted` first.
    """

    held: bool
    finishing: bool = False
    patience: Patience | None = None
    by_grant: bool = False


class Granted(msgspec.Struct, frozen=True):
    """The turn that waited may begin."""

    turn_id: str


class LeaveAsked(msgspec.Struct, frozen=True):
    """No turn starts or resumes any more. `then` is called whenever none runs. None: the session stays after all.

    `now`: the running turn is cut.
    """

    then: Callable[[], None] | None
    now: bool = False


class InterruptRequested(msgspec.Struct, frozen=True):
    """A turn is interrupted, or cancelled before its start."""

    turn_id: str
    reason: str


class TurnOver(msgspec.Struct, frozen=True):
    """The agent has stopped answering in this turn."""

    turn_id: str
    outcome: TurnOutcome | None  # None: the agent was lost


class PromptSeen(msgspec.Struct, frozen=True):
    """The agent has this message in its transcript."""

    message_id: str


class UsageReported(msgspec.Struct, frozen=True):
    """The usage so far of the attempt with this message id, and the model that works, where the agent names it."""

    message_id: str
    usage: Usage
    model: str


class InterruptOverdue(msgspec.Struct, frozen=True):
    """The agent has not ended this turn within the time-out of an interrupt."""

    turn_id: str


class LookDue(msgspec.Struct, frozen=True):
    """It is time to judge whether this turn's agent is silent."""

    turn_id: str


class Alarm(msgspec.Struct, frozen=True):
    """A deferred message is due."""


class UserAsked(msgspec.Struct, frozen=True):
    """The agent asks the user in its own TUI; "": no longer."""

    what: str


class ProgramEnded(msgspec.Struct, frozen=True):
    """The agent's program ended by itself while no turn of ours ran."""

    why: str


Item = (
    StartTurnRequest
    | MessageDelivered
    | HoldChanged
    | LeaveAsked
    | Granted
    | InterruptRequested
    | TurnOver
    | PromptSeen
    | UsageReported
    | InterruptOverdue
    | LookDue
    | keeping.Rested
    | Alarm
    | UserAsked
    | ProgramEnded
)
