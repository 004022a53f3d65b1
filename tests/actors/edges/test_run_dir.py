import json
import subprocess
import sys
from pathlib import Path

import pytest

from actors.edges import run_dir, run_lock
from actors.errors import UserError


def test_a_moment_is_iso_8601_utc_with_milliseconds():
    assert run_dir.iso(1_767_225_600_007) == "2026-01-01T00:00:00.007Z"


def test_the_manifest_is_two_space_json_with_a_newline_and_keeps_unknown_keys(tmp_path: Path):
    run_dir.write_manifest(tmp_path, {"runId": "7", "state": "working", "somethingOfOthers": [1]})
    text = (tmp_path / "manifest.json").read_text()
    assert text.endswith("}\n")
    assert '\n  "runId": "7"' in text
    assert run_dir.read_manifest(tmp_path) == {"runId": "7", "state": "working", "somethingOfOthers": [1]}
    assert [entry.name for entry in tmp_path.iterdir()] == ["manifest.json"]


def test_snake_case_keys_and_files_with_only_a_status_are_read(tmp_path: Path):
    content = {"run_id": "7", "claude_session_id": "c", "status": "done", "some_key": 1}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    assert run_dir.read_manifest(tmp_path) == {
        "runId": "7",
        "claudeSessionId": "c",
        "status": "done",
        "state": "completed",
        "some_key": 1,  # not ours to rename
    }


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_a_manifest_that_cannot_be_read_is_none(tmp_path: Path, content: str):
    (tmp_path / "manifest.json").write_text(content)
    assert run_dir.read_manifest(tmp_path) is None


def test_run_ids_are_the_highest_number_plus_one(tmp_path: Path):
    for name in ("2", "10", "alpha"):
        (tmp_path / name).mkdir()
    assert run_dir.new_run_directory(tmp_path, None).name == "11"
    assert run_dir.new_run_directory(tmp_path, None).name == "12"
    assert run_dir.new_run_directory(tmp_path, "mine").name == "mine"


def test_a_run_that_somebody_has_called_by_a_huge_number_does_not_use_up_the_numbers(tmp_path: Path):
    for name in ("3", "9" * 255, "9" * 16):
        (tmp_path / name).mkdir()
    assert run_dir.new_run_directory(tmp_path, None).name == "4"


@pytest.mark.parametrize("bad", ["9" * 65, "9" * 255, "x" * 5_000])
def test_a_run_id_has_room_in_the_names_of_branch_session_and_worktree(tmp_path: Path, bad: str):
    with pytest.raises(UserError, match="use at most 64 characters"):
        run_dir.new_run_directory(tmp_path, bad)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("repo", "run_id"), [("r", "../../x"), ("r", ".."), ("..", "x"), ("../r", "x"), ("/etc", "x"), ("", "x"), ("r", "")]
)
def test_no_id_leads_out_of_the_runs(tmp_path: Path, repo: str, run_id: str):
    assert run_dir.directory_of(tmp_path, "r", "x") == tmp_path / ".loop" / "runs" / "r" / "x"
    with pytest.raises(UserError):
        run_dir.directory_of(tmp_path, repo, run_id)


@pytest.mark.parametrize("bad", ["", "-x", "a/b", "..", "a b", "é"])
def test_a_bad_run_id_is_refused_with_the_rule(bad: str):
    with pytest.raises(UserError, match="bad run id"):
        run_dir.check_run_id(bad)


def test_a_run_is_found_by_its_id_and_by_either_session_id(tmp_path: Path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.mkdir()
    two.mkdir()
    run_dir.write_manifest(one, {"claudeSessionId": "c1", "codexThreadId": "t1", "updatedAt": "1"})
    run_dir.write_manifest(two, {"claudeSessionId": "c1", "sessions": {"worker": "w2"}, "updatedAt": "2"})
    assert run_dir.find_run(tmp_path, "1") == one
    assert run_dir.find_run(tmp_path, "t1") == one
    assert run_dir.find_run(tmp_path, "w2") == two
    assert run_dir.find_run(tmp_path, "c1") == two
    assert run_dir.find_run(tmp_path, "nobody") is None
    assert run_dir.find_run(tmp_path / "missing", "1") is None


def transcript(directory: Path) -> list[str]:
    return (directory / "transcript.jsonl").read_text().splitlines()


def test_a_torn_last_line_is_cut_off_and_the_missing_lines_are_completed(tmp_path: Path):
    (tmp_path / "transcript.jsonl").write_text('{"old":1}\n{"a":1}\n{"b":')
    file = run_dir.TranscriptFile(tmp_path)
    file.restore(1, ['{"a":1}', '{"b":2}', '{"c":3}'])
    file.close()
    assert transcript(tmp_path) == ['{"old":1}', '{"a":1}', '{"b":2}', '{"c":3}']


def test_lines_damaged_from_outside_are_written_again_and_foreign_ones_kept(tmp_path: Path):
    (tmp_path / "transcript.jsonl").write_text('{"old":1}\n{"x":1}\n')
    file = run_dir.TranscriptFile(tmp_path)
    file.restore(1, ['{"a":1}', '{"b":2}'])
    file.append(['{"c":3}'])
    file.close()
    assert transcript(tmp_path) == ['{"old":1}', '{"a":1}', '{"b":2}', '{"c":3}']


def test_a_transcript_with_a_bad_line_is_read_around_it(tmp_path: Path):
    (tmp_path / "transcript.jsonl").write_text('{"a":1}\nnonsense\n[1]\n{"b":')
    assert run_dir.read_transcript(tmp_path) == [{"a": 1}]
    assert run_dir.read_transcript(tmp_path / "none") == []


HOLDER = """
import sys
from pathlib import Path
from actors.edges import run_lock
run_lock.lock_run(Path(sys.argv[1]), "ipc:///x-{}".format)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_run_has_one_root_and_the_second_is_told_who_holds_it(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        assert run_lock.is_active(tmp_path)
        assert run_lock.holder(tmp_path) == run_lock.Holder(pid=holder.pid, endpoint="ipc:///x-1")
        with pytest.raises(UserError, match=f"already active in process {holder.pid}: attach .* loop shell"):
            run_lock.lock_run(tmp_path, "ipc:///y-{}".format)
        holder.stdin.close()
        holder.wait()
    assert not run_lock.is_active(tmp_path)
    lock = run_lock.lock_run(tmp_path, "ipc:///y-{}".format)
    assert lock.generation == 2
    lock.release()
    assert not run_lock.is_active(tmp_path)


def test_a_run_that_never_had_a_root_is_not_active(tmp_path: Path):
    assert not run_lock.is_active(tmp_path)
    assert list(tmp_path.iterdir()) == []
