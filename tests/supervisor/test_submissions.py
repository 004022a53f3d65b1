import json
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from actors.edges import run_dir, run_lock
from actors.errors import UserError
from actors.hosts import Host
from actors.settings import RunSettings
from supervisor import submissions
from supervisor.hosts.kept_moves import KeptMove, KeptMoves
from supervisor.run_manifest import first_manifest
from supervisor.run_tree import RunSpec
from tests.patience import PATIENCE_S

SECRET = "a-secret-of-the-environment"
SETTINGS = RunSettings(
    run_uid="u", task="t", needs_plan=False, worker="embedded", reviewer="embedded", checks=("true",), interactive=True
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def spec(home: Path, run_id: str, repo: str = "r") -> RunSpec:
    directory = run_dir.new_run_directory(run_dir.runs_root(home) / repo, run_id)
    return RunSpec(
        key=f"{repo}/{run_id}",
        run_id=run_id,
        repo_id=repo,
        directory=directory,
        cwd=home,
        environment={"API_KEY": SECRET},
        asked=SETTINGS,
        session_ids={"worker": "s"},
        workspace_name="w",
    )


def submit(home: Path, run_id: str, repo: str = "r") -> RunSpec:
    made = spec(home, run_id, repo)
    assert submissions.submit(made, home, {"runId": run_id, "cwd": str(home)}) is None
    return made


def test_the_first_submitted_is_the_first_in_the_queue_whatever_its_name_and_repository(home: Path):
    directories = [submit(home, "9").directory, submit(home, "10", "a").directory, submit(home, "1").directory]
    assert submissions.queued(home) == directories


def test_what_was_submitted_comes_back_with_the_environment_of_whoever_serves(home: Path):
    made = submit(home, "1")
    found = submissions.read(made.directory)
    assert found is not None
    again = submissions.spec_of(made.directory, found, {"HERE": "1"}, home)
    settings = RunSettings(
        **{**{name: getattr(SETTINGS, name) for name in SETTINGS.__struct_fields__}, "interactive": False}
    )
    assert again == replace(made, environment={"HERE": "1"}, asked=settings, headless=True, repository=home, tree=home)


def test_the_agents_are_where_the_run_had_them_last_and_a_move_that_was_under_way_is_known(home: Path):
    made = replace(spec(home, "1"), places={"worker": Host(name="big"), "reviewer": Host(name="far")})
    submissions.submit(made, home, first_manifest(made))
    manifest = {**(run_dir.read_manifest(made.directory) or {}), "places": {"worker": "big"}}  # one was moved home
    (made.directory / "manifest.json").write_bytes(run_dir.encode_manifest(manifest))
    KeptMoves(made.directory, {}).keep("worker", KeptMove("far"))
    (home / ".loop").mkdir(exist_ok=True)
    (home / ".loop" / "config.toml").write_text('[hosts.big]\nssh = "me@big"\n')
    found = submissions.read(made.directory)
    assert found is not None
    again = submissions.spec_of(made.directory, found, {}, home)
    big = Host(name="big", ssh="me@big")
    assert (again.places, again.hosts, again.moves) == ({"worker": big}, {"big": big}, {"worker": KeptMove("far")})


def test_no_value_of_the_environment_is_written(home: Path):
    made = submit(home, "1")
    assert [path.name for path in made.directory.iterdir() if SECRET in path.read_text()] == []
    assert (made.directory / submissions.FILE).stat().st_mode & 0o077 == 0


def test_a_submitted_run_is_shown_as_such(home: Path):
    manifest = run_dir.read_manifest(submit(home, "1").directory)
    assert manifest is not None
    assert (manifest["state"], manifest["status"]) == ("submitted", "running")


def test_a_withdrawn_run_is_in_the_queue_no_more(home: Path):
    made = submit(home, "1")
    assert submissions.withdraw(made.directory)
    assert submissions.queued(home) == []
    assert not submissions.withdraw(made.directory)


def test_once_the_journal_has_the_settings_they_are_not_given_again(home: Path):
    made = submit(home, "1")
    assert submissions.spec_of(made.directory, read(made.directory), {}, home).settings is not None
    submissions.begun(made.directory)
    again = submissions.spec_of(made.directory, read(made.directory), {}, home)
    assert (again.settings, again.worker) == (None, "embedded")


def read(directory: Path) -> submissions.Submission:
    found = submissions.read(directory)
    assert found is not None
    return found


def test_a_submission_of_an_earlier_version_has_its_agents_beside_its_settings(home: Path):
    directory = submit(home, "1").directory
    agents = {"worker": "codex", "reviewer": "claude", "paired": True, "worker_model": "m", "settings": None}
    (directory / submissions.FILE).write_text(json.dumps({"submitted_at_ns": 1, "cwd": str(home), **agents}))
    again = submissions.spec_of(directory, read(directory), {}, home)
    assert (again.settings, again.worker, again.reviewer, again.worker_model) == (None, "codex", "claude", "m")


def test_what_has_begun_and_was_withdrawn_does_not_come_back(home: Path):
    made = submit(home, "1")
    submissions.withdraw(made.directory)
    submissions.begun(made.directory)
    assert submissions.queued(home) == []


def test_a_run_that_is_active_is_not_submitted(home: Path):
    made = spec(home, "1")
    lock = run_lock.lock_run(made.directory, lambda _generation: "ipc://nowhere")
    try:
        with pytest.raises(UserError, match="already active in process"):
            submissions.submit(made, home, {})
    finally:
        lock.release()
    assert submissions.queued(home) == []


@pytest.mark.parametrize(
    "content", [json.dumps({"submitted_at_ns": "tomorrow"}).encode(), b'{"cwd": "\xff"}', b"[" * 9_999]
)
def test_a_submission_of_another_version_is_left_alone(home: Path, content: bytes):
    made = submit(home, "1")
    path = made.directory / submissions.FILE
    path.write_bytes(content)
    assert submissions.queued(home) == []
    assert path.exists()


def test_a_run_whose_directory_is_gone_is_refused(home: Path):
    made = submit(home, "1")
    found = submissions.read(made.directory)
    assert found is not None
    gone = home / "gone"
    with pytest.raises(UserError, match=f"{gone} no longer exists"):
        submissions.spec_of(made.directory, type(found)(**{**as_dict(found), "cwd": str(gone)}), {}, home)


def as_dict(submission: submissions.Submission) -> dict[str, object]:
    return {name: getattr(submission, name) for name in submission.__struct_fields__}


def test_whoever_serves_is_told(home: Path):
    directory = submissions.serve_directory(home)
    directory.mkdir(parents=True)
    bell = home / "bell"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(bell))
        listening.settimeout(PATIENCE_S)
        lock = run_lock.lock_directory(directory, lambda _generation: str(bell), lambda pid: pid)
        try:
            made = spec(home, "1")
            assert submissions.submit(made, home, {}) is not None
        finally:
            lock.release()
        assert listening.recv(16) == b"look"


def test_what_cannot_be_written_down_leaves_nothing_of_the_submission(home: Path):
    made = spec(home, "1")
    with pytest.raises(UnicodeEncodeError):
        submissions.submit(replace(made, workspace_name="\udcff"), home, {"runId": "1"})
    with pytest.raises(UnicodeEncodeError):
        submissions.submit(made, home, {"runId": "1", "cwd": "\udcff"})
    assert list(made.directory.iterdir()) == []


@pytest.mark.parametrize("content", [b"{}", b"[" * 100_000, b"\xff", b'{"submitted_at_ns": 1e400}'])
def test_a_submission_that_cannot_be_read_does_not_hide_the_others(home: Path, content: bytes):
    good = submit(home, "1").directory
    (submit(home, "2").directory / submissions.FILE).write_bytes(content)
    bad = submit(home, "3").directory / submissions.FILE
    bad.unlink()
    bad.symlink_to("/dev/zero")
    assert submissions.queued(home) == [good]
