from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.machines.reliable_delivery import (
    FIRST_RESEND_MS,
    LAST_RESEND_MS,
    WINDOW,
    WINDOW_BYTES,
    Arrival,
    Deduplicator,
    Dispatch,
    Lane,
    SendWindow,
)

NOW = 1_000_000


def posted(count: int, recipient: str = "reviewer", lane: Lane = Lane.MAIL) -> SendWindow[int]:
    window: SendWindow[int] = SendWindow()
    for number in range(1, count + 1):
        window.post(recipient, lane, f"id-{number}", number)
    return window


def numbers(dispatches: list[Dispatch[int]]) -> list[int]:
    return [dispatch.seq for dispatch in dispatches]


def test_a_message_is_written_once_and_names_the_unacknowledged_one_before_it() -> None:
    window = posted(3)
    dispatches = window.due(NOW)
    assert [(dispatch.seq, dispatch.after, dispatch.attempt, dispatch.content) for dispatch in dispatches] == [
        (1, 0, 1, 1),
        (2, 1, 1, 2),
        (3, 2, 1, 3),
    ]
    assert window.due(NOW) == []


def test_what_is_not_acknowledged_is_resent_in_order_with_growing_pauses() -> None:
    window = posted(2)
    window.due(NOW)
    now, pauses = NOW, []
    for _ in range(7):
        due = window.next_due_ms()
        assert due is not None
        assert window.due(due - 1) == []
        assert [(dispatch.seq, dispatch.after) for dispatch in window.due(due)] == [(1, 0), (2, 1)]
        pauses.append(due - now)
        now = due
    assert pauses == [FIRST_RESEND_MS, 1_000, 2_000, 4_000, 8_000, 16_000, LAST_RESEND_MS]


def test_an_acknowledgement_ends_the_resends_and_begins_the_pauses_anew() -> None:
    window = posted(2)
    window.due(NOW)
    window.due(NOW + FIRST_RESEND_MS)
    window.acknowledged(1, NOW + 1_500)
    assert window.next_due_ms() == NOW + 1_500 + FIRST_RESEND_MS
    (again,) = window.due(NOW + 1_500 + FIRST_RESEND_MS)
    assert (again.seq, again.after, again.attempt) == (2, 0, 3)
    window.acknowledged(2, NOW + 5_000)
    assert (len(window), window.next_due_ms()) == (0, None)


def test_an_acknowledgement_of_an_unknown_number_changes_nothing() -> None:
    window = posted(1)
    window.acknowledged(1, NOW)  # not written yet, so nobody can have handled it
    window.acknowledged(77, NOW)
    assert numbers(window.due(NOW)) == [1]


def test_no_more_than_a_window_is_on_the_wire_and_the_rest_follows_the_acknowledgements() -> None:
    window = posted(WINDOW + 2)
    assert numbers(window.due(NOW)) == list(range(1, WINDOW + 1))
    window.acknowledged(1, NOW)
    assert numbers(window.due(NOW)) == [WINDOW + 1]
    assert len(window) == WINDOW + 1


@pytest.mark.parametrize("lane", [Lane.ANSWER, Lane.CONTROL])
def test_an_answer_and_an_order_pass_a_full_lane_of_mail(lane: Lane) -> None:
    window = posted(WINDOW + 1)
    window.due(NOW)
    window.post("reviewer", lane, "urgent", 0)
    (dispatch,) = window.due(NOW)
    assert (dispatch.lane, dispatch.after) == (lane, 0)


def test_a_new_incarnation_of_the_recipient_gets_everything_at_once() -> None:
    window = posted(2)
    window.due(NOW)
    window.peer_up("reviewer", 2, NOW + 5)
    assert numbers(window.due(NOW + 5)) == [1, 2]
    window.peer_up("reviewer", 2, NOW + 6)
    window.peer_up("reviewer", 1, NOW + 6)
    window.peer_up("bridge", 9, NOW + 6)
    assert window.due(NOW + 6) == []


def test_a_request_outlives_its_acknowledgement_and_ends_with_its_answer() -> None:
    window: SendWindow[str] = SendWindow()
    window.post("persistence", Lane.MAIL, "q", "Load", until_answered=True)
    window.due(NOW)
    window.acknowledged(1, NOW)
    assert len(window) == 1
    window.settle("q", NOW)
    window.settle("q", NOW)
    assert len(window) == 0


def test_a_request_given_up_before_it_was_written_is_never_written() -> None:
    window = posted(WINDOW)
    window.post("reviewer", Lane.MAIL, "q", 0, until_answered=True)
    window.post("reviewer", Lane.MAIL, "last", 9)
    window.due(NOW)
    window.settle("q", NOW)
    window.acknowledged(1, NOW)
    (dispatch,) = window.due(NOW)
    assert (dispatch.content, dispatch.after) == (9, WINDOW)


