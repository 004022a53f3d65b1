"""The turn ledger against an agent that writes a transcript, with crashes at every step between the two."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.machines import turn
from actors.messages import FoundTurn, TurnOutcome

DONE = TurnOutcome(status="finished", text="did it")


class LedgerAndAgent(RuleBasedStateMachine):
    """`journal` survives a crash of ours, `transcript` one of the agent's; `sent` is what an observer counts."""

    @initialize()
    def begin(self):
        self.journal: list[turn.LedgerEvent] = []
        self.ledger = turn.Ledger()
        self.transcript: dict[str, str] = {}  # message id -> unfinished | finished
        self.received: list[tuple[str, str]] = []  # (turn id, message id) as the agent took them in
        self.wanted: list[str] = []
        self.running: str | None = None
        self.next_id = 0

    def record(self, event: turn.LedgerEvent) -> None:
        self.journal.append(event)
        self.ledger = turn.apply(self.ledger, event)

    @rule(purpose=st.sampled_from(["work", "review", "mail"]))
    @precondition(lambda self: len(self.wanted) < 6)
    def want(self, purpose: str):
        turn_id = f"turn-{len(self.wanted)}"
        self.wanted.append(turn_id)
        self.record(turn.TurnIntended(turn_id=turn_id, purpose=purpose, prompt=turn_id))

    @rule(arrives=st.booleans(), written=st.booleans(), crash=st.booleans())
    @precondition(lambda self: self.running is None and isinstance(turn.next_action(self.ledger), turn.Send))
    def send(self, arrives: bool, written: bool, crash: bool):
        entry = turn.next_action(self.ledger).entry
        self.record(turn.TurnSubmitted(turn_id=entry.turn_id, message_id=entry.message_id))
        if arrives or not crash:
            self.received.append((entry.turn_id, entry.message_id))
            if written or not crash:
                self.transcript[entry.message_id] = "unfinished"
        if crash:
            self.crash()
        else:
            self.running = entry.turn_id

    @rule(written=st.booleans(), crash=st.booleans())
    @precondition(lambda self: self.running is not None)
    def finish(self, written: bool, crash: bool):
        entry = self.ledger.open[self.running]
        if written or not crash:
            self.transcript[entry.message_id] = "finished"
        if crash:
            self.crash()
            return
        self.record(turn.SessionTurnSettled(turn_id=entry.turn_id, outcome=DONE))
        self.running = None

    @rule()
    @precondition(lambda self: self.running is not None and self.ledger.open[self.running].purpose == "mail")
    def put_off(self):
        self.next_id += 1
        entry = self.ledger.open[self.running]
        self.transcript[entry.message_id] = "finished"  # with an error, which is no end of the mail
        self.record(
            turn.TurnDeferred(turn_id=entry.turn_id, next_message_id=f"later-{self.next_id}", at_ms=1, not_before_ms=2)
        )
        self.running = None

    @rule()
    @precondition(lambda self: self.running is not None and self.ledger.open[self.running].status == "submitted")
    def seen(self):
        self.record(turn.TurnSeen(turn_id=self.running))

    @rule(crash=st.booleans())
    @precondition(lambda self: self.running is not None)
    def change_accounts(self, crash: bool):
        """At a limit: one append, so a crash comes before it or after it."""
        entry = self.ledger.open[self.running]
        self.transcript[entry.message_id] = "finished"  # with an error, which is no end of the turn
        self.next_id += 1
        self.record(turn.AccountChosen(account=self.next_id % 2, used_up=1 - self.next_id % 2, until_ms=self.next_id))
        self.record(turn.TurnCut(turn_id=entry.turn_id, next_message_id=f"account-{self.next_id}"))
        self.running = None
        if crash:
            self.crash()

    @rule()
    def lose_the_session(self):
        """Its file is gone, and a new session begins."""
        self.crash()
        self.transcript.clear()
        self.next_id += 1
        begun = [entry.turn_id for entry in self.ledger.open.values() if turn.was_begun(entry)]
        self.record(turn.SessionBegan(session_id=f"session-{self.next_id}", replaces_lost=True))
        for turn_id in begun:
            self.record(
                turn.TurnHandedOver(
                    turn_id=turn_id, next_message_id=f"new-{self.next_id}-{turn_id}", prompt="all of it"
                )
            )
        assert all(self.ledger.open[turn_id].status == "intended" for turn_id in begun)

    @rule()
    def crash(self):
        self.running = None
        self.ledger = turn.Ledger()
        for event in self.journal:
            self.ledger = turn.apply(self.ledger, event)

    @rule()
    @precondition(lambda self: self.running is None and isinstance(turn.next_action(self.ledger), turn.Look))
    def look(self):
        entry = turn.next_action(self.ledger).entry
        state = self.transcript.get(entry.message_id, "absent")
        answer = FoundTurn(state=state, outcome=DONE if state == "finished" else None)
        self.next_id += 1
        self.record(turn.found(entry, answer, f"again-{self.next_id}"))

    @invariant()
    def the_journal_tells_the_whole_state(self):
        again = turn.Ledger()
        for event in self.journal:
            again = turn.apply(again, event)
        assert again == self.ledger

    @invariant()
    def no_prompt_stands_twice_in_the_transcript(self):
        prompts = [turn_id for turn_id, message_id in self.received if message_id == turn_id]
        in_transcript = [turn_id for turn_id in self.transcript if turn_id in self.wanted]
        assert len(in_transcript) == len(set(in_transcript))
        assert {name for name in prompts if name in self.transcript} == set(in_transcript)

    @invariant()
    def a_message_id_is_never_sent_again_once_the_agent_has_written_it_down(self):
        for message_id in self.transcript:
            waiting = [e for e in self.ledger.open.values() if e.status == "intended" and e.message_id == message_id]
            assert waiting == []

    @invariant()
    def every_turn_is_open_or_settled_and_never_both(self):
        for turn_id in self.wanted:
            assert (turn_id in self.ledger.open) != turn.is_settled(self.ledger, turn_id)

    def teardown(self):
        """Without further crashes everything comes to an end, and in the order of intention."""
        if not hasattr(self, "journal"):
            return
        self.crash()
        for _ in range(100):
            action = turn.next_action(self.ledger)
            if action is None:
                break
            if isinstance(action, turn.Look):
                self.look()
            else:
                self.record(turn.TurnSubmitted(turn_id=action.entry.turn_id, message_id=action.entry.message_id))
                self.transcript[action.entry.message_id] = "finished"
        assert self.ledger.open == {}


LedgerAndAgent.TestCase.settings = settings(max_examples=120, stateful_step_count=40)
test_any_order_of_crashes_gives_the_same_ledger = LedgerAndAgent.TestCase
