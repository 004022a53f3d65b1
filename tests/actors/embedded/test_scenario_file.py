from pathlib import Path

import pytest

from actors.embedded.scenario import Fault, Say, ToolCall
from actors.embedded.scenario_file import SHIPPED, load_scenario, parse_scenario
from actors.errors import UserError
from tests.lab.world import SCENARIOS


def one_step(step: str) -> str:
    return f'[[turn]]\nwhen = "go"\n[[turn.step]]\n{step}'


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("turn", "f.toml: not a TOML file: Expected '=' after a key in a key/value pair (at end of document)"),
        ("", "f.toml: Object missing required field `turn`"),
        ("[[turn]]\nstep = []", "f.toml: turn[0]: object missing required field `when`, in {'step': []}"),
        ('[[turn]]\nwhen = "go"\nstep = []', 'f.toml: turn[0].step: [] has no steps: add at least one, e.g. say = "…"'),
        (
            '[[turn]]\nwhen = "("\nstep = [{say = "x"}]',
            "f.toml: turn[0].when: '(' is not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        (
            '[[turn]]\nwhen = "go"\nrole = "boss"\nstep = [{say = "x"}]',
            "f.toml: turn[0].role: invalid enum value 'boss', in 'boss'",
        ),
        (
            one_step('sya = "x"'),
            "f.toml: turn[0].step[0]: object contains unknown field `sya`, in {'sya': 'x'}",
        ),
        (
            one_step('say = "x"\nrun = "y"'),
            "f.toml: turn[0].step[0]: has say and run: give exactly one of say, run, send, bridge, tool, fault",
        ),
        (
            one_step("delay_ms = 5"),
            "f.toml: turn[0].step[0]: has nothing: give exactly one of say, run, send, bridge, tool, fault",
        ),
        (
            one_step('say = "x"\ndelay_ms = -5'),
            "f.toml: turn[0].step[0].delay_ms: -5 is negative: give milliseconds from 0",
        ),
        (
            one_step('send = {target = "x"}'),
            "f.toml: turn[0].step[0].send: object missing required field `message`, in {'target': 'x'}",
        ),
        (
            one_step("fault = {hang = false}"),
            (
                "f.toml: turn[0].step[0].fault: has {'hang': False}: "
                'give exactly one of status = NUMBER, drop = true, hang = true, refuses = "context" or "billing"'
            ),
        ),
        (
            one_step("fault = {status = 200}"),
            "f.toml: turn[0].step[0].fault.status: 200 is not an HTTP error: give 400 to 599",
        ),
        (
            one_step("fault = {drop = true, resets_in_s = 5}"),
            "f.toml: turn[0].step[0].fault.resets_in_s: 5 goes with status = 429 only",
        ),
        (
            one_step("fault = {drop = true, times = 0}"),
            "f.toml: turn[0].step[0].fault.times: 0 is less than 1: give how often the fault strikes",
        ),
    ],
)
def test_a_bad_file_is_refused_with_one_line_that_names_field_and_value(text: str, error: str) -> None:
    with pytest.raises(UserError) as refused:
        parse_scenario(text, "f.toml")
    assert str(refused.value) == error


def test_a_file_that_is_not_there_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.toml: the scenario cannot be read: .*No such file"):
        load_scenario(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    ("step", "action"),
    [
        ('say = "x"', Say("x")),
        ('tool = {name = "Read", input = {file_path = "a"}}', ToolCall("Read", {"file_path": "a"})),
        ("fault = {status = 429, resets_in_s = 9}", Fault("turn[0].step[0]", status=429, resets_in_s=9)),
        ("fault = {hang = true, times = 3}", Fault("turn[0].step[0]", hang=True, times=3)),
    ],
)
def test_steps_are_read_as_they_stand(step: str, action: object) -> None:
    assert parse_scenario(one_step(step), "f.toml").rules[0].steps[0].action == action


@pytest.mark.parametrize("path", [*SHIPPED.glob("*.toml"), *SCENARIOS.glob("*.toml")], ids=lambda path: path.stem)
def test_a_scenario_of_ours_can_be_read(path: Path) -> None:
    assert load_scenario(path).rules
