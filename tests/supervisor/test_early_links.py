"""Connections that are begun before their root has its parts: each is used by one link, or ended."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actors.hosts import Host
from supervisor.hosts.early_links import EarlyLinks
from supervisor.hosts.far_sockets import far_socket
from supervisor.hosts.ssh_link import SshLink
from supervisor.hosts.ssh_program import start_ssh
from supervisor.launchers import make_launcher

BUS = Path("/bus")
SAYS_ITS_WAYS = """printf 'loop-stage1 {"go": ""}\\n%s' "$*"; exec cat >&2"""
WAITS = Host(name="big", ssh_command=("sh", "-c", "exec cat", "ssh"))


def words(far_bus: str) -> bytes:
    return far_bus.encode()


def ways(host: Host, early: EarlyLinks) -> str:
    """What the ssh program of the next link was called with."""
    link = early.links.make(host, lambda _line: None, lambda _why: None)
    assert isinstance(link, SshLink)
    link.open(b"", BUS, 7, 0.0)
    said = link.read().decode()
    assert link.far_bus in said
    assert link.begun_s > 0
    link.close()
    assert link._process is not None
    link._process.communicate()  # it closes its pipes
    return said


def test_the_next_link_to_a_host_has_the_connection_that_was_begun_and_a_later_one_its_own():
    host = Host(name="big", ssh_command=("sh", "-c", SAYS_ITS_WAYS, "ssh"))
    early = EarlyLinks()
    early.links.begin(host, words, Path("/early"), 8)
    assert ":/early -R 127.0.0.1:0:127.0.0.1:8 " in ways(host, early)
    assert ":/bus -R 127.0.0.1:0:127.0.0.1:7 " in ways(host, early)
    early.close()


def test_a_connection_that_no_link_has_ends_with_them():
    early = EarlyLinks()
    early.links.begin(WAITS, words, BUS, 0)
    (program,) = early.links._programs.values()
    early.close()
    assert program.process.poll() is not None
    early.close()
    program.process.communicate()  # it closes its pipes


def test_a_link_that_is_closed_before_it_is_opened_ends_its_connection():
    program = start_ssh(WAITS, far_socket(), b"", BUS, 0)
    SshLink(WAITS, lambda _line: None, program).close()
    assert program.process.poll() is not None
    program.process.communicate()  # it closes its pipes


def test_an_ssh_program_that_is_not_there_is_left_to_the_link_which_says_so():
    early = EarlyLinks()
    early.links.begin(Host(name="big", ssh_command=("no-such-ssh",)), words, BUS, 0)
    early.links.begin(Host(name="other", join=True, listen="7777"), words, BUS, 0)  # it dials in
    assert early.links._programs == {}
    early.close()


@pytest.mark.parametrize("portable", [False, True])
def test_an_actor_is_started_with_the_socket_that_listened_before_its_launcher_was_there(
    tmp_path: Path, portable: bool
):
    early = EarlyLinks()
    port = early.sockets.port("bridge")
    launcher = make_launcher(print, runtime_dir=tmp_path, portable=portable, preload=(), sockets=early.sockets)
    assert launcher.listening_port("bridge") == port
    launcher.close()
    early.close()


def test_what_connects_is_there_before_a_root_imports_the_rest():
    program = "import supervisor.root, supervisor.hosts.early_links, sys; print(*sorted(sys.modules), sep=chr(10))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    late = {"supervisor.run_instance", "supervisor.router", "supervisor.actor", "zmq", "pykka"}
    assert late & set(done.stdout.split()) == set()
