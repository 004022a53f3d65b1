"""A damaged run is shown as damaged, and costs nobody else's: neither a crash nor a wait."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.edges import run_dir
from actors.errors import LoopError, UserError
from shell import leftovers, mails, resumed, run_files, verify
from shell.checkups import Place
from shell.dashboard.disk import Disk
from shell.dashboard.view import RunView
from shell.options import parse
from supervisor import submissions
from supervisor.control.protocol import ShowMail

REPO = "greeting-0123456789ab"
JOURNAL = Path(__file__).parents[1] / "recordings" / "journal-m001.sqlite"


def manifest(content: str) -> Callable[[Path], None]:
    return lambda directory: (directory / "manifest.json").write_text(content) and None


def fifo(name: str) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        (directory / name).unlink(missing_ok=True)
        os.mkfifo(directory / name)

    return make


def instead(name: str, target: str) -> Callable[[Path], None]:
    def make(directory: Path) -> None:
        (directory / name).unlink(missing_ok=True)
        (directory / name).symlink_to(target)

    return make


def looping(directory: Path) -> None:
    (directory / "manifest.json").unlink()
    directory.rmdir()
    directory.symlink_to(directory)


DAMAGES = {
    "deep": manifest('{"a": ' + "[" * 5_000 + "]" * 5_000 + "}"),
    "somewhat deep": manifest('{"a": ' + "[" * 400 + "]" * 400 + "}"),
    "torn": manifest('{"state": "wor'),
    "empty": manifest(""),
    "an array": manifest("[]"),
    "sessions": manifest('{"state": "working", "sessions": 7}'),
    "agents": manifest('{"state": "working", "agents": {"worker": ["x"]}}'),
    "cwd": manifest('{"state": "working", "cwd": {"a": 1}}'),
    "NUL": manifest('{"state": "working", "cwd": "a\\u0000b"}'),
    "large": manifest('{"state": "' + "x" * 1_000_001 + '"}'),
    "endless": instead("manifest.json", "/dev/zero"),
    "fifo": fifo("manifest.json"),
    "linked to itself": instead("manifest.json", "manifest.json"),
    "a loop": looping,
    "lock": fifo("root.lock"),
}


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The runs of a repository: 1 and 3 are whole."""
    found = tmp_path / ".loop" / "runs" / REPO
    for run_id in ("1", "2", "3"):
        (found / run_id).mkdir(parents=True)
        run_dir.write_manifest(found / run_id, {"runId": run_id, "state": "completed", "cwd": "/work"})
    return found


@pytest.mark.parametrize("damage", DAMAGES)
def test_it_is_listed_as_damaged_and_the_others_as_ever(runs: Path, damage: str):
    DAMAGES[damage](runs / "2")
    listed = {each.run_id: (each.state, bool(each.damage)) for each in run_files.all_runs(runs)}
    assert listed == {"1": ("completed", False), "2": ("damaged", True), "3": ("completed", False)}
    assert len(run_files.run_lines(run_files.all_runs(runs))) == 3
    assert [each.run_id for each in run_files.all_runs(runs)] == ["3", "1", "2"]  # the newest is never the damaged one
    disk = Disk(runs.parent)
    for _ in range(2):  # the second look is from memory
        assert {each.run_id: (each.state, each.stands) for each in disk.look()} == {
            "1": ("completed", "completed"), "2": ("damaged", "damaged"), "3": ("completed", "completed"),
        }  # fmt: skip
    (shown,) = [each for each in disk.look() if each.run_id == "2"]
    assert isinstance(shown, RunView)
    assert shown.line == run_dir.look(runs / "2").damage
    assert "\n" not in shown.line
    assert run_dir.find_run(runs, "3") == runs / "3"
    assert submissions.queued(runs.parents[2]) == []
    json.dumps([each.manifest for each in run_files.all_runs(runs)])


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("flag", ["--run-id", "--session"])
def test_it_does_not_go_on_and_the_line_says_why(runs: Path, damage: str, flag: str):
    DAMAGES[damage](runs / "2")
    with pytest.raises(UserError, match=r"^run 2 is damaged: "):
        resumed.find_resumed(parse([flag, "2", "x"]), runs, None)
    with pytest.raises(UserError, match=r"^run 2 is damaged: "):
        resumed.find_resumed(parse(["x"]), runs, "2")


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_asked_of_it_is_refused_with_what_is_wrong(runs: Path, damage: str):
    DAMAGES[damage](runs / "2")
    (found,) = [each for each in run_files.all_runs(runs) if each.run_id == "2"]
    for ask in (
        lambda: run_files.report(found, 0),
        lambda: run_files.mailbox(found, "worker", 0),
        lambda: mails.from_files(found, ShowMail()),
        lambda: verify.verify(found, here=False, tell=print),
    ):
        with pytest.raises(LoopError, match=r"^run 2 is damaged: "):
            ask()


@pytest.mark.parametrize("damage", DAMAGES)
def test_doctor_names_it_as_damaged_and_looks_at_the_others(runs: Path, damage: str):
    DAMAGES[damage](runs / "2")
    home = runs.parents[2]
    found = leftovers.find(Place(home, home, {"PATH": "/nowhere"}))
    assert [each.text[:12] for each in found if each.subject.endswith("/2")] == ["is damaged: "]


@pytest.mark.parametrize(
    "name", ["transcript.jsonl", "log", "journal.sqlite", "journal.lock", "root.lock", "submission.json"]
)
def test_a_file_of_it_that_is_a_directory_is_named_before_it_goes_on(runs: Path, name: str):
    (runs / "2" / name).mkdir()
    with pytest.raises(UserError, match=rf"^run 2 is damaged: .*{name}: it is a directory"):
        run_dir.check_whole(runs / "2")
    assert [each.run_id for each in run_files.all_runs(runs) if not each.damage and each.run_id != "2"] == ["3", "1"]


@pytest.mark.parametrize("place", [instead("journal.sqlite", "/dev/zero"), fifo("journal.sqlite")])
def test_a_journal_that_is_no_file_hangs_nobody(runs: Path, place: Callable[[Path], None]):
    place(runs / "2")
    (found,) = [each for each in run_files.all_runs(runs) if each.run_id == "2"]
    with pytest.raises(LoopError, match=r"journal\.sqlite: it is a (device|fifo)"):
        run_files.report(found, 0)
    with pytest.raises(LoopError, match=r"^(?:(?!journal\.sqlite).)*journal\.sqlite: it is"):  # its name once
        run_files.report(found, 0)
    (shown,) = [each for each in Disk(runs.parent).look() if each.run_id == "2"]
    assert "it is a" in shown.trouble


def test_a_transcript_or_log_that_is_no_file_hangs_nobody(runs: Path):
    fifo("transcript.jsonl")(runs / "2")
    fifo("log")(runs / "3")
    assert len(Disk(runs.parent).look()) == 3
    assert run_dir.read_transcript(runs / "2") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_run_that_may_not_be_read_is_damaged(runs: Path):
    (runs / "2").chmod(0)
    assert {each.run_id: each.state for each in run_files.all_runs(runs)}["2"] == "damaged"
    (runs / "2").chmod(0o700)


def test_what_is_no_run_at_all_is_not_shown(runs: Path):
    (runs / "notes").write_text("x")
    (runs / ".hidden").mkdir()
    (runs / "empty").mkdir()
    (runs.parent / "file").write_text("x")
    assert [each.run_id for each in run_files.all_runs(runs)] == ["3", "2", "1"]
    assert len(Disk(runs.parent).look()) == 3
