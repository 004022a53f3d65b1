"""An actor for the fuzzed router: answers what the root asks, and takes nothing else."""

from __future__ import annotations

import msgspec

from actors.actor_process import ProcessActor, Sender
from actors.errors import ProtocolError
from actors.messages import Load, Loaded, Message, Record


class StartEcho(msgspec.Struct):
    """Nothing."""


class Echo(ProcessActor[StartEcho]):
    """Answers `Load` with one record of the same stream."""

    start_type = StartEcho

    def receive(self, message: Message, sender: Sender) -> Message | None:  # noqa: ARG002 - the contract's names
        match message:
            case Load(stream=stream):
                return Loaded(stream=stream, records=[Record(event_id="e", at_ms=0, kind="Echo", body="")])
            case _:
                raise ProtocolError(f"Echo does not take {type(message).__name__}")
