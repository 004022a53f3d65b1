"""What can go wrong on a host and on the way to it: no second writer, nothing lost or repeated, nothing left there.

The clock of the host is two hours off in the first test: a lease that depended on it would end, or never end.
"""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.lab import slow_cable
from tests.lab.host_worlds import configure, start, world_with_host, world_with_hosts, wrong
from tests.lab.ssh_hosts import SHIM, SshHost, missing, run
from tests.lab.world import PATIENCE_S, Loop, World

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

TWO_HOURS_OFF = """import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + 7_200
time.time_ns = lambda: _time_ns() + 7_200_000_000_000
"""
DONE = "completed: review approved"


def wait_until_back(loop: Loop, times: int) -> None:
    """Waits until the host is back for that many times in this run."""
    back = lambda: sum("host big is back" in line for line in loop.lines) >= times  # noqa: E731
    assert loop.wait_until(back, PATIENCE_S), loop.output
    assert back(), loop.output


def test_a_root_that_is_killed_while_it_imports_its_parts_leaves_nothing_here_or_on_its_host(tmp_path: Path):
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    with world_with_host(tmp_path) as (world, host):
        tells = ("sh", "-c", f'echo begun > {begun}; exec "$@"', "ssh", *host.host.ssh_command)
        configure(world, replace(host.host, ssh_command=tells))
        loop = start(world, "worker=big")
        assert begun.read_text() == "begun\n"  # waits until ssh is started
        loop.process.kill()
        loop.process.wait()
        world.wait_until_empty()
        assert host.left_at_last() == []


def test_a_stop_a_half_open_link_a_cut_and_a_reboot_cost_no_turn_also_with_a_clock_that_is_off(tmp_path: Path):
    (tmp_path / "off").mkdir()
    (tmp_path / "off" / "sitecustomize.py").write_text(TWO_HOURS_OFF)
    with world_with_hosts(
        tmp_path, "big", environment={"PYTHONPATH": str(tmp_path / "off")}, stop_after_s=3.0, lost_after_s=120.0
    ) as (world, [host]):
        stopped: list[int] = []
        blows: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
            ("are ready", lambda: stopped.extend(host.stop(SHIM)), lambda: None),
            ("plan review: waits for", lambda: stopped.extend(host.stop("sshd: root@")), lambda: None),
            ("iteration 1 of 20: waits for embedded", host.cut, host.mend),
            ("review round 1: waits for", *lost(host, to_host=True)),
            ("iteration 2 of 20: waits for embedded", *lost(host, to_host=False)),
        ]
        loop = start(world, "worker=big")
        for number, (point, blow, mend) in enumerate(blows, 1):
            loop.wait_for(point)
            blow()
            noticed = lambda number=number: sum("actors are given up in" in each for each in loop.lines) >= number  # noqa: E731
            assert loop.wait_until(noticed, PATIENCE_S), loop.output
            mend()
            wait_until_back(loop, number)
        loop.wait_for("review round 2: waits for")
        host.reboot()
        assert loop.wait() == 0, loop.output
        assert DONE in loop.output
        assert len(stopped) >= 2
        assert "is given up:" not in loop.output
        assert wrong(world, host) == []
        assert host.left_at_last() == []


def lost(host: SshHost, *, to_host: bool) -> tuple[Callable[[], None], Callable[[], None]]:
    """Loses the packets of one direction, and no more."""
    return lambda: host.lose(to_host=to_host), lambda: host.lose(to_host=to_host, is_lost=False)


@pytest.mark.skipif(bool(slow_cable.missing()), reason=slow_cable.missing())
def test_a_link_with_a_delay_of_200_ms_and_losses_of_5_percent_only_takes_longer(tmp_path: Path):
    with world_with_hosts(tmp_path, "big", slow=(0.1, 0.05), stop_after_s=20.0, lost_after_s=40.0) as (world, [host]):
        loop = start(world, "reviewer=big")
        assert loop.wait() == 0, loop.output
        assert DONE in loop.output
        assert wrong(world, host) == []
        assert host.left_at_last() == []


def test_the_work_of_a_host_that_was_replaced_is_kept_aside_when_it_is_back(tmp_path: Path):
    with world_with_host(tmp_path, stop_after_s=3.0, lost_after_s=8.5) as (world, host):
        loop = start(world, "worker=big")
        loop.wait_for("iteration 1 of 20: waits for embedded")
        host.cut()
        loop.wait_for("host big is given up: worker continue")
        assert host.left() == []  # nobody writes there while home continues
        loop.signal(9)
        loop.wait()
        [there] = (host.folder / "loop" / "trees").glob("*/1/worker")
        (there / "only-there.txt").write_text("what the agent did after the link was cut\n")
        (world.project / "only-here.txt").write_text("what was done at home meanwhile\n")
        host.mend()
        loop = world.start("--agent", "embedded", "--run-id", "1", "--place", "worker=big")
        assert loop.wait() == 0, loop.output
        assert DONE in loop.output
        assert "is kept: git diff HEAD refs/loop/1/salvage/worker-" in loop.output
        assert not (world.project / "only-there.txt").exists()
        ref = git(world, "for-each-ref", "--format=%(refname)", "refs/loop/1/salvage")
        assert "after the link was cut" in git(world, "show", f"{ref.splitlines()[0]}:only-there.txt")
        assert wrong(world, host) == []
        assert host.left_at_last() == []


