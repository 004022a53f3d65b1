"""Reads the configuration files: `~/.loop/config.toml` (the user's) and `<repo>/.loop.toml` (the repository's).

    checks = ["make test"]              # shell commands that loop itself runs to prove that the task is done
    max_iterations = 50                 # as the other rows of actors.settings_table that have a key

    [agents.gemini]                     # an agent that speaks the Agent Client Protocol
    command = ["gemini", "--acp"]       # not of a built-in agent, as claude and codex are
    env = { GEMINI_MODEL = "flash" }    # optional, as all that follow: added to its environment
    peer = "claude"                     # the agent it is paired with
    model = "gemini-2.5-pro"            # where the command line names none; its own default otherwise
    reviewer_model = "gemini-2.5-flash" # when it reviews; else `model`
    effort = "high"                     # how long it thinks, in its own words
    mode = "yolo"                       # its session mode; without it the one that asks least is chosen

    [notify]                            # as the rows of the table whose key begins with "notify."
    desktop = true

    [prompts]                           # files in place of built-in prompts, relative to this one
    work = "work.txt"

    [hosts.big]                         # of the user's file alone: where agents can run (actors.hosts)
    ssh = "me@big.example"
    [join]                              # of the user's file alone: where hosts with join = true dial in
    listen = "0.0.0.0:7777"

    [agents.claude]                     # of claude and codex: where one account has met its limit, the next is used
    accounts = [{ CLAUDE_CONFIG_DIR = "~/.claude" }, { CLAUDE_CONFIG_DIR = "~/.claude-work" }]
    [prices."gpt-5.1-codex"]            # of a model, or of an agent for all its other models: USD per million tokens
    input = 1.25
    cached_input = 0.125                # optional; else as input
    output = 10

The user's checks always run; the repository's come after them. Any other setting of the repository takes the place of
the user's, but a limit (a row whose `repository` is "lower") may only be lowered. Of an agent that both files name,
each key of the repository counts, and the user's others stay. With a command of its own it is another agent: only the
accounts stay.

It only reads files, when it is called. An unknown key is refused with file, line, key and value, so that typing errors
are found. msgspec checks the types, the rows of the table the values.

Cloning a repository does not mean trusting its file. So what the file makes loop run or use counts only if the caller
`allows` this content: the user first sees every setting in full. A row of the table whose `repository` is "never" is
for the user's file alone, and so are accounts. The file is read once: the hashed and shown bytes are the bytes that are
used.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from actors import settings_layers, values
from actors.edges import files, prompt_files
from actors.edges.agent_tables import AgentConfiguration, agent_of, merged, merged_keys
from actors.edges.config_file import REPOSITORY_FILE, TYPES, USER_FILE, ConfigFile, Text, converted, read_file, refuse
from actors.errors import UserError
from actors.hosts import Host
from actors.setting_rows.row import Setting
from actors.setting_values import Value
from actors.settings import Price
from actors.settings_layers import Sourced
from actors.settings_table import BY_KEY, TABLES

MOST_PRICE = 1_000_000  # USD per million tokens


class RepositoryFile(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's file that makes loop run or use something. `runs` lists what, one printable line each, uncut."""

    path: Path
    sha256: str  # of the bytes that were read
    runs: tuple[str, ...]

    @property
    def does(self) -> str:
        """A verb for what loop would do with `runs`."""
        only_runs = all(line.startswith(("check ", "agent ")) for line in self.runs)
        return "run" if only_runs else "set or run"


