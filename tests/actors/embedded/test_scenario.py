import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.embedded.scenario import (
    Answer,
    BridgeCall,
    Entry,
    Fault,
    Prompt,
    Result,
    Run,
    Say,
    Scenario,
    Step,
    is_call,
)
from actors.embedded.scenario_file import parse_scenario
from actors.settings import Role

WORK = """
[[turn]]
role = "worker"
when = "^Iteration 1"
[[turn.step]]
say = "On my way."
[[turn.step]]
run = "make"
[[turn.step]]
run = "make test"
[[turn.step]]
say = "Done."

[[turn]]
when = "^Message"
aside = true
[[turn.step]]
run = "cat mail"
[[turn.step]]
say = "Read."

[[turn]]
role = "reviewer"
when = "^Iteration 1"
[[turn.step]]
say = "Not my turn."

[[turn]]
when = "^Stop that"
[[turn.step]]
say = "Stopped."
"""


def actions(
    scenario: Scenario, *conversation: Entry, role: Role | None = "worker", spent: dict[str, int] | None = None
) -> list[object]:
    return [step.action for step in scenario.reply(role, conversation, spent)]


@pytest.fixture
def work() -> Scenario:
    return parse_scenario(WORK, "work.toml")


def test_text_before_a_call_is_said_with_it_and_text_at_the_end_is_the_answer(work: Scenario) -> None:
    prompt = Prompt("Iteration 1")
    assert actions(work, prompt) == [Say("On my way."), Run("make")]
    assert actions(work, prompt, Result("ok")) == [Run("make test")]
    assert actions(work, prompt, Result("ok"), Result("passed")) == [Say("Done.")]


def test_the_first_rule_of_the_role_plays(work: Scenario) -> None:
    assert actions(work, Prompt("Iteration 1"), role="reviewer") == [Say("Not my turn.")]


def test_without_a_role_the_rules_of_all_roles_apply(work: Scenario) -> None:
    assert actions(work, Prompt("Iteration 1"), role=None) == [Say("On my way."), Run("make")]


def test_the_newest_prompt_counts_once_the_turn_before_it_is_answered(work: Scenario) -> None:
    before = (Prompt("Iteration 1"), Result("ok"), Result("passed"), Answer("Done."))
    assert actions(work, *before, Prompt("Message: hello")) == [Run("cat mail")]
    assert actions(work, *before, Prompt("Iteration 1")) == [Say("On my way."), Run("make")]


def test_a_prompt_that_no_rule_fits_is_answered_with_its_head(work: Scenario) -> None:
    assert actions(work, Prompt("What\nis  this?" + "x" * 100)) == [
        Say("No rule of the scenario fits: What is this?" + "x" * 66 + "…")
    ]


def test_a_prompt_that_no_rule_fits_goes_on_with_the_running_turn(work: Scenario) -> None:
    assert actions(work, Prompt("Iteration 1"), Result("ok"), Prompt("go on")) == [Run("make test")]


def test_a_prompt_that_the_running_rule_fits_goes_on_with_it(work: Scenario) -> None:
    again = Prompt("Iteration 1 (continued)")
    assert actions(work, Prompt("Iteration 1"), Result("ok"), again) == [Run("make test")]


def test_a_prompt_of_another_rule_takes_the_place_of_the_running_one(work: Scenario) -> None:
    assert actions(work, Prompt("Iteration 1"), Result("ok"), Prompt("Stop that")) == [Say("Stopped.")]


def test_an_aside_is_played_and_then_the_interrupted_rule_goes_on(work: Scenario) -> None:
    steered = (Prompt("Iteration 1"), Result("ok"), Prompt("Message: hello"))
    assert actions(work, *steered) == [Run("cat mail")]
    assert actions(work, *steered, Result("hello")) == [Say("Read."), Run("make test")]
    assert actions(work, *steered, Result("hello"), Result("passed")) == [Say("Done.")]


def test_a_rule_that_ended_while_a_message_was_answered_is_not_played_again_when_it_is_continued(
    work: Scenario,
) -> None:
    ended = (Prompt("Iteration 1"), Prompt("Message: hello"), Result("hello"), Result("ok"), Result("passed"))
    ended = (*ended, Answer("Done."))
    assert actions(work, *ended, Prompt("Iteration 1 (continued)\n\nYour work was cut short.")) == [Say("Done.")]
    assert actions(work, *ended, Prompt("Iteration 1")) == [Say("On my way."), Run("make")]
    assert actions(work, *ended, Prompt("Iteration 1\n\nsay (continued)")) == [Say("On my way."), Run("make")]
    other = (Prompt("Stop that"), Answer("Stopped."))
    assert actions(work, *ended, *other, Prompt("Iteration 1 (continued)")) == [Say("On my way."), Run("make")]


