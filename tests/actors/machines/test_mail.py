"""The mail machine, one rule a test. Events go in, the journal and the orders come out; no fake is needed."""

from __future__ import annotations

import itertools
import sys
import tracemalloc

import pytest

from actors.errors import IllegalEventError, UserError
from actors.machines import mail, prompts
from actors.machines.mail import Deliver, State, Wake

NAMES = {"worker": "codex", "reviewer": "claude"}
NOW = 1_000_000
LONG_MS = mail.retry_after_ms(mail.MAX_ATTEMPTS)


class PlayedBridge:
    """A bridge without a process: state, journal and orders, and a clock that only moves by hand."""

    def __init__(self):
        self.state, self.journal, self.orders, self.now_ms = mail.initial(), [], [], NOW
        self._ids = (f"mail-{number}" for number in itertools.count(1))

    def take(self, facts):
        self.state, events, commands = mail.advance(self.state, facts, self.now_ms)
        self.journal += events
        self.orders += commands
        return events

    def send(self, text, sender="worker", target="reviewer"):
        mail_id = next(self._ids)
        event = mail.post(
            self.state, mail_id=mail_id, sender=sender, target=target, text=text, names=NAMES, now_ms=self.now_ms
        )
        self.take([event])
        return event

    def tell(self, what, mail_id, *more):
        return self.take(what(self.state, mail_id, *more, self.now_ms))

    def deliver_fully(self, text, sender="worker", target="reviewer"):
        event = self.send(text, sender, target)
        self.tell(mail.seen, event.mail_id)
        self.tell(mail.handled, event.mail_id)
        return event.mail_id

    def crash(self):
        self.state = mail.initial()
        for event in self.journal:
            self.state = mail.apply(self.state, event)
        return self.take(mail.restarted(self.state, self.now_ms))

    @property
    def delivered(self):
        return [order.mail_id for order in self.orders if isinstance(order, Deliver)]


@pytest.fixture
def desk():
    return PlayedBridge()


def names_of(events):
    return [type(event).__name__ for event in events]


# --- targets ---


@pytest.mark.parametrize("target", ["claude", "Claude", " CLAUDE ", "reviewer", "Reviewer"])
def test_a_target_is_the_name_of_an_agent_or_its_role_in_any_case(target):
    assert mail.resolve_target(target, NAMES) == "reviewer"


@pytest.mark.parametrize(
    ("target", "said"), [("", "target is empty"), ("  ", "target is empty"), ("bob", "'bob' is un")]
)
def test_a_target_that_names_nobody_is_refused_with_the_names_there_are(target, said):
    with pytest.raises(UserError, match=said) as error:
        mail.resolve_target(target, NAMES)
    assert "'codex' (the worker)" in str(error.value)
    assert "'claude' (the reviewer)" in str(error.value)


def test_an_agent_may_have_capitals_in_its_name():
    assert mail.resolve_target("GOOSE", {"worker": "codex", "reviewer": "Goose"}) == "reviewer"


def test_the_name_of_an_agent_goes_before_the_name_of_a_role():
    assert mail.resolve_target("reviewer", {"worker": "reviewer", "reviewer": "claude"}) == "worker"


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_an_empty_message_is_refused(desk, text):
    with pytest.raises(UserError, match="message is empty"):
        desk.send(text)


def test_a_message_to_oneself_is_refused(desk):
    with pytest.raises(UserError, match=r"target is the sender itself \(worker\)"):
        desk.send("hello", "worker", "worker")


# --- the way of one mail ---


def test_a_mail_for_a_free_recipient_is_queued_and_goes_out_at_once(desk):
    event = desk.send("please review")
    assert names_of(desk.journal) == ["MailQueued", "DeliveryStarted"]
    assert desk.orders == [
        Deliver(
            mail_id=event.mail_id,
            sender="worker",
            target="reviewer",
            text="please review",
            attempt=1,
            repeat=False,
            edited=False,
        )
    ]


