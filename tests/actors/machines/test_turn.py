import msgspec
import pytest

from actors.errors import IllegalEventError
from actors.machines import backoff, turn
from actors.messages import FoundTurn, TurnOutcome, Usage
from scripts import draw_machines

DONE = TurnOutcome(status="finished", text="did it")


def ledger(*events: turn.LedgerEvent) -> turn.Ledger:
    state = turn.Ledger()
    for event in events:
        state = turn.apply(state, event)
    return state


def intended(turn_id: str = "a", purpose: str = "work") -> turn.TurnIntended:
    return turn.TurnIntended(turn_id=turn_id, purpose=purpose, prompt=f"prompt {turn_id}")


def submitted(turn_id: str = "a", message_id: str = "", carrier: str = "") -> turn.TurnSubmitted:
    return turn.TurnSubmitted(turn_id=turn_id, message_id=message_id or turn_id, carrier=carrier)


def test_a_turn_that_was_cut_with_its_host_names_the_last_command_and_only_once():
    cut = turn.TurnCut(turn_id="a", next_message_id="b", remembered=True)
    lost = turn.TurnSubmitted(turn_id="a", message_id="b", command="Bash: make deploy")
    state = ledger(intended(), submitted(), cut)
    assert turn.was_cut(state.open["a"])
    state = turn.apply(state, lost)
    assert "not known: `Bash: make deploy`" in turn.text_of(state, state.open["a"])
    again = turn.TurnCut(turn_id="a", next_message_id="c", remembered=True)
    for event in (again, submitted("a", "c")):
        state = turn.apply(state, event)
    assert "make deploy" not in turn.text_of(state, state.open["a"])


def test_an_intended_turn_is_sent_under_its_own_id():
    action = turn.next_action(ledger(intended()))
    assert isinstance(action, turn.Send)
    assert action.entry.message_id == "a"


def test_turns_are_sent_in_the_order_of_intention():
    action = turn.next_action(ledger(intended("a"), intended("b", "mail")))
    assert isinstance(action, turn.Send)
    assert action.entry.turn_id == "a"


def test_what_may_have_been_sent_is_looked_up_before_anything_else_is_sent():
    state = ledger(intended("a"), intended("b"), submitted("b"))
    assert turn.next_action(state) == turn.Look(entry=state.open["b"])


def test_nothing_to_do_when_all_is_settled():
    state = ledger(intended(), submitted(), turn.SessionTurnSettled(turn_id="a", outcome=DONE))
    assert turn.next_action(state) is None
    assert state.settled == {"a": DONE}


def test_a_turn_that_the_agent_never_got_is_sent_again_under_the_same_id():
    state = ledger(intended(), submitted())
    event = turn.found(state.open["a"], FoundTurn(state="absent"), "new")
    action = turn.next_action(turn.apply(state, event))
    assert isinstance(action, turn.Send)
    assert (action.entry.message_id, action.entry.cuts) == ("a", 0)


def test_a_turn_that_finished_while_nobody_listened_is_adopted():
    state = ledger(intended(), submitted(), turn.TurnSeen(turn_id="a"))
    event = turn.found(state.open["a"], FoundTurn(state="finished", outcome=DONE), "new")
    assert turn.apply(state, event).settled == {"a": DONE}


def test_a_turn_that_was_cut_goes_on_under_a_new_message_id_and_is_not_the_prompt_again():
    state = ledger(intended(), submitted(), turn.TurnSeen(turn_id="a"))
    event = turn.found(state.open["a"], FoundTurn(state="unfinished"), "new")
    action = turn.next_action(turn.apply(state, event))
    assert isinstance(action, turn.Send)
    assert (action.entry.turn_id, action.entry.message_id, action.entry.cuts) == ("a", "new", 1)
    assert action.entry.remembered


