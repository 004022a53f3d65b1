import random
import subprocess
import sys
from pathlib import Path

import pytest

from actors.embedded.scenario_file import parse_scenario
from scripts import chaos_trouble
from scripts.chaos_trouble import TROUBLES, Plan, TroubleReport, planned
from shell.options import parse

PLANS = [planned(seed, number) for seed in range(1, 41) for number in range(1, 6)]


def test_a_plan_follows_from_its_seed_and_number_alone():
    assert planned(3, 4) == planned(3, 4)
    assert planned(3, 4) != planned(3, 5)


def test_every_plan_can_be_played_and_every_kind_of_trouble_comes():
    for plan in PLANS:
        parse_scenario(plan.scenario, "trouble.toml")
        parse([*plan.words, "Make the greeting polite"])
    assert {name for plan in PLANS for name in plan.names} == TROUBLES.keys()


def test_silences_are_not_added_up():
    """Three of them in one turn are a silence for ever."""
    assert max(sum(name.startswith("silence") for name in plan.names) for plan in PLANS) == 1


@pytest.mark.parametrize(
    ("names", "end", "fits"),
    [
        ((), "completed: review approved", True),
        (("outage",), "completed: review approved", True),
        (("outage",), "failed: planning: HTTP status 529", False),
        (("no credit", "outage"), "failed: planning: scripted fault: insufficient_quota", True),
        (("no credit",), "completed: review approved", False),
        (("no credit",), "failed: planning left no plan", False),
        (("budget of tokens",), "stopped: the budget is used up: 7,000 of --max-tokens 6,500", True),
        (("outage",), "", False),
    ],
)
def test_an_end_is_well_only_if_a_trouble_of_the_run_explains_it(names: tuple[str, ...], end: str, fits: bool):
    assert Plan(names).fits(end) is fits


def test_a_flag_of_two_troubles_is_given_once():
    assert Plan(("silence, once", "tool that hangs")).words == ("--silence", "4s", "--tool-timeout", "5s")


@pytest.mark.parametrize("name", [name for name, trouble in TROUBLES.items() if trouble.fault])
def test_a_fault_is_put_where_every_run_comes(name: str):
    scenario = chaos_trouble._scenario(Plan((name,)), random.Random(1))
    with_it = [rule for rule in scenario.split("[[turn]]\n") if f"fault = {{ {TROUBLES[name].fault} }}" in rule]
    assert len(with_it) == 1
    assert any(place in with_it[0] for place in chaos_trouble._REACHED)


def test_the_table_has_a_row_for_each_trouble_that_was_met(capsys: pytest.CaptureFixture[str]):
    ended = TroubleReport(names=("outage", "no credit"), end="failed: insufficient_quota")
    wrong = TroubleReport(names=("outage",), end="failed: what", troubles=["it ended: failed: what"], lost=1)
    chaos_trouble.show_table([ended, wrong])
    shown = capsys.readouterr().out
    assert "| outage | 2 | 0 | 2 | 0 | 0 | 1 | 1 | 0 | 0 |" in shown
    assert "| no credit | 1 | 0 | 1 | 0 | 0 | 0 | 0 | 0 | 0 |" in shown
    assert "2 runs, 1 ended as their troubles explain, 0 kills; 1 lost, 0 repeated, 0 orphans" in shown


def test_troubles_are_refused_for_agents_that_do_not_meet_them():
    command = [sys.executable, "-m", "scripts.chaos", "--trouble", "--agents", "real"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--trouble plays the embedded agents, not real" in done.stderr
