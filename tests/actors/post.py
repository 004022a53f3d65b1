"""Actors without processes: a channel that keeps what is sent, a journal in memory."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from actors.actor_process import ActorContext
from actors.edges.reliable_channel import ReliableChannel
from actors.messages import Append, Appended, Load, Loaded, Message, Record
from actors.starts import StartAgent
from actors.wire.envelope import Address

M = TypeVar("M", bound=Message)


class Post:
    """Stands for the channel of one actor, and for the journal."""

    def __init__(self, name: str, records: list[Record]) -> None:
        self.address = Address("r/1", name, 1)
        self.records = records
        self.sent: list[tuple[str, Message]] = []
        self.news = threading.Condition()

    def tell(self, recipient: str, message: Message) -> None:
        with self.news:
            self.sent.append((recipient, message))
            self.news.notify_all()

    def ask(self, _recipient: str, message: Message, _timeout_s: float, *, once: bool = False) -> Message:
        match message:
            case Load():
                return Loaded(stream=message.stream, records=list(self.records))
            case Append():
                self.records += message.records
                return Appended(stream=message.stream, version=len(self.records))
            case _:
                raise AssertionError(message)

    def told(self, recipient: str, kind: type[M]) -> list[M]:
        """What it was told, oldest first."""
        return [message for name, message in self.sent if name == recipient and isinstance(message, kind)]

    def forget(self) -> None:
        self.sent.clear()


def context_of(post: Post, start: Any) -> ActorContext[Any]:
    return ActorContext(cast("ReliableChannel", post), start, clock=lambda: 1_000)


def start_agent(cwd: Path, **changes: Any) -> StartAgent:
    plain: dict[str, Any] = {
        "role": "reviewer",
        "agent": "embedded",
        "label": "embedded-reviewer",
        "cwd": cwd,
        "environment": {},
        "run_id": "1",
        "directory": cwd.parent,
        "records": cwd.parent / "records",
        "retry_ms": 1,
        "max_wait_ms": None,
    }
    return msgspec.convert({**plain, **changes}, StartAgent)
