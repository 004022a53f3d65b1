"""Files from outside: their kind, size and content are looked at before anything is made of them."""

import os
import socket
from pathlib import Path

import pytest

from actors.edges import files
from actors.errors import BadFileError, MissingFileError


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with something of each kind."""
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    (tmp_path / "large").write_bytes(b"x" * (files.MOST_BYTES + 1))
    (tmp_path / "latin").write_bytes("täsk".encode("latin-1"))
    (tmp_path / "bom").write_bytes(b"\xef\xbb\xbftask")
    (tmp_path / "deep").write_text("[" * 100_000)
    (tmp_path / "digits").write_text("9" * 5_000)
    (tmp_path / "half").write_text('{"a": "\\ud83d"}')
    (tmp_path / "torn").write_text('{"a": ')
    return tmp_path


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("directory", "it is a directory, and a file is needed"),
        ("fifo", "it is a fifo, and a file is needed"),
        ("zero", "it is a device, and a file is needed"),
        ("loop", "it cannot be opened: too many levels of symbolic links"),
        ("socket", "it cannot be opened: "),
        ("large", "it is larger than 1,000,000 bytes"),
        ("latin", "it is not UTF-8 text (byte 1)"),
        ("missing", "it does not exist"),
        ("large/x", "it cannot be opened: not a directory"),
        ("x" * 300, "it cannot be opened: file name too long"),
        ("a\0b", "it cannot be the name of a file"),
        ("a\ud83d", "it cannot be the name of a file"),
    ],
)
def test_what_is_no_small_text_file_is_refused_with_what_it_is(place: Path, name: str, reason: str):
    with pytest.raises(BadFileError) as refusal:
        files.read_text(place / name)
    assert refusal.value.reason.startswith(reason)
    assert "\n" not in str(refusal.value)


def test_a_missing_file_has_a_type_of_its_own(tmp_path: Path):
    with pytest.raises(MissingFileError):
        files.read_bytes(tmp_path / "x")
    assert files.is_regular(tmp_path / "x") is False


def test_a_byte_order_mark_is_no_part_of_the_text(place: Path):
    assert files.read_text(place / "bom") == "task"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("deep", "it is not JSON: JSON nested deeper than 200 levels"),
        ("torn", "it is not JSON"),
        ("fifo", "it is a fifo"),
    ],
)
def test_json_that_cannot_be_used_is_refused(place: Path, name: str, reason: str):
    with pytest.raises(BadFileError) as refusal:
        files.read_json(place / name)
    assert refusal.value.reason.startswith(reason)


def test_json_of_others_is_made_valid_where_it_enters(place: Path):
    assert files.read_json(place / "half") == {"a": "\N{REPLACEMENT CHARACTER}"}
    assert files.read_json(place / "digits") == (1 << 63) - 1


def test_the_end_of_a_long_file_is_read_and_said_to_be_one(place: Path):
    assert files.tail(place / "large", 3) == (b"xxx", True)
    assert files.tail(place / "latin", 10) == ("täsk".encode("latin-1"), False)


@pytest.mark.parametrize("name", ["directory", "fifo", "zero", "loop"])
def test_a_file_of_our_own_is_not_made_where_something_else_is(place: Path, name: str):
    with pytest.raises(BadFileError):
        files.open_own(place / name)


@pytest.fixture(params=[0o000, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest):
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_what_we_make_is_for_the_user_alone_whatever_the_umask(tmp_path: Path):
    runs = tmp_path / ".loop" / "runs" / "r"
    files.make_private(runs)
    files.replace(runs / "file", b"x")
    for path, mode in ((runs.parents[1], 0o700), (runs.parent, 0o700), (runs, 0o700), (runs / "file", 0o600)):
        assert path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o707])
@pytest.mark.parametrize("which", [".loop", ".loop/runs", ".loop/runs/r"])
def test_a_directory_that_others_can_write_to_is_refused_with_what_to_do(tmp_path: Path, which: str, mode: int):
    runs = tmp_path / ".loop" / "runs" / "r"
    files.make_private(runs)
    (tmp_path / which).chmod(mode)
    with pytest.raises(BadFileError, match=f"others can write to it.*chmod -R go-w {tmp_path / which}$"):
        files.make_private(runs)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path):
    (tmp_path / ".loop").mkdir()
    os.chown(tmp_path / ".loop", 12345, 12345)
    with pytest.raises(BadFileError, match="it belongs to user 12345"):
        files.make_private(tmp_path / ".loop" / "runs")


def test_a_file_that_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(OSError, match="file"):
        files.replace(tmp_path / "file", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
