"""The messages of one address: any thread sends through the I/O thread; what arrives goes to a waiting thread or the
inbox.

Owns no socket. `tell`, `ask`, `handled` and `answer` are for any thread; the methods below them are for the I/O thread
alone (the main thread of an actor process; the router thread of the root, where a local endpoint has one as well).
It applies machines/reliable_delivery to real messages and never decides what a message means.

The queue is bounded while the root does not read. `MOST_LOOSE_BYTES` bounds messages that may be lost, since a
talkative agent fills them. Messages that must arrive are bounded by the work that waits for their answer
(machines/reliable_delivery).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from loguru import logger
from msgspec.structs import replace

from actors import errors
from actors.errors import LoopError, OperationalError, ProtocolError, RecipientEndedError, UndeliverableError
from actors.machines.reliable_delivery import Arrival, Deduplicator, Lane, SendWindow
from actors.messages import (
    Ack,
    ActorDown,
    ActorUp,
    Apply,
    ControlRun,
    Message,
    Peek,
    Refused,
    StopActor,
    Undeliverable,
)
from actors.wire.envelope import (
    Address,
    Envelope,
    Frames,
    Sender,
    decode_body,
    decode_header,
    encode,
    encode_body,
    kind_of,
    split_local,
)

# Served before ordinary mail, in the recipient's mailbox as on the way there.
CONTROL = (StopActor, ActorUp, ActorDown, ControlRun, Apply, Peek)
# Of messages that may be lost, from `tell` to the socket. Beyond it they are dropped, and counted in the log.
MOST_LOOSE_BYTES = 32 * 1024 * 1024
_CONTROL_KINDS = frozenset(cls.__name__ for cls in CONTROL)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that has arrived and must be handled. `at_ms`: monotonic time of its arrival."""

    envelope: Envelope
    message: Message
    sender: Sender
    at_ms: int


@dataclass(slots=True)
class _Question:
    """A thread that waits for an answer."""

    answer: Future[Message]
    last_notice: str = ""


@dataclass(frozen=True, slots=True)
class _Letter:
    """An outgoing message, encoded in the thread that sends it."""

    envelope: Envelope
    body: bytes
    numbered: bool
    once: bool = False


def monotonic_ms() -> int:
    """The clock of all time-outs here."""
    return time.monotonic_ns() // 1_000_000


