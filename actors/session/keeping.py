"""When an agent's program is started again, and when what waits for it is given up. Pure.

A program that dies in a turn is started again until it lives; the turn ledger ends a turn that kills it (`MAX_TRIES`).
One that cannot be started or asked is given up after a few tries, at once when another try cannot help: then each
message and turn that it certainly does not have fails with the reason. What it may have, only it can clear up: it is
tried again now and then.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from actors.machines import turn

# Pauses before the agent's program is started again, by the number of failures in a row; then what waits for it fails.
REOPEN_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0)
# What is still in doubt then (the agent may have it) only the agent can clear up: it is asked again now and then.
DOUBT_DELAY_S = 60.0

Fate = Literal["failed", "withdrawn", "in doubt"]


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """How the program has behaved since it last did something useful."""

    failures: int = 0  # in a row
    endings: int = 0  # how often it ended while idle since its last turn
    resting: bool = False  # before the next attempt to start it


# --- events -----------------------------------------------------------------------------------------------------------


class TurnAnswered(msgspec.Struct, frozen=True):
    """A turn came back from the program, however it went."""


class LostInTurn(msgspec.Struct, frozen=True):
    """The program died while a turn ran."""


class EndedIdle(msgspec.Struct, frozen=True):
    """The program ended by itself while nothing of ours ran."""


class CouldNotServe(msgspec.Struct, frozen=True):
    """The program could not be started or asked. `permanent`: nor can it be here, whatever is tried."""

    permanent: bool


class LeftInDoubt(msgspec.Struct, frozen=True):
    """What waited was given up, but for what the agent may have."""


class Rested(msgspec.Struct, frozen=True):
    """The pause is over."""


Event = TurnAnswered | LostInTurn | EndedIdle | CouldNotServe | LeftInDoubt | Rested


# --- decisions --------------------------------------------------------------------------------------------------------


class Rest(msgspec.Struct, frozen=True):
    """Order: hand in `Rested` after this time, and do not start the program before."""

    delay_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """Order: what waits for the program meets its `fate`."""


def decide(keeping: Keeping, event: Event) -> tuple[Keeping, Rest | GiveUp | None]:
    """What the event makes of it, and what is to be done. The program has been closed before, but for two events:
    `TurnAnswered` and `Rested`.
    """
    match event:
        case TurnAnswered():
            return replace(keeping, failures=0, endings=0), None
        case LostInTurn():
            failures = keeping.failures + 1
            return _rest(replace(keeping, failures=failures), min(failures, len(REOPEN_DELAYS_S)) - 1)
        case EndedIdle():  # it was of use, so the first pause is not the empty one
            endings = keeping.endings + 1
            return _rest(replace(keeping, endings=endings), min(endings, len(REOPEN_DELAYS_S) - 1))
        case CouldNotServe():
            failures = keeping.failures + 1
            if event.permanent or failures >= len(REOPEN_DELAYS_S):
                return replace(keeping, failures=0), GiveUp()
            return _rest(replace(keeping, failures=failures), failures - 1)
        case LeftInDoubt():
            return replace(keeping, resting=True), Rest(DOUBT_DELAY_S)
        case Rested():
            return replace(keeping, resting=False), None


def _rest(keeping: Keeping, place: int) -> tuple[Keeping, Rest]:
    return replace(keeping, resting=True), Rest(REOPEN_DELAYS_S[place])


def fate(entry: turn.Entry) -> Fate:
    """Of an open turn whose agent is given up. Mail that was not sent may be brought again; other mail may have
    arrived. A turn that somebody waits for fails.
    """
    if entry.purpose != "mail":
        return "failed"
    return "withdrawn" if entry.status == "intended" else "in doubt"


def wanted_session(ledger: turn.Ledger, first_session_id: str | None) -> str | None:
    """The session that the program is to open. None: a new one."""
    return None if ledger.full else ledger.session_id or first_session_id


def is_missed(ledger: turn.Ledger) -> bool:
    """Whether a session that is gone takes something with it that the user knows of."""
    return bool(ledger.settled) or any(entry.status != "intended" for entry in ledger.open.values())