def test_a_mail_goes_from_queued_over_accepted_and_seen_to_answered_and_leaves_the_state(desk):
    event = desk.send("please review")
    for receipt in (mail.accepted, mail.seen, mail.handled):
        desk.tell(receipt, event.mail_id)
    assert names_of(desk.journal) == ["MailQueued", "DeliveryStarted", "MailAccepted", "MailSeen", "MailHandled"]
    box = desk.state.boxes["reviewer"]
    assert (box.waiting, box.in_flight, box.seen) == ((), None, ())
    assert (box.counts.queued, box.counts.handled) == (1, 1)


def test_nothing_is_seen_without_a_receipt_that_says_so(desk):
    event = desk.send("please review")
    desk.tell(mail.accepted, event.mail_id)
    assert desk.state.boxes["reviewer"].seen == ()
    assert desk.state.boxes["reviewer"].in_flight.accepted


def test_receipts_that_come_twice_or_late_make_no_event(desk):
    event = desk.send("please review")
    for receipt in (mail.accepted, mail.seen, mail.handled):
        assert len(desk.tell(receipt, event.mail_id)) == 1
        assert desk.tell(receipt, event.mail_id) == []
    assert desk.tell(mail.accepted, event.mail_id) == []
    assert desk.tell(mail.failed, event.mail_id, "late") == []
    assert desk.tell(mail.seen, "never heard of") == []


def test_an_answer_may_come_without_the_receipts_before_it(desk):
    event = desk.send("please review")
    assert names_of(desk.tell(mail.handled, event.mail_id)) == ["MailHandled"]


def test_an_illegal_event_raises_and_changes_nothing(desk):
    desk.send("please review")
    before = desk.state
    for event in (
        mail.MailSeen(mail_id="unknown", at_ms=NOW),
        mail.MailDied(mail_id="mail-1", reason="", at_ms=NOW),
        mail.DeliveryStarted(mail_id="mail-1", attempt=2, at_ms=NOW),
        mail.MailQueued(mail_id="mail-1", sender="worker", target="reviewer", text="x", at_ms=NOW),
        mail.MailReceived(reader="reviewer", mail_ids=("mail-1",), at_ms=NOW),
    ):
        with pytest.raises(IllegalEventError):
            mail.decide(desk.state, event)
    assert desk.state is before


# --- order ---


def test_one_delivery_is_in_flight_per_recipient_and_the_next_goes_when_it_was_seen(desk):
    first, second = desk.send("first"), desk.send("second")
    desk.tell(mail.accepted, first.mail_id)
    assert desk.delivered == [first.mail_id]
    desk.tell(mail.seen, first.mail_id)
    assert desk.delivered == [first.mail_id, second.mail_id]


def test_the_two_directions_do_not_wait_for_each_other(desk):
    there, back = desk.send("there"), desk.send("back", "reviewer", "worker")
    assert desk.delivered == [there.mail_id, back.mail_id]


def test_a_mail_that_waits_for_its_next_attempt_holds_back_what_came_after_it(desk):
    first, second = desk.send("first"), desk.send("second")
    desk.tell(mail.failed, first.mail_id, "agent is restarting")
    assert desk.delivered == [first.mail_id]
    desk.now_ms += mail.FIRST_RETRY_MS
    desk.take([])
    desk.tell(mail.seen, first.mail_id)
    assert desk.delivered == [first.mail_id, first.mail_id, second.mail_id]


# --- failure ---


def test_a_failed_delivery_is_tried_again_under_the_same_id_after_a_growing_wait(desk):
    event = desk.send("please review")
    waits = []
    for attempt in range(1, mail.MAX_ATTEMPTS):
        assert desk.orders[-1].attempt == attempt
        desk.tell(mail.failed, event.mail_id, "no")
        wake = desk.orders[-1]
        assert isinstance(wake, Wake)
        waits.append(wake.at_ms - desk.now_ms)
        desk.now_ms = wake.at_ms - 1
        assert desk.take([]) == []
        desk.now_ms += 1
        assert names_of(desk.take([])) == ["DeliveryStarted"]
    assert waits == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000]
    assert set(desk.delivered) == {event.mail_id}