class ReliableChannel:
    """The messages of `address`. `wake` makes the I/O thread call `outgoing` soon; any thread may call it."""

    def __init__(self, address: Address, wake: Callable[[], None]) -> None:
        self.address = address
        self._wake = wake
        self._io_thread: int | None = None
        self._window: SendWindow[_Letter] = SendWindow()
        self._deduplicator = Deduplicator()
        self._work: deque[Callable[[int], None]] = deque()  # from any thread to the I/O thread
        self._letters: list[Frames] = []  # unnumbered, to be written
        self._loose_bytes = 0  # in `_work`
        self._lost = 0  # since there was no room
        self._guard = threading.Lock()  # of these two
        self._questions: dict[str, _Question] = {}
        self._abandoned = ""  # why nothing is sent any more

    # --- any thread ---------------------------------------------------------------------------------------------

    def tell(self, recipient: str, message: Message) -> None:
        """Sends a message. One that must arrive is kept and resent until it was handled; others may be lost.

        Raises ProtocolError when the message cannot be encoded.
        """
        letter = self._letter(recipient, message, numbered=message.must_arrive)
        if letter.numbered:
            self._submit(lambda _now_ms: self._post(letter))
        elif self._has_room(letter):
            self._submit(lambda _now_ms: self._post_loose(letter))

    def ask(self, recipient: str, message: Message, timeout_s: float, *, once: bool = False) -> Message:
        """Sends a request and blocks until it is answered, also across restarts of the recipient.

        A `once` request ends with RecipientEndedError when the incarnation that got it ends.

        Raises UndeliverableError when no answer came in time, the error that a `Refused` answer names, ProtocolError
        when the message cannot be encoded, and RuntimeError in the I/O thread, which would deadlock.
        """
        if threading.get_ident() == self._io_thread:
            raise RuntimeError(f"ask({type(message).__name__}) in the I/O thread would wait for ever: use tell")
        question = _Question(Future())
        letter = self._letter(recipient, message, numbered=True, wants_answer=True, once=once)
        request_id = letter.envelope.id

        def put(_now_ms: int) -> None:
            self._questions[request_id] = question
            self._post(letter)

        def give_up(now_ms: int) -> None:
            self._questions.pop(request_id, None)
            self._window.settle(request_id, now_ms)

        self._submit(put)
        if self._abandoned:  # checked last: `abandon` ends an earlier question, this line a later one
            raise UndeliverableError(self._abandoned)
        try:
            answer = question.answer.result(timeout_s)
        except TimeoutError:
            self._submit(give_up)
            notice = f" ({question.last_notice})" if question.last_notice else ""
            raise UndeliverableError(
                f"no answer from {recipient} to {type(message).__name__} within {timeout_s:g} s{notice}"
            ) from None
        if isinstance(answer, Refused):
            raise _error_of(answer)
        return answer

    def answer(self, request: Envelope, message: Message) -> None:
        """Answers a request, reliably, to the incarnation that asked."""
        try:
            letter = self._letter(request.sender, message, numbered=True, reply_to=request.id)
        except ProtocolError as error:
            logger.error("cannot answer {}: {}", request.kind, error)
            letter = self._letter(request.sender, refusal(error), numbered=True, reply_to=request.id)

        def put(_now_ms: int) -> None:
            self._handled(request)
            self._post(letter)

        self._submit(put)

    def handled(self, envelope: Envelope) -> None:
        """The handler is done with this message: acknowledges it, if it is numbered and not a request."""
        if envelope.seq:
            self._submit(lambda _now_ms: self._handled(envelope))

    # --- I/O thread ---------------------------------------------------------------------------------------------

    def adopt_thread(self) -> None:
        """The calling thread is the I/O thread from now on."""
        self._io_thread = threading.get_ident()

    def outgoing(self, now_ms: int) -> list[Frames]:
        """What must be written now, in this dispatch."""
        while self._work:
            self._work.popleft()(now_ms)
        frames, self._letters = self._letters, []
        for dispatch in self._window.due(now_ms):
            letter = dispatch.content
            envelope = replace(letter.envelope, seq=dispatch.seq, after=dispatch.after, attempt=dispatch.attempt)
            frames.append(encode(envelope, letter.body))
        return frames

    def next_due_ms(self) -> int | None:
        """When `outgoing` must be called again, unless something wakes the thread before."""
        return self._window.next_due_ms()

    def unacknowledged(self) -> int:
        """Number of messages and requests that are not delivered yet."""
        return len(self._window)

    def receive(self, header: bytes, body: bytes, now_ms: int) -> Delivery | None:
        """Accepts a message. A returned message must be handled, and then `handled` or `answer` called.

        Raises ProtocolError for invalid bytes; a sender that would resend them is told not to.
        """
        envelope = decode_header(header)
        sender = sender_of(envelope)
        if envelope.seq and not self._is_new(envelope, sender):
            return None
        try:
            message = decode_body(envelope.kind, body)
        except ProtocolError as error:
            self._reject(envelope, error, now_ms)
            raise
        if sender.incarnation:
            self._window.peer_up(sender.name, sender.incarnation, now_ms)
        match message:
            case Ack(seq=seq) if not envelope.reply_to:
                self._window.acknowledged(seq, now_ms)
                return None
            case Undeliverable(message_id=message_id, reason=reason, kept=True):
                self._window.handed_back(message_id)
                if question := self._questions.get(message_id):
                    question.last_notice = reason
                return None
            case _:
                self.note_peer(message, now_ms)
        if envelope.reply_to:
            self._settle(envelope, message, now_ms)
            return None
        return Delivery(envelope, message, sender, now_ms)

    def note_peer(self, message: Message, now_ms: int) -> None:
        """Applies a notice to the messages in flight; ignores any other message."""
        match message:
            case ActorUp(name=name, incarnation=incarnation):
                self._window.peer_up(name, incarnation, now_ms)
            case ActorDown(name=name, incarnation=incarnation):
                self._window.peer_down(name, incarnation)
                for request_id in self._window.cut_off(name, now_ms):
                    if question := self._questions.pop(request_id, None):
                        question.answer.set_exception(
                            RecipientEndedError(f"{name} ended while it served this; it is not given to its successor")
                        )
            case _:
                pass

    def abandon(self, reason: str) -> None:
        """The link is closed: ends all waits for answers, and those of later requests."""
        self._abandoned = reason
        while self._work:
            self._work.popleft()(monotonic_ms())
        for question in self._questions.values():
            question.answer.set_exception(UndeliverableError(reason))
        self._questions.clear()

    def _submit(self, work: Callable[[int], None]) -> None:
        if not self._abandoned:
            self._work.append(work)
            self._wake()

    def _has_room(self, letter: _Letter) -> bool:
        """Whether one more message that may be lost is kept. A single one is kept at any size."""
        with self._guard:
            if self._loose_bytes and self._loose_bytes + len(letter.body) > MOST_LOOSE_BYTES:
                self._lost += 1
                return False
            self._loose_bytes += len(letter.body)
            return True

    def _post_loose(self, letter: _Letter) -> None:
        with self._guard:
            self._loose_bytes -= len(letter.body)
            lost, self._lost = self._lost, 0
        if lost:
            logger.warning("{} messages that may be lost were: the root had not read for a while", lost)
        self._post(letter)

    def _letter(
        self,
        recipient: str,
        message: Message,
        *,
        numbered: bool,
        wants_answer: bool = False,
        reply_to: str = "",
        once: bool = False,
    ) -> _Letter:
        split_local(recipient)
        envelope = Envelope(
            id=str(uuid.uuid4()),
            run=self.address.run,
            sender=self.address.local,
            recipient=recipient,
            kind=kind_of(message),
            reply_to=reply_to,
            wants_answer=wants_answer,
            sent_at_ms=time.time_ns() // 1_000_000,
        )
        return _Letter(envelope, encode_body(message), numbered, once)

    def _post(self, letter: _Letter) -> None:
        envelope = letter.envelope
        if letter.numbered:
            self._window.post(
                envelope.recipient,
                _lane_of(envelope),
                envelope.id,
                letter,
                until_answered=envelope.wants_answer,
                once=letter.once,
                size=len(letter.body),
            )
        else:
            self._letters.append(encode(envelope, letter.body))

    def _is_new(self, envelope: Envelope, sender: Sender) -> bool:
        lane = _lane_of(envelope)
        arrival = self._deduplicator.arrived(sender.name, sender.incarnation, lane, envelope.seq, envelope.after)
        if arrival is Arrival.REPEATED:
            self._acknowledge(envelope)
        elif arrival is not Arrival.ACCEPT:
            logger.debug("dropped {} {} of {}: {}", envelope.kind, envelope.seq, envelope.sender, arrival.value)
        return arrival is Arrival.ACCEPT

    def _handled(self, envelope: Envelope) -> None:
        sender = sender_of(envelope)
        if self._deduplicator.handled(sender.name, sender.incarnation, envelope.seq):
            self._acknowledge(envelope)

    def _acknowledge(self, envelope: Envelope) -> None:
        if not envelope.wants_answer:  # the answer is what ends a request
            self._post(self._letter(envelope.sender, Ack(seq=envelope.seq), numbered=False))

    def _settle(self, envelope: Envelope, answer: Message, now_ms: int) -> None:
        self._window.settle(envelope.reply_to, now_ms)
        question = self._questions.pop(envelope.reply_to, None)
        if question is not None:
            question.answer.set_result(answer)
        self._handled(envelope)

    def _reject(self, envelope: Envelope, error: ProtocolError, now_ms: int) -> None:
        if envelope.reply_to:
            self._settle(envelope, refusal(error), now_ms)
        elif envelope.wants_answer:
            self.answer(envelope, refusal(error))
        elif envelope.seq:
            self._handled(envelope)


def sender_of(envelope: Envelope) -> Sender:
    """The verified origin of a message. Raises ProtocolError when the header names no incarnation."""
    name, incarnation = split_local(envelope.sender)
    if incarnation is None:
        raise ProtocolError(f"sender {envelope.sender!r} of {envelope.kind} names no incarnation")
    return Sender(envelope.run, name, incarnation)


def refusal(error: LoopError) -> Refused:
    """The answer for an error, which the asking side raises as the same class."""
    known = next(cls for cls in type(error).__mro__ if getattr(errors, cls.__name__, None) is cls)
    return Refused(error=known.__name__, detail=str(error))


def _error_of(answer: Refused) -> LoopError:
    cls = getattr(errors, answer.error, None)
    if isinstance(cls, type) and issubclass(cls, LoopError):
        return cls(answer.detail)
    return OperationalError(f"{answer.error}: {answer.detail}")


def _lane_of(envelope: Envelope) -> Lane:
    if envelope.reply_to:
        return Lane.ANSWER
    return Lane.CONTROL if envelope.kind in _CONTROL_KINDS else Lane.MAIL
