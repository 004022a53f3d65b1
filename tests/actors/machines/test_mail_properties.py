"""Any order of calls, receipts, failures, crashes and changes by the user: no mail is lost, repeated or overtaken.

But for what a person held or requeued: that was overtaken on purpose.
"""

from __future__ import annotations

import itertools

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from actors.machines import mail
from actors.machines.mail import Deliver, Wake, user_changes

NAMES = {"worker": "codex", "reviewer": "claude"}
OTHER = {"worker": "reviewer", "reviewer": "worker"}
ROLE = st.sampled_from(mail.ROLES)
DIES = st.sampled_from([None, None, "before", "after"])


class Owner:
    """The side that receives: it knows a mail by its id, so a repeated order brings it to the agent only once."""

    def __init__(self):
        self.arrived, self.status, self.texts, self.repeats = [], {}, {}, set()

    def take(self, order):
        if order.repeat:
            self.repeats.add(order.mail_id)
        if order.mail_id not in self.status:
            self.arrived.append(order.mail_id)
            self.status[order.mail_id] = "new"
            self.texts[order.mail_id] = order.text

    def fail(self, mail_id):
        """The attempt left no trace with the agent."""
        del self.status[mail_id], self.texts[mail_id]
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
        self.moved = set()  # by the user

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
            if isinstance(event, mail.MailHeld | mail.MailRequeued):
                self.moved.add(event.mail_id)
        self.state = state
        if dies == "after":
            return self.restart()
        return self.obey(commands)

    def obey(self, commands):
        for command in commands:
            match command:
                case Deliver():
                    assert command.mail_id not in [one.mail_id for one in self.state.boxes[command.target].held]
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

    @rule(reader=ROLE, dies=DIES)
    def fetch(self, reader, dies):
        facts, _ = mail.fetch(self.state, reader, self.now_ms)
        self.take(facts, dies=dies)

    @rule(
        role=ROLE,
        receipt=st.sampled_from([mail.accepted, mail.seen, mail.handled]),
        back=st.integers(0, 3),
        dies=DIES,
    )
    def receipt(self, role, receipt, back, dies):
        arrived = self.owners[role].arrived
        if arrived:
            mail_id = arrived[max(0, len(arrived) - 1 - back)]
            if receipt is not mail.accepted:
                self.owners[role].status[mail_id] = "seen"
            self.take(receipt(self.state, mail_id, self.now_ms), dies=dies)

    @rule(role=ROLE, dies=DIES)
    def fail(self, role, dies):
        owner = self.owners[role]
        new = [mail_id for mail_id, status in owner.status.items() if status == "new"]
        if new:
            owner.fail(new[-1])
            self.take(mail.failed(self.state, new[-1], "no", self.now_ms), dies=dies)

    @rule(role=ROLE)
    def the_agent_is_away_for_long(self, role):
        """Until what is in flight is dead."""
        owner, flying = self.owners[role], self.state.boxes[role].in_flight
        if flying is None or owner.status.get(flying.mail_id) != "new":
            return
        mail_id = flying.mail_id
        while (flying := self.state.boxes[role].in_flight) is not None and flying.mail_id == mail_id:
            owner.fail(mail_id)
            self.take(mail.failed(self.state, mail_id, "away", self.now_ms))
            self.time_passes(mail.retry_after_ms(mail.MAX_ATTEMPTS))

    @rule(pick=st.randoms(use_true_random=False), text=st.sampled_from(["four", "five"]), dies=DIES)
    def person(self, pick, text, dies):
        """One of the orders that make sense now; test_mail has those that do not."""
        legal = [
            (action, story.mail_id)
            for story in self.stories().values()
            for action, (_, statuses) in user_changes.ALLOWED.items()
            if story.status in statuses and not (action == "requeue" and story.was_seen)
        ]
        if not legal:
            return
        action, mail_id = pick.choice(legal)
        change_id = next(self.ids)
        for death in (dies, None, None):  # a console whose question was not answered asks again
            story = self.stories()[mail_id]
            facts = mail.change(self.state, story, action, change_id=change_id, text=text, now_ms=self.now_ms)
            self.take(facts, dies=death)
        assert [event.change_id for event in self.changes()].count(change_id) == 1

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
    def agent_is_killed(self, role):
        self.take(mail.agent_restarted(self.state, role, self.now_ms))

    @rule(role=ROLE)
    def owner_is_killed(self, role):
        self.obey(mail.outstanding_for(self.state, role))

    # --- what always holds ---

    @invariant()
    def the_state_is_the_fold_of_the_journal(self):
        assert self.folded() == self.state

    @invariant()
    def a_mail_stands_in_the_state_once_while_it_is_open_and_not_when_it_has_ended(self):
        places = [
            (one.mail_id, place, one.text)
            for box in self.state.boxes.values()
            for place, mails in (
                ("queued", box.waiting),
                ("held", box.held),
                ("seen", box.seen),
                ("in flight", [box.in_flight] if box.in_flight and not box.in_flight.accepted else []),
                ("accepted", [box.in_flight] if box.in_flight and box.in_flight.accepted else []),
            )
            for one in mails
        ]
        stories = self.stories()
        ended = ("handled", "fetched", "suppressed", "dead", "dropped")
        assert sorted(places) == sorted(
            (story.mail_id, story.status, story.text) for story in stories.values() if story.status not in ended
        )
        taken = [event.mail_id for event in self.events(mail.MailQueued, mail.MailSuppressed)]
        assert list(stories) == taken

    @invariant()
    def a_mail_arrives_with_the_text_that_people_gave_it(self):
        stories = self.stories()
        for owner in self.owners.values():
            for mail_id, text in owner.texts.items():
                assert text == stories[mail_id].text

    @invariant()
    def mail_reaches_its_owner_in_the_order_in_which_it_was_queued(self):
        for role, owner in self.owners.items():
            # What was fetched when the bridge died comes again, after what may have gone out meanwhile.
            ordered = [mail_id for mail_id in owner.arrived if mail_id not in owner.repeats | self.moved]
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
        stories = self.stories().values()
        for role, box in self.state.boxes.items():
            statuses = [story.status for story in stories if story.target == role]
            assert box.counts == mail.Counts(
                queued=len(statuses) - statuses.count("suppressed"),
                handled=statuses.count("handled"),
                received=statuses.count("fetched"),
                suppressed=statuses.count("suppressed"),
                dead=statuses.count("dead"),
                dropped=statuses.count("dropped"),
            )

    @invariant()
    def no_more_hops_than_allowed(self):
        assert self.state.hops <= mail.MAX_HOPS

    def events(self, *kinds):
        return [msgspec.json.decode(text, type=kind) for kind, text in self.journal if kind in kinds]

    def changes(self):
        return self.events(mail.MailHeld, mail.MailReleased, mail.MailEdited, mail.MailRequeued, mail.MailDropped)

    def stories(self):
        return mail.Book(msgspec.json.decode(text, type=kind) for kind, text in self.journal).stories


MailMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=50)
TestMailMachine = MailMachine.TestCase