Allows = Callable[[RepositoryFile], bool]


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Both files merged, without what is not allowed. Agents are keyed by lower-case name."""

    agents: dict[str, AgentConfiguration] = {}
    user: tuple[Sourced, ...] = ()  # the layer of the user's file
    repository: tuple[Sourced, ...] = ()  # the layer of the repository's file
    agent_keys: tuple[Sourced, ...] = ()  # of the agents: name `agents.NAME.KEY`; of an environment, the names alone
    hosts: dict[str, Host] = {}  # of the user's file
    prices: dict[str, Price] = {}  # of the user's file; see `RunSettings.prices`
    repository_agents: dict[str, AgentConfiguration] = {}  # those of `agents` that the repository's file defines
    repository_file: RepositoryFile | None = None  # None: there is none, or it asks for nothing
    prompts: dict[str, str] = {}  # the texts in place of built-in prompts, by name
    too_high: tuple[Sourced, ...] = ()  # limits of the repository's file that would raise the user's: they do not count
    is_allowed: bool = False  # whether what `repository_file` asks for is in here

    @property
    def allowed_sha256(self) -> str:
        """The content of the repository's file that counts; "" when none does."""
        return self.repository_file.sha256 if self.repository_file is not None and self.is_allowed else ""

    @property
    def update_hint(self) -> bool:
        """Whether the user is told of newer versions."""
        return settings_layers.merge(self.user).switch("update_hint")


class _Content(NamedTuple):
    """One file's content, checked."""

    agents: Mapping[str, AgentConfiguration] = {}
    layer: tuple[Sourced, ...] = ()
    agent_keys: tuple[Sourced, ...] = ()
    prices: Mapping[str, Price] = {}
    prompts: Mapping[str, str] = {}
    hosts: Mapping[str, Host] = {}


_HostTable = msgspec.defstruct(
    "_HostTable",
    [
        *((key, Text | UnsetType, UNSET) for key in ("ssh", "root", "python", "prepare")),
        ("ssh_command", tuple[Text, ...] | UnsetType, UNSET),
        *((key, float | UnsetType, UNSET) for key in ("stop_after_s", "lost_after_s")),
        ("join", bool | UnsetType, UNSET),
    ],
    forbid_unknown_fields=True,
)

_Top = msgspec.defstruct(
    "_Top",
    [
        ("agents", dict[str, dict[str, Any]], msgspec.field(default_factory=dict)),
        *((row.key, TYPES[row.toml] | UnsetType, UNSET) for row in BY_KEY.values()),
        *((name, dict[str, Any] | UnsetType, UNSET) for name in TABLES),
        ("prices", dict[str, dict[str, Any]], msgspec.field(default_factory=dict)),
        ("hosts", dict[str, dict[str, Any]], msgspec.field(default_factory=dict)),
    ],
    forbid_unknown_fields=True,
)

_TABLES: Mapping[str, type[msgspec.Struct]] = {
    name: msgspec.defstruct(
        f"_{name}",
        [(key, TYPES[row.toml] | UnsetType, UNSET) for key, row in rows.items()],
        forbid_unknown_fields=True,
    )
    for name, rows in TABLES.items()
}


def nobody(_file: RepositoryFile) -> bool:
    """Allows nothing."""
    return False


def read_configuration(
    home: Path, repository: Path | None, built_in: Collection[str], allows: Allows = nobody
) -> Configuration:
    """The configuration; a missing file counts as empty. `built_in`: the agents that need no table.

    `allows` is called for a repository's file that makes loop run or use something, once both files are valid. Raises
    `UserError` with file, line, key and value.
    """
    user_path = home / USER_FILE
    files.check_private(user_path.parent)
    user_file = read_file(user_path, "user configuration")
    own_file = read_file(repository / REPOSITORY_FILE, "repository configuration") if repository is not None else None
    user = _content(user_file, built_in) if user_file is not None else _Content()
    own = _content(own_file, built_in, user.agents) if own_file is not None else _Content()
    for file, content in ((user_file, user), (own_file, own)):
        if file is not None:
            _refuse_unknown_peers(file, content.agents, {*user.agents, *own.agents, *built_in})
    asked = _asked(own_file, own.prompts)
    is_allowed = asked is not None and allows(asked)
    if not is_allowed:
        own = _Content()
    both = {name: merged(user.agents.get(name), agent) for name, agent in own.agents.items()}
    layer, too_high = settings_layers.without_higher(user.layer, own.layer)
    return Configuration(
        agents={**user.agents, **both},
        user=user.layer,
        repository=layer,
        too_high=too_high,
        agent_keys=merged_keys(user.agent_keys, own.agent_keys),
        prices=dict(user.prices),
        hosts=dict(user.hosts),
        repository_agents=both,
        prompts={**user.prompts, **own.prompts},
        repository_file=asked,
        is_allowed=is_allowed,
    )