def test_a_window_is_bounded_in_bytes_too_and_what_is_longer_goes_alone() -> None:
    window: SendWindow[int] = SendWindow()
    for number, size in enumerate((2 * WINDOW_BYTES, WINDOW_BYTES // 2, WINDOW_BYTES // 2, 1), start=1):
        window.post("reviewer", Lane.MAIL, str(number), number, size=size)
    assert numbers(window.due(NOW)) == [1]
    window.acknowledged(1, NOW)
    assert numbers(window.due(NOW)) == [2, 3]
    window.acknowledged(2, NOW)
    assert numbers(window.due(NOW)) == [4]


def test_a_request_that_goes_once_ends_with_the_incarnation_that_it_was_handed_to() -> None:
    window: SendWindow[str] = SendWindow()
    window.post("worker", Lane.CONTROL, "once", "Apply", until_answered=True, once=True)
    window.post("worker", Lane.CONTROL, "again", "Load", until_answered=True)
    window.due(NOW)
    window.post("worker", Lane.CONTROL, "not written", "Apply", until_answered=True, once=True)
    assert window.cut_off("reviewer", NOW) == []
    assert window.cut_off("worker", NOW) == ["once"]
    window.peer_up("worker", 2, NOW)
    assert [dispatch.content for dispatch in window.due(NOW)] == ["Load", "Apply"]


def test_a_request_that_goes_once_and_was_handed_back_waits_for_the_next_incarnation() -> None:
    window: SendWindow[str] = SendWindow()
    window.post("worker", Lane.CONTROL, "once", "Apply", until_answered=True, once=True)
    window.due(NOW)
    window.handed_back("once")
    window.handed_back("unknown")
    assert window.cut_off("worker", NOW) == []
    window.peer_up("worker", 2, NOW)
    assert [dispatch.content for dispatch in window.due(NOW)] == ["Apply"]
    assert window.cut_off("worker", NOW) == ["once"]


def test_mail_for_one_incarnation_is_forgotten_when_that_is_gone() -> None:
    window = posted(1, "worker#3", Lane.ANSWER)
    window.post("worker#4", Lane.ANSWER, "b", 2)
    window.post("worker", Lane.MAIL, "c", 3)
    window.peer_down("worker", 3)
    assert [dispatch.content for dispatch in window.due(NOW)] == [2, 3]
    window.peer_up("worker", 5, NOW)
    assert len(window) == 1


def test_a_repeated_message_is_told_apart_by_whether_it_was_handled() -> None:
    deduplicator = Deduplicator()
    assert deduplicator.arrived("worker", 1, Lane.MAIL, 1, 0) is Arrival.ACCEPT
    assert deduplicator.arrived("worker", 1, Lane.MAIL, 1, 0) is Arrival.PENDING
    assert deduplicator.handled("worker", 1, 1)
    assert deduplicator.arrived("worker", 1, Lane.MAIL, 1, 0) is Arrival.REPEATED


def test_a_message_whose_predecessor_is_missing_is_early() -> None:
    deduplicator = Deduplicator()
    assert deduplicator.arrived("worker", 1, Lane.MAIL, 2, 1) is Arrival.EARLY
    assert deduplicator.arrived("worker", 1, Lane.CONTROL, 3, 0) is Arrival.ACCEPT
    assert deduplicator.arrived("worker", 1, Lane.MAIL, 1, 0) is Arrival.ACCEPT
    assert deduplicator.arrived("worker", 1, Lane.MAIL, 2, 1) is Arrival.ACCEPT


def test_an_older_incarnation_of_the_sender_is_fenced_and_not_acknowledged() -> None:
    deduplicator = Deduplicator()
    deduplicator.arrived("worker", 1, Lane.MAIL, 1, 0)
    assert deduplicator.arrived("worker", 2, Lane.MAIL, 1, 0) is Arrival.ACCEPT
    assert deduplicator.arrived("worker", 1, Lane.MAIL, 2, 1) is Arrival.FENCED
    assert not deduplicator.handled("worker", 1, 1)
    assert deduplicator.handled("worker", 2, 1)


# --- any dispatch of losses, repetitions, delays and restarts ------------------------------------------------------


class Packet(NamedTuple):
    sender_incarnation: int
    lane: Lane
    seq: int
    after: int
    content: int


class AckPacket(NamedTuple):
    sender_incarnation: int
    seq: int


class LossyLink(RuleBasedStateMachine):
    """One sender, one recipient; the network may do anything to a packet but invent it."""

    @initialize()
    def begin(self) -> None:
        self.now = NOW
        self.next_content = 1
        self.sender = self.recipient = 0
        self.network: list[Packet | AckPacket] = []
        self.log: dict[tuple[int, int, Lane], list[int]] = {}  # by recipient, sender and lane: contents accepted
        self.handled: set[int] = set()
        self.restart_sender()
        self.restart_recipient()

    @rule()
    def restart_sender(self) -> None:
        self.sender += 1
        self.window: SendWindow[int] = SendWindow()
        self.owed: set[int] = set()
        self.acked: set[int] = set()

    @rule()
    def restart_recipient(self) -> None:
        self.recipient += 1
        self.deduplicator = Deduplicator()
        self.mailbox: list[Packet] = []

    @rule(count=st.sampled_from([1, 1, 1, 3, WINDOW + 3]), lane=st.sampled_from(Lane))
    def post(self, count: int, lane: Lane) -> None:
        for _ in range(count):
            self.window.post("b", lane, f"id-{self.next_content}", self.next_content)
            self.owed.add(self.next_content)
            self.next_content += 1

    @rule(pause_ms=st.sampled_from([0, 0, 1, FIRST_RESEND_MS, LAST_RESEND_MS]))
    def write(self, pause_ms: int) -> None:
        self.now += pause_ms
        for dispatch in self.window.due(self.now):
            self.network.append(Packet(self.sender, dispatch.lane, dispatch.seq, dispatch.after, dispatch.content))

    @rule()
    def notice(self) -> None:
        self.window.peer_up("b", self.recipient, self.now)

    @precondition(lambda self: self.network)
    @rule(data=st.data(), copies=st.sampled_from([0, 1, 1, 1, 2]))
    def deliver(self, data: st.DataObject, copies: int) -> None:
        packet = self.network.pop(data.draw(st.integers(0, len(self.network) - 1)))
        for _ in range(copies):
            self.arrive(packet)

    @precondition(lambda self: self.network)
    @rule(share=st.integers(0, 3))
    def deliver_in_order(self, share: int) -> None:
        """Ends of bursts are lost, as with a peer that is killed."""
        packets, self.network = self.network, []
        for packet in packets[: len(packets) * share // 3]:
            self.arrive(packet)

    @precondition(lambda self: self.mailbox)
    @rule(data=st.data())
    def handle(self, data: st.DataObject) -> None:
        """Any of the mailbox: control overtakes mail there."""
        self.finish(self.mailbox.pop(data.draw(st.integers(0, len(self.mailbox) - 1))))

    @precondition(lambda self: self.mailbox)
    @rule()
    def handle_all(self) -> None:
        while self.mailbox:
            self.finish(self.mailbox.pop(0))

    def arrive(self, packet: Packet | AckPacket) -> None:
        if isinstance(packet, AckPacket):
            if packet.sender_incarnation == self.sender:  # acknowledgements are addressed to one incarnation
                self.window.acknowledged(packet.seq, self.now)
            return
        arrival = self.deduplicator.arrived("a", packet.sender_incarnation, packet.lane, packet.seq, packet.after)
        if arrival is Arrival.ACCEPT:
            self.log.setdefault((self.recipient, packet.sender_incarnation, packet.lane), []).append(packet.content)
            self.mailbox.append(packet)
        elif arrival is Arrival.REPEATED:
            self.network.append(AckPacket(packet.sender_incarnation, packet.seq))

    def finish(self, packet: Packet) -> None:
        self.handled.add(packet.content)
        if self.deduplicator.handled("a", packet.sender_incarnation, packet.seq):
            self.network.append(AckPacket(packet.sender_incarnation, packet.seq))

    @invariant()
    def each_incarnation_accepts_each_message_once_and_in_order(self) -> None:
        for contents in self.log.values():
            assert all(a < b for a, b in pairwise(contents))

    @invariant()
    def nothing_leaves_the_outbox_unhandled(self) -> None:
        left = self.window._by_seq.values()
        waiting = {
            entry.content
            for channel in {id(channel): channel for channel in left}.values()
            for entry in (*channel.sent.values(), *channel.queued)
        }
        assert self.owed - waiting <= self.handled

    def teardown(self) -> None:
        """With a network that works again, everything that the living sender owes is handled."""
        for _ in range(40 + len(self.window) // WINDOW * 4):
            if not self.window:
                break
            self.write(LAST_RESEND_MS)
            self.deliver_in_order(3)
            self.handle_all() if self.mailbox else None
            self.deliver_in_order(3) if self.network else None
        assert len(self.window) == 0
        assert self.owed <= self.handled


LossyLink.TestCase.settings = settings(max_examples=120, stateful_step_count=60)
test_whatever_the_link_does_nothing_is_lost_repeated_or_disordered = LossyLink.TestCase
