"""Names of hosts that the user has typed, looked at before anything is made."""

import subprocess
from pathlib import Path

import pytest

from actors.errors import UserError
from actors.hosts import Host
from shell import host_names


@pytest.fixture
def project(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def ssh(folder: Path, *lines: str) -> tuple[str, ...]:
    """A program that says this of each name."""
    path = folder / "ssh-of-the-test"
    path.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    path.chmod(0o755)
    return (str(path),)


def test_a_name_that_nobody_knows_is_refused_with_the_one_that_was_meant(project: Path):
    known = {"big": Host(name="big", join=True, listen="x:1")}
    with pytest.raises(
        UserError, match=r"--place worker=bgi: there is no such host \(did you mean big\?\): neither ssh"
    ):
        host_names.check(["worker=bgi"], known, project)


def test_an_address_that_nobody_knows_is_named_with_the_place_where_it_is(project: Path):
    known = {"big": Host(name="big", ssh="nowhere.invalid")}
    with pytest.raises(UserError, match=r"there is no such host, nowhere.invalid: .* ssh in \[hosts.big\]"):
        host_names.check(["worker=big"], known, project)


@pytest.mark.parametrize(
    "lines",
    [
        ["hostname 127.0.0.1"],
        ["hostname nowhere.invalid", "proxyjump other"],
        ["hostname nowhere.invalid", "proxycommand nc %h"],
        ["it is no OpenSSH"],
        [],
    ],
)
def test_a_name_that_ssh_may_know_is_left_to_the_start(project: Path, lines: list[str]):
    known = {"big": Host(name="big", ssh_command=ssh(project, *lines))}
    host_names.check(["worker=big", "reviewer=home"], known, project)


def test_a_program_for_the_way_that_is_not_there_is_named(project: Path):
    known = {"big": Host(name="big", ssh_command=("no-such-program", "-x"))}
    with pytest.raises(UserError, match=r"no program no-such-program: correct ssh_command in \[hosts.big\]"):
        host_names.check(["worker=big"], known, project)


def test_a_directory_without_git_is_refused_since_its_files_cannot_travel(tmp_path: Path):
    with pytest.raises(UserError, match="is in no git repository, so its files cannot go to big: run git init in it"):
        host_names.check(["worker=big"], {}, tmp_path)


def test_an_empty_command_for_the_way_is_refused():
    with pytest.raises(UserError, match=r"hosts.big.ssh_command is empty"):
        Host(name="big", ssh_command=())
