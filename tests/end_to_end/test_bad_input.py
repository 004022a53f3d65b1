"""What a user gets wrong costs one line, and leaves nothing behind."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.end_to_end.conftest import TASK, World
from tests.lab.world import LOOP


def runs(world: World) -> list[Path]:
    return list((world.home / ".loop").rglob("*"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--nonsense"], "unknown option '--nonsense'"),
        (["--agent", "nobody", "task"], "unknown agent 'nobody'"),
        (["--agent", "embedded", "--run-id", "7"], "no run '7'"),
        (["--agent", "embedded", "--run-id", "../x"], "bad run id '../x'"),
        (["--agent", "embedded", "--prompt", "missing.md"], "cannot read the task from"),
        (["--agent", "embedded", "--proof", "x"], "no task: give it as text"),
        (["--agent", "embedded", "--review=codex", "x"], "--review codex: this run has only embedded"),
        (["--claude-only", "--codex-only"], "exclude each other"),
        (["--agent", "embedded", "--check", "\udcff", "x"], "--check has bytes that are not UTF-8 text"),
        (["submit", "--agent", "embedded", "--worktree", "x\udcff"], "has bytes that are not UTF-8 text"),
        (["--agent", "embedded", "-m", "1" + "0" * 30, "x"], "--max-iterations must be a whole number from 1 to 10"),
        (["status", "../../x"], "bad repository '../..'"),
        (["stop", "../x"], "bad repository '..'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(embedded: World, words: list[str], line: str):
    loop = embedded.run(*words)
    assert loop.process.returncode == 2
    assert len(loop.lines) == 1
    assert loop.lines[0].startswith("[loop] error: ")
    assert line in loop.lines[0]
    assert runs(embedded) == []


@pytest.mark.parametrize("command", ["--worktree", "submit"])
@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("LOOP_RUN_ID", "9" * 255, "use at most 64 characters"),
        ("LOOP_COOLDOWN_MS", "1" + "0" * 18, "LOOP_COOLDOWN_MS must be a whole number from 0 to 86400000"),
    ],
)
def test_a_bad_variable_is_one_line_before_anything_is_made(
    embedded: World, command: str, name: str, value: str, line: str
):
    before = sorted(embedded.base.iterdir())
    loop = embedded.run(command, "--agent", "embedded", "task", **{name: value})
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert line in loop.lines[0]
    assert runs(embedded) == []
    assert sorted(embedded.base.iterdir()) == before  # no worktree either


def test_a_directory_whose_name_is_no_text_is_refused_before_anything_is_made(embedded: World):
    place = os.fsdecode(os.fsencode(embedded.base) + b"/n\xe4me")
    Path(place).mkdir()
    for command in ("--headless", "submit"):
        loop = embedded.run(command, "--agent", "embedded", "task", cwd=place)
        assert (loop.process.returncode, len(loop.lines)) == (2, 1)
        assert "the current directory's name has bytes that are not UTF-8 text" in loop.lines[0]
    assert runs(embedded) == []


def test_too_few_files_that_may_be_open_are_named_before_a_socket_is_made(embedded: World):
    for words in (["--agent", "embedded", "task"], ["serve"]):
        loop = embedded.start_program("/bin/sh", "-c", 'ulimit -n 24; exec "$@"', "sh", *LOOP, *words)
        assert (loop.wait(), len(loop.lines)) == (2, 1), loop.output
        assert "only 24 open files are allowed here, which is too few: run ulimit -n 1024" in loop.lines[0]
    assert runs(embedded) == []


def test_a_home_that_others_can_write_to_is_refused(embedded: World):
    (embedded.home / ".loop").mkdir()
    (embedded.home / ".loop").chmod(0o777)
    loop = embedded.run("--agent", "embedded", "task")
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert "others can write to it" in loop.lines[0]
    assert runs(embedded) == []


def test_a_bad_configuration_names_file_key_and_value(embedded: World):
    (embedded.project / ".loop.toml").write_text("[agents.x]\ncommand = 7\n")
    loop = embedded.run("--agent", "x", "task")
    assert loop.process.returncode == 2
    assert len(loop.lines) == 1
    assert all(part in loop.lines[0] for part in (".loop.toml", "agents.x.command", "7"))


def test_an_empty_task_file_is_refused(embedded: World):
    (embedded.project / "TASK.md").write_text(" \n")
    loop = embedded.run("--agent", "embedded", "--prompt", "TASK.md")
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert "TASK.md is empty" in loop.lines[0]


@pytest.mark.parametrize("agent", ["codex", "claude"])
def test_an_agent_that_is_not_logged_in_is_named_before_anything_starts(world: World, agent: str):
    world.environment["IS_SANDBOX"] = "1"
    loop = world.run("--agent", agent, "task")
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert agent in loop.lines[0].lower()
    assert "log" in loop.lines[0]
    assert runs(world) == []


def test_a_program_that_is_missing_is_named_before_anything_starts(world: World):
    (world.project / ".loop.toml").write_text('[agents.mine]\ncommand = ["no-such-program-here"]\n')
    loop = world.run("--agent", "mine", "task")
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert "no-such-program-here" in loop.lines[0]
    assert runs(world) == []


def test_a_place_for_sockets_that_others_can_write_to_is_refused_and_leaves_no_run(embedded: World):
    with tempfile.TemporaryDirectory(dir="/tmp") as base:  # a longer path would not be taken for sockets
        shared = Path(base) / f"loop-{os.getuid()}"
        shared.mkdir()
        shared.chmod(0o777)
        loop = embedded.run("--agent", "embedded", TASK, XDG_RUNTIME_DIR=base)
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert "must be yours, and not writable by others" in loop.lines[0]
    assert list((embedded.home / ".loop" / "runs").glob("*/*")) == []
