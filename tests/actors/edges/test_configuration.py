"""The two configuration files."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.edges.configuration import AgentConfiguration, Configuration, read_configuration
from actors.errors import UserError

BUILT_IN = ("claude", "codex")


def read(tmp_path: Path, user: str | None = None, repository: str | None = None) -> Configuration:
    home, repo = tmp_path / "home", tmp_path / "repo"
    (home / ".loop").mkdir(parents=True)
    repo.mkdir()
    if user is not None:
        (home / ".loop" / "config.toml").write_text(user)
    if repository is not None:
        (repo / ".loop.toml").write_text(repository)
    return read_configuration(home, repo, BUILT_IN)


def test_without_files_nothing_is_configured(tmp_path: Path) -> None:
    assert read(tmp_path) == Configuration()
    assert read_configuration(tmp_path, None, BUILT_IN) == Configuration()


def test_an_agent_has_a_command_and_may_have_an_environment_and_a_peer(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """
        checks = ["make test", "ruff check"]
        [agents.Gemini]
        command = ["gemini", "--acp"]
        env = { GEMINI_MODEL = "flash", EMPTY = "" }
        peer = "Claude"
        [agents.goose-2]
        command = ["goose", "acp"]
        """,
    )
    assert found.checks == ("make test", "ruff check")
    assert found.agents == {
        "gemini": AgentConfiguration(
            command=("gemini", "--acp"), env={"GEMINI_MODEL": "flash", "EMPTY": ""}, peer="claude"
        ),
        "goose-2": AgentConfiguration(command=("goose", "acp")),
    }


def test_the_hint_at_newer_versions_is_the_users_to_switch_off(tmp_path: Path) -> None:
    assert read(tmp_path, "update_hint = false", 'checks = ["x"]').update_hint is False
    with pytest.raises(UserError, match=r"\.loop\.toml: update_hint = True: unknown key; known are agents, checks"):
        read(tmp_path / "other", None, "update_hint = true")
    with pytest.raises(UserError, match=r"config\.toml: update_hint = 'no': true or false is needed"):
        read(tmp_path / "third", 'update_hint = "no"')


def test_the_repository_takes_the_place_of_the_user_agent_by_agent(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        'checks = ["mine"]\n[agents.a]\ncommand = ["user-a"]\npeer = "b"\n[agents.b]\ncommand = ["user-b"]',
        'checks = []\n[agents.A]\ncommand = ["repo-a"]',
    )
    assert found.checks == ()
    assert found.agents == {
        "a": AgentConfiguration(command=("repo-a",)),
        "b": AgentConfiguration(command=("user-b",)),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("checks = [", "not a TOML file: "),
        ("check = ['x']", "check = ['x']: unknown key; known are agents, checks"),
        ("checks = 'make'", "checks = 'make': an array of strings is needed"),
        ("checks = ['make', 3]", "checks[1] = 3: a string that is not blank is needed"),
        ("checks = [' ']", "checks[0] = ' ': a string that is not blank is needed"),
        ("agents = 3", "agents = 3: a table is needed: [agents]"),
        ("[agents]\nx = 'y'", "agents.x = 'y': a table is needed: [agents.x]"),
        ("[agents.x]", 'agents.x: has no command; add e.g. command = ["x", "--acp"]'),
        ("[agents.x]\ncommand = 'x --acp'", "agents.x.command = 'x --acp': an array of strings is needed"),
        ("[agents.x]\ncommand = []", "agents.x.command = []: give the program and its arguments"),
        ("[agents.x]\ncommand = ['x']\nmodel = 'y'", "agents.x.model = 'y': unknown key; known are command, env, peer"),
        ("[agents.x]\ncommand = ['x']\nenv = ['y']", "agents.x.env = ['y']: a table is needed: [agents.x.env]"),
        ("[agents.x]\ncommand = ['x']\nenv = {A = 1}", "agents.x.env.A = 1: a string is needed"),
        ("[agents.x]\ncommand = ['x']\npeer = 1", "agents.x.peer = 1: a string that is not blank is needed"),
        ("[agents.x]\ncommand = ['x']\npeer = 'Z'", "agents.x.peer = 'z': unknown agent; known are claude, codex, x"),
        ("[agents.Codex]\ncommand = ['x']", "agents.Codex = 'Codex': this agent is built in; choose another name"),
        ("[agents.-x]\ncommand = ['x']", "agents.-x = '-x': a name is letters, digits, - and _, beginning with"),
        ("[agents.x]\ncommand = ['x']\n[agents.X]\ncommand = ['y']", "another agent has this name in other letters"),
    ],
)
def test_whatever_it_does_not_know_is_refused_with_file_key_and_value(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, repository=text)
    assert str(caught.value).startswith(f"{tmp_path / 'repo' / '.loop.toml'}: ")
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / ".loop").mkdir()
    (tmp_path / ".loop" / "config.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match=r"config\.toml: cannot be read: "):
        read_configuration(tmp_path, None, BUILT_IN)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ('env = { "A=B" = "x" }', "a variable's name is not empty and has no '='"),
        ('env = { "" = "x" }', "a variable's name is not empty and has no '='"),
        ('env = { A = "x\\u0000y" }', "agents.x.env.A has a NUL character"),
        ('env = { "A\\u0000" = "x" }', "has a NUL character"),
        ('env = { A = "' + "x" * 100_001 + '" }', "agents.x.env.A has 100,001 bytes"),
        ('peer = "a\\u0000"', "agents.x.peer has a NUL character"),
    ],
)
def test_what_no_program_can_be_started_with_is_refused(tmp_path: Path, table: str, line: str) -> None:
    with pytest.raises(UserError) as refusal:
        read(tmp_path, repository=f'[agents.x]\ncommand = ["x"]\n{table}\n')
    assert line in str(refusal.value)
    assert ".loop.toml" in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("content", ["x = " + "[" * 50_000, "x = " + "9" * 5_000])
def test_a_document_that_python_cannot_read_is_no_toml(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match=r"\.loop\.toml: not a TOML file"):
        read(tmp_path, repository=content)


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    assert read(tmp_path, repository='\ufeffchecks = ["make"]\n').checks == ("make",)


def test_a_link_to_an_endless_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".loop.toml").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"\.loop\.toml: cannot be read: it is a device"):
        read_configuration(tmp_path / "home", tmp_path, BUILT_IN)


def test_a_configuration_that_others_could_write_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".loop").mkdir()
    (tmp_path / ".loop").chmod(0o777)
    with pytest.raises(UserError, match="others can write to it"):
        read_configuration(tmp_path, None, BUILT_IN)
