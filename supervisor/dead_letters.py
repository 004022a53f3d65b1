"""The messages that a root could not deliver, for the user. Pure; the router keeps them.

A letter leaves the list when a resend of it arrives after all. Of too many, the oldest are dropped.
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from actors.wire.envelope import Envelope

DEAD_LETTERS_KEPT = 1_000


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was not delivered. It leaves the list when a resend arrives after all."""

    at_ms: int  # Unix time of the last attempt
    message_id: str
    run: str
    sender: str
    recipient: str
    kind: str
    reason: str
    attempts: int = 1
    kept: bool = False  # its sender keeps it and sends it again


class DeadLetters:
    """Those of all runs, oldest first."""

    def __init__(self) -> None:
        self._letters: OrderedDict[str, DeadLetter] = OrderedDict()

    def add(self, envelope: Envelope, reason: str, at_ms: int) -> bool:
        """Adds the message as the newest. Returns whether it was there already."""
        known = self._letters.pop(envelope.id, None)
        self._letters[envelope.id] = DeadLetter(
            at_ms=at_ms,
            message_id=envelope.id,
            run=envelope.run,
            sender=envelope.sender,
            recipient=envelope.recipient,
            kind=envelope.kind,
            reason=reason,
            attempts=known.attempts + 1 if known else 1,
            kept=envelope.seq > 0,
        )
        while len(self._letters) > DEAD_LETTERS_KEPT:
            self._letters.popitem(last=False)
        return known is not None

    def arrived(self, message_id: str) -> None:
        """A resend of this message was delivered."""
        self._letters.pop(message_id, None)

    def of(self, run: str | None = None) -> list[DeadLetter]:
        """Those of the run, oldest first; of all runs by default."""
        return [letter for letter in self._letters.values() if run in (None, letter.run)]

    def forget_run(self, run: str) -> None:
        """Drops those of a run that is over."""
        self._letters = OrderedDict((key, letter) for key, letter in self._letters.items() if letter.run != run)
