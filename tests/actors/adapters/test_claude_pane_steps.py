"""Which step is next in Claude Code's TUI, without the program: the tables of its start, typing, stopping, asking."""

import pytest

from actors.adapters.claude_pane_steps import (
    ANSWER_S,
    DIALOG_NOTE_S,
    ENTER_S,
    ESCAPES,
    INTERRUPT_AGAIN_S,
    READY_S,
    SUBMIT_S,
    UNKNOWN_DIALOG_S,
    Bringing,
    Entering,
    Escaping,
    Question,
    Starting,
    key_for,
)

T = 100.0
RULE = "─" * 40
BOX = f"{RULE}\n\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT} \n{RULE}"
TRUST = "Do you trust this folder?\n\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT} 1. Yes, I trust\n  2. No"
UNKNOWN = "Which colour do you like?"

# --- start ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("screen", "ready", "over"),
    [("", True, False), (TRUST, True, False), (BOX, False, False), (BOX, True, True)],
)
def test_a_prompt_can_be_typed_when_there_is_a_box_and_the_hook_has_come(screen: str, ready: bool, over: bool):
    assert Starting(T).is_over(screen, ready=ready) is over


def test_a_known_dialog_is_answered_once_and_again_when_it_does_not_go_away():
    starting = Starting(T)
    assert starting.keys(TRUST, T) == ("Enter",)
    assert starting.keys(TRUST, T + ANSWER_S) == ()
    assert starting.keys(TRUST, T + ANSWER_S + 0.1) == ("Enter",)


def test_another_dialog_is_answered_at_once():
    starting = Starting(T)
    starting.keys(TRUST, T)
    assert starting.keys("Press Enter to continue", T) == ("Enter",)


@pytest.mark.parametrize("screen", ["", UNKNOWN, BOX, f"{TRUST}\n{BOX}"])
def test_what_is_no_dialog_or_is_not_known_gets_no_key(screen: str):
    assert Starting(T).keys(screen, T) == ()


def test_people_are_told_once_of_a_dialog_that_is_not_known_when_it_stays():
    starting = Starting(T)
    assert not starting.is_note_due(UNKNOWN, T + UNKNOWN_DIALOG_S)
    assert not starting.is_note_due(TRUST, T + UNKNOWN_DIALOG_S + 1)
    assert starting.is_note_due(UNKNOWN, T + UNKNOWN_DIALOG_S + 1)
    assert not starting.is_note_due(UNKNOWN, T + UNKNOWN_DIALOG_S + 9)


def test_a_start_has_its_time():
    assert not Starting(T).is_overdue(T + READY_S)
    assert Starting(T).is_overdue(T + READY_S + 0.1)


# --- typing -----------------------------------------------------------------------------------------------------------


def test_people_are_told_once_that_a_prompt_waits_for_them():
    bringing = Bringing(T)
    assert not bringing.is_note_due(T + DIALOG_NOTE_S)
    assert bringing.is_note_due(T + DIALOG_NOTE_S + 0.1)
    assert not bringing.is_note_due(T + 2 * DIALOG_NOTE_S)


@pytest.mark.parametrize(
    ("after_s", "has_it", "step"),
    [
        (0.0, False, "wait"),
        (0.0, True, "taken"),
        (ENTER_S - 0.1, False, "wait"),
        (ENTER_S, False, "look at the box"),
        (SUBMIT_S, False, "look at the box"),
        (SUBMIT_S + 0.1, False, "lost"),
        (SUBMIT_S + 0.1, True, "taken"),
    ],
)
def test_after_enter_the_program_has_time_then_the_box_is_looked_at_and_in_the_end_it_is_lost(
    after_s: float, has_it: bool, step: str
):
    assert Entering(T).next(T + after_s, has_it=has_it) == step


