"""A provider's limit is waited out, also when both reviewers meet theirs at once; no iteration is spent on it."""

import re
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from shell.control_client import ControlClient, control_endpoint
from supervisor.control.protocol import GetReport, Report
from tests.end_to_end.conftest import APPROVED, UNPUBLISHED, Loop, World
from tests.lab.world import PATIENCE_S

SCENARIO = (
    """
[[turn]]
when = "^Iteration"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Review round"
[[turn.step]]
fault = { status = 429, resets_in_s = 1 }
[[turn.step]]
say = "<review>PASS</review>"
"""
    + UNPUBLISHED
)


def test_two_limited_reviewers_wait_side_by_side_and_then_review(world: World):
    scenario = world.base / "limits.toml"
    scenario.write_text(SCENARIO)
    world.play_embedded(scenario)
    (world.project / "PLAN.md").write_text("a plan")
    loop = world.run("--agent", "embedded", "--proof", "none")
    assert loop.process.returncode == 0, loop.output
    reviews = sorted((line["reviewer"], line["status"]) for line in world.transcript() if line.get("kind") == "review")
    assert reviews == [("embedded", "pass"), ("embedded-reviewer", "pass")]
    assert "iteration 2" not in loop.output


PLAIN = (
    """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "echo x > x"
%s
[[turn.step]]
say = "<promise>DONE</promise>"
"""
    + APPROVED
)


def written(world: World, text: str) -> Path:
    scenario = world.base / "limits.toml"
    scenario.write_text(text)
    (world.project / "TASK.md").write_text("Make x.")
    return scenario


LIMIT = '[[turn]]\nrole = "worker"\nwhen = "^Iteration"\n[[turn.step]]\nfault = { status = 429, resets_in_s = %d }\n'


@pytest.mark.real_agents
def test_the_peer_takes_the_work_over_and_the_limited_agent_reviews_it_when_it_is_back(world: World):
    """The other way round: test_workspace_limits."""
    worker, peer = "codex", "claude"
    limited_worker = LIMIT % 8 + '[[turn.step]]\nsay = "The worker is back too early."\n'
    with world.play_real(written(world, limited_worker + PLAIN % ""), worker=worker) as server:
        loop = world.run("--agent", worker, "--at-limit", "swap", "-p", "TASK.md")
        assert loop.process.returncode == 0, loop.output
        heads = [(seen.role, seen.prompt.partition("\n")[0]) for seen in server.requests if seen.results == 0]
        handed_over = next(seen.prompt for seen in server.requests if seen.role == "reviewer")
    assert f"{worker} is at its limit (it resets at " in loop.output
    assert f"{peer} takes the work over" in loop.output
    assert heads[:2] == [("worker", "Iteration 1"), ("reviewer", "Iteration 1 (continued)")]
    for words in (f'You take this work over from "{worker}"', "Make x.", "The directory, when this was handed over"):
        assert words in handed_over
    reviews = {line["reviewer"]: line["status"] for line in world.transcript() if line.get("kind") == "review"}
    assert reviews == {"codex": "pass", "claude": "pass"}
    assert f"; {peer} took work over at {worker}'s limit" in loop.output
    assert "iteration 2" not in loop.output


@pytest.mark.real_agents
@pytest.mark.parametrize("worker", ["codex", "claude"])
def test_a_nearly_used_up_window_and_a_limit_are_waited_out_to_the_same_moment_over_kills_of_the_root(
    world: World, worker: str
):
    nearly = (
        '[[turn]]\nrole = "worker"\nwhen = "^Iteration 1"\n[[turn.step]]\nsay = "More is to do."\n'
        "used = { percent = 97, resets_in_s = 12 }\n"
    )
    limit = LIMIT % 12 + '[[turn.step]]\nsay = "<promise>DONE</promise>"\n'
    with world.play_real(written(world, nearly + limit + PLAIN % ""), worker=worker) as server:
        loop = world.start("--agent", worker, "-p", "TASK.md")
        loop.wait_for("is used to 97 %")
        loop = waits_on_over_a_kill(world, loop, f"waits for the reset of {worker}'s .* limit, used to 97 %.* in ")
        limited = f"waits for the end of {worker}'s limit in "
        loop.wait_for(limited)
        loop = waits_on_over_a_kill(world, loop, limited)
        assert loop.wait() == 0, loop.output
        asked = [seen.prompt.partition("\n")[0] for seen in server.requests if seen.prompt.startswith("Iteration")]
    assert Counter(asked)["Iteration 1"] == 1
    assert [head for head in asked if head != "Iteration 1"] == ["Iteration 2", "Iteration 2 (continued)"]


