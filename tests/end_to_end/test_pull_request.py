"""The end of a run: what it says of its pull request is what `gh` says, not what the agent says."""

import os
import re
import select
import shutil

import pytest

from actors.edges import git
from tests.end_to_end.conftest import World, play_brief
from tests.lab.world import PATIENCE_S

NOTE = "It is open: https://example.invalid/demo/pull/99"
CREATE = "git push -q origin polite && gh pr create --draft"
ADDRESS = "https://example.invalid/demo/pull/1"


@pytest.fixture
def brief(world: World) -> World:
    """Embedded agents that are soon done, and then open a pull request."""
    return play(world, CREATE)


def play(world: World, publish: str) -> World:
    play_brief(world, f"git switch -q -c polite && git add x && git commit -q -m x; {publish}", NOTE, "echo x > x")
    return world


def last_words(world: World) -> str:
    """Of a run that is completed; the same on screen, in the transcript and in the journal."""
    loop = world.run("--agent", "embedded", "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    assert world.manifest()["state"] == "completed"
    detail = str(world.transcript()[-1]["detail"])
    assert f"[loop] run 1 completed: {detail}" in loop.lines
    words, tree = detail.rsplit(", tree ", 1)
    assert re.fullmatch(r"[0-9a-f]{12} \(not committed: TASK\.md\)", tree), detail
    return words


def test_the_address_is_the_one_that_gh_knows(brief: World):
    assert last_words(brief) == f"review approved, draft pull request {ADDRESS}"
    assert brief.manifest()["pullRequest"] == ADDRESS


def test_an_agent_that_only_says_it_opened_one_is_not_believed(world: World):
    assert last_words(play(world, "true")) == ("review approved, no pull request: there is none for branch polite")
    assert "pullRequest" not in world.manifest()


def test_one_of_a_branch_that_the_agent_has_left_again_is_seen(world: World):
    # To a branch of the same tree: going back to main takes the work out of the tree, which is a change.
    assert last_words(play(world, f"{CREATE} && git switch -q -c next")) == (
        f"review approved, draft pull request {ADDRESS}"
    )


def test_one_that_is_no_draft_is_named_as_such(world: World):
    detail = last_words(play(world, CREATE.removesuffix(" --draft")))
    assert detail == f"review approved, pull request {ADDRESS}, which is not a draft"


def test_without_a_remote_the_work_is_committed_and_the_run_says_why_that_is_all(brief: World):
    assert git.git(brief.project, "remote", "remove", "origin") == ""
    assert last_words(brief) == "review approved, no pull request: this repository has no remote"
    assert git.git(brief.project, "log", "-1", "--format=%s", "polite") == "x"
    assert brief.gh_calls() == []


def test_without_gh_the_branch_is_pushed_and_the_run_says_why_that_is_all(brief: World):
    tools = brief.base / "tools"
    tools.mkdir()
    for name in ("git", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    brief.environment["PATH"] = str(tools)
    assert last_words(brief) == "review approved, no pull request: gh, GitHub's CLI, is not installed"
    assert git.git(brief.base / "origin.git", "rev-parse", "--verify", "polite") is not None
    assert "there will be no pull request: gh" in brief.loops[0].output


def test_where_gh_is_not_logged_in_the_run_says_so(brief: World):
    gh = brief.base / "bin" / "gh"
    gh.write_text("#!/bin/sh\necho 'To get started with GitHub CLI, please run:  gh auth login' >&2\nexit 4\n")
    assert last_words(brief) == "review approved, no pull request: gh is not logged in: run gh auth login"


def test_kill_9_between_the_turn_and_the_answer_of_gh_repeats_the_look_alone(brief: World):
    gh, asked = brief.base / "bin" / "gh", brief.base / "asked"
    os.mkfifo(asked)
    gh.rename(gh.with_name("gh.real"))
    hang = f'if [ "$2" = view ] && mkdir "$0.seen"; then echo > {asked}; exec sleep 1000; fi'
    gh.write_text(f'#!/bin/sh\n{hang}\nexec "$0.real" "$@"\n')
    gh.chmod(0o755)
    reader = os.open(asked, os.O_RDONLY | os.O_NONBLOCK)
    loop = brief.start("--agent", "embedded", "-p", "TASK.md")
    assert select.select([reader], [], [], PATIENCE_S)[0], loop.output
    os.close(reader)
    loop.kill("worker")
    assert loop.wait() == 0, loop.output
    assert f"draft pull request {ADDRESS}" in loop.output
    assert [call.split()[1] for call in brief.gh_calls()] == ["create", "view"]
    assert loop.output.count(NOTE) == 1
