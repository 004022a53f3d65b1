"""The worktrees of runs, as a user sees them: made, entered again from anywhere, listed, cleaned up without loss."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actors.edges import git, run_dir, worktree
from tests.end_to_end.conftest import Loop, World, play_brief

ALONE = ("--agent", "embedded", "--review", "claude", "-p", "TASK.md")


def run_git(cwd: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(cwd: Path, name: str) -> None:
    (cwd / name).write_text(name)
    run_git(cwd, "add", name)
    run_git(cwd, "commit", "-q", "-m", name)


def asked(world: World, *words: str) -> list[dict[str, Any]]:
    """What `loop worktree … --json` answers."""
    loop = world.run("worktree", *words, "--json")
    assert loop.process.returncode == 0, loop.output
    answer: list[dict[str, Any]] = json.loads(loop.output)
    return answer


def said(world: World, *words: str) -> list[str]:
    loop = world.run("worktree", *words)
    assert loop.process.returncode == 0, loop.output
    return loop.lines


def ended_run(world: World, run_id: str, **manifest: str) -> Path:
    """A run that has ended and its worktree, as if `loop --worktree` had made them."""
    place = worktree.enter(world.project, world.project, run_id).cwd
    directory = run_dir.runs_root(world.home) / git.repository_id(world.project) / run_id
    directory.mkdir(parents=True)
    facts = {"runId": run_id, "state": "completed", "cwd": str(place), "worktree": str(place), "createdAt": run_id}
    run_dir.write_manifest(directory, facts | manifest)
    return place


def test_a_run_goes_on_in_its_own_worktree_from_wherever_that_is_asked_for(world: World):
    inner = world.project / "deep" / "er"
    inner.mkdir(parents=True)
    commit(inner, "file")
    play_brief(world, "true")
    (world.project / "TASK.md").rename(inner / "TASK.md")
    start = ("--agent", "embedded", "-p", "TASK.md")
    first = world.run(*start, "--worktree", cwd=str(inner))
    assert first.process.returncode == 0, first.output
    place = world.base / "project-loop-1"
    assert (world.manifest()["cwd"], world.manifest()["worktree"]) == (str(place / "deep" / "er"), str(place))
    status = world.run("status")
    assert f"worktree  {place}" in status.output
    assert json.loads(world.run("status", "--json").output)["worktree"] == str(place)

    second = ended_run(world, "2")
    again = world.run("--run-id", "1", "--worktree", cwd=str(second))
    assert again.lines[0] == f"[loop] it continues where it was: {place / 'deep' / 'er'}"
    shutil.rmtree(place)
    again = world.run("--run-id", "1", cwd=str(second))
    assert again.lines[0] == f"[loop] worktree {place} on branch project-loop-1, which existed already"
    assert world.manifest()["cwd"] == str(place / "deep" / "er")


def test_within_a_worktree_already_a_new_run_stays_there_with_a_note(world: World):
    run_git(world.project, "worktree", "add", "-q", "-b", "mine", str(world.base / "mine"))
    play_brief(world, "true")
    shutil.copy(world.project / "TASK.md", world.base / "mine")
    loop = world.run("--agent", "embedded", "-p", "TASK.md", "--worktree", cwd=str(world.base / "mine"))
    assert "[loop] --worktree skipped: this is a worktree already" in loop.lines
    assert world.manifest()["cwd"] == world.manifest()["worktree"] == str(world.base / "mine")
    assert said(world, "list") == ["no run of this repository has a worktree"], "it is the user's"
    assert said(world, "clean") == ["no run of this repository has a worktree"]
    assert (world.base / "mine" / "TASK.md").exists()


@pytest.mark.parametrize("place", ["bare", "none", "no git"])
def test_where_there_can_be_no_worktree_one_line_says_why(world: World, place: str):
    where = world.base / "elsewhere"
    where.mkdir()
    changes = {"cwd": str(where)}
    if place == "bare":
        run_git(where, "init", "-q", "--bare")
        why = f"--worktree needs a git repository; of {where} git says: this operation must be run in a work tree"
    elif place == "none":
        why = f"--worktree needs a git repository, and {where} is in none: run git init, or leave it out"
    else:
        changes["PATH"] = str(where)
        why = f"--worktree needs a git repository; of {where} git says: git is not installed"
    loop = world.run("--agent", "embedded", "--worktree", "x", **changes)
    assert (loop.process.returncode, loop.lines) == (2, [f"[loop] error: {why}"])
    assert not run_dir.runs_root(world.home).exists()


def test_a_hook_that_fails_costs_a_submitted_run_neither_its_worktree_nor_its_place_in_the_queue(world: World):
    hook = world.project / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'husky: command not found' >&2\nexit 1\n")
    hook.chmod(0o755)
    play_brief(world, "true")
    loop = world.run("submit", "--agent", "embedded", "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    assert "[loop] a hook of the repository failed in it: husky: command not found" in loop.lines
    assert [each["path"] for each in asked(world, "list")] == [str(world.base / "project-loop-1")]


def test_a_start_that_is_refused_after_its_worktree_was_made_leaves_nothing_of_it(world: World):
    (world.project / "PLAN.md").write_text("plan")
    runs = run_dir.runs_root(world.home) / git.repository_id(world.project)
    hook = world.project / ".git" / "hooks" / "post-checkout"  # what happens while the worktree is made
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\nmkdir '{runs / 'late' / 'root.lock'}'\n")  # which no root can hold then
    hook.chmod(0o755)
    loop = world.run("--agent", "embedded", "--worktree", "--proof", "x", LOOP_RUN_ID="late")
    assert loop.process.returncode != 0, loop.output
    assert f"[loop] worktree {world.base / 'project-loop-late'} on branch project-loop-late" in loop.lines
    assert sum(line.startswith("[loop] error: ") for line in loop.lines) == 1, loop.output
    assert worktree.registered(world.project) == []
    assert worktree.is_free(world.project, "late")
    assert (world.project / "PLAN.md").read_text() == "plan"


def test_list_and_clean_tell_a_run_that_works_from_one_that_is_done(world: World):
    play_brief(
        world, "git switch -q -c polite && echo x > x && git add x && git commit -q -m x && git push -q origin polite"
    )
    done = world.run("--agent", "embedded", "-p", "TASK.md", "--worktree")
    assert done.process.returncode == 0, done.output
    hang = world.base / "hang.toml"
    hang.write_text('[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000 }\n')
    world.play_embedded(hang)
    live = world.start("--agent", "embedded", "-p", "TASK.md", "--worktree")
    live.wait_for("iteration 1 of 20: waits for")

    both = {each["runId"]: each for each in asked(world, "list")}
    assert [(both[run_id]["state"], both[run_id]["running"]) for run_id in "12"] == [
        ("completed", False),
        ("working", True),
    ]
    assert both["1"]["branch"] == "polite"
    places = {run_id: world.base / f"project-loop-{run_id}" for run_id in "12"}
    stays = "kept branch polite, which loop did not create"
    assert said(world, "clean") == [
        f"run 2: kept {places['2']}: run 2 is running in it",
        f"run 1: removed {places['1']} and branch project-loop-1, with 2 checkpoints; {stays}",
    ]
    assert [path.exists() for path in places.values()] == [False, True]
    assert run_git(world.project, "branch", "--format=%(refname:short)").split() == ["main", "polite", "project-loop-2"]
    stop(live, world)
    assert said(world, "clean", "2") == [f"run 2: removed {places['2']} and branch project-loop-2, with 1 checkpoint"]
    assert said(world, "list") == ["no run of this repository has a worktree"]


def stop(loop: Loop, world: World) -> None:
    assert world.run("stop", "2").process.returncode == 0
    loop.wait()


def test_what_would_be_lost_is_kept_and_named(world: World):
    (world.project / ".gitignore").write_text("*.log\n")
    run_git(world.project, "add", ".gitignore")
    run_git(world.project, "commit", "-q", "-m", "ignore")
    places = {run_id: ended_run(world, run_id) for run_id in "123456"}
    (places["1"] / "greeting.py").write_text("changed")
    (places["1"] / "PLAN.md").write_text("plan")
    for name in ("0", "1", "x", "y"):
        (places["2"] / f"{name}.log").write_text("x")
    with open(os.fsencode(places["2"]) + b"/bad \xff.log", "w") as file:  # noqa: PTH123 - its name is no text
        file.write("x")
    commit(places["3"], "b")
    (places["4"] / "greeting.py").write_text("changed")
    run_git(places["4"], "stash")
    run_git(places["5"], "switch", "-q", "--detach")
    commit(places["5"], "c")
    before = {path: path.read_bytes() for place in places.values() for path in place.rglob("*.*") if path.is_file()}

    expected = {
        "1": ["1 file not committed", "1 file untracked"],
        "2": ["ignored by git: 0.log, 1.log, bad \ufffd.log and 2 more (--ignored removes what is)"],
        "3": ["branch project-loop-3, with a commit that is neither merged nor pushed"],
        "4": ["1 stashed on its branch (git stash list)"],
        "5": ["1 commit on no branch"],
        "6": [],
    }
    would = asked(world, "clean", "--dry-run")
    assert {each["runId"]: each["kept"] for each in would} == expected
    assert {each["runId"] for each in would if each["removed"]} == {"3", "6"}
    assert {path: path.read_bytes() for path in before} == before
    assert len(worktree.registered(world.project)) == 6

    real = asked(world, "clean")
    assert [each | {"dryRun": True} for each in real] == would
    assert [place.exists() for place in places.values()] == [True, True, False, True, True, False]
    branches = run_git(world.project, "branch", "--format=%(refname:short)").split()
    assert branches == ["main", *(f"project-loop-{run_id}" for run_id in "12345")]
    assert run_git(world.project, "show", "project-loop-3:b") == "b"
    assert [each["removed"] for each in asked(world, "clean", "2", "--ignored")] == [True]
    assert not places["2"].exists()

    counts = {each["runId"]: each for each in asked(world, "list")}
    assert [counts["1"][key] for key in ("clean", "uncommitted", "untracked", "unpushed")] == [False, 1, 1, 0]
    assert [line.split()[:3] for line in said(world, "list")][-1] == ["1", "completed", "project-loop-1"]


def test_what_another_run_works_in_what_is_queued_and_where_one_is_are_kept(world: World):
    first, second = ended_run(world, "1"), ended_run(world, "2")
    hang = world.base / "hang.toml"
    hang.write_text('[[turn]]\nwhen = "."\n[[turn.step]]\nfault = { hang = true, times = 1000 }\n')
    world.play_embedded(hang)
    (first / "TASK.md").write_text("Make x.")
    live = world.start("--agent", "embedded", "-p", "TASK.md", cwd=str(first))
    live.wait_for("iteration 1 of 20: waits for")
    (first / "TASK.md").unlink()
    assert world.run("submit", "Make y.", "--agent", "embedded").process.returncode == 0
    loop = world.run("worktree", "clean", cwd=str(second))
    assert loop.lines == [
        f"run 4: kept {world.base / 'project-loop-4'}: run 4 is in the queue of loop serve",
        f"run 2: kept {second}: you are in it: change to another directory",
        f"run 1: kept {first}: run 3 is running in it",
    ]


def test_a_clean_up_that_was_killed_half_way_is_ended_by_the_next_one(world: World):
    first, second = ended_run(world, "1"), ended_run(world, "2")
    first.rename(first.with_name(".project-loop-1.removed"))  # it came as far as this
    second.rename(second.with_name(".project-loop-2.removed"))
    run_git(world.project, "worktree", "remove", str(second))  # or this
    assert set(said(world, "clean")) == {
        f"run 1: finished a removal that was killed half-way: {first}",
        f"run 1: removed {first} and branch project-loop-1",
        f"run 2: finished a removal that was killed half-way: {second}",
    }
    assert [path.name for path in world.base.iterdir() if "loop" in path.name] == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["clean", "7"], "no run '7' of this repository: loop worktree list shows those that have a worktree"),
        (["tidy"], 'a task that begins with this word is put in quotes: loop "worktree ..."'),
        (["list", "1"], "loop worktree list takes only --json: it lists them all"),
    ],
)
def test_what_was_typed_wrongly_is_named_in_one_line_and_nothing_is_done(world: World, words: list[str], why: str):
    place = ended_run(world, "1")
    loop = world.run("worktree", *words)
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert why in loop.lines[0]
    assert place.exists()