def test_a_continued_prompt_that_never_came_itself_is_played_as_that_one_and_else_not_again() -> None:
    mail = parse_scenario(
        """
[[turn]]
when = "^Message [^(\\n]*\\n"
[[turn.step]]
run = "answer"

[[turn]]
when = "^Message"
[[turn.step]]
say = "Understood."
""",
        "mail.toml",
    )
    continued = Prompt("Message 7 (continued)\n\nWhat you were asked: hello")
    assert actions(mail, continued) == [Run("answer")]
    assert actions(mail, Prompt("Message 7\n\nhello"), Result("sent"), Answer(""), continued) == [Say("Understood.")]


def test_a_result_that_no_call_of_the_rule_waits_for_changes_nothing(work: Scenario) -> None:
    assert actions(work, Prompt("Message: hello"), Result("hello"), Result("stray")) == [Say("Read.")]


CONDITIONS = """
[[turn]]
when = "go"
[[turn.step]]
run = "make test"
[[turn.step]]
if_result = "FAILED"
run = "make fix"
[[turn.step]]
if_result = "OK"
say = "Green."
[[turn.step]]
if_result = "broken"
say = "Red."
"""


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (["OK"], [Say("Green.")]),
        (["FAILED"], [Run("make fix")]),
        (["FAILED", "OK"], [Say("Green.")]),
        (["FAILED", "broken"], [Say("Red.")]),
        (["?"], [Say("(end of the rule)")]),
    ],
)
def test_a_condition_looks_at_the_newest_result(results: list[str], expected: list[object]) -> None:
    scenario = parse_scenario(CONDITIONS, "conditions.toml")
    assert actions(scenario, Prompt("go"), *map(Result, results)) == expected


FAULTS = """
[[turn]]
when = "go"
[[turn.step]]
run = "make"
[[turn.step]]
fault = {status = 529, times = 2}
[[turn.step]]
say = "Done."
"""


def test_a_fault_strikes_as_often_as_it_says_and_is_then_passed_over() -> None:
    scenario = parse_scenario(FAULTS, "faults.toml")
    at_the_fault = (Prompt("go"), Result("ok"))
    fault = Fault("turn[0].step[1]", status=529, times=2)
    assert actions(scenario, *at_the_fault) == [fault]
    assert actions(scenario, *at_the_fault, spent={fault.key: 1}) == [fault]
    assert actions(scenario, *at_the_fault, spent={fault.key: 2}) == [Say("Done.")]


def test_a_fault_that_lies_behind_a_later_result_is_over() -> None:
    scenario = parse_scenario(
        '[[turn]]\nwhen = "go"\nstep = [{fault = {drop = true}}, {run = "a"}, {say = "b"}]', "f.toml"
    )
    assert actions(scenario, Prompt("go"), Result("a")) == [Say("b")]


def test_send_is_the_bridge_tool_send_message() -> None:
    scenario = parse_scenario(
        '[[turn]]\nwhen = "go"\nstep = [{send = {target = "codex", message = "hi"}, delay_ms = 5}]', "s.toml"
    )
    call = BridgeCall("send_message", {"target": "codex", "message": "hi"})
    assert scenario.reply("worker", [Prompt("go")]) == (Step(call, delay_ms=5),)


@given(st.lists(st.sampled_from(["say", "run", "tool"]), min_size=1, max_size=8), st.sets(st.integers(0, 8)))
def test_a_turn_makes_each_call_once_however_often_it_is_cut_short(kinds: list[str], cuts: set[int]) -> None:
    table = {"say": 'say = "s"', "run": 'run = "r"', "tool": 'tool = {name = "t"}'}
    lines = "".join(f"[[turn.step]]\n{table[kind]}\n" for kind in kinds)
    scenario = parse_scenario(f'[[turn]]\nwhen = "go"\n{lines}', "p.toml")
    conversation: list[Entry] = [Prompt("go")]
    calls = 0
    while is_call(scenario.reply("worker", conversation)[-1]):
        if calls in cuts:
            conversation.append(Prompt("continue"))
        conversation.append(Result(""))
        calls += 1
    assert calls == sum(kind != "say" for kind in kinds)
