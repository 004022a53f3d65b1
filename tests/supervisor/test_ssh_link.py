"""What the shell of a host is given: the best Python there, with paths as the configuration has them."""

import subprocess
import sys
from pathlib import Path

import pytest

from actors.errors import PermanentError
from actors.hosts import Host
from supervisor.hosts import code
from supervisor.hosts.ssh_link import HostUnusableError, SshLink, failure
from supervisor.hosts.ssh_program import boot_command

SAYS_WHICH = b"import sys; print(sys.executable)"


def booted(command: str, home: Path, *path: str) -> str:
    """The Python that runs what comes over stdin."""
    given = f"{code.digest()}\n{len(SAYS_WHICH):<8}".encode() + SAYS_WHICH
    done = subprocess.run(
        ["sh", "-c", command], input=given, capture_output=True, check=False,
        env={"HOME": str(home), "PATH": ":".join([*path, "/usr/bin", "/bin"])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def linked(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(sys.executable)
    return path


def test_an_installation_of_this_version_starts_at_once_also_in_a_home_with_blanks_and_quotes(tmp_path: Path):
    home = tmp_path / "a 'home'"
    folder = home / ".loop" / "hosts" / "code" / code.digest()
    python = linked(folder / "venv" / "bin" / "python")
    usual = linked(tmp_path / "bin" / "python3")
    command = boot_command(Host(name="big"))
    assert booted(command, home, str(usual.parent)) == str(usual)  # not complete yet
    (folder / "installed").touch()
    assert booted(command, home, str(usual.parent)) == str(python)
    python.unlink()  # its Python was removed
    assert booted(command, home, str(usual.parent)) == str(usual)


def test_the_python_of_the_configuration_starts_at_once(tmp_path: Path):
    python = linked(tmp_path / "my venv" / "python")
    for given in ("~/my venv/python", str(python)):
        assert booted(boot_command(Host(name="big", python=given)), tmp_path) == str(python)


def test_the_command_is_one_line_that_every_shell_reads_alike():
    command = boot_command(Host(name="big"))
    assert "\n" not in command
    assert "!" not in command  # the history of csh
    assert "\\\\" not in command  # one backslash in fish, two elsewhere


def test_a_refused_way_back_is_a_line_that_says_what_to_allow():
    words = ["Warning: remote port forwarding failed for listen path /tmp/loop-0.sock"]
    error = failure(Host(name="big"), None, words)
    assert isinstance(error, HostUnusableError)
    assert "allow AllowTcpForwarding and AllowStreamLocalForwarding" in str(error)


def test_what_ssh_says_is_told_without_the_ends_of_its_lines():
    told: list[str] = []
    says = r"printf 'no such host\r\ntry another\n' >&2"
    with subprocess.Popen(["sh", "-c", says], stderr=subprocess.PIPE) as process:
        SshLink(Host(name="big"), told.append)._hear(process)
    assert told == ["no such host", "try another"]


def test_a_link_that_has_ended_says_how_the_program_there_has_also_where_ssh_is_slow_to_end():
    end = r"""printf 'loop-stage1 {"go": ""}\n'; exec >&-; sleep 0.2; echo 'the lease has ended' >&2; exit 3"""
    link = SshLink(Host(name="big", ssh_command=("sh", "-c", end)), lambda _line: None)
    link.open(b"", Path("/bus"), 0, 0.0)
    assert link.read() == b""
    assert link.ended() == "host big: the program there ended with 3: the lease has ended"
    assert link._process is not None
    link._process.communicate()  # it closes its pipes


def test_an_ssh_program_that_is_not_there_is_not_tried_again(tmp_path: Path):
    link = SshLink(Host(name="big", ssh_command=("no-such-ssh", "-v")), print)
    said = (
        r"host big: no-such-ssh cannot be started \(no such file or directory\): correct ssh_command in \[hosts\.big\]"
    )
    with pytest.raises(HostUnusableError, match=said) as raised:
        link.open(b"", tmp_path / "bus", 0, 0)
    assert isinstance(raised.value, PermanentError)
