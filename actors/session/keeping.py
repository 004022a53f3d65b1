"""Decides when to restart an agent's program, and when to give up what waits for it. Pure.

A program that dies in a turn is restarted until it works; the turn ledger ends a turn that kills it (`MAX_TRIES`). A
program that cannot start or answer is given up after a few tries, or immediately when a retry cannot help. Then each
message and turn that it certainly does not have fails with the reason. Only the program can resolve what it may have:
it is retried periodically.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec.structs import replace

from actors.machines import turn

# Pauses before the agent's program is started again, by the number of failures in a row; then what waits for it fails.
REOPEN_DELAYS_S = (0.0, 0.5, 1.0, 2.0, 5.0)
# Only the agent can resolve what is still in doubt then (it may have it): it is retried periodically.
DOUBT_DELAY_S = 60.0

Fate = Literal["failed", "withdrawn", "in doubt"]


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """The program's failures since its last useful work."""

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
    """The program could not start or answer. `permanent`: a retry here cannot help."""

    permanent: bool


class LeftInDoubt(msgspec.Struct, frozen=True):
    """Waiting entries were given up, except those that the agent may have."""


class Rested(msgspec.Struct, frozen=True):
    """The pause is over."""


Event = TurnAnswered | LostInTurn | EndedIdle | CouldNotServe | LeftInDoubt | Rested


# --- decisions --------------------------------------------------------------------------------------------------------


class Rest(msgspec.Struct, frozen=True):
    """Order: report `Rested` after this time, and do not start the program before."""

    delay_s: float


class GiveUp(msgspec.Struct, frozen=True):
    """Order: apply `fate` to what waits for the program."""


def decide(keeping: Keeping, event: Event) -> tuple[Keeping, Rest | GiveUp | None]:
    """The state after the event, and the command to carry out. The program is closed before each event except
    `TurnAnswered` and `Rested`.
    """
    match event:
        case TurnAnswered():
            return replace(keeping, failures=0, endings=0), None
        case LostInTurn():
            failures = keeping.failures + 1
            return _rest(replace(keeping, failures=failures), min(failures, len(REOPEN_DELAYS_S)) - 1)
        case EndedIdle():  # it was useful, so the first pause is not the empty one
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
    """The event of an open turn whose agent is given up. Unsent mail may be resent; other mail may have arrived. A turn
    that the run or user waits for fails.
    """
    if entry.purpose != "mail":
        return "failed"
    return "withdrawn" if entry.status == "intended" else "in doubt"


def wanted_session(ledger: turn.Ledger, first_session_id: str | None) -> str | None:
    """The session for the program to open. None: a new one."""
    return None if ledger.full else ledger.session_id or first_session_id


def is_missed(ledger: turn.Ledger) -> bool:
    """Whether a lost session contained something that the user knows of."""
    return bool(ledger.settled) or any(entry.cuts or entry.status != "intended" for entry in ledger.open.values())