def test_after_the_last_attempt_it_is_a_dead_letter_with_the_reason_and_the_next_mail_goes(desk):
    event, other = desk.send("please review"), desk.send("and this")
    for _ in range(mail.MAX_ATTEMPTS):
        desk.tell(mail.failed, event.mail_id, "the agent is gone")
        desk.now_ms += LONG_MS
        desk.take([])
    box = desk.state.boxes["reviewer"]
    assert box.counts.dead == 1
    assert [dead.reason for dead in box.dead] == ["10 attempts failed, the last one: the agent is gone"]
    assert desk.delivered[-1] == other.mail_id


def test_only_the_newest_dead_letters_are_kept_in_the_state():
    desk = PlayedBridge()
    for number in range(mail.DEAD_SHOWN + 3):
        event = desk.send(f"message {number}")
        desk.take([mail.HopsReset(reason="turn", at_ms=NOW)])
        desk.tell(mail.seen, event.mail_id)
        desk.tell(mail.failed, event.mail_id, "broke")
    box = desk.state.boxes["reviewer"]
    assert box.counts.dead == mail.DEAD_SHOWN + 3
    assert len(box.dead) == mail.DEAD_SHOWN


def test_a_mail_that_was_seen_is_never_sent_again(desk):
    event = desk.send("please review")
    desk.tell(mail.seen, event.mail_id)
    assert names_of(desk.tell(mail.failed, event.mail_id, "the agent died")) == ["MailDied"]
    assert desk.delivered == [event.mail_id]


def test_evidence_that_comes_after_the_attempt_was_given_up_still_counts(desk):
    event = desk.send("please review")
    desk.tell(mail.failed, event.mail_id, "no answer")
    assert names_of(desk.tell(mail.seen, event.mail_id)) == ["MailSeen"]
    desk.now_ms += LONG_MS
    assert desk.take([]) == []


# --- echoes ---


def test_a_message_that_bounces_the_last_delivered_one_is_suppressed_and_recorded(desk):
    desk.deliver_fully("looks  good\nto me")
    event = desk.send(" looks good to me ", "reviewer", "worker")
    assert isinstance(event, mail.MailSuppressed)
    assert desk.journal[-1] is event
    assert desk.state.boxes["worker"].counts.suppressed == 1
    assert len(desk.delivered) == 1


@pytest.mark.parametrize("cut", [slice(None), slice(0, 1), slice(1, None), slice(2, None), slice(2, 3)])
def test_an_echo_inside_the_frame_of_the_bridge_or_parts_of_it_is_an_echo(desk, cut):
    desk.deliver_fully("looks good to me")
    framed = prompts.mail("codex", "looks good to me").split("\n\n")
    parts = framed[cut] if "looks good to me" in framed[cut] else [*framed[cut], "looks good to me"]
    assert isinstance(desk.send("\n".join(parts), "reviewer", "worker"), mail.MailSuppressed)


def test_an_echo_is_known_while_the_receipt_for_the_original_is_still_under_way(desk):
    desk.send("looks good to me")
    assert isinstance(desk.send("looks good to me", "reviewer", "worker"), mail.MailSuppressed)


def test_what_the_recipient_fetched_is_delivered_too(desk):
    desk.send("first")
    desk.send("second")
    facts, _ = mail.fetch(desk.state, "reviewer", NOW)
    desk.take(facts)
    assert isinstance(desk.send("second", "reviewer", "worker"), mail.MailSuppressed)


@pytest.mark.parametrize(
    "text", ["looks good to me, but run the tests", "looks good to me. looks good to me", "looks", "Message from codex"]
)
def test_a_message_with_words_of_its_own_is_no_echo(desk, text):
    desk.deliver_fully("looks good to me")
    assert isinstance(desk.send(text, "reviewer", "worker"), mail.MailQueued)


def test_the_same_message_twice_in_one_direction_is_no_echo(desk):
    desk.deliver_fully("please review")
    assert isinstance(desk.send("please review"), mail.MailQueued)


def test_only_the_last_delivered_message_can_be_echoed(desk):
    desk.deliver_fully("one")
    desk.deliver_fully("two")
    assert isinstance(desk.send("one", "reviewer", "worker"), mail.MailQueued)


# --- hops ---


def ping_pong(desk, times):
    for number in range(times):
        sides = ("worker", "reviewer") if number % 2 == 0 else ("reviewer", "worker")
        desk.deliver_fully(f"message {number} of {desk.now_ms}", *sides)


