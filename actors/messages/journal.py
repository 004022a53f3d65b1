"""Messages between writers and the persistence actor. Pure."""

from __future__ import annotations

from typing import Literal

from actors.messages.base import Message
from actors.messages.values import Record


class Append(Message, frozen=True, kw_only=True):
    """Writer -> persistence: make these events durable, then answer `Appended`, or `Refused`.

    Idempotent: records whose event_id is already in the stream are skipped, so the request may be resent after a crash.
    `epoch` is the writer's incarnation; one below the stream's highest is refused.
    """

    stream: str  # "run", "turns/worker", "turns/reviewer", "mail"
    epoch: int
    expected_version: int  # number of records the writer believes the stream has
    records: list[Record]


class Appended(Message, frozen=True, kw_only=True):
    """Answer to `Append`: the records are durable; the stream now has `version` records."""

    stream: str
    version: int


class Load(Message, frozen=True, kw_only=True):
    """Actor -> persistence: the records of a stream from number `after` on. Answered by `Loaded`.

    Fences older epochs of the stream.
    """

    stream: str
    epoch: int
    after: int = 0


class Loaded(Message, frozen=True, kw_only=True):
    """Answer to `Load`, in order of writing. `more`: the stream has further records, too many for one message."""

    stream: str
    records: list[Record]
    more: bool = False


class Note(Message, frozen=True, kw_only=True):
    """Any actor -> persistence: a line for transcript.jsonl that is not an event (a message, a status detail)."""

    must_arrive = True

    sender: str
    recipient: str
    text: str
    at_ms: int
    note_id: str = ""  # a line whose id was already written is skipped; "" = always written


class SessionOpened(Message, frozen=True, kw_only=True):
    """Session owner -> persistence: the agent's session id for the manifest. Also -> bridge: the agent's program was
    started, so answers to its predecessor may be lost.
    """

    must_arrive = True

    role: Literal["worker", "reviewer"]
    agent: str
    session_id: str
