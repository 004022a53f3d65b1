"""One actor's journalled stream of events: load it, append to it. Runs in the calling thread and blocks it.

Write-ahead: `append` returns when the events are durable, and only then are the commands that follow from them
carried out. It waits out a restart of the persistence actor: it resends the same records, and the journal skips those
it has. It never retries a refusal.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

import msgspec

from actors.errors import JournalUnusableError, ProtocolError
from actors.machines.stored import by_stored_name, stored_name
from actors.messages import Append, Appended, Load, Loaded, Record
from actors.remote import RemoteRef
from actors.wire.encoding import to_json

E = TypeVar("E", bound=msgspec.Struct)

# Persistence restarts within a second of a crash. Ten minutes allow for a full disk that the user clears: past that the
# actor crashes with the reason, and the supervisor's policy decides.
JOURNAL_PATIENCE_S = 600.0


class EventStream(Generic[E]):
    """The stream `name` as this incarnation (`epoch`) sees it. One writer; used from one thread at a time.

    Raises `JournalConflictError` when a newer incarnation owns the stream: the caller must end.
    """

    def __init__(self, journal: RemoteRef, name: str, epoch: int, types: Iterable[type[E]]) -> None:
        self._journal = journal
        self._name = name
        self._epoch = epoch
        self._types = by_stored_name(types)
        self._version = 0

    def load(self) -> list[E]:
        """All events so far, oldest first; fences every older epoch of the stream."""
        events: list[E] = []
        while True:
            request = Load(stream=self._name, epoch=self._epoch, after=len(events))
            answer = self._journal.ask(request, timeout_s=JOURNAL_PATIENCE_S)
            if not isinstance(answer, Loaded):
                raise ProtocolError(f"persistence answered {type(answer).__name__} to Load")
            events.extend(self._decode(record) for record in answer.records)
            if not answer.more:
                self._version = len(events)
                return events

    def append(self, events: Sequence[E]) -> None:
        """Returns when all events are durable, in this request."""
        records = [
            Record(
                event_id=str(uuid.uuid4()),
                at_ms=time.time_ns() // 1_000_000,
                kind=stored_name(type(event)),
                body=to_json(event),
            )
            for event in events
        ]
        answer = self._journal.ask(
            Append(stream=self._name, epoch=self._epoch, expected_version=self._version, records=records),
            timeout_s=JOURNAL_PATIENCE_S,
        )
        if not isinstance(answer, Appended):
            raise ProtocolError(f"persistence answered {type(answer).__name__} to Append")
        self._version = answer.version

    def _decode(self, record: Record) -> E:
        cls = self._types.get(record.kind)
        if cls is None:
            raise JournalUnusableError(
                f"event kind {record.kind!r} in stream {self._name!r} is unknown to this version of loop: update loop"
            )
        try:
            return msgspec.json.decode(record.body, type=cls)
        except (msgspec.DecodeError, RecursionError) as error:
            raise JournalUnusableError(
                f"event {record.kind} in stream {self._name!r} was written by another version of loop ({error})"
            ) from error