def test_a_turn_that_was_seen_but_not_written_down_is_cut_too_and_its_prompt_is_not_remembered():
    state = ledger(intended(), submitted(), turn.TurnSeen(turn_id="a"))
    event = turn.found(state.open["a"], FoundTurn(state="absent"), "new")
    entry = turn.apply(state, event).open["a"]
    assert (entry.message_id, entry.cuts, entry.remembered) == ("new", 1, False)


def test_a_verdict_is_not_disturbed_by_mail_and_other_turns_are():
    state = ledger(turn.TurnIntended(turn_id="r", purpose="review", prompt="x"), intended("w", "work"))
    assert not turn.may_carry(state, "r")
    assert turn.may_carry(state, "w")
    assert not turn.may_carry(state, "unknown")


@pytest.mark.parametrize("answer", ["absent", "unfinished"])
def test_a_turn_over_which_the_agent_is_lost_again_and_again_fails(answer: str):
    state = ledger(intended())
    for number in range(turn.MAX_TRIES):
        state = turn.apply(state, submitted(message_id=state.open["a"].message_id))
        event = turn.found(state.open["a"], FoundTurn(state=answer), f"again-{number}")
        state = turn.apply(state, event)
    assert state.settled["a"].status == "failed"
    assert f"lost {turn.MAX_TRIES} times" in state.settled["a"].error


def test_a_mail_steered_into_a_turn_settles_when_the_agent_has_it():
    state = ledger(intended(), submitted(), intended("m", "mail"), submitted("m", carrier="a"))
    state = turn.apply(state, turn.SessionTurnSettled(turn_id="a", outcome=DONE))
    event = turn.found(state.open["m"], FoundTurn(state="unfinished"), "new")
    assert turn.is_settled(turn.apply(state, event), "m")


def test_a_steered_mail_that_came_too_late_for_its_turn_goes_on_when_its_program_is_gone():
    state = ledger(intended(), submitted(), intended("m", "mail"), submitted("m", carrier="a"))
    state = turn.apply(state, turn.SessionTurnSettled(turn_id="a", outcome=DONE))
    for answer, settled in (("finished", True), ("unfinished", False)):
        event = turn.found(state.open["m"], FoundTurn(state=answer, outcome=DONE), "new", left_alone=True)
        assert turn.is_settled(turn.apply(state, event), "m") is settled
    action = turn.next_action(turn.apply(state, event))
    assert isinstance(action, turn.Send)
    assert (action.entry.message_id, action.entry.carrier, action.entry.remembered) == ("new", "", True)


def test_a_steered_mail_that_the_model_was_not_asked_with_is_taken_up_by_a_reminder():
    state = ledger(intended(), submitted(), intended("m", "mail"), submitted("m", carrier="a"))
    state = turn.apply(state, turn.SessionTurnSettled(turn_id="a", outcome=DONE))
    state = turn.apply(state, turn.found(state.open["m"], FoundTurn(state="unfinished", unread=True), "new"))
    action = turn.next_action(state)
    assert isinstance(action, turn.Send)
    assert (action.entry.message_id, action.entry.carrier) == ("new", "")
    assert "is earlier in this conversation" in turn.text_of(state, action.entry)


@pytest.mark.parametrize(("purpose", "is_shown"), [("mail", True), ("human", True), ("work", False)])
def test_a_reminder_of_a_message_shows_it_as_its_first_line_does_not_tell_it_from_others(purpose: str, is_shown: bool):
    prompt = "Message from codex\n\nlook at parser.py"
    entry = turn.Entry(turn_id="m", purpose=purpose, prompt=prompt, model="", message_id="m", cuts=1, remembered=True)
    reminded = turn.text_of(ledger(), entry)
    assert reminded.startswith("Message from codex (continued)\n\n")
    assert ("look at parser.py" in reminded) is is_shown


def test_a_steered_mail_that_did_not_arrive_becomes_a_turn_of_its_own():
    state = ledger(intended(), submitted(), intended("m", "mail"), submitted("m", carrier="a"))
    state = turn.apply(state, turn.SessionTurnSettled(turn_id="a", outcome=DONE))
    state = turn.apply(state, turn.found(state.open["m"], FoundTurn(state="absent"), "new"))
    action = turn.next_action(state)
    assert isinstance(action, turn.Send)
    assert action.entry.turn_id == "m"