def test_after_twelve_hops_the_rest_stays_queued(desk):
    ping_pong(desk, 13)
    assert len(desk.delivered) == mail.MAX_HOPS == 12
    assert len(desk.state.boxes["worker"].waiting + desk.state.boxes["reviewer"].waiting) == 1


def test_what_was_held_back_goes_out_when_something_happens_that_is_not_mail(desk):
    ping_pong(desk, 13)
    desk.take(mail.other_work(desk.state, "work turn ended", NOW))
    assert len(desk.delivered) == 13
    assert desk.state.hops == 1


def test_other_work_without_hops_is_not_worth_an_event(desk):
    assert mail.other_work(desk.state, "work turn ended", NOW) == []


def test_another_attempt_is_made_although_the_hops_are_used_up(desk):
    ping_pong(desk, 11)
    event = desk.send("the twelfth")
    desk.tell(mail.failed, event.mail_id, "no")
    desk.now_ms += LONG_MS
    assert names_of(desk.take([])) == ["DeliveryStarted"]


def test_another_attempt_is_no_hop(desk):
    event = desk.send("please review")
    for _ in range(3):
        desk.tell(mail.failed, event.mail_id, "no")
        desk.now_ms += LONG_MS
        desk.take([])
    assert desk.state.hops == 1


# --- fetching ---


def test_a_recipient_fetches_what_waits_oldest_first_but_not_what_is_in_flight(desk):
    flying, second, third = desk.send("first"), desk.send("second"), desk.send("third")
    facts, mails = mail.fetch(desk.state, "reviewer", NOW)
    assert [one.text for one in mails] == ["second", "third"]
    desk.take(facts)
    assert desk.state.boxes["reviewer"].counts.received == 2
    assert desk.state.boxes["reviewer"].in_flight.mail_id == flying.mail_id
    assert mail.fetch(desk.state, "reviewer", NOW) == ([], ())
    assert desk.tell(mail.seen, second.mail_id) == []
    desk.tell(mail.handled, flying.mail_id)
    assert third.mail_id not in desk.delivered


def test_nobody_fetches_the_mail_of_the_other(desk):
    desk.send("first")
    desk.send("second")
    assert mail.fetch(desk.state, "worker", NOW) == ([], ())


def test_mail_that_is_held_back_by_the_hop_limit_can_be_fetched(desk):
    ping_pong(desk, 13)
    _, mails = mail.fetch(desk.state, "reviewer", NOW)
    assert len(mails) == 1


# --- restarts ---


def test_after_a_restart_the_same_deliveries_are_ordered_again_under_the_same_ids(desk):
    first = desk.send("first")
    desk.tell(mail.seen, first.mail_id)
    desk.send("second")
    back = desk.send("back", "reviewer", "worker")
    desk.tell(mail.failed, back.mail_id, "no")
    desk.crash()
    orders = mail.outstanding(desk.state)
    assert [(order.mail_id, order.attempt) for order in orders if isinstance(order, Deliver)] == [
        ("mail-1", 1),
        ("mail-2", 1),
    ]
    assert [order for order in orders if isinstance(order, Wake)] == [Wake(at_ms=NOW + mail.FIRST_RETRY_MS)]


def test_when_one_owner_comes_back_only_its_deliveries_are_ordered_again(desk):
    desk.send("there")
    back = desk.send("back", "reviewer", "worker")
    assert [order.mail_id for order in mail.outstanding_for(desk.state, "worker")] == [back.mail_id]


def test_a_call_that_is_repeated_because_the_bridge_died_queues_nothing_twice(desk):
    first = desk.send("please review")
    desk.crash()
    again = desk.send("please  review\n")
    assert isinstance(again, mail.CallRepeated)
    assert again.mail_id == first.mail_id
    assert desk.delivered == [first.mail_id]


def test_a_call_is_taken_for_a_repetition_only_once(desk):
    desk.send("please review")
    desk.crash()
    desk.send("please review")
    assert isinstance(desk.send("please review"), mail.MailQueued)


