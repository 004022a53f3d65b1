"""What a session takes in, from its actor, from the agent and from its own timers. Pure."""

from __future__ import annotations

import msgspec

from actors.messages import Purpose, StartTurnRequest, TurnOutcome
from actors.session import keeping


class MessageBrought(msgspec.Struct, frozen=True):
    """Somebody's message to the agent."""

    message_id: str
    purpose: Purpose
    text: str


class HoldChanged(msgspec.Struct, frozen=True):
    """While held, no turn starts. `finishing`: but one that has begun and was cut is taken up."""

    held: bool
    finishing: bool = False


class TurnBrokenOff(msgspec.Struct, frozen=True):
    """A turn is to end, or not to begin."""

    turn_id: str
    reason: str


class TurnOver(msgspec.Struct, frozen=True):
    """The agent answers no more in this turn."""

    turn_id: str
    outcome: TurnOutcome | None  # None: the agent was lost


class PromptSeen(msgspec.Struct, frozen=True):
    """The agent has this message in its transcript."""

    message_id: str


class InterruptOverdue(msgspec.Struct, frozen=True):
    """The agent had long enough to end this turn."""

    turn_id: str


class Alarm(msgspec.Struct, frozen=True):
    """A message that had to wait need not any more."""


class UserAsked(msgspec.Struct, frozen=True):
    """The agent, for a person's answer in its own TUI; "": no longer."""

    what: str


class ProgramEnded(msgspec.Struct, frozen=True):
    """The agent's program, of itself, while nothing of ours ran."""

    why: str


Item = (
    StartTurnRequest
    | MessageBrought
    | HoldChanged
    | TurnBrokenOff
    | TurnOver
    | PromptSeen
    | InterruptOverdue
    | keeping.Rested
    | Alarm
    | UserAsked
    | ProgramEnded
)
