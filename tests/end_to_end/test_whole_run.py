"""From a plain-text prompt to an approved result, and what is left on disk and in the process table."""

import json
import shutil

import pytest

from actors.edges.journal_reader import read_streams
from tests.end_to_end.conftest import CHECK, TASK, World
from tests.lab.world import LOOP


def reviews(world: World) -> list[tuple[str, str]]:
    return [(line["reviewer"], line["status"]) for line in world.transcript() if line.get("kind") == "review"]


def states(world: World) -> list[str]:
    """The states in order, each run of equal ones once."""
    found = [line["state"] for line in world.transcript() if line.get("kind") == "status"]
    return [state for index, state in enumerate(found) if index == 0 or found[index - 1] != state]


def assert_finished(world: World, worker: str, reviewer: str) -> None:
    manifest = world.manifest()
    assert (manifest["state"], manifest["status"]) == ("completed", "done")
    assert (manifest["runId"], manifest["mode"]) == ("1", "paired")
    assert set(manifest["sessions"]) == {"worker", "reviewer"}
    assert all(manifest["sessions"].values())
    assert states(world) == ["working", "reviewing", "working", "reviewing", "working", "completed"]
    first, second = sorted(reviews(world)[:2]), sorted(reviews(world)[2:])
    assert first == sorted([(worker, "pass"), (reviewer, "fail")])
    assert second == sorted([(worker, "pass"), (reviewer, "pass")])
    assert len([line for line in world.transcript() if "from" in line]) == 1
    assert [call.split()[:3] for call in world.gh_calls()].count(["pr", "create", "--draft"]) == 1
    assert world.survivors() == []


def test_a_pair_of_embedded_agents_finishes_a_task(embedded: World):
    loop = embedded.run("--agent", "embedded", "--check", CHECK, TASK)
    assert loop.process.returncode == 0, loop.output
    assert_finished(embedded, "embedded", "embedded-reviewer")


def assert_all_turns_are_counted(world: World) -> None:
    """Also those that the run does not wait for: those of mail."""
    report = json.loads(world.run("status", "1", "--json").output)
    spent = {each["role"]: 0 for each in report["status"]["spent"]}
    for each in report["status"]["spent"]:
        spent[each["role"]] += each["usage"]["input_tokens"]
    assert spent == {agent["role"]: agent["usage"]["input_tokens"] for agent in report["agents"]}
    records = read_streams(world.run_directory(), ("run",))["run"]
    purposes = {json.loads(record.body)["purpose"] for record in records if record.kind == "UsageGrew"}
    assert purposes == {"mail"}


@pytest.mark.real_agents
@pytest.mark.parametrize("real", ["", "scripted"], ids=["default-model", "function-tools"], indirect=True)
def test_the_real_codex_and_claude_finish_a_task(real: World):
    loop = real.run("--check", CHECK, TASK)
    assert loop.process.returncode == 0, loop.output
    manifest = real.manifest()
    assert manifest["codexThreadId"] == manifest["sessions"]["worker"]
    assert manifest["claudeSessionId"] == manifest["sessions"]["reviewer"]
    assert_finished(real, "codex", "claude")
    assert_all_turns_are_counted(real)


@pytest.mark.real_agents
def test_one_agent_alone_works_and_reviews_its_own_work_in_a_second_session(real: World):
    loop = real.run("--codex-only", "--review-plan", "none", "-m", "1", TASK)
    assert loop.process.returncode == 0, loop.output
    manifest = real.manifest()
    assert manifest["mode"] == "single"
    assert manifest["claudeSessionId"] == ""
    assert manifest["sessions"]["worker"] != manifest["sessions"]["reviewer"]
    assert [status for _, status in reviews(real)] == ["pass"]


def test_a_check_that_fails_is_never_called_done(embedded: World):
    loop = embedded.run("--agent", "embedded", "--check", "echo not yet; exit 3", "-m", "2", TASK)
    assert loop.process.returncode == 1
    assert embedded.manifest()["state"] == "stopped"
    assert reviews(embedded) == []
    results = [line["result"] for line in embedded.transcript() if line.get("kind") == "result"]
    assert results[-2:] == ["max-iterations-reached", "stopped"] or results[-1] == "max-iterations-reached"


def test_raw_output_is_the_agents_own_events(embedded: World):
    loop = embedded.run("--agent", "embedded", "--format", "raw", TASK)
    events = [json.loads(line) for line in loop.lines if line.startswith("{")]
    assert len(events) > 10
    assert [line for line in loop.lines if not line.startswith(("{", "[loop]"))] == []


def test_a_markdown_file_is_the_task_itself_and_its_run_is_for_the_user_alone_whatever_the_umask(embedded: World):
    (embedded.project / "My Task.md").write_text(TASK)
    loop = embedded.start_program(
        *("/bin/sh", "-c", 'umask 000; exec "$@"', "sh", *LOOP, "--agent", "embedded", "-p", "My Task.md")
    )
    assert loop.wait() == 0, loop.output
    assert not (embedded.project / "PLAN.md").exists()
    for path in [embedded.home / ".loop", *(embedded.home / ".loop").rglob("*")]:
        expected = {0o700} if path.is_dir() else {0o600, 0o400}  # git's objects are for reading
        assert path.stat().st_mode & 0o777 in expected, path


def test_a_run_in_a_worktree_leaves_the_repository_alone_also_when_a_hook_of_it_has_started_loop(embedded: World):
    here = 'test "$(git rev-parse --show-toplevel)" = "$PWD"'
    loop = embedded.run(
        *("--agent", "embedded", "--worktree", "--check", here, TASK),
        GIT_DIR=str(embedded.project / ".git"), GIT_WORK_TREE=str(embedded.project),
    )  # fmt: skip
    assert loop.process.returncode == 0, loop.output
    place = embedded.project.parent / "project-loop-1"
    assert embedded.manifest()["cwd"] == str(place)
    assert "Hello, {name.strip()" in (place / "greeting.py").read_text()
    assert "Hello {name}" in (embedded.project / "greeting.py").read_text()
    again = embedded.run("--agent", "embedded", "--worktree", "--run-id", "1")
    assert "re-entered" in again.output
    again = embedded.run("--run-id", "1")
    assert again.lines[0] == f"[loop] it continues where it was: {place}"
    shutil.rmtree(place)
    again = embedded.run("--run-id", "1")
    assert f"worktree {place} on branch project-loop-1" in again.lines[0]


def test_the_plan_of_an_older_task_never_becomes_the_task(world: World):
    scenario = world.base / "idle.toml"
    scenario.write_text('[[turn]]\nwhen = "."\n[[turn.step]]\nsay = "There is a plan already."\n')
    world.play_embedded(scenario)
    (world.project / "PLAN.md").write_text("The old task.")
    loop = world.run("--agent", "embedded", "--review-plan", "none", "Make the new thing")
    assert loop.process.returncode == 1
    why = "PLAN.md was there before, and the planning did not change it"
    assert f"there is no plan: {why}; it is asked for once more" in loop.output
    assert f"[loop] run 1 failed: planning left no plan: {why}" in loop.lines