def _content(
    file: ConfigFile, built_in: Collection[str], users: Mapping[str, AgentConfiguration] = MappingProxyType({})
) -> _Content:
    """`users`: the agents of the user's file, which a repository's may complete."""
    if file.origin == "repository configuration":
        _refuse_the_users_keys(file)
    top = converted(file, (), file.document, _Top)
    tables: dict[str, dict[str, Any]] = getattr(top, "agents")  # noqa: B009 - the struct is made of the table's rows
    agents = {}
    for name, table in tables.items():
        if sum(other.lower() == name.lower() for other in tables) > 1:
            refuse(file, ("agents", name), table, "another agent has this name in other letters")
        agents[name.lower()] = agent_of(file, name, table, built_in, users)
    for name, kind in _TABLES.items():
        converted(file, (name,), file.document.get(name, {}), kind)
    layer = tuple(
        Sourced(row.name, value, file.origin, str(file.path), file.line(*key))
        for key, row, written in _rows(file)
        if (value := _value(file, row, written)) != ()
    )
    prices: dict[str, dict[str, Any]] = getattr(top, "prices")  # noqa: B009 - see above
    hosts: dict[str, dict[str, Any]] = getattr(top, "hosts")  # noqa: B009 - see above
    return _Content(
        agents,
        layer,
        tuple(_agent_keys(file, tables)),
        {name: _price(file, name, each) for name, each in prices.items()},
        _prompts(file, layer),
        {
            name: _host(file, name, each, settings_layers.merge(layer).text("join_listen"))
            for name, each in hosts.items()
        },
    )


def _host(file: ConfigFile, name: str, table: dict[str, Any], listen: str) -> Host:
    found = converted(file, ("hosts", name), table, _HostTable)
    try:
        rows = {key: value for key in table if (value := getattr(found, key)) is not UNSET}
        return Host(name=name, listen=listen if rows.get("join") else "", **rows)
    except UserError as error:
        raise UserError(f"{file.place('hosts', name)}: {error}") from None


def _price(file: ConfigFile, name: str, table: dict[str, Any]) -> Price:
    for key in ("input", "output"):
        if key not in table:
            raise UserError(f"{file.place('prices', name)}: prices.{name}: has no {key}; give USD per million tokens")
    price = converted(file, ("prices", name), table, Price)
    for key, value in table.items():
        if not 0 <= value <= MOST_PRICE:
            refuse(file, ("prices", name, key), value, f"a price is 0 to {MOST_PRICE} USD per million tokens")
    return price


def _prompts(file: ConfigFile, layer: Iterable[Sourced]) -> dict[str, str]:
    """The texts of the files that the file names in place of built-in prompts, by prompt."""
    inside = file.origin == "repository configuration"
    names = {row.name: key for key, row in TABLES["prompts"].items()}
    found = {}
    for each in layer:
        if each.name in names:
            key = names[each.name]
            try:
                found[key] = prompt_files.read(key, file.path.parent, str(each.value), inside=inside)
            except UserError as error:
                raise UserError(f"{file.place('prompts', key)}: prompts.{key}: {error}") from None
    return found


def _rows(file: ConfigFile) -> Iterable[tuple[tuple[str, ...], Setting, Any]]:
    """The settings of the table that the file has: the parts of the key, the row, and the written value."""
    tables: Mapping[str, Mapping[str, Setting]] = {"": BY_KEY, **TABLES}
    for name, rows in tables.items():
        written = file.document.get(name, {}) if name else file.document
        for key, row in rows.items():
            if isinstance(written, dict) and key in written:
                yield ((name, key) if name else (key,)), row, written[key]


