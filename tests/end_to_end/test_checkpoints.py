"""The trees of a run, as a user compares them and goes back to one of them."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

from shell.at_prompt import execute
from tests.end_to_end.conftest import APPROVED, World, play_task
from tests.shell.test_finding_commands import FakePrompt

SCENARIO = """
[[turn]]
when = "^Iteration 1"
[[turn.step]]
run = "echo one > app; echo new > new"
[[turn.step]]
say = "Not yet."

[[turn]]
when = "^Iteration 2"
[[turn.step]]
run = "echo two > app; rm new"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Review round"
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
when = "^Draft pull request"
[[turn.step]]
run = "git switch -q -c work && git add -A && git commit -q -m work"
[[turn.step]]
say = "It is committed."
"""


def run_git(cwd: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


def loop(world: World, *words: str, status: int = 0) -> str:
    asked = world.run(*words)
    assert asked.process.returncode == status, asked.output
    return asked.output


def test_a_run_is_compared_and_put_back_iteration_by_iteration(world: World):
    play_task(world, SCENARIO, "Make app.")
    ended = world.run("--agent", "embedded", "-p", "TASK.md")
    assert ended.process.returncode == 0, ended.output
    refs = run_git(world.project, "for-each-ref", "--format=%(refname) %(contents:subject)", "refs/loop").splitlines()
    assert refs == [
        "refs/loop/1/0 Checkpoint 0 of run 1: before the first iteration",
        "refs/loop/1/1 Checkpoint 1 of run 1: iteration 1",
        "refs/loop/1/2 Checkpoint 2 of run 1: iteration 2",
    ]
    assert "+two" in loop(world, "diff", "1")
    assert "new" not in loop(world, "diff", "1", "--stat")
    assert "-new" in loop(world, "diff", "1", "1", "2")
    at_prompt = execute(FakePrompt(directory=world.run_directory()), "diff 1")
    assert re.search(r"app +\| 2 \+-", at_prompt)
    assert at_prompt.endswith("all of it: loop diff 1 1 2")
    assert "run 1 has no checkpoint '9': it has 0 to 2" in loop(world, "diff", "1", "9", status=2)

    head = (world.project / ".git" / "HEAD").read_text()
    said = loop(world, "restore", "1", "1")
    assert "checkpoint 1 (iteration 1) is restored" in said
    assert "2 files changed: app, new" in said
    assert (world.project / "app").read_text() == "one\n"
    assert (world.project / ".git" / "HEAD").read_text() == head
    (world.project / "app").write_text("mine\n")
    refused = loop(world, "restore", "1", "2", status=2)
    assert "no commit and no checkpoint: app; commit it, or put it aside with git stash -u" in refused
    assert (world.project / "app").read_text() == "mine\n"
    run_git(world.project, "stash", "-q", "-u")
    assert json.loads(loop(world, "restore", "1", "1", "--json"))["files"] == ["app", "new"]


def test_a_repository_that_was_renamed_takes_the_run_of_its_checkpoints_along(world: World):
    play_task(world, SCENARIO, "Make app.")
    assert world.run("-p", "TASK.md", "--agent", "embedded", "-m", "1").process.returncode == 1
    renamed = world.project.rename(world.base / "renamed")
    other = world.run("--run-id", "1", cwd=str(world.base))
    assert "which no longer exists: move the repository back there to resume it" in other.output
    again = world.run("--run-id", "1", "-m", "5", cwd=str(renamed))
    assert again.process.returncode == 0, again.output
    assert f"it continues here, in {renamed}" in again.output


def test_a_run_outside_a_repository_says_once_that_it_has_no_checkpoint(world: World):
    (world.base / "scenario.toml").write_text(SCENARIO)
    world.play_embedded(world.base / "scenario.toml")
    plain = world.base / "plain"
    plain.mkdir()
    (plain / "TASK.md").write_text("Make app.")
    ended = world.run("--agent", "embedded", "-p", "TASK.md", "--check", "true", cwd=str(plain))
    assert ended.process.returncode == 0, ended.output
    assert ended.output.count("there is no checkpoint of the tree") == 1
    assert "to repeat the checks" not in ended.output  # it cannot be done
    asked = world.run("diff", cwd=str(plain))
    assert asked.process.returncode == 1
    assert f"run 1 has no checkpoint in {plain}: it is in no git repository" in asked.output


PROVED = (
    """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "echo good > app"