def waits_on_over_a_kill(world: World, loop: Loop, line: str) -> Loop:
    """Kills the root, and resumes the run, which says that it waits until the same moment."""
    before = waits_until_ms(world)
    loop.signal(signal.SIGKILL)
    loop.wait()
    loop = world.start("--run-id", "1")
    loop.wait_for(line)
    assert waits_until_ms(world) == before
    return loop


@pytest.mark.real_agents
def test_a_run_that_is_not_to_wait_fails_with_the_cause_and_the_reset(world: World):
    worker = "claude"
    with world.play_real(written(world, LIMIT % 7200 + PLAIN % ""), worker=worker):
        loop = world.run("--agent", worker, "--no-wait", "-p", "TASK.md")
    assert loop.process.returncode == 1, loop.output
    last = next(line for line in loop.lines if "run 1 failed: " in line)
    assert re.search(
        rf"iteration 1 of 20: {worker}'s turn was limited: .*limit.*; it resets at .* UTC, in (1 h 59 m|2 h)", last
    )
    assert "--no-wait" in last


@pytest.mark.real_agents
@pytest.mark.parametrize(
    ("worker", "variable", "own"), [("codex", "CODEX_HOME", ".codex"), ("claude", "CLAUDE_CONFIG_DIR", ".claude")]
)
def test_a_session_at_its_limit_continues_in_the_next_account(world: World, worker: str, variable: str, own: str):
    rest = '[[turn.step]]\nsay = "<promise>DONE</promise>"\n'
    with world.play_real(written(world, LIMIT % 7200 + rest + PLAIN % ""), worker=worker) as server:
        other = world.home / "work-account"
        shutil.copytree(world.home / own, other) if (world.home / own).exists() else other.mkdir()
        (world.home / ".loop").mkdir(mode=0o700, exist_ok=True)
        accounts = f'[agents.{worker}]\naccounts = [{{}}, {{ {variable} = "~/work-account" }}]\n'
        (world.home / ".loop" / "config.toml").write_text(accounts)
        assert f"ok {worker}, account 2 of 2 logged in, {variable}" in " ".join(world.run("doctor").output.split())
        loop = world.run("--agent", worker, "-p", "TASK.md")
        assert loop.process.returncode == 0, loop.output
        heads = [seen.prompt.partition("\n")[0] for seen in server.requests if seen.role == "worker"]
    assert "account 1 of 2 is at its limit" in loop.output
    assert "the session continues in account 2 of 2" in loop.output
    assert heads[0] == "Iteration 1"
    assert "Iteration 1 (continued)" in heads
    assert "iteration 2" not in loop.output
    assert "account 2" in world.run("status").output


def waits_until_ms(world: World) -> int:
    """When the wait ends, as the run says it. It tells its consoles a moment after it has shown that it waits; each
    question is a round through it.
    """
    client = ControlClient(control_endpoint(world.run_directory()), alive=lambda: True)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while True:
            report = client.ask(GetReport(), timeout_s=PATIENCE_S)
            assert isinstance(report, Report)
            if report.status is not None and report.status.waits_until_ms:
                return report.status.waits_until_ms
            if time.monotonic() > deadline:
                raise TimeoutError(report)
    finally:
        client.close()
