"""Sockets that links have left on a host."""

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.hosts import far_sockets


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lt-") as found:  # the path of a socket is short
        yield Path(found)


def make(folder: Path) -> tuple[Path, socket.socket]:
    path = folder / Path(far_sockets.far_socket()).name
    served = socket.socket(socket.AF_UNIX)
    served.bind(str(path))
    return path, served


def test_a_socket_that_nobody_serves_is_removed_and_one_that_is_served_stays(folder: Path):
    left, gone = make(folder)
    gone.close()
    kept, served = make(folder)
    with served:
        served.listen()
        far_sockets.clear(folder, age_s=0)
        assert (left.exists(), kept.exists()) == (False, True)


def test_a_socket_whose_maker_has_still_to_listen_stays(folder: Path):
    path, served = make(folder)
    with served:
        far_sockets.clear(folder)
        assert path.exists()
    os.utime(path, (0, 0))
    far_sockets.clear(folder)
    assert not path.exists()


def test_what_has_another_name_or_is_no_socket_stays(folder: Path):
    path, served = make(folder)
    served.close()
    path.rename(folder / "loop-other.sock")
    file, link = (folder / f"loop-{number * 16}.sock" for number in "ab")
    file.touch()
    link.symlink_to(folder / "loop-other.sock")
    far_sockets.clear(folder, age_s=0)
    assert len(list(folder.iterdir())) == 3
