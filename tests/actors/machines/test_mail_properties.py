"""Any order of calls, receipts, failures, crashes and restarts: no mail is lost, repeated or overtaken."""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.machines import mail
from actors.machines.mail import Deliver, Wake

NAMES = {"worker": "codex", "reviewer": "claude"}
OTHER = {"worker": "reviewer", "reviewer": "worker"}
ROLE = st.sampled_from(mail.ROLES)
ENDS = (mail.MailAnswered, mail.MailDied, mail.MailSuppressed)


class Owner:
    """The side that receives: it knows a mail by its id, so a repeated order brings it to the agent only once."""

    def __init__(self):
        self.arrived, self.status, self.repeats = [], {}, set()

    def take(self, order):
        if order.repeat:
            self.repeats.add(order.mail_id)
        if order.mail_id not in self.status:
            self.arrived.append(order.mail_id)
            self.status[order.mail_id] = "new"

    def fail(self, mail_id):
        """The attempt left no trace with the agent."""
        del self.status[mail_id]
        self.arrived.remove(mail_id)


class MailMachine(RuleBasedStateMachine):
    """A bridge that may die at any moment between its steps, its two owners, and a journal that survives."""

    def __init__(self):
        super().__init__()
        self.ids = (f"mail-{number}" for number in itertools.count(1))
        self.now_ms = 1_000_000
        self.state = mail.initial()
        self.journal = []
        self.owners = {role: Owner() for role in mail.ROLES}
        self.wake_at_ms = None
        self.queued = {role: [] for role in mail.ROLES}

    # --- the bridge ---

    def take(self, facts, *, dies=None):
        """Decide, journal, obey. `dies`: "before" the append, or "after" it and before the orders."""
        if dies == "before":
            return self.restart()
        state, events, commands = mail.advance(self.state, facts, self.now_ms)
        self.journal += [(type(event), msgspec.json.encode(event)) for event in events]
        for event in events:
            if isinstance(event, mail.MailQueued):
                self.queued[event.target].append(event.mail_id)
        self.state = state
        if dies == "after":
            return self.restart()
        return self.obey(commands)

    def obey(self, commands):
        for command in commands:
            match command:
                case Deliver():
                    self.owners[command.target].take(command)
                case Wake():
                    self.wake_at_ms = command.at_ms

    def folded(self):
        state = mail.initial()
        for kind, text in self.journal:
            state = mail.apply(state, msgspec.json.decode(text, type=kind))
        return state

    def restart(self):
        self.state, self.wake_at_ms = self.folded(), None
        self.take(mail.restarted(self.state, self.now_ms))
        self.obey(mail.outstanding(self.state))

    # --- what may happen ---

    @initialize()
    def start(self):
        self.restart()

    @rule(sender=ROLE, text=st.sampled_from(["one", "two", "three"]), dies=st.sampled_from([None, "before", "after"]))
    def send(self, sender, text, dies):
        event = mail.post(
            self.state,
            mail_id=next(self.ids),
            sender=sender,
            target=OTHER[sender],
            text=text,
            names=NAMES,
            now_ms=self.now_ms,
        )
        self.take([event], dies=dies)

    @rule(reader=ROLE, dies=st.sampled_from([None, None, "before", "after"]))
    def fetch(self, reader, dies):
        facts, _ = mail.fetch(self.state, reader, self.now_ms)
        self.take(facts, dies=dies)

    @rule(
        role=ROLE,
        receipt=st.sampled_from([mail.accepted, mail.seen, mail.answered]),
        back=st.integers(0, 3),
        dies=st.sampled_from([None, None, "before", "after"]),
    )
    def receipt(self, role, receipt, back, dies):
        arrived = self.owners[role].arrived
        if arrived:
            mail_id = arrived[max(0, len(arrived) - 1 - back)]
            if receipt is not mail.accepted:
                self.owners[role].status[mail_id] = "seen"
            self.take(receipt(self.state, mail_id, self.now_ms), dies=dies)

    @rule(role=ROLE, dies=st.sampled_from([None, None, "before", "after"]))
    def fail(self, role, dies):
        owner = self.owners[role]
        new = [mail_id for mail_id, status in owner.status.items() if status == "new"]
        if new:
            owner.fail(new[-1])
            self.take(mail.failed(self.state, new[-1], "no", self.now_ms), dies=dies)

    @rule(after_ms=st.sampled_from([1, 900, 5_000, 130_000]))
    def time_passes(self, after_ms):
        self.now_ms += after_ms
        if self.wake_at_ms is not None and self.wake_at_ms <= self.now_ms:
            self.wake_at_ms = None
            self.take([])

    @rule()
    def loop_turn_ends(self):
        self.take(mail.other_work(self.state, "work turn ended", self.now_ms))

    @rule()
    def bridge_is_killed(self):
        self.restart()

    @rule(role=ROLE)
    def owner_is_killed(self, role):
        self.obey(mail.outstanding_for(self.state, role))

    # --- what always holds ---

    @invariant()
    def the_state_is_the_fold_of_the_journal(self):
        assert self.folded() == self.state

    @invariant()
    def a_mail_is_open_or_ended_exactly_once(self):
        open_ids = [
            one.mail_id
            for box in self.state.boxes.values()
            for one in (*box.waiting, *box.seen, *([box.in_flight] if box.in_flight else []))
        ]
        ended = [event.mail_id for event in self.events(*ENDS)] + self.received()
        assert len(set(open_ids)) == len(open_ids)
        assert len(set(ended)) == len(ended)
        assert not set(open_ids) & set(ended)
        taken = [event.mail_id for event in self.events(mail.MailQueued, mail.MailSuppressed)]
        assert sorted(open_ids + ended) == sorted(taken)

    @invariant()
    def mail_reaches_its_owner_in_the_order_in_which_it_was_queued(self):
        for role, owner in self.owners.items():
            # What was fetched when the bridge died comes again, after what may have gone out meanwhile.
            ordered = [mail_id for mail_id in owner.arrived if mail_id not in owner.repeats]
            places = [self.queued[role].index(mail_id) for mail_id in ordered]
            assert places == sorted(places)

    @invariant()
    def mail_reaches_its_owner_once(self):
        for owner in self.owners.values():
            assert len(set(owner.arrived)) == len(owner.arrived)

    @invariant()
    def a_mail_that_waits_for_nothing_is_on_its_way(self):
        for box in self.state.boxes.values():
            if box.in_flight is None and box.waiting and box.waiting[0].not_before_ms <= self.now_ms:
                overdue = self.wake_at_ms is not None and self.wake_at_ms <= self.now_ms
                assert self.state.hops >= mail.MAX_HOPS or overdue

    @invariant()
    def a_mail_that_waits_for_its_time_has_an_alarm(self):
        for box in self.state.boxes.values():
            if box.in_flight is None and box.waiting and box.waiting[0].not_before_ms > self.now_ms:
                assert self.wake_at_ms is not None
                assert self.wake_at_ms <= box.waiting[0].not_before_ms

    @invariant()
    def the_counts_are_those_of_the_journal(self):
        for role, box in self.state.boxes.items():
            assert box.counts.queued == len(self.queued[role])
            assert box.counts.queued == (
                box.counts.answered
                + box.counts.received
                + box.counts.dead
                + len(box.waiting)
                + len(box.seen)
                + (box.in_flight is not None)
            )

    @invariant()
    def no_more_hops_than_allowed(self):
        assert self.state.hops <= mail.MAX_HOPS

    def events(self, *kinds):
        return [msgspec.json.decode(text, type=kind) for kind, text in self.journal if kind in kinds]

    def received(self):
        """Fetched and not taken back by a restart."""
        state, ids = mail.initial(), []
        for kind, text in self.journal:
            event = msgspec.json.decode(text, type=kind)
            state = mail.apply(state, event)
            if kind is mail.MailReceived:
                ids += event.mail_ids
            if kind is mail.BridgeRestarted:
                waiting = {one.mail_id for box in state.boxes.values() for one in box.waiting}
                ids = [mail_id for mail_id in ids if mail_id not in waiting]
        return ids


MailMachine.TestCase.settings = settings(
    max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMailMachine = MailMachine.TestCase
