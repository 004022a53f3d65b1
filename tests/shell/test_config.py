"""`loop config`: what counts here, and where it comes from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from actors.edges.configuration import read_configuration
from actors.settings_table import BY_KEY
from shell import run_files
from shell.config import Shown, rows_of
from shell.options import parse

FINISHED = Path(__file__).parents[1] / "recordings" / "runs" / "finished"


def rows(tmp_path: Path, user: str, repository: str, words: str, environment: dict[str, str]) -> list[Shown]:
    (tmp_path / ".loop").mkdir(mode=0o700)
    (tmp_path / ".loop" / "config.toml").write_text(user)
    (tmp_path / ".loop.toml").write_text(repository)
    configuration = read_configuration(tmp_path, tmp_path, ("claude", "codex"), lambda _file: True)
    return list(rows_of(configuration, environment, parse(words.split()), None))


def of(found: list[Shown], name: str) -> list[tuple[object, str, int, str]]:
    return [(row.value, row.source.origin, row.source.line, row.source.by) for row in found if row.name == name]


def test_each_value_has_the_origin_that_counts(tmp_path: Path):
    found = rows(
        tmp_path,
        "checks = ['mine']\nmax_iterations = 5\nmax_wait = '2h'\ncooldown = '1m'\n[agents.codex]\nmodel = 'm'\n",
        "checks = ['theirs']\nmax_iterations = 6\n",
        "config --check typed --review codex",
        {"LOOP_COOLDOWN_MS": "90000"},
    )
    assert of(found, "checks") == [
        ("mine", "user configuration", 1, ""),
        ("theirs", "repository configuration", 1, ""),
        ("typed", "command line", 0, ""),
    ]
    assert of(found, "max_iterations") == [(6, "repository configuration", 2, "")]
    assert of(found, "max_wait") == [("2h", "user configuration", 3, "")]
    assert of(found, "cooldown") == [("1m30s", "environment", 0, "LOOP_COOLDOWN_MS")]
    assert of(found, "agents.codex.model") == [("m", "user configuration", 6, "")]
    assert of(found, "review") == [("codex", "command line", 0, "")]
    assert of(found, "proof") == [(None, "default", 0, "")]
    assert {row.name for row in found} >= set(BY_KEY)


def test_a_run_to_resume_keeps_its_own_settings_but_those_that_are_typed(tmp_path: Path):
    before = run_files.settings_of(FINISHED)
    assert before is not None
    (tmp_path / ".loop").mkdir(mode=0o700)
    (tmp_path / ".loop" / "config.toml").write_text("checks = ['new']\nmax_iterations = 5\nupdate_hint = false\n")
    configuration = read_configuration(tmp_path, None, ("claude", "codex"))
    found = list(rows_of(configuration, {}, parse(["config", "--proof", "x"]), before))
    assert of(found, "max_iterations") == [(before.max_iterations, "this run before", 0, "")]
    assert of(found, "agent") == [(before.worker, "this run before", 0, "")]
    assert of(found, "proof") == [("x", "command line", 0, "")]
    assert of(found, "update_hint") == [(False, "user configuration", 3, "")]
    assert ("new", "user configuration", 1, "") in of(found, "checks")


def test_a_run_to_resume_takes_the_notifications_and_hooks_of_now_and_keeps_its_prompts(tmp_path: Path):
    before = run_files.settings_of(FINISHED)
    assert before is not None
    before = replace(before, prompts={"plan": "x"}, hooks={"before_turn": "old"}, notify_command="old")
    (tmp_path / ".loop").mkdir(mode=0o700)
    (tmp_path / ".loop" / "work.md").write_text("{task} {notes} {findings} {done_signal}")
    text = "[notify]\ndesktop = true\n[hooks]\nafter_turn = 'new'\n[prompts]\nwork = 'work.md'\n"
    (tmp_path / ".loop" / "config.toml").write_text(text)
    configuration = read_configuration(tmp_path, None, ("claude", "codex"))
    found = list(rows_of(configuration, {}, parse(["config"]), before))
    assert of(found, "notify.desktop") == [(True, "user configuration", 2, "")]
    assert of(found, "notify.command") == [(None, "default", 0, "")]
    assert of(found, "hooks.after_turn") == [("new", "user configuration", 4, "")]
    assert of(found, "hooks.before_turn") == [(None, "default", 0, "")]
    assert of(found, "prompts.plan") == [("as the run began with it", "this run before", 0, "")]
    assert of(found, "prompts.work") == [(None, "this run before", 0, "")]


def loop(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "shell.cli", *words],
        env={**os.environ, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_what_is_printed_names_file_and_line_and_makes_nothing(tmp_path: Path):
    (tmp_path / ".loop.toml").write_text("max_iterations = 7\n")
    done = loop(tmp_path, "config", "--json", "-m", "9")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = (row for row in found["settings"] if row["name"] == "max_iterations")
    assert (row["value"], row["origin"], row["file"]) == (9, "command line", None)
    assert [file["counts"] for file in found["files"]] == [True, False]  # a repository's file wants trust
    done = loop(tmp_path, "config", "--trust")
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("max_iterations"))
    assert line.split(maxsplit=2)[1:] == ["7", f"repository configuration: {tmp_path}/.loop.toml:1"]
    assert not (tmp_path / ".loop").exists()


def test_a_limit_that_is_switched_off_is_shown_in_words(tmp_path: Path):
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in loop(tmp_path, "config").stdout.splitlines()}
    assert lines["turn_timeout"].split("  ")[0] == lines["max_time"].split("  ")[0] == "no limit"


def test_a_mistake_in_a_file_is_one_line_with_file_line_key_and_what_was_meant(tmp_path: Path):
    (tmp_path / ".loop.toml").write_text("\nmax_iteration = 7\n")
    done = loop(tmp_path, "config")
    assert (done.returncode, done.stdout) == (2, "")
    place = f"{tmp_path}/.loop.toml:2: max_iteration = 7"
    assert done.stderr.startswith(f"[loop] error: {place}: unknown key (did you mean max_iterations?); the known")
    assert len(done.stderr.splitlines()) == 1
