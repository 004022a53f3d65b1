import pytest

from shell.acp.plan import LONGEST_STEP, MOST_STEPS, entries

PLAN = """# Plan

- [x] look at `greeting.py`
- [ ] greet politely
  1. not a step of its own

2. verify
"""


def shown(phase: str, plan: str = PLAN) -> list[str]:
    return [f"{each.status} {each.content}" for each in entries(plan, phase, iteration=2)]


def test_the_steps_of_the_plan_are_among_the_phases_of_the_run():
    assert shown("working") == [
        "completed Plan",
        "completed look at `greeting.py`",
        "pending greet politely",
        "pending verify",
        "in_progress Work, iteration 2",
        "pending Checks",
        "pending Review",
        "pending Publish the work",
    ]


@pytest.mark.parametrize("phase", ["new", "planning", "plan-review"])
def test_a_plan_that_is_not_agreed_on_has_no_steps(phase: str):
    assert shown(phase)[:2] == ["in_progress Plan", "pending Work, iteration 2"]


def test_steps_are_done_when_the_work_is_approved_and_not_before():
    assert "pending greet politely" in shown("reviewing")
    assert "completed greet politely" in shown("pull-request")
    assert {each.partition(" ")[0] for each in shown("completed")} == {"completed"}


def test_an_unknown_phase_is_work():
    assert "in_progress Work, iteration 2" in shown("a phase of a newer version")


def test_a_huge_plan_is_bounded():
    found = entries("1. x" * 3 + "\n" + "- [ ] " + "y" * 999 + "\n- [ ] z" * 999, "working", iteration=1)
    assert len(found) == MOST_STEPS + 5
    assert max(len(each.content) for each in found) == LONGEST_STEP