def test_without_a_restart_the_same_message_twice_is_meant(desk):
    desk.send("please review")
    assert isinstance(desk.send("please review"), mail.MailQueued)


@pytest.mark.parametrize(
    ("text", "later_ms"),
    [("please review", mail.DOUBT_MS + 1), ("please review again", 0)],
    ids=["later", "other text"],
)
def test_a_message_after_a_restart_is_meant_when_it_is_another_or_comes_late(desk, text, later_ms):
    desk.send("please review")
    desk.crash()
    desk.now_ms += later_ms
    assert isinstance(desk.send(text), mail.MailQueued)


def test_calls_made_side_by_side_are_all_known_when_they_are_repeated(desk):
    sent = [desk.send(f"part {number}").mail_id for number in range(3)]
    desk.crash()
    assert [desk.send(f"part {number}").mail_id for number in range(3)] == sent


def test_mail_that_was_handed_out_when_the_bridge_died_is_delivered_after_all_and_marked(desk):
    flying, second = desk.send("first"), desk.send("second")
    desk.take(mail.fetch(desk.state, "reviewer", NOW)[0])
    desk.crash()
    assert desk.state.boxes["reviewer"].counts.received == 0
    desk.tell(mail.seen, flying.mail_id)
    assert desk.orders[-1].mail_id == second.mail_id
    assert desk.orders[-1].repeat


def test_mail_that_comes_back_after_a_restart_goes_before_what_came_later(desk):
    for text in ("first", "second", "third"):
        desk.send(text)
    desk.take(mail.fetch(desk.state, "reviewer", NOW)[0])
    desk.state = mail.apply(
        desk.state, mail.MailQueued(mail_id="late", sender="worker", target="reviewer", text="late", at_ms=NOW)
    )
    desk.state = mail.apply(desk.state, mail.BridgeRestarted(at_ms=NOW))
    assert [one.text for one in desk.state.boxes["reviewer"].waiting] == ["second", "third", "late"]


def test_mail_comes_back_only_after_the_first_restart(desk):
    desk.send("first")
    desk.send("second")
    desk.take(mail.fetch(desk.state, "reviewer", NOW)[0])
    desk.crash()
    desk.tell(mail.handled, "mail-1")
    desk.tell(mail.handled, "mail-2")
    desk.crash()
    assert desk.state.boxes["reviewer"].waiting == ()


def test_mail_that_was_handed_out_is_not_in_doubt_once_its_reader_sends_something(desk):
    desk.send("first")
    desk.send("second")
    desk.take(mail.fetch(desk.state, "reviewer", NOW)[0])
    desk.send("thanks for the second", "reviewer", "worker")
    desk.crash()
    assert desk.state.boxes["reviewer"].waiting == ()


def test_mail_that_was_handed_out_long_before_a_restart_is_not_in_doubt(desk):
    desk.send("first")
    desk.send("second")
    desk.take(mail.fetch(desk.state, "reviewer", NOW)[0])
    desk.now_ms += mail.DOUBT_MS + 1
    assert desk.crash() == []
    assert desk.state.boxes["reviewer"].waiting == ()


def test_a_restart_with_nothing_in_doubt_writes_nothing(desk):
    desk.deliver_fully("please review")
    desk.now_ms += mail.DOUBT_MS + 1
    assert desk.crash() == []


# --- users ---


def person(desk, action, mail_id, text="", change_id=None):
    """A person's order, made as the bridge makes it."""
    story = mail.Book(desk.journal).stories[mail_id]
    change_id = change_id or f"change-{len(desk.journal)}"
    return desk.take(mail.change(desk.state, story, action, change_id=change_id, text=text, now_ms=desk.now_ms))


def dead_letter(desk, text="hello"):
    event = desk.send(text)
    for _ in range(mail.MAX_ATTEMPTS):
        desk.tell(mail.failed, event.mail_id, "no agent")
        desk.now_ms += LONG_MS
        desk.take([])
    return event.mail_id


def status(desk, mail_id):
    return mail.Book(desk.journal).stories[mail_id].status


