"""A repository's `.loop.toml` runs nothing before somebody has allowed what it says."""

import json

import pytest

from tests.end_to_end.conftest import World, play_brief
from tests.end_to_end.terminal import Terminal

THEIRS = 'checks = ["touch ../theirs"]\n'
MINE = 'checks = ["touch ../mine"]\nmax_iterations = 7\n'


@pytest.fixture
def cloned(world: World) -> World:
    """Agents that are done at once, in a repository that brings a check of its own; the user has one as well."""
    play_brief(world, "true")
    (world.project / ".loop.toml").write_text(THEIRS)
    (world.home / ".loop").mkdir()
    (world.home / ".loop" / "config.toml").write_text(MINE)
    return world


RUN = ("--agent", "embedded", "--prompt", "TASK.md")


def ran(world: World) -> set[str]:
    return {name for name in ("mine", "theirs") if (world.base / name).exists()}


@pytest.mark.parametrize("words", [RUN, ("submit", *RUN)])
def test_where_nobody_can_be_asked_one_line_says_what_it_would_run_and_nothing_is_made(
    cloned: World, words: tuple[str, ...]
):
    loop = cloned.run(*words)
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    wanted = (str(cloned.project / ".loop.toml"), "check touch ../theirs", "loop trust", "--trust")
    assert all(part in loop.lines[0] for part in wanted)
    assert not (cloned.home / ".loop" / "runs").exists()
    assert ran(cloned) == set()


def test_a_run_is_allowed_its_content_and_no_other_when_it_resumes(cloned: World):
    """The agent writes the file in the run: it is noticed, not used, and asked about when the run resumes."""
    scenario = cloned.base / "writes.toml"
    scenario.write_text(
        '[[turn]]\nwhen = "^Iteration"\n[[turn.step]]\n'
        'run = "echo \'checks = [\\"touch ../planted\\"]\' > .loop.toml"\n'
        '[[turn.step]]\nsay = "<promise>DONE</promise>"\n[[turn]]\nwhen = "^Review"\n'
        '[[turn.step]]\nsay = "<review>FAIL</review>"\n'
    )
    cloned.play_embedded(scenario)
    loop = cloned.run("--trust", *RUN, "-m", "1")
    loop.wait_for(r"\.loop\.toml has changed since the run began; the run does not use the change")
    assert ran(cloned) == {"mine", "theirs"}
    again = cloned.run("--run-id", "1")
    assert (again.process.returncode, len(again.lines)) == (2, 1)
    assert "check touch ../planted" in again.lines[0]
    (cloned.project / ".loop.toml").write_text(THEIRS)
    cloned.run("--run-id", "1").wait_for("iteration 1 of 1")  # as before: allowed to this run
    assert not (cloned.base / "planted").exists()


def test_in_a_terminal_it_is_asked_once_for_each_content(cloned: World):
    refused = Terminal(cloned, *RUN)
    shown = refused.expect(r"allow it, until it changes\? \[y/N\] ")
    assert f"{cloned.project / '.loop.toml'} would run:\n  check touch ../theirs" in shown
    refused.type("")
    refused.expect("is not allowed to run this")
    assert refused.wait() == 2
    assert not (cloned.home / ".loop" / "runs").exists()
    allowed = Terminal(cloned, "trust")
    allowed.expect(r"\[y/N\] ")
    allowed.type("y")
    assert allowed.wait() == 0
    shown = cloned.run("trust", "--show")
    assert (shown.process.returncode, shown.lines) == (
        0, [f"{cloned.project / '.loop.toml'}: trusted", "  check touch ../theirs"],
    )  # fmt: skip
    run = cloned.run(*RUN)
    assert run.process.returncode == 0, run.output
    assert ran(cloned) == {"mine", "theirs"}


def test_trust_is_shown_and_revoked_and_a_change_is_told_apart(cloned: World):
    record = json.loads(cloned.run("trust", "--show", "--json").lines[0])
    assert (record["trust"], record["runs"]) == ("untrusted", ["check touch ../theirs"])
    assert cloned.run("trust").lines == [
        "[loop] error: loop trust asks, so it needs a terminal; loop --trust allows the content for one run"
    ]
    terminal = Terminal(cloned, "trust")
    terminal.expect(r"\[y/N\] ")
    terminal.type("yes")
    assert terminal.wait() == 0
    (cloned.project / ".loop.toml").write_text('checks = ["touch ../other"]\n')
    shown = cloned.run("trust", "--show")
    assert shown.process.returncode == 1
    assert shown.lines[0].endswith(".loop.toml: not trusted: changed since you allowed it")
    assert ".loop.toml has changed since you allowed it, and has 1 command of its own; loop trust" in " ".join(
        cloned.run("doctor").output.split()
    )
    assert cloned.run("trust", "--revoke").lines == ["revoked: 1"]
    assert cloned.run("trust", "--revoke").lines == ["nothing was trusted in this repository"]
    (cloned.project / ".loop.toml").unlink()
    assert cloned.run("trust").lines == [f"no {cloned.project / '.loop.toml'}: there is nothing to trust"]


def test_what_serve_runs_is_what_was_allowed_at_the_submission(cloned: World):
    assert cloned.run("submit", "--trust", *RUN).process.returncode == 0
    for tree in cloned.base.glob("project*"):
        (tree / ".loop.toml").write_text('checks = ["touch ../planted"]\n')
    serve = cloned.start("serve")
    serve.wait_for("over: completed")
    assert ran(cloned) == {"mine", "theirs"}
    assert not (cloned.base / "planted").exists()