def git(world: World, *words: str) -> str:
    return subprocess.run(["git", *words], cwd=world.project, capture_output=True, text=True, check=True).stdout


# --- hosts that cannot be used ----------------------------------------------------------------------------------


def another_key(host: SshHost) -> None:
    (host.folder / "keys").write_text((host.folder / "host_key.pub").read_text())


def an_unknown_host(host: SshHost) -> None:
    (host.folder / "known_hosts").write_text("")


def a_changed_host(host: SshHost) -> None:
    kind, key, *_ = (host.folder / "user_key.pub").read_text().split()
    (host.folder / "known_hosts").write_text(f"[{host.address}]:2222 {kind} {key}\n")


def programs_alone(host: SshHost, *names: str) -> None:
    """PATH has these programs alone."""
    folder = host.folder / "bin"
    folder.mkdir()
    for name in ("sh", *names):
        found = os.path.realpath(sys.executable) if name == "python3" else shutil.which(name)
        (folder / name).symlink_to(str(found))
    host.start_sshd(PATH=str(folder))


def no_python(host: SshHost) -> None:
    programs_alone(host, "git")


def no_git(host: SshHost) -> None:
    programs_alone(host, "python3")


def another_version(host: SshHost) -> None:
    folder = host.folder / "older" / "supervisor" / "hosts"
    folder.mkdir(parents=True)
    for each in (folder, folder.parent):
        (each / "__init__.py").touch()
    (folder / "code.py").write_text("def digest():\n    return 'older'\n")
    host.start_sshd(PYTHONPATH=str(folder.parents[1]))


def no_forwarding(host: SshHost) -> None:
    host.settings = ("AllowStreamLocalForwarding no",)
    host.start_sshd()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (another_key, "it refuses the login without a password: set up a key"),
        (an_unknown_host, "its key is not known: run ssh big once"),
        (a_changed_host, "its key has changed: if that is right, run ssh-keygen -R"),
        (no_python, "python3 is not installed there: install Python 3.11 or newer"),
        (no_git, "git is not installed there: install it"),
        (another_version, "has another version of loop: install this version for it"),
        (no_forwarding, "its sshd refuses a forwarding: allow AllowTcpForwarding"),
    ],
)
def test_a_host_that_cannot_be_used_as_it_is_is_one_line_that_says_what_to_do(
    tmp_path: Path, trouble: Callable[[SshHost], None], words: str
):
    with world_with_host(tmp_path) as (world, host):
        trouble(host)
        if trouble in {no_python, no_git}:
            config = world.home / ".loop" / "config.toml"
            lines = config.read_text().splitlines()
            config.write_text("\n".join(line for line in lines if not line.startswith("python = ")))
        loop = start(world, "reviewer=big")
        assert loop.wait() != 0
        assert f"host big: {words}" in loop.output or f"host big: {sys.executable} there {words}" in loop.output, (
            loop.output
        )
        assert "Traceback" not in loop.output
        assert host.left_at_last() == []


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk at this place, which is full."""
    folder.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=4", "tmpfs", str(folder))
    try:
        with pytest.raises(OSError, match="No space left") as full, (folder / "full").open("wb") as file:
            file.write(b"x" * 1_000_000)
        assert full.value.errno == errno.ENOSPC
        yield
    finally:
        run("umount", "--lazy", str(folder))


def test_a_full_disk_there_is_one_line_and_the_task_continues_when_there_is_room(tmp_path: Path):
    with world_with_host(tmp_path) as (world, host), small_disk(host.folder / "loop"):
        host.start_sshd()  # it sees the disk
        loop = start(world, "reviewer=big")
        assert loop.wait() != 0
        assert "host big: its disk is full: make room there" in loop.output
        assert "Traceback" not in loop.output
        assert host.left_at_last() == []
        run("mount", "-o", "remount,size=64m,nr_inodes=9999", str(host.folder / "loop"))
        configure(world, host)
        loop = world.start("--agent", "embedded", "--run-id", "1")
        assert loop.wait() == 0, loop.output
        assert DONE in loop.output
        assert wrong(world, host) == []
