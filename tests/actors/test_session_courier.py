"""The file of a session on its way home and out again, between two couriers with no actors between them."""

from pathlib import Path

import pytest

from actors.adapters import session_files
from actors.errors import OperationalError
from actors.messages import FetchSession, SessionParcel, SessionTakenIn
from actors.runners.session_courier import put_where_agents_look, stored
from tests.actors.test_courier import Pair

ID = "019a-7c"
NAME = f"rollout-2026-11-29T07-00-00-{ID}.jsonl"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def rollout(home: Path) -> Path:
    path = home / ".codex" / "sessions" / "2026" / "11" / "29" / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def kept(pair: Pair) -> bytes:
    path = stored(pair.home.parent / "run", "worker", ID)
    return b"" if path is None else path.read_bytes()


def test_a_session_comes_home_after_each_turn_and_only_its_new_end_travels(pair: Pair, tmp_path: Path):
    path, sessions = rollout(tmp_path / "big"), pair.sessions(tmp_path / "big")
    path.write_bytes(b'{"turn": 1}\n' * 1_000)
    sessions.send(ID)
    before = pair.bytes_of_sessions
    path.write_bytes(path.read_bytes() + b'{"turn": 2}\n{"torn')
    sessions.send(ID)
    sessions.send(ID)
    assert kept(pair) == b'{"turn": 1}\n' * 1_000 + b'{"turn": 2}\n'
    assert pair.bytes_of_sessions - before == len(b'{"turn": 2}\n')


def test_a_session_that_was_written_from_the_start_comes_as_a_whole(pair: Pair, tmp_path: Path):
    path, sessions = rollout(tmp_path / "big"), pair.sessions(tmp_path / "big")
    path.write_bytes(b"one\ntwo\n")
    sessions.send(ID)
    path.write_bytes(b"summary\n")
    sessions.send(ID)
    assert kept(pair) == b"summary\n"


def test_a_copy_at_home_that_is_not_what_the_host_thinks_is_replaced(pair: Pair, tmp_path: Path):
    path, sessions = rollout(tmp_path / "big"), pair.sessions(tmp_path / "big")
    path.write_bytes(b"one\n")
    sessions.send(ID)
    copy = stored(tmp_path / "run", "worker", ID)
    assert copy is not None
    copy.write_bytes(b"damaged\n")
    path.write_bytes(b"one\ntwo\n")
    sessions.send(ID)
    assert kept(pair) == b"one\ntwo\n"


def test_an_agent_that_is_placed_on_another_host_finds_its_session_there(pair: Pair, tmp_path: Path):
    rollout(tmp_path / "big").write_bytes(b"one\n")
    pair.sessions(tmp_path / "big").send(ID)
    pair.sessions(tmp_path / "other").bring(ID)
    assert rollout(tmp_path / "other").read_bytes() == b"one\n"


def test_an_agent_that_comes_home_finds_its_session_there_and_what_it_had_before_is_replaced(
    pair: Pair, tmp_path: Path
):
    rollout(tmp_path / "big").write_bytes(b"one\ntwo\n")
    pair.sessions(tmp_path / "big").send(ID)
    environment = {"HOME": str(tmp_path / "at-home")}
    for before in (b"", b"one\n", b"one\ncut turn\nof an older time\n"):
        rollout(tmp_path / "at-home").write_bytes(before)
        put_where_agents_look(tmp_path / "run", "worker", "codex", [environment], pair.home)
        assert rollout(tmp_path / "at-home").read_bytes() == b"one\ntwo\n"
    rollout(tmp_path / "at-home").write_bytes(b"one\ntwo\nthree, here\n")
    put_where_agents_look(tmp_path / "run", "worker", "codex", [environment], pair.home)
    assert rollout(tmp_path / "at-home").read_bytes() == b"one\ntwo\nthree, here\n"


def test_a_session_that_continued_at_home_goes_out_from_there(pair: Pair, tmp_path: Path):
    rollout(tmp_path / "big").write_bytes(b"one\n")
    pair.sessions(tmp_path / "big").send(ID)
    here = rollout(tmp_path / "at-home")
    here.write_bytes(b"one\ntwo, here\n")
    pair.own = [here]
    rollout(tmp_path / "big").write_bytes(b"one\ncut when the host was lost\n")
    pair.sessions(tmp_path / "big").bring(ID)
    assert rollout(tmp_path / "big").read_bytes() == b"one\ntwo, here\n"


def test_a_host_keeps_what_it_has_beyond_homes_copy(pair: Pair, tmp_path: Path):
    """The actor there was killed in a turn: the agent's transcript shows how far it came."""
    path = rollout(tmp_path / "big")
    path.write_bytes(b"one\n")
    pair.sessions(tmp_path / "big").send(ID)
    path.write_bytes(b"one\nin the middle of two\n")
    pair.sessions(tmp_path / "big").bring(ID)
    assert path.read_bytes() == b"one\nin the middle of two\n"


def test_a_session_that_is_too_large_is_said_once_and_its_old_copy_is_not_resumed(pair: Pair, tmp_path: Path):
    path, sessions = rollout(tmp_path / "big"), pair.sessions(tmp_path / "big")
    path.write_bytes(b"one\n")
    sessions.send(ID)
    with path.open("ab") as file:
        file.truncate(session_files.MOST_BYTES + 1)
    sessions.send(ID)
    sessions.send(ID)
    assert [f"{ID} is larger than 64 MB" in line for line in pair.said] == [True]
    assert kept(pair) == b""


@pytest.mark.parametrize("name", ["auth.json", "../../auth.json", f"rollout-2026-11-29T07-00-00-{ID}x.jsonl", ""])
def test_nothing_but_the_sessions_file_comes_home(pair: Pair, tmp_path: Path, name: str):
    def take(answer: SessionParcel | SessionTakenIn) -> SessionTakenIn | None:
        return answer if isinstance(answer, SessionTakenIn) else None

    sent = SessionParcel(request_id="r", session_id=ID, name=name, data=b"x\n", size=2, sha256="y")
    assert "is no session of this agent" in pair.courier.ask([sent], take).reason
    assert not (tmp_path / "run" / "sessions").exists()


@pytest.mark.parametrize("session_id", ["../../..", "", "*", "a/b"])
def test_an_id_that_is_a_path_is_refused(pair: Pair, tmp_path: Path, session_id: str):
    with pytest.raises(OperationalError, match="is no session"):
        pair.sessions(tmp_path / "big").bring(session_id)
    assert FetchSession(request_id="r", session_id=session_id).must_arrive


def test_claudes_file_goes_into_the_folder_of_the_directory_here(tmp_path: Path):
    session_id = "7d7f1c7e-7f0e-4a9e-9d5c-0f5d3a7f0a11"
    cwd = tmp_path / "a_tree.of 1"
    place = session_files.place_for("claude", {"HOME": "/h"}, cwd, session_id, f"{session_id}.jsonl")
    folder = str(tmp_path / "a-tree-of-1").replace("/", "-").replace("_", "-")
    assert place == Path("/h/.claude/projects") / folder / f"{session_id}.jsonl"
    assert session_files.place_for("claude", {"HOME": "/h"}, Path("/" + "x" * 250), session_id, "x") is None