def test_held_mail_steps_aside_and_takes_its_old_place_when_it_is_released(desk):
    first, second, third, fourth = (desk.send(text).mail_id for text in ("1", "2", "3", "4"))
    person(desk, "hold", second)
    desk.tell(mail.seen, first)
    assert desk.delivered == [first, third]
    person(desk, "release", second)
    desk.tell(mail.seen, third)
    assert desk.delivered == [first, third, second]
    desk.tell(mail.seen, second)
    assert desk.delivered == [first, third, second, fourth]


def test_held_mail_cannot_be_fetched(desk):
    desk.send("1")
    second = desk.send("2").mail_id
    person(desk, "hold", second)
    assert mail.fetch(desk.state, "reviewer", NOW) == ([], ())


def test_released_mail_goes_out_at_once_also_when_it_waited_for_its_next_attempt(desk):
    first = desk.send("1").mail_id
    desk.tell(mail.failed, first, "no agent")
    person(desk, "hold", first)
    person(desk, "release", first)
    assert desk.delivered == [first, first]


def test_to_let_mail_go_starts_the_hops_again(desk):
    ping_pong(desk, 13)
    (last,) = [one for box in desk.state.boxes.values() for one in box.waiting]
    person(desk, "hold", last.mail_id)
    assert desk.state.hops == mail.MAX_HOPS
    person(desk, "release", last.mail_id)
    assert desk.delivered[-1] == last.mail_id
    assert desk.state.hops == 1


@pytest.mark.parametrize("held", [False, True])
def test_an_edited_mail_is_delivered_with_its_new_text(desk, held):
    desk.send("1")
    second = desk.send("2").mail_id
    if held:
        person(desk, "hold", second)
    person(desk, "edit", second, "two")
    if held:
        person(desk, "release", second)
    desk.tell(mail.seen, desk.delivered[0])
    order = desk.orders[-1]
    assert (order.mail_id, order.text, order.edited) == (second, "two", True)


def test_an_edited_mail_that_is_dropped_and_requeued_is_still_an_edited_one(desk):
    desk.send("1")
    second = desk.send("2").mail_id
    person(desk, "edit", second, "two")
    person(desk, "drop", second)
    person(desk, "requeue", second)
    desk.tell(mail.seen, desk.delivered[0])
    assert (desk.orders[-1].mail_id, desk.orders[-1].text, desk.orders[-1].edited) == (second, "two", True)


def test_an_edit_needs_a_text(desk):
    desk.send("1")
    second = desk.send("2").mail_id
    with pytest.raises(UserError, match=f"mail {second} needs a text"):
        person(desk, "edit", second, " ")


def test_a_dead_letter_that_is_requeued_is_delivered_again_with_its_attempts_counted_anew(desk):
    dead = dead_letter(desk)
    assert [one.mail_id for one in desk.state.boxes["reviewer"].dead] == [dead]
    person(desk, "requeue", dead)
    assert (desk.orders[-1].mail_id, desk.orders[-1].text, desk.orders[-1].attempt) == (dead, "hello", 1)
    box = desk.state.boxes["reviewer"]
    assert (box.dead, box.counts.dead, box.counts.queued) == ((), 0, 1)
    assert status(desk, dead) == "in flight"


def test_mail_that_is_requeued_goes_to_the_end(desk):
    dead = dead_letter(desk)
    first, second = desk.send("1").mail_id, desk.send("2").mail_id
    person(desk, "requeue", dead)
    desk.tell(mail.seen, first)
    desk.tell(mail.seen, second)
    assert desk.delivered[-3:] == [first, second, dead]


def test_an_echo_can_be_delivered_after_all(desk):
    desk.deliver_fully("looks good")
    echo = desk.send("looks good", "reviewer", "worker").mail_id
    person(desk, "requeue", echo)
    assert desk.delivered[-1] == echo
    counts = desk.state.boxes["worker"].counts
    assert (counts.suppressed, counts.queued) == (0, 1)


def test_dropped_mail_is_not_delivered_and_can_be_requeued(desk):
    first, second, third = (desk.send(text).mail_id for text in ("1", "2", "3"))
    person(desk, "drop", second, "out of date")
    desk.tell(mail.seen, first)
    assert desk.delivered == [first, third]
    story = mail.Book(desk.journal).stories[second]
    assert (story.status, story.reason) == ("dropped", "out of date")
    person(desk, "requeue", second)
    desk.tell(mail.seen, third)
    assert desk.delivered == [first, third, second]


