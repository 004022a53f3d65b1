"""Two channels and no socket: the test carries the frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from actors.edges.reliable_channel import MOST_LOOSE_BYTES, Delivery, ReliableChannel, monotonic_ms, refusal
from actors.errors import (
    AgentUnavailableError,
    IllegalEventError,
    OperationalError,
    ProtocolError,
    UndeliverableError,
    UserError,
)
from actors.machines.reliable_delivery import WINDOW
from actors.messages import Ack, ActorUp, Load, Loaded, Message, Note, Progress, Refused
from actors.wire import envelope as wire
from actors.wire.envelope import Address, Envelope, Frames
from tests.patience import PATIENCE_S

NOTE = Note(sender="", recipient="", text="n", at_ms=0)
ECHO = Load(stream="run", epoch=1)


class Party:
    """One channel; `carry` hands what it has to say to another one."""

    def __init__(self, name: str, incarnation: int = 1) -> None:
        self.awake = threading.Event()
        self.channel = ReliableChannel(Address("r", name, incarnation), self._wake)
        self._is_quick = False
        self._taken: list[Frames] = []

    def _wake(self) -> None:
        if self._is_quick:
            self._is_quick, self._taken = False, self.outgoing()
        self.awake.set()

    def outgoing(self) -> list[Frames]:
        return self.channel.outgoing(monotonic_ms())

    def take(self, frames: Frames) -> Delivery | None:
        return self.channel.receive(frames.header, frames.body, monotonic_ms())

    def carry(self, other: Party) -> list[Delivery]:
        return [delivery for frames in self.outgoing() if (delivery := other.take(frames)) is not None]

    def ask(self, recipient: str, message: Message, timeout_s: float = PATIENCE_S) -> Future[Message]:
        """Asks in a thread of its own; returns when the request is ready to be carried."""
        future: Future[Message] = Future()

        def run() -> None:
            try:
                future.set_result(self.channel.ask(recipient, message, timeout_s))
            except BaseException as error:
                future.set_exception(error)

        self.awake.clear()
        threading.Thread(target=run).start()
        assert self.awake.wait(PATIENCE_S)
        return future

    def ask_briefly(self, recipient: str, message: Message) -> tuple[Future[Message], list[Frames]]:
        """Asks, and gives up soon. What it has to say is taken in the thread that asks, before its time begins."""
        self._is_quick = True
        return self.ask(recipient, message, timeout_s=0.05), self._taken


@pytest.fixture
def worker() -> Party:
    return Party("worker")


@pytest.fixture
def reviewer() -> Party:
    return Party("reviewer", 3)


def header(frames: Frames) -> Envelope:
    return wire.decode_header(frames.header)


def test_a_request_is_over_for_both_sides_when_its_answer_was_acknowledged(worker, reviewer) -> None:
    asked = worker.ask("reviewer", ECHO)
    (delivery,) = worker.carry(reviewer)
    assert delivery.envelope.wants_answer
    reviewer.channel.answer(delivery.envelope, Loaded(stream="run", records=[]))
    assert reviewer.carry(worker) == []
    assert asked.result(PATIENCE_S) == Loaded(stream="run", records=[])
    assert worker.carry(reviewer) == []
    for party in (worker, reviewer):
        assert party.channel.unacknowledged() == 0
        assert [origin.pending for origin in party.channel._deduplicator._origins.values()] == [set()]


def test_answers_and_acknowledgements_are_for_the_incarnation_that_asked(worker, reviewer) -> None:
    worker.ask("reviewer", ECHO)
    worker.channel.tell("reviewer", NOTE)
    request, note = worker.carry(reviewer)
    reviewer.channel.answer(request.envelope, Ack(seq=1))
    reviewer.channel.handled(note.envelope)
    assert [header(frames).recipient for frames in reviewer.outgoing()] == ["worker#1", "worker#1"]
    worker.channel.abandon("the test is over")


def test_an_answer_passes_more_mail_than_may_be_on_the_wire(worker, reviewer) -> None:
    asked = worker.ask("reviewer", ECHO)
    (delivery,) = worker.carry(reviewer)
    for _ in range(WINDOW + 1):
        reviewer.channel.tell("worker", NOTE)
    reviewer.channel.answer(delivery.envelope, Ack(seq=1))
    arrived = reviewer.carry(worker)
    assert len(arrived) == WINDOW
    assert asked.result(PATIENCE_S) == Ack(seq=1)
    for each in arrived:
        worker.channel.handled(each.envelope)
    worker.carry(reviewer)
    assert len(reviewer.carry(worker)) == 1  # what the answer has passed is not lost


def test_a_question_that_was_given_up_is_not_sent_again(worker) -> None:
    asked, said = worker.ask_briefly("reviewer", ECHO)
    assert len(said) == 1
    with pytest.raises(UndeliverableError, match=r"no answer from reviewer to Load within 0.05 s"):
        asked.result(PATIENCE_S)
    worker.outgoing()
    assert worker.channel.unacknowledged() == 0


def test_an_answer_that_comes_too_late_is_acknowledged_and_dropped(worker, reviewer) -> None:
    asked, (frames,) = worker.ask_briefly("reviewer", ECHO)
    delivery = reviewer.take(frames)
    assert delivery is not None
    with pytest.raises(UndeliverableError):
        asked.result(PATIENCE_S)
    reviewer.channel.answer(delivery.envelope, Ack(seq=1))
    assert reviewer.carry(worker) == []
    worker.carry(reviewer)
    assert reviewer.channel.unacknowledged() == 0


def test_an_answer_that_cannot_be_read_is_raised_where_it_was_asked(worker, reviewer) -> None:
    asked = worker.ask("reviewer", ECHO)
    (delivery,) = worker.carry(reviewer)
    reviewer.channel.answer(delivery.envelope, Ack(seq=1))
    (answer,) = reviewer.outgoing()
    with pytest.raises(ProtocolError, match="bad body of Ack"):
        worker.take(answer._replace(body=b"\xc1"))
    with pytest.raises(ProtocolError, match="bad body of Ack"):
        asked.result(PATIENCE_S)


def test_an_answer_that_cannot_be_sent_is_refused_instead(worker, reviewer) -> None:
    asked = worker.ask("reviewer", ECHO)
    (delivery,) = worker.carry(reviewer)
    reviewer.channel.answer(delivery.envelope, Ack(seq=2**80))
    reviewer.carry(worker)
    with pytest.raises(ProtocolError, match="Ack cannot be encoded"):
        asked.result(PATIENCE_S)


@pytest.mark.parametrize(
    "news",
    [
        lambda late: late.channel.tell("worker", Progress(at_ms=0, source="", agent="", kind="note", text="")),
        lambda late: late.channel.tell("worker", ActorUp(name="reviewer", incarnation=4)),
    ],
    ids=["any word from it", "a notice"],
)
def test_a_new_incarnation_of_the_recipient_gets_what_is_unacknowledged(
    worker, reviewer, news: Callable[[Party], None]
) -> None:
    worker.channel.tell("reviewer", NOTE)
    assert len(worker.carry(reviewer)) == 1
    late = Party("reviewer", 4)
    news(late)
    late.carry(worker)
    (again,) = worker.outgoing()
    assert (header(again).kind, header(again).attempt) == ("Note", 2)
    assert late.take(again) is not None
    assert worker.outgoing() == []


def test_a_duplicate_is_dropped_and_acknowledged_once_it_was_handled(worker, reviewer) -> None:
    worker.channel.tell("reviewer", NOTE)
    (frames,) = worker.outgoing()
    delivery = reviewer.take(frames)
    assert delivery is not None
    assert reviewer.take(frames) is None
    assert reviewer.outgoing() == []
    reviewer.channel.handled(delivery.envelope)
    assert [header(ack).kind for ack in reviewer.outgoing()] == ["Ack"]
    assert reviewer.take(frames) is None
    assert [header(ack).kind for ack in reviewer.outgoing()] == ["Ack"]


@pytest.mark.parametrize("error", [UserError("u"), IllegalEventError("i"), AgentUnavailableError("a")])
def test_an_error_of_ours_travels_as_its_class(worker, reviewer, error: Exception) -> None:
    asked = worker.ask("reviewer", ECHO)
    (delivery,) = worker.carry(reviewer)
    reviewer.channel.answer(delivery.envelope, refusal(error))
    reviewer.carry(worker)
    with pytest.raises(type(error)) as caught:
        asked.result(PATIENCE_S)
    assert (type(caught.value), str(caught.value)) == (type(error), str(error))


class ProverError(UserError):
    """Defined outside of actors.errors."""


def test_an_error_defined_elsewhere_travels_as_the_nearest_class_that_everybody_knows() -> None:
    assert refusal(ProverError("p")) == Refused(error="UserError", detail="p")


@pytest.mark.parametrize("name", ["KeyError", "annotations", "Nonsense"])
def test_a_refusal_that_names_no_error_of_ours_is_a_circumstance(worker, reviewer, name: str) -> None:
    asked = worker.ask("reviewer", ECHO)
    (delivery,) = worker.carry(reviewer)
    reviewer.channel.answer(delivery.envelope, Refused(error=name, detail="odd"))
    reviewer.carry(worker)
    with pytest.raises(OperationalError, match=f"{name}: odd"):
        asked.result(PATIENCE_S)


def test_what_may_be_lost_waits_in_bounded_bytes_while_nobody_reads_and_what_must_arrive_is_all_there() -> None:
    worker = Party("worker")

    def say(number: int) -> None:
        text = f"{number} " + "x" * 1_000_000
        worker.channel.tell("console", Progress(at_ms=1, source="worker", agent="a", kind="say", text=text))

    for number in range(100):
        say(number)
        worker.channel.tell("persistence", NOTE)
    waited = worker.outgoing()
    kinds = [wire.decode_header(frames.header).kind for frames in waited]
    assert kinds.count("Note") == 100
    assert kinds.count("Progress") == MOST_LOOSE_BYTES // 1_000_100
    assert sum(len(frames.body) for frames in waited) < MOST_LOOSE_BYTES + 100_000
    say(101)  # it is read again
    assert len(worker.outgoing()) == 1
