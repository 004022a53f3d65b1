"""The events of the turn ledger (`actors.machines.turn`), and the statuses of an entry in which each is legal. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

import msgspec

from actors.messages import Purpose, TurnOutcome, Usage


class LedgerEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the ledger's events."""


class SessionBegan(LedgerEvent, frozen=True, kw_only=True):
    """The agent's session has this id. Durable before the first prompt is sent. `replaces_lost`: the one before, which
    had turns of ours, does not exist any more.
    """

    session_id: str
    replaces_lost: bool = False


class TurnIntended(LedgerEvent, frozen=True, kw_only=True):
    """A turn is to be run; it certainly has not been sent."""

    turn_id: str
    purpose: Purpose
    prompt: str
    model: str = ""
    continues: str = ""  # the attempt before; `reminder` is sent instead of `prompt` when the session has that one's
    reminder: str = ""
    within_ms: int = 0  # how long it may take; 0: as long as any turn of the session
    typed: bool = False
    texts: Mapping[str, str] = {}  # the user's, in place of built-in prompts that continue it, by name


class TurnSubmitted(LedgerEvent, frozen=True, kw_only=True):
    """It is about to be handed to the agent as user message `message_id`, alone or into the running `carrier`."""

    turn_id: str
    message_id: str
    carrier: str = ""
    at_ms: int = 0  # Unix ms; 0 in older journals
    command: str = ""  # the agent's last one on a host that is lost: told with the prompt


class TurnSeen(LedgerEvent, frozen=True, kw_only=True):
    """Evidence that the agent has the user message."""

    turn_id: str


class TurnSpent(LedgerEvent, frozen=True, kw_only=True):
    """The agent has reported the usage of this attempt so far."""

    turn_id: str
    usage: Usage


class TurnReturned(LedgerEvent, frozen=True, kw_only=True):
    """It was not taken: the agent's transcript does not have it. It waits again."""

    turn_id: str


class TurnWithdrawn(LedgerEvent, frozen=True, kw_only=True):
    """A message that was never submitted and will not be; its sender may bring it again."""

    turn_id: str


class TurnCut(LedgerEvent, frozen=True, kw_only=True):
    """The agent had it but did not finish it; it continues under `next_message_id`.

    `remembered`: the agent's transcript has it. False when the agent was killed before it wrote down what it had begun
    (Claude Code writes 50-150 ms late): the next message then repeats the prompt.
    """

    turn_id: str
    next_message_id: str
    remembered: bool = True
    silences: int = 0  # it was interrupted because nothing was heard: how many times in a row; 0: for another reason


class TurnDeferred(LedgerEvent, frozen=True, kw_only=True):
    """A message met a limit or an outage: it continues under `next_message_id`, not before this time."""

    turn_id: str
    next_message_id: str
    at_ms: int
    not_before_ms: int
    remembered: bool = True  # as in `TurnCut`


class TurnMoved(LedgerEvent, frozen=True, kw_only=True):
    """Its session is full, or silent. It continues in a new one, under `next_message_id` and with this prompt."""

    turn_id: str
    next_message_id: str
    prompt: str
    silences: int = 0  # as in `TurnCut`


class TurnHandedOver(LedgerEvent, frozen=True, kw_only=True):
    """Its session was lost. It continues in the new one, under `next_message_id` and with this prompt."""

    turn_id: str
    next_message_id: str
    prompt: str


class AccountChosen(LedgerEvent, frozen=True, kw_only=True):
    """The agent works in this account from now on; the one `used_up` cannot until then (machines/accounts)."""

    account: int
    used_up: int
    until_ms: int


class SessionTurnSettled(LedgerEvent, frozen=True, kw_only=True):
    """It is over. `remembered`: the agent's transcript certainly has its prompt."""

    stored_as: ClassVar[str] = "TurnConcluded"

    turn_id: str
    outcome: TurnOutcome
    remembered: bool = False


Event = (
    SessionBegan
    | TurnIntended
    | TurnSubmitted
    | TurnSeen
    | TurnSpent
    | TurnReturned
    | TurnWithdrawn
    | TurnCut
    | TurnDeferred
    | TurnMoved
    | TurnHandedOver
    | AccountChosen
    | SessionTurnSettled
)
EVENTS: tuple[type[LedgerEvent], ...] = (
    SessionBegan,
    TurnIntended,
    TurnSubmitted,
    TurnSeen,
    TurnSpent,
    TurnReturned,
    TurnWithdrawn,
    TurnCut,
    TurnDeferred,
    TurnMoved,
    TurnHandedOver,
    AccountChosen,
    SessionTurnSettled,
)

Status = Literal["intended", "submitted", "running"]

# event -> the statuses in which it is legal. TurnIntended, SessionBegan and AccountChosen do not act on an entry.
TRANSITIONS: Mapping[type[LedgerEvent], tuple[Status, ...]] = MappingProxyType(
    {
        TurnSubmitted: ("intended",),
        TurnSeen: ("submitted", "running"),
        TurnSpent: ("submitted", "running"),
        TurnReturned: ("submitted", "running"),
        TurnWithdrawn: ("intended",),
        TurnCut: ("submitted", "running"),
        TurnDeferred: ("submitted", "running"),
        TurnMoved: ("submitted", "running"),
        TurnHandedOver: ("intended", "submitted", "running"),
        SessionTurnSettled: ("intended", "submitted", "running"),
    }
)