def test_a_dead_letter_that_is_dropped_is_out_of_sight(desk):
    dead = dead_letter(desk)
    person(desk, "drop", dead)
    box = desk.state.boxes["reviewer"]
    assert (box.dead, box.counts.dead, box.counts.dropped) == ((), 0, 1)
    assert status(desk, dead) == "dropped"


def test_evidence_for_held_mail_counts(desk):
    first = desk.send("1").mail_id
    desk.tell(mail.failed, first, "no agent")
    person(desk, "hold", first)
    desk.tell(mail.seen, first)
    assert status(desk, first) == "seen"
    assert desk.state.boxes["reviewer"].held == ()


def test_mail_that_was_seen_is_not_requeued(desk):
    first = desk.send("1").mail_id
    desk.tell(mail.seen, first)
    desk.tell(mail.failed, first, "the agent broke")
    assert status(desk, first) == "dead"
    with pytest.raises(UserError, match=f"mail {first} was seen by its recipient before: send a new message"):
        person(desk, "requeue", first)


STATUSES = {
    "queued": lambda desk: [desk.send("0"), desk.send("1").mail_id][1],
    "held": lambda desk: person(desk, "hold", STATUSES["queued"](desk))[0].mail_id,
    "in flight": lambda desk: desk.send("1").mail_id,
    "accepted": lambda desk: desk.tell(mail.accepted, STATUSES["in flight"](desk))[0].mail_id,
    "seen": lambda desk: desk.tell(mail.seen, STATUSES["in flight"](desk))[0].mail_id,
    "handled": lambda desk: desk.tell(mail.handled, STATUSES["in flight"](desk))[0].mail_id,
    "fetched": lambda desk: [
        STATUSES["queued"](desk),
        desk.take(mail.fetch(desk.state, "reviewer", NOW)[0])[0].mail_ids[0],
    ][1],
    "suppressed": lambda desk: [desk.deliver_fully("1"), desk.send("1", "reviewer", "worker").mail_id][1],
    "dead": dead_letter,
    "dropped": lambda desk: person(desk, "drop", STATUSES["queued"](desk))[0].mail_id,
}
LEGAL = {
    "hold": {"queued"},
    "release": {"held"},
    "edit": {"queued", "held"},
    "requeue": {"dead", "suppressed", "dropped", "held"},
    "drop": {"queued", "held", "dead"},
}


@pytest.mark.parametrize("before", STATUSES)
@pytest.mark.parametrize("action", LEGAL)
def test_an_order_that_the_status_does_not_allow_is_refused_and_changes_nothing(desk, action, before):
    mail_id = STATUSES[before](desk)
    assert status(desk, mail_id) == before
    state = desk.state
    if before in LEGAL[action]:
        assert person(desk, action, mail_id, "text")
    else:
        with pytest.raises(UserError, match=f"mail {mail_id} is {before}: only mail that is "):
            person(desk, action, mail_id, "text")
        assert desk.state == state


def test_the_same_change_is_not_made_twice(desk):
    desk.send("1")
    second = desk.send("2").mail_id
    assert person(desk, "hold", second, change_id="once")
    desk.crash()
    assert person(desk, "hold", second, change_id="once") == []


@pytest.mark.parametrize(("typed", "found"), [("ab1", "ab12"), ("AB12 ", "ab12"), ("ab", "ab")])
def test_an_id_may_be_shortened_as_long_as_it_is_of_one_mail(typed, found):
    assert mail.find_id(typed, ["ab", "ab12", "ab34", "cd"]) == found


@pytest.mark.parametrize(
    ("typed", "said"),
    [("a", "3 mails have an id that begins with 'a'"), ("x", "no mail has the id 'x'"), (" ", "no mail id")],
)
def test_an_id_that_is_of_no_mail_or_of_several_is_refused(typed, said):
    with pytest.raises(UserError, match=said):
        mail.find_id(typed, ["ab", "ab12", "ab34", "cd"])


# --- stories ---