def _value(file: ConfigFile, row: Setting, written: Any) -> Value:
    """The checked value of a setting. Its type is right already."""
    if isinstance(written, bool):
        return written
    try:
        if isinstance(written, list):
            return tuple(str(row.checked(f"{row.key}[{number}]", item)) for number, item in enumerate(written))
        return row.checked(row.key, str(written))
    except UserError as error:
        raise UserError(f"{file.place(*row.key.split('.'))}: {error}") from None


def _agent_keys(file: ConfigFile, tables: Mapping[str, dict[str, Any]]) -> Iterable[Sourced]:
    for name, table in tables.items():
        for key, written in table.items():
            rows = [" ".join(each) or "the user's own" for each in written] if key == "accounts" else written
            value = tuple(rows) if isinstance(rows, list | dict) else str(rows)
            line = file.line("agents", name, key)
            yield Sourced(f"agents.{name.lower()}.{key}", value, file.origin, str(file.path), line)


def _refuse_the_users_keys(file: ConfigFile) -> None:
    for name in ("prices", "hosts"):
        if name in file.document:
            why = f"{name} are the user's to set, in ~/{USER_FILE}: leave it out"
            refuse(file, (name,), file.document[name], why)
    for key, row, value in _rows(file):
        if row.repository == "never":
            refuse(file, key, value, f"this is the user's to set, in ~/{USER_FILE}: leave it out")


def _refuse_unknown_peers(file: ConfigFile, agents: Mapping[str, AgentConfiguration], known: Collection[str]) -> None:
    for name, agent in agents.items():
        if agent.peer and agent.peer not in known:
            why = f"unknown agent{values.meant(agent.peer, known)}; the known agents are {', '.join(sorted(known))}"
            refuse(file, ("agents", name, "peer"), agent.peer, why)


# --- what a repository requests ---------------------------------------------------------------------------------------


def _asked(file: ConfigFile | None, prompts: Mapping[str, str]) -> RepositoryFile | None:
    """What the file asks for. The content of prompts that it names is part of its own."""
    if file is None:
        return None
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(prompts.items())}
    lines = tuple(escaped(line) for line in _asked_lines(file.document, digests))
    if not lines:
        return None
    whole = file.content + "".join(f"\0{name} {digest}" for name, digest in digests.items()).encode()
    return RepositoryFile(path=file.path, sha256=hashlib.sha256(whole).hexdigest(), runs=lines)


def _asked_lines(document: dict[str, Any], digests: Mapping[str, str]) -> Iterable[str]:
    """One line per key, so that none is missed: a new row of the table needs no line here."""
    for key, written in document.items():
        if key == "agents":
            yield from _runs_of_agents(written)
        elif key == "checks":
            yield from (f"check {command}" for command in written)
        elif key == "prompts":
            yield from (
                f"prompts.{name} = {json.dumps(path, ensure_ascii=False)}, sha256 {digests[name]}"
                for name, path in written.items()
            )
        elif key in TABLES:
            yield from (f"{key}.{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in written.items())
        else:
            yield f"{key} = {json.dumps(written, ensure_ascii=False)}"


def _runs_of_agents(tables: dict[str, dict[str, Any]]) -> Iterable[str]:
    for name, table in tables.items():
        variables = [f"{variable}={shlex.quote(value)}" for variable, value in table.get("env", {}).items()]
        settings = [f"{key} {value}" for key, value in table.items() if key not in ("command", "env")]
        command = [shlex.join(table["command"])] if "command" in table else []
        yield f"agent {name}: {', '.join(filter(None, [' '.join([*variables, *command]), *settings]))}"


def escaped(text: str) -> str:
    """The text on one line, with an escape for each character that a terminal does not show as it is. Lossless."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