def test_after_another_enter_the_program_has_the_same_time_again_and_no_more_in_all():
    entering = Entering(T)
    entering.pressed(T + ENTER_S)
    assert entering.next(T + ENTER_S + 0.1, has_it=False) == "wait"
    assert entering.next(T + 2 * ENTER_S, has_it=False) == "look at the box"
    entering.pressed(T + SUBMIT_S)
    assert entering.next(T + SUBMIT_S + 0.1, has_it=False) == "lost"


@pytest.mark.parametrize(
    ("screen", "key"),
    [
        (BOX, ""),
        (BOX.replace(" \n", " [loop 1] Please do this.\n"), "Enter"),
        (BOX.replace(" \n", " [Pasted text #1 +9 lines]\n"), "Enter"),
        ("You have reached your limit\n  1. Stop and wait for limit to reset\n  2. Upgrade", "Escape"),
        (UNKNOWN, ""),
    ],
)
def test_a_prompt_that_is_not_taken_needs_enter_again_and_before_that_an_end_of_the_menu_that_has_got_it(
    screen: str, key: str
):
    assert key_for(screen, "[loop 1] Please do", "this.") == key


# --- stopping ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "idle", "step"),
    [(True, False, "press"), (True, True, "done"), (False, False, "done"), (False, True, "done")],
)
def test_escape_is_pressed_only_while_the_program_works_and_it_is_wanted(wanted: bool, idle: bool, step: str):
    assert Escaping().next(T, wanted=wanted, idle=idle) == step


def test_escape_is_pressed_a_few_times_with_time_between_then_the_program_is_lost():
    escaping, now_s, steps = Escaping(), T, []
    for _ in range(2 * ESCAPES + 1):
        steps.append(escaping.next(now_s, wanted=True, idle=False))
        now_s += INTERRUPT_AGAIN_S / 2
    assert steps == ["press", "wait"] * ESCAPES + ["lost"]


def test_a_program_that_stops_after_the_last_escape_is_not_lost():
    escaping = Escaping()
    for n in range(ESCAPES):
        escaping.next(T + n * INTERRUPT_AGAIN_S, wanted=True, idle=False)
    assert escaping.next(T + 60, wanted=True, idle=True) == "done"


# --- asking -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "permission", "step"),
    [
        ("waiting", "Bash(rm x)", "tell"),
        ("waiting", "", "nothing"),  # it may be answered in no time
        ("busy", "Bash(rm x)", "nothing"),  # the hook comes before the question, and after its answer
        ("idle", "", "nothing"),
        ("", "Bash(rm x)", "tell"),  # a version without a status
        ("", "", "nothing"),
    ],
)
def test_a_permission_is_told_at_once_and_nothing_else_is(status: str, permission: str, step: str):
    assert Question().next(T, status=status, permission=permission) == step


def test_what_is_asked_otherwise_is_told_when_nobody_answers_it():
    question = Question()
    question.next(T, status="waiting", permission="")
    assert question.next(T + DIALOG_NOTE_S, status="waiting", permission="") == "nothing"
    assert question.next(T + DIALOG_NOTE_S + 0.1, status="waiting", permission="") == "tell"
    assert question.next(T + 60, status="waiting", permission="") == "nothing"


def test_the_answer_is_told_when_the_question_was():
    question = Question()
    question.next(T, status="waiting", permission="Bash(rm x)")
    assert question.next(T, status="busy", permission="") == "answered"
    assert question.next(T, status="busy", permission="") == "nothing"
    question.next(T, status="waiting", permission="")
    assert question.next(T, status="busy", permission="") == "nothing"


def test_each_question_has_its_own_time():
    question = Question()
    question.next(T, status="waiting", permission="")
    question.next(T + 4, status="busy", permission="")
    question.next(T + 5, status="waiting", permission="")
    assert question.next(T + 6, status="waiting", permission="") == "nothing"


def test_the_end_of_the_turn_ends_its_question():
    question = Question()
    assert question.over() == "nothing"
    question.next(T, status="waiting", permission="Bash(rm x)")
    assert question.over() == "answered"
    assert question.over() == "nothing"