def test_the_memory_of_settled_mails_is_bounded_and_that_of_turns_is_not():
    state = turn.Ledger()
    for number in range(turn.MAIL_MEMORY * 2):
        for purpose in ("mail", "work"):
            name = f"{purpose}-{number}"
            state = turn.apply(state, intended(name, purpose))
            state = turn.apply(state, turn.SessionTurnSettled(turn_id=name, outcome=DONE))
    assert len(state.settled_mail) == turn.MAIL_MEMORY
    assert len(state.settled) == turn.MAIL_MEMORY * 2
    assert turn.is_settled(state, f"mail-{turn.MAIL_MEMORY * 2 - 1}")


def test_a_persons_message_is_remembered_as_mail_is():
    state = turn.apply(ledger(intended("m", "human")), turn.SessionTurnSettled(turn_id="m", outcome=DONE))
    assert (state.settled, state.settled_mail) == ({}, ("m",))
    assert turn.is_settled(state, "m")


def test_what_all_turns_cost_is_added_up_and_a_message_in_another_turn_is_no_turn():
    state = ledger(intended(), submitted(), intended("m", "mail"), submitted("m", carrier="a"))
    usage = Usage(input_tokens=10, output_tokens=2, cost_usd=0.5)
    state = turn.apply(state, turn.SessionTurnSettled(turn_id="a", outcome=TurnOutcome(status="failed", usage=usage)))
    state = turn.apply(state, turn.SessionTurnSettled(turn_id="m", outcome=DONE))
    state = turn.apply(state, intended("b"))
    state = turn.apply(state, turn.SessionTurnSettled(turn_id="b", outcome=TurnOutcome(status="finished", usage=usage)))
    assert state.turns == 2
    assert state.spent == Usage(input_tokens=20, output_tokens=4, cost_usd=1.0)
    never_begun = turn.apply(state, intended("c"))
    cut = turn.SessionTurnSettled(turn_id="c", outcome=TurnOutcome(status="interrupted"))
    assert turn.apply(never_begun, cut).turns == 2


SETTLED = turn.SessionTurnSettled(turn_id="a", outcome=DONE)
ILLEGAL = [
    ([intended()], intended()),
    ([], submitted()),
    ([intended(), submitted()], submitted()),
    ([intended()], turn.TurnSeen(turn_id="a")),
    ([intended()], turn.TurnReturned(turn_id="a")),
    ([intended()], turn.TurnCut(turn_id="a", next_message_id="b")),
    ([intended(), SETTLED], SETTLED),
    ([intended(), SETTLED], intended()),
]


@pytest.mark.parametrize(("before", "event"), ILLEGAL)
def test_an_illegal_event_raises_and_changes_nothing(before: list[turn.LedgerEvent], event: turn.LedgerEvent):
    state = ledger(*before)
    with pytest.raises(IllegalEventError, match="a"):
        turn.apply(state, event)
    assert state == ledger(*before)


def entry_of(purpose: str = "mail", **changes: object) -> turn.Entry:
    plain = turn.Entry(turn_id="m", purpose=purpose, prompt="p", model="", message_id="m")  # type: ignore[arg-type]
    return msgspec.structs.replace(plain, **changes)


def until_ms(entry: turn.Entry, outcome: TurnOutcome, now_ms: int = 1_000_000) -> int | None:
    return turn.deferred_until_ms(entry, outcome, now_ms, retry_ms=5_000, max_wait_ms=3_600_000)


