"""Reliable delivery between two actors that may both die: numbers, acknowledgements, resends, duplicates. Pure.

ZeroMQ is a wire, not a queue: messages in flight to a dying process are lost. So the sender keeps every numbered
message until it is acknowledged (`SendWindow`), and the receiver drops duplicates (`Deduplicator`). Both are
plain objects without I/O, in the manner of h11; time comes in as an argument. Each belongs to one thread.

What holds, for each pair of sender and recipient, lane by lane:
- at least once, as long as this incarnation of the sender lives: a message is resent until it is acknowledged, to
  whichever incarnation of the recipient lives;
- at most once for each incarnation of the recipient;
- accepted in the order of posting. `after` names the unacknowledged message before this one in its lane; a recipient
  that has not accepted that (it was lost on the way, or went to a former incarnation) drops this one; both come again.

A new incarnation of the sender starts empty. Undelivered messages of its predecessor are lost; their owner re-issues
them from the journal, under ids that make them idempotent.

The queue behind the window has no bound of its own. Only our actors post here, and each of their steps first waits for
the journal's answer. So while nothing is read, no further steps and messages arise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

# Unacknowledged messages on the wire for each recipient and lane. Below half of the router's and the recipient's
# queues together, so that a flood waits here, where nothing is lost, instead of being refused by a full pipe.
WINDOW = 256
# The same in bytes, as ZeroMQ's own queues count messages. A longer message goes alone.
WINDOW_BYTES = 8 * 1024 * 1024
FIRST_RESEND_MS = 1_000
LAST_RESEND_MS = 30_000


class Lane(IntEnum):
    """Lanes are independent: an answer stuck behind mail could deadlock two actors."""

    ANSWER = 0
    CONTROL = 1
    MAIL = 2


class Dispatch(NamedTuple, Generic[T]):
    """Order: write this to the wire now. `attempt` counts from 1."""

    recipient: str
    lane: Lane
    seq: int
    after: int
    attempt: int
    content: T


@dataclass(slots=True)
class _Entry(Generic[T]):
    id: str
    seq: int
    content: T
    until_answered: bool
    once: bool = False
    size: int = 0
    attempt: int = 0
    handed_over: bool = False  # as far as is known: written, and not refused since


@dataclass(slots=True)
class _Channel(Generic[T]):
    """One recipient, one lane. `sent` is in order of `seq`; everything in `queued` comes after it."""

    recipient: str
    lane: Lane
    sent: dict[int, _Entry[T]] = field(default_factory=dict)
    queued: deque[_Entry[T]] = field(default_factory=deque)
    sent_bytes: int = 0
    resend_at_ms: int | None = None
    backoff_ms: int = FIRST_RESEND_MS

    def restart_timer(self, now_ms: int) -> None:
        self.backoff_ms = FIRST_RESEND_MS
        self.resend_at_ms = now_ms + FIRST_RESEND_MS if self.sent else None

    def has_room(self) -> bool:
        """Whether the first queued message may be written."""
        if not self.sent:
            return True
        return len(self.sent) < WINDOW and self.sent_bytes + self.queued[0].size <= WINDOW_BYTES


class SendWindow(Generic[T]):
    """What one incarnation of a sender has not delivered yet. `len` is the number of those messages.

    A recipient is a name ("reviewer"), or one incarnation ("reviewer#2"): messages for a dead incarnation are dropped.
    """

    def __init__(self) -> None:
        self._channels: dict[tuple[str, Lane], _Channel[T]] = {}
        self._by_seq: dict[int, _Channel[T]] = {}
        self._requests: dict[str, int] = {}  # id -> seq
        self._incarnations: dict[str, int] = {}
        self._next_seq = 1

    def __len__(self) -> int:
        return len(self._by_seq)

    def post(
        self,
        recipient: str,
        lane: Lane,
        message_id: str,
        content: T,
        *,
        until_answered: bool = False,
        once: bool = False,
        size: int = 0,
    ) -> None:
        """Takes a message in; `due` will order it to be written. `until_answered`: a request, kept until `settle`.

        `size`: its bytes. `once`: a request that ends with the incarnation that it was handed to (`cut_off`).
        """
        channel = self._channels.setdefault((recipient, lane), _Channel(recipient, lane))
        entry = _Entry(message_id, self._next_seq, content, until_answered, once, size)
        self._next_seq += 1
        channel.queued.append(entry)
        self._by_seq[entry.seq] = channel
        if until_answered:
            self._requests[message_id] = entry.seq

    def due(self, now_ms: int) -> list[Dispatch[T]]:
        """What must be written now, in this order. It counts as written."""
        orders: list[Dispatch[T]] = []
        for channel in self._channels.values():
            if channel.resend_at_ms is not None and channel.resend_at_ms <= now_ms:
                after = 0
                for entry in channel.sent.values():
                    orders.append(self._dispatch(channel, entry, after))
                    after = entry.seq
                channel.resend_at_ms = now_ms + channel.backoff_ms
                channel.backoff_ms = min(channel.backoff_ms * 2, LAST_RESEND_MS)
            while channel.queued and channel.has_room():
                entry = channel.queued.popleft()
                after = next(reversed(channel.sent), 0)
                channel.sent[entry.seq] = entry
                channel.sent_bytes += entry.size
                orders.append(self._dispatch(channel, entry, after))
                if channel.resend_at_ms is None:
                    channel.restart_timer(now_ms)
        return orders

    def next_due_ms(self) -> int | None:
        """When `due` must be called again, unless something happens before; None: never."""
        return min((c.resend_at_ms for c in self._channels.values() if c.resend_at_ms is not None), default=None)

    def acknowledged(self, seq: int, now_ms: int) -> None:
        """The recipient has handled it. A request stays until it is settled: its answer may still be lost."""
        channel = self._by_seq.get(seq)
        entry = channel.sent.get(seq) if channel else None
        if entry is not None and not entry.until_answered:
            self._remove(seq, now_ms)

    def settle(self, request_id: str, now_ms: int) -> None:
        """The request was answered, or its answer is not awaited any more. Unknown ids are ignored."""
        seq = self._requests.pop(request_id, None)
        if seq is not None:
            self._remove(seq, now_ms)

    def peer_up(self, name: str, incarnation: int, now_ms: int) -> None:
        """Incarnation `incarnation` of `name` lives. A new one gets all unacknowledged messages immediately."""
        if incarnation <= self._incarnations.get(name, 0):
            return
        self._incarnations[name] = incarnation
        self.peer_down(name, incarnation - 1)
        for lane in Lane:
            channel = self._channels.get((name, lane))
            if channel is not None and channel.sent:
                channel.restart_timer(now_ms)
                channel.resend_at_ms = now_ms

    def peer_down(self, name: str, incarnation: int) -> None:
        """Incarnations of `name` up to this one are gone: forget what was addressed to them alone."""
        for key in list(self._channels):
            recipient, mark, number = key[0].partition("#")
            if mark and recipient == name and int(number) <= incarnation:
                channel = self._channels.pop(key)
                for entry in (*channel.sent.values(), *channel.queued):
                    del self._by_seq[entry.seq]
                    self._requests.pop(entry.id, None)

    def handed_back(self, request_id: str) -> None:
        """The request was not delivered: its recipient is down. Unknown ids are ignored."""
        channel = self._by_seq.get(seq := self._requests.get(request_id, 0))
        if channel is not None and (entry := channel.sent.get(seq)) is not None:
            entry.handed_over = False

    def cut_off(self, name: str, now_ms: int) -> list[str]:
        """An incarnation of `name` has ended. Ends the `once` requests that it got; returns their ids."""
        lost = [
            entry
            for lane in Lane
            if (channel := self._channels.get((name, lane))) is not None
            for entry in channel.sent.values()
            if entry.once and entry.handed_over
        ]
        for entry in lost:
            self.settle(entry.id, now_ms)
        return [entry.id for entry in lost]

    def _dispatch(self, channel: _Channel[T], entry: _Entry[T], after: int) -> Dispatch[T]:
        entry.attempt += 1
        entry.handed_over = True
        return Dispatch(channel.recipient, channel.lane, entry.seq, after, entry.attempt, entry.content)

    def _remove(self, seq: int, now_ms: int) -> None:
        channel = self._by_seq.pop(seq)
        if (sent := channel.sent.pop(seq, None)) is None:
            channel.queued = deque(entry for entry in channel.queued if entry.seq != seq)
        else:
            channel.sent_bytes -= sent.size
        channel.restart_timer(now_ms)
        if not channel.sent and not channel.queued:
            del self._channels[channel.recipient, channel.lane]


class Arrival(Enum):
    """What to do with a numbered message that has arrived."""

    ACCEPT = "accept"  # new: hand it on, and call `handled` when its handler is done
    PENDING = "pending"  # seen before and still being handled: drop it
    REPEATED = "repeated"  # seen before and handled: drop it and acknowledge it again
    EARLY = "early"  # its predecessor has not arrived: drop it; both will come again
    FENCED = "fenced"  # from an older incarnation of the sender: drop it


@dataclass(slots=True)
class _Origin:
    """What is known of one sender: a few numbers and, at most, one window of numbers in each lane."""

    incarnation: int
    accepted: dict[Lane, int] = field(default_factory=dict)  # highest number accepted
    pending: set[int] = field(default_factory=set)


class Deduplicator:
    """What one incarnation of a recipient has accepted. Its size depends on the number of senders only."""

    def __init__(self) -> None:
        self._origins: dict[str, _Origin] = {}

    def arrived(self, sender: str, incarnation: int, lane: Lane, seq: int, after: int) -> Arrival:
        """Judges a numbered message by its header."""
        origin = self._origins.get(sender)
        if origin is None or origin.incarnation < incarnation:
            origin = self._origins[sender] = _Origin(incarnation)
        if incarnation < origin.incarnation:
            return Arrival.FENCED
        last = origin.accepted.get(lane, 0)
        if seq <= last:
            return Arrival.PENDING if seq in origin.pending else Arrival.REPEATED
        if after > last:
            return Arrival.EARLY
        origin.accepted[lane] = seq
        origin.pending.add(seq)
        return Arrival.ACCEPT

    def handled(self, sender: str, incarnation: int, seq: int) -> bool:
        """The handler is done with an accepted message. False: its sender is gone, do not acknowledge."""
        origin = self._origins.get(sender)
        if origin is None or origin.incarnation != incarnation:
            return False
        origin.pending.discard(seq)
        return True
