"""Processes and transcripts of agents: real processes that only have their names, real files."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.edges import processes
from shell.dashboard.agent_files import AgentFiles
from shell.dashboard.machine import Processes, _session
from shell.dashboard.view import FINISHED_SHOWN
from tests.patience import PATIENCE_S

A, B, C = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abc")


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    """Starts a program that waits, under the name and with the words of an agent."""
    started: list[subprocess.Popen[bytes]] = []
    shell = Path(shutil.which("sh") or "/bin/sh").resolve()

    def begin(name: str, *words: str, script: str = "echo ready; read line") -> subprocess.Popen[bytes]:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        if not program.exists():
            shutil.copy(shell, program)
        process = subprocess.Popen(
            [program, "-c", script, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def nothing(tmp_path: Path) -> AgentFiles:
    return AgentFiles(tmp_path / "nowhere", {})


def mine(found: list, *processes: subprocess.Popen[bytes]) -> list:
    """Others may work on this machine as well."""
    return [each for process in processes for each in found if each.pid == process.pid]


def test_agents_are_known_by_the_name_of_their_program(start, tmp_path: Path):
    claude, other = start("claude", f"--session-id={A}"), start("clause")
    (seen,) = mine(Processes().look([], nothing(tmp_path)), claude, other)
    assert (seen.agent, seen.session_id, seen.cwd) == ("claude", A, str(tmp_path))


@pytest.mark.parametrize(
    ("words", "session"),
    [((f"--resume={A}",), A), (("--resume", A), A), (("resume", A, "--x"), A), (("--resume", "latest"), ""), ((), "")],
)
def test_the_session_stands_in_the_arguments(start, tmp_path: Path, words: tuple[str, ...], session: str):
    codex = start("codex", *words)
    (seen,) = mine(Processes().look([], nothing(tmp_path)), codex)
    assert seen.session_id == session


def test_one_that_is_ending_has_no_arguments_any_more():
    assert _session([]) == ""


def test_what_an_agent_starts_is_not_another_agent(start, tmp_path: Path):
    script = f'"{tmp_path}/bin/codex" -c "echo ready; read line"; :'
    start("codex")
    outer = start("codex", script=script)
    found = Processes().look([], nothing(tmp_path))
    assert len(mine(found, outer)) == 1
    assert sum(each.cwd == str(tmp_path) for each in found) == 2


def test_one_that_is_recorded_is_seen_whatever_its_name_is_and_does_not_hide_its_children(start, tmp_path: Path):
    start("claude")
    worker = start("anything", script=f'"{tmp_path}/bin/claude" -c "echo ready; read line"; :')
    found = Processes().look([worker.pid], nothing(tmp_path))
    assert [each.agent for each in mine(found, worker)] == ["anything"]
    assert sum((each.agent, each.cwd) == ("claude", str(tmp_path)) for each in found) == 2


def test_one_that_has_ended_is_not_seen_any_more(start, tmp_path: Path):
    looking = Processes()
    claude = start("claude")
    assert mine(looking.look([], nothing(tmp_path)), claude)
    claude.kill()
    assert processes.wait_ended(claude.pid, PATIENCE_S)
    assert mine(looking.look([], nothing(tmp_path)), claude) == []  # a zombie: nobody has waited for it yet
    claude.wait()
    assert mine(looking.look([], nothing(tmp_path)), claude) == []


def test_a_process_that_becomes_an_agent_after_its_birth_is_seen(start, tmp_path: Path):
    looking = Processes()
    start("claude")
    later = start("young", script=f'echo ready; read line; exec "{tmp_path}/bin/claude" -c "echo ready; read line"')
    assert mine(looking.look([], nothing(tmp_path)), later) == []
    assert later.stdin is not None
    assert later.stdout is not None
    later.stdin.write(b"go\n")
    later.stdin.flush()
    assert later.stdout.readline() == b"ready\n"
    assert mine(looking.look([], nothing(tmp_path)), later)


# --- transcripts ----------------------------------------------------------------------------------------------


def write(home: Path, agent: str, session: str, at_s: float, *entries: object) -> Path:
    if agent == "claude":
        path = home / ".claude" / "projects" / "-work" / f"{session}.jsonl"
    else:
        path = home / ".codex" / "sessions" / "2026" / "01" / "31" / f"rollout-2026-01-31T00-00-00-{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    os.utime(path, (at_s, at_s))
    return path


def said(text: str, cwd: str = "/work") -> dict:
    return {"type": "assistant", "cwd": cwd, "message": {"content": [{"type": "text", "text": text}]}}


def test_the_newest_sessions_of_both_agents_are_found_with_their_last_events(tmp_path: Path):
    write(tmp_path, "claude", A, 1_000, said("one"), said("two"), {"type": "system"})
    meta = {"type": "session_meta", "payload": {"id": B, "cwd": "/there"}}
    write(
        tmp_path, "codex", B, 2_000, meta, {"type": "event_msg", "payload": {"type": "agent_message", "message": "hi"}}
    )
    found = AgentFiles(tmp_path, {}).look([])
    assert [(each.agent, each.session_id, each.cwd, each.last_event, each.last_event_at_ms) for each in found] == [
        ("codex", B, "/there", "say: hi", 2_000_000),
        ("claude", A, "/work", "say: two", 1_000_000),
    ]


def test_old_sessions_are_read_only_when_somebody_works_in_them(tmp_path: Path):
    write(tmp_path, "claude", A, 1_000, said("old"))
    for number in range(2 * FINISHED_SHOWN):
        write(tmp_path, "claude", f"{number:08d}{B[8:]}", 2_000 + number, said("new"))
    files = AgentFiles(tmp_path, {})
    assert A not in [each.session_id for each in files.look([])]
    assert [each.last_event for each in files.look([A, C]) if each.session_id == A] == ["say: old"]


def test_a_transcript_is_read_again_when_it_has_grown(tmp_path: Path):
    path = write(tmp_path, "claude", A, 1_000, said("one"))
    files = AgentFiles(tmp_path, {})
    files.look([])
    with path.open("a") as file:
        file.write(json.dumps(said("two")) + "\n" + '{"torn')
    assert [each.last_event for each in files.look([])] == ["say: two"]


def test_the_agents_own_variables_say_where_their_files_are(tmp_path: Path):
    write(tmp_path / "a", "claude", A, 1_000, said("one"))
    write(tmp_path / "b", "codex", B, 1_000, {})
    environment = {"CLAUDE_CONFIG_DIR": str(tmp_path / "a" / ".claude"), "CODEX_HOME": str(tmp_path / "b" / ".codex")}
    assert {each.session_id for each in AgentFiles(tmp_path, environment).look([])} == {A, B}


def test_an_agent_without_a_session_in_its_arguments_works_in_the_newest_of_its_directory(start, tmp_path: Path):
    codex = start("codex")
    write(tmp_path, "codex", A, 1_000, {"payload": {"cwd": str(tmp_path)}})
    write(tmp_path, "codex", B, 4_000_000_000, {"payload": {"cwd": str(tmp_path)}})
    files = AgentFiles(tmp_path, {})
    files.look([])
    (seen,) = mine(Processes().look([], files), codex)
    assert seen.session_id == B