[[turn.step]]
say = "<promise>DONE</promise>"
"""
    + APPROVED
)


def test_what_a_run_is_proved_by_is_said_at_its_end_and_can_be_repeated(world: World):
    play_task(world, PROVED, "Make app good.")
    ended = world.run("--agent", "embedded", "--check", "grep good app && git status --porcelain", "-p", "TASK.md")
    assert ended.process.returncode == 0, ended.output
    said = [line.split("loop       ", 1)[-1] for line in ended.lines]
    tree = run_git(world.project, "rev-parse", "refs/loop/1/1^{tree}")
    assert any(line.startswith(f"tree {tree[:12]}, commit ") for line in said)
    assert any(line.startswith("checks passed: grep good app && git status --porcelain (") for line in said)
    assert any(line.startswith("review round 1: embedded pass (") for line in said)
    assert "to repeat the checks: loop verify 1" in said
    proof = json.loads(loop(world, "status", "1", "--json"))["status"]["proof"]
    assert (proof["tree"], len(proof["verdicts"])) == (tree, 2)
    assert (world.run_directory() / "checks" / "checks-1-1.log").read_text().startswith("good\n")

    verified = json.loads(loop(world, "verify", "1", "--json").splitlines()[-1])
    assert (verified["passed"], verified["approved"], verified["tree"]) == (True, True, tree)
    assert verified["directory"] == {"path": str(world.project), "same": True, "changed": []}
    assert f"the check passes in its directory on tree {tree[:12]}" in loop(world, "verify", "1", "--here")
    (world.project / "app").write_text("bad\n")
    stale = loop(world, "verify", "1")
    assert f"the check passes in a temporary worktree on tree {tree[:12]}" in stale
    assert f"its directory {world.project} has ANOTHER tree now: app" in stale
    assert "does not have the tree of run 1 any more: app" in loop(world, "verify", "1", "--here", status=1)
    assert run_git(world.project, "worktree", "list").count("\n") == 0


def test_checkpoints_go_with_the_worktree_of_their_run_or_with_the_run(world: World):
    (world.base / "scenario.toml").write_text(PROVED)
    (world.project / "TASK.md").write_text("Make app good.")
    run_git(world.project, "add", "TASK.md")
    run_git(world.project, "commit", "-q", "-m", "task")
    world.play_embedded(world.base / "scenario.toml")
    for words in ((), ("--worktree",)):
        ended = world.run("--agent", "embedded", "-p", "TASK.md", *words)
        assert ended.process.returncode == 0, ended.output
    place = world.base / "project-loop-2"
    (place / "app").unlink()
    said = f"run 2: removed {place} and branch project-loop-2, with 2 checkpoints"
    assert loop(world, "worktree", "clean", "--dry-run").strip() == said.replace("removed", "would remove")
    assert loop(world, "worktree", "clean").strip() == said
    assert f"they were removed with its worktree {place}" in loop(world, "diff", "2", status=1)
    refs = ["for-each-ref", "--format=%(refname)", "refs/loop"]
    assert run_git(world.project, *refs).split() == ["refs/loop/1/0", "refs/loop/1/1"]
    shutil.rmtree(world.run_directory("1"))
    assert loop(world, "worktree", "clean").strip() == "removed 2 checkpoints of runs that are no more"
    assert run_git(world.project, *refs) == ""


def test_a_verification_that_is_killed_or_ended_leaves_nothing_and_the_next_one_works(world: World):
    play_task(world, PROVED, "Make app good.")
    hold, begun = world.base / "hold", world.base / "begun"
    os.mkfifo(begun)
    check = f"[ ! -e {hold} ] || echo x > {begun}; while [ -e {hold} ]; do sleep 0.05; done"
    ended = world.run("--agent", "embedded", "--check", check, "-p", "TASK.md")
    assert ended.process.returncode == 0, ended.output
    hold.touch()
    for number in (signal.SIGKILL, signal.SIGTERM):
        verifying = world.start("verify", "1")
        assert begun.read_text() == "x\n"
        assert "locked loop verify" in run_git(world.project, "worktree", "list", "--porcelain")
        verifying.signal(number)
        verifying.wait()
        world.wait_until_empty()
    assert run_git(world.project, "worktree", "list").count("\n") == 0
    hold.unlink()
    assert "the check passes in a temporary worktree" in loop(world, "verify", "1")


def test_a_run_that_is_running_is_not_put_back_and_is_compared_all_the_same(hanging: World):
    (hanging.project / "TASK.md").write_text("Make x.")
    live = hanging.start("--agent", "embedded", "-p", "TASK.md")
    live.wait_for("iteration 1 of 20: waits for")
    assert "run 1 is running: loop stop 1 ends it; then restore, and resume it" in loop(
        hanging, "restore", "1", "0", status=1
    )
    assert loop(hanging, "diff", "1") == ""
    said = execute(FakePrompt(directory=hanging.run_directory()), "diff")
    assert said == "checkpoint 0 is the only one so far: nothing to compare it with"