def test_a_message_waits_for_the_end_of_a_limit_that_is_known():
    limited = TurnOutcome(status="limited", resets_at_ms=2_000_000)
    assert until_ms(entry_of(), limited) == 2_000_000 + backoff.LIMIT_MARGIN_MS
    assert until_ms(entry_of(deferrals=2), limited, 3_000_000) == 3_000_000 + backoff.limit_ms(2)
    assert until_ms(entry_of(deferrals=2), limited, 1_999_000) == 2_000_000 + backoff.LIMIT_MARGIN_MS
    assert until_ms(entry_of(deferrals=9), limited, 1_999_000) == 1_999_000 + backoff.limit_ms(5)


def test_a_message_waits_through_an_outage_of_ten_minutes_and_not_for_ever():
    away = TurnOutcome(status="failed", cause="transient")
    entry, now_ms, tries = entry_of(), 1_000_000, 0
    while (next_ms := until_ms(entry, away, now_ms)) is not None:
        entry = msgspec.structs.replace(
            entry, deferrals=entry.deferrals + 1, waiting_since_ms=entry.waiting_since_ms or now_ms
        )
        now_ms, tries = next_ms, tries + 1
    assert 10 * 60_000 < now_ms - 1_000_000 <= 3_600_000
    assert 8 < tries < 25


def test_only_messages_are_put_off_and_only_when_waiting_helps():
    away = TurnOutcome(status="failed", cause="transient")
    assert until_ms(entry_of("work"), away) is None
    assert until_ms(entry_of(), TurnOutcome(status="failed", cause="billing")) is None
    assert until_ms(entry_of(), TurnOutcome(status="finished")) is None


def test_every_event_of_the_ledger_that_leads_elsewhere_can_be_drawn():
    drawn = "\n".join(draw_machines.turn_diagram())
    assert [event for event in turn.TRANSITIONS if event.__name__ not in drawn] == [turn.TurnSpent]


def seen_costing(ledger: turn.Ledger, *usages: Usage) -> turn.Ledger:
    for each in usages:
        ledger = turn.apply(ledger, turn.TurnSpent(turn_id="t", usage=each))
    return ledger


def test_what_an_attempt_has_used_is_kept_when_the_agent_is_lost_and_counts_once() -> None:
    ledger = turn.apply(turn.Ledger(), turn.TurnIntended(turn_id="t", purpose="work", prompt="p"))
    ledger = turn.apply(ledger, turn.TurnSubmitted(turn_id="t", message_id="m1"))
    ledger = seen_costing(ledger, Usage(input_tokens=5), Usage(input_tokens=8))
    ledger = turn.apply(ledger, turn.TurnCut(turn_id="t", next_message_id="m2"))
    assert turn.running_cost(ledger.open["t"]).usage.input_tokens == 8
    ledger = turn.apply(ledger, turn.TurnSubmitted(turn_id="t", message_id="m2"))
    ledger = seen_costing(ledger, Usage(input_tokens=3))
    assert turn.running_cost(ledger.open["t"]).usage.input_tokens == 11
    told = TurnOutcome(status="finished", usage=Usage(input_tokens=4, cost_usd=0.1))
    assert turn.with_all_attempts(ledger.open["t"], told).usage == Usage(input_tokens=12, cost_usd=0.1)
    untold = TurnOutcome(status="interrupted")
    assert turn.with_all_attempts(ledger.open["t"], untold).usage == Usage(input_tokens=11)


def test_the_last_answered_message_is_known_until_another_session_begins() -> None:
    ledger = turn.apply(turn.Ledger(), turn.SessionBegan(session_id="s1"))
    for name, status, answered in (("a", "finished", "a"), ("b", "failed", "a"), ("c", "finished", "c")):
        ledger = turn.apply(ledger, turn.TurnIntended(turn_id=name, purpose="mail", prompt="p"))
        ledger = turn.apply(ledger, turn.TurnSubmitted(turn_id=name, message_id=name))
        outcome = TurnOutcome(status=status, error="" if status == "finished" else "e")  # type: ignore[arg-type]
        ledger = turn.apply(ledger, turn.SessionTurnSettled(turn_id=name, outcome=outcome))
        assert ledger.answered == answered
    assert turn.apply(ledger, turn.SessionBegan(session_id="s2")).answered == ""
