"""What `loop acp` and the process of one run (program.py) say to each other, a JSON object in a line. Pure.

The order comes first, on the process's stdin, which then stays open. Its end means that nobody drives the run any
more. The answers come on stdout; notes for the user, and the error, are the lines on stderr.
"""

from __future__ import annotations

import msgspec


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """Start a run with the typed words of `loop acp`. `task` None: resume `run_id` where it was."""

    words: list[str]
    task: str | None = None
    run_id: str = ""
    only_reserve: bool = False  # check everything and reserve an id; the task comes later


class Reserved(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The run's id is reserved, and it can run here."""

    key: str
    directory: str


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The run begins, and its control server has this address."""

    key: str
    directory: str
    endpoint: str


AnyAnswer = Reserved | Opened
_answer: msgspec.json.Decoder[AnyAnswer] = msgspec.json.Decoder(AnyAnswer)


def encode(message: Order) -> bytes:
    """The line of an order."""
    return msgspec.json.encode(message) + b"\n"


def decode_order(line: bytes) -> Order:
    """Raises `msgspec.MsgspecError` for a line that is none."""
    return msgspec.json.decode(line, type=Order)


def decode_answer(line: bytes) -> AnyAnswer:
    """Raises `msgspec.MsgspecError` for a line that is none."""
    return _answer.decode(line)
