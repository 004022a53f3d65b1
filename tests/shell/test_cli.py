"""The command line as a process of its own: what it does with its streams and directories, before any run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOOP = [sys.executable, "-P", "-m", "shell.cli"]


def loop(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*LOOP, *words], capture_output=True, text=True, timeout=60, check=False, **more)


def through_shell(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`script` has $loop and $1, $2 …"""
    return subprocess.run(
        ["sh", "-c", script, "sh", *arguments],
        env={**os.environ, "loop": " ".join(LOOP)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_that_cannot_be_written_is_one_line(tmp_path: Path):
    done = through_shell('ulimit -f 0; $loop --help > "$1"', str(tmp_path / "help"))
    assert (done.returncode, done.stderr) == (1, "[loop] error: file too large\n")


def test_help_whose_reader_has_seen_enough_says_nothing():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*LOOP, "--help"], stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(write)
    assert done.stderr == ""


def test_help_without_any_stream_is_fine():
    assert through_shell("$loop --help <&- >&- 2>&-").returncode == 0


def test_streams_that_were_closed_are_there_again_for_us_and_for_our_processes():
    script = """
import os, subprocess, sys
from shell.follow import keep_standard_streams_open
keep_standard_streams_open()
print("nowhere")
child = "import sys; sys.exit(0 if None not in (sys.stdin, sys.stdout, sys.stderr) else 9)"
sys.exit(subprocess.run([sys.executable, "-c", child]).returncode)
"""
    done = through_shell('"$1" -P -c "$2" <&- >&- 2>&-', sys.executable, script)
    assert done.returncode == 0


def test_a_directory_that_is_gone_is_one_line(tmp_path: Path):
    done = through_shell('mkdir "$1" && cd "$1" && rmdir "$1" && $loop task', str(tmp_path / "gone"))
    assert (done.returncode, done.stderr) == (1, "[loop] error: the current directory is gone: change to another one\n")


@pytest.mark.parametrize("words", ["status", "runs", "trust", "doctor", "submit x", "worktree list", "prompts list"])
def test_each_command_says_that_the_directory_is_gone(tmp_path: Path, words: str):
    done = through_shell(f'mkdir "$1" && cd "$1" && rmdir "$1" && $loop {words}', str(tmp_path / "gone"))
    assert (done.returncode, done.stderr) == (1, "[loop] error: the current directory is gone: change to another one\n")


def test_update_tells_the_way_and_starts_nothing():
    done = loop("update")
    assert done.returncode == 0
    assert "git -C" in done.stdout
    assert "pull" in done.stdout


def test_dashboard_without_a_terminal_prints_and_makes_nothing(tmp_path: Path):
    done = loop("dashboard", cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    assert (done.returncode, done.stderr) == (0, "")
    assert "No run yet" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path):
    home = tmp_path / "home"
    home.mkdir()
    more = {"cwd": tmp_path, "env": {**os.environ, "HOME": str(home)}}
    for words, said in (
        ("keys revoke big", "no key 'big' to revoke"),
        ("keys new", "loop keys new takes one NAME, of a host: loop keys new NAME"),
        (
            f"join h:1 --key {tmp_path}/no.key",
            f"--key {tmp_path}/no.key: it does not exist: make the file at home with",
        ),
        ("--session zzz", "no task for session 'zzz'"),
        ("status", 'no run of this repository yet: loop "fix the failing test" starts one'),
    ):
        done = loop(*words.split(), **more)
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert said in done.stderr
    assert list(home.iterdir()) == []


def test_a_file_that_cannot_be_trusted_says_what_to_do_next(tmp_path: Path):
    (tmp_path / ".loop.toml").write_text("chekcs = ['x']\n")
    done = loop("trust", cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    assert done.returncode == 2
    assert "did you mean checks?" in done.stderr
    assert done.stderr.endswith("; nothing was allowed: correct that, then run loop trust again\n")


@pytest.mark.parametrize("words", [["--agent", "embedded", "fix it"], ["status"], ["runs"]])
def test_a_home_that_is_no_absolute_path_is_refused_and_not_made(tmp_path: Path, words: list[str]):
    done = loop(*words, cwd=tmp_path, env={**os.environ, "HOME": "rel"})
    said = "[loop] error: HOME must be an absolute path, not 'rel': set it to your home directory\n"
    assert (done.returncode, done.stderr) == (2, said)
    assert list(tmp_path.iterdir()) == []