def test_the_story_of_a_mail_tells_all_that_happened_to_it(desk):
    first, second = desk.send("1").mail_id, desk.send("2").mail_id
    desk.tell(mail.accepted, first)
    person(desk, "hold", second)
    person(desk, "edit", second, "two")
    person(desk, "release", second)
    desk.tell(mail.handled, first)
    desk.tell(mail.failed, second, "no agent")
    story = mail.Book(desk.journal).stories[second]
    assert (story.sender, story.target, story.text) == ("worker", "reviewer", "two")
    assert (story.status, story.attempts, story.reason) == ("queued", 1, "no agent")
    assert [moment.what for moment in story.moments] == [
        "queued",
        "held by the user",
        "edited by the user",
        "released by the user",
        "attempt 1 to deliver it",
        "attempt failed: no agent",
    ]


def test_mail_that_was_fetched_from_a_bridge_that_died_is_queued_again_in_its_story(desk):
    desk.send("1")
    second = desk.send("2").mail_id
    desk.take(mail.fetch(desk.state, "reviewer", NOW)[0])
    assert status(desk, second) == "fetched"
    desk.crash()
    story = mail.Book(desk.journal).stories[second]
    assert (story.status, story.repeat) == ("queued", True)
    person(desk, "hold", second)
    person(desk, "requeue", second)
    desk.tell(mail.seen, desk.delivered[0])
    assert (desk.orders[-1].mail_id, desk.orders[-1].repeat) == (second, True)


# --- cost ---


def cost(count):
    """Of ten whole mails, from the call to the answer, after `count` of them: the calls made and the bytes taken."""
    desk = PlayedBridge()
    state: State = desk.state
    calls = itertools.count()

    def ten_mails(batch: int) -> State:
        after = state
        for number in range(10):
            mail_id = f"{batch}-{number}"
            sides = ("worker", "reviewer") if number % 2 else ("reviewer", "worker")
            post = mail.post(
                after, mail_id=mail_id, sender=sides[0], target=sides[1], text=mail_id, names=NAMES, now_ms=NOW
            )
            for receipt in (None, mail.accepted, mail.seen, mail.handled):
                after, _, _ = mail.advance(after, [post] if receipt is None else receipt(after, mail_id, NOW), NOW)
        after, _, _ = mail.advance(after, mail.other_work(after, "turn", NOW), NOW)
        return after

    for batch in range(count // 10):
        state = ten_mails(batch)
    tracemalloc.start()
    sys.setprofile(lambda *_event: next(calls) and None)
    try:
        ten_mails(count)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        sys.setprofile(None)
        tracemalloc.stop()
    return next(calls), taken


def test_a_mail_costs_the_same_after_ten_thousand_as_after_a_hundred():
    few, many = cost(100), cost(10_000)
    assert many[0] < 1.5 * few[0]
    assert many[1] < 5 * few[1]


def test_only_the_agent_that_was_started_again_may_repeat_its_calls(desk):
    desk.send("one", sender="worker")
    desk.send("two", sender="reviewer", target="worker")
    desk.take(mail.agent_restarted(desk.state, "worker", desk.now_ms))
    assert isinstance(desk.send("one", sender="worker"), mail.CallRepeated)
    assert isinstance(desk.send("one", sender="worker"), mail.MailQueued)
    assert isinstance(desk.send("two", sender="reviewer", target="worker"), mail.MailQueued)


def test_what_an_agent_had_fetched_when_it_died_waits_for_it_again(desk):
    desk.send("first")
    desk.send("second")
    desk.take(mail.fetch(desk.state, "reviewer", desk.now_ms)[0])
    desk.take(mail.agent_restarted(desk.state, "reviewer", desk.now_ms))
    (again,) = desk.state.boxes["reviewer"].waiting
    assert (again.text, again.repeat) == ("second", True)


def test_an_agent_that_starts_with_nothing_in_doubt_makes_no_event(desk):
    desk.send("one", sender="worker")
    assert mail.agent_restarted(desk.state, "reviewer", desk.now_ms) == []
    assert mail.agent_restarted(desk.state, "worker", desk.now_ms + mail.DOUBT_MS + 1) == []
