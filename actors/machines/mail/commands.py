"""The bridge's commands. Pure data."""

from __future__ import annotations

import msgspec

from actors.settings import Role


class Deliver(msgspec.Struct, frozen=True, kw_only=True):
    """Order: bring the mail to the owner of the target's session. Idempotent there: the mail's id is its identity."""

    mail_id: str
    sender: Role
    target: Role
    text: str
    attempt: int
    repeat: bool  # it may have been read already: it was fetched before the bridge died
    edited: bool  # by the user


class Wake(msgspec.Struct, frozen=True, kw_only=True):
    """Order: call `advance` again at this time. It replaces the previous alarm."""

    at_ms: int


Command = Deliver | Wake
