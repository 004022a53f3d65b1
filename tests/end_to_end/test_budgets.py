"""A run with the real agents reaches its budget, is killed, and resumes with more: nothing counts twice, or is lost."""

import json
import signal

import pytest

from tests.end_to_end.conftest import CHECK, DEMO, TASK, World
from tests.end_to_end.terminal import Terminal

ONE_ANSWER = 15  # tokens of each answer of the scripted model
MORE = 4 * ONE_ANSWER  # both agents may be in the middle of an answer, and give another while they are interrupted


def used(world: World) -> int:
    """The tokens of the run, as its status counts them."""
    [budget] = json.loads(world.run("status", "1", "--json").output)["status"]["budgets"]
    return round(budget["used"])


@pytest.mark.real_agents
def test_a_budget_of_tokens_holds_over_resumes_and_a_kill(world: World):
    with world.play_real(DEMO, "scripted") as model:
        loop = world.run("--max-tokens", "100", "--check", CHECK, TASK)
        assert loop.process.returncode == 1, loop.output
        assert loop.lines[-1] == "[loop] to resume: loop --run-id 1 --max-tokens 200"
        assert "run 1 stopped: the budget is used up: " in loop.output
        first = used(world)
        assert 100 <= first <= 100 + MORE

        killed = world.start("--run-id", "1", "--max-tokens", "200")
        killed.wait_for(r": waits for (codex|claude)")
        killed.signal(signal.SIGKILL)
        killed.wait()
        before = used(world)
        assert first <= before
        more = world.run("--run-id", "1", "--max-tokens", "201")
        assert more.process.returncode == 1, more.output
        most = max(before, 201) + MORE
        assert 201 <= used(world) <= most, f"the kill has reset it: {before}, then {used(world)}"

        rest = world.run("--run-id", "1", "--max-tokens", "1M")
        assert rest.process.returncode == 0, rest.output
        total = used(world)
        assert 300 < total <= ONE_ANSWER * (len(model.requests) + model.asked_for_form), "no answer counts twice"
        [cost] = json.loads(world.run("cost", "1", "--json").output)["runs"]
        assert sum(row["usage"]["input_tokens"] + row["usage"]["output_tokens"] for row in cost["rows"]) == total
        assert {row["agent"] for row in cost["rows"]} == {"codex", "claude"}
        assert {row["usage"]["cost_usd"] for row in cost["rows"] if row["agent"] == "codex"} == {None}
        assert f"1: {1_000_000 - total:,} of 1,000,000 tokens left" in world.run("cost").output


def test_money_that_cannot_be_counted_is_refused_before_anything_begins(world: World):
    with world.play_real(DEMO, "scripted"):
        loop = world.run("--max-cost", "5", TASK)
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert "--max-cost 5: the cost of codex cannot be counted without [prices.codex]" in loop.lines[0]
    assert not list((world.home / ".loop").glob("runs/*/*"))


def test_time_ends_a_turn_that_would_never_end(hanging: World):
    loop = hanging.run("--agent", "embedded", "--max-time", "1s", TASK)
    assert loop.process.returncode == 1, loop.output
    loop.wait_for(r"run 1 stopped: the budget is used up: \d+s of --max-time 1s; resume with --max-time \d+s")
    assert hanging.manifest()["state"] == "stopped"
    again = hanging.run("--run-id", "1")
    again.wait_for(r"run 1 stopped: the budget is used up: \d+s of --max-time 1s")


def test_a_user_at_a_terminal_is_asked_for_a_higher_limit_and_the_turn_resumes(hanging: World):
    own = Terminal(hanging, "--agent", "embedded", "--max-time", "1s", TASK)
    try:
        own.expect(r"question: the budget is used up: \d+s of --max-time 1s. Type a higher limit")
        own.ask("go on please", "error: --max-time takes a time of up to a year")
        own.ask("1h", "planning: waits for embedded")
        own.type("stop now")
        assert own.wait() == 1
    finally:
        own.end()
    assert hanging.manifest()["state"] == "stopped"
