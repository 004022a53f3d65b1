"""Reads the configuration files: `~/.loop/config.toml` (the user's) and `<repo>/.loop.toml` (the repository's).

    checks = ["make test"]              # shell commands that we run ourselves to prove that the task is done
    update_hint = false                 # the user's file only: say nothing of newer versions of loop

    [agents.gemini]                     # an agent that speaks the Agent Client Protocol
    command = ["gemini", "--acp"]       # not of a built-in agent, as claude and codex are
    env = { GEMINI_MODEL = "flash" }    # optional, as all that follow: added to its environment
    peer = "claude"                     # the agent it is paired with
    model = "gemini-2.5-pro"            # where the command line names none; its own default otherwise
    effort = "high"                     # how long it thinks, in its own words
    mode = "yolo"                       # its session mode; without it the one that asks least is chosen

The user's checks always run; the repository's come after them. An agent of the repository takes the place of the
user's agent of the same name. Only reads files, when it is called; anything it does not know is refused, so that a
typing error is not overlooked.

Who clones a repository has not read its file. So what the file makes loop run counts only if the caller `allows` this
content; the rule for each key stands in `_KEYS`, and a key without a rule does not exist. The file is read once:
the bytes that are hashed and shown are the bytes that are used.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import msgspec

from actors import values
from actors.edges import files
from actors.errors import BadFileError, MissingFileError, UserError

USER_FILE = Path(".loop") / "config.toml"  # in the home directory
REPOSITORY_FILE = Path(".loop.toml")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_AGENT_KEYS = ("command", "env", "peer", "model", "effort", "mode")


class AgentConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """One table `[agents.NAME]`; what is left out is "". `command` is empty for a built-in agent. `peer` is in lower
    case.
    """

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    peer: str = ""
    model: str = ""
    effort: str = ""
    mode: str = ""


class RepositoryFile(msgspec.Struct, frozen=True, kw_only=True):
    """A repository's file that makes loop run something. `runs` says what, a line each, printable and in full."""

    path: Path
    sha256: str  # of the bytes that were read
    runs: tuple[str, ...]


Allows = Callable[[RepositoryFile], bool]


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Both files together, without what is not allowed. Agents by their names in lower case."""

    agents: dict[str, AgentConfiguration] = {}
    checks: tuple[str, ...] = ()
    update_hint: bool = True
    repository_agents: dict[str, AgentConfiguration] = {}  # those of `agents` that the repository's file defines
    repository_file: RepositoryFile | None = None  # None: there is none, or it runs nothing
    is_allowed: bool = False  # whether what `repository_file` runs is in here

    @property
    def allowed_sha256(self) -> str:
        """The content of the repository's file that counts; "" when none does."""
        return self.repository_file.sha256 if self.repository_file is not None and self.is_allowed else ""


class _Key(NamedTuple):
    """A key of the files. `runs`: the lines that say what a repository's value of it makes loop run, or which proof
    it weakens; none means harmless. A key without `runs` is for the user's file only.
    """

    runs: Callable[[Any], Iterable[str]] | None


class _Content(NamedTuple):
    """What one file says, checked."""

    agents: dict[str, AgentConfiguration]
    checks: tuple[str, ...]
    update_hint: bool


_NOTHING = _Content({}, (), update_hint=True)


def nobody(_file: RepositoryFile) -> bool:
    """Allows nothing."""
    return False


def read_configuration(
    home: Path, repository: Path | None, built_in: Collection[str], allows: Allows = nobody
) -> Configuration:
    """The configuration; files that are not there say nothing. `built_in` are the agents that need no table.

    `allows` is asked about a repository's file that runs something, after both files were found valid. Raises
    `UserError` with file, key and value.
    """
    user_path = home / USER_FILE
    files.check_private(user_path.parent)
    user_bytes = _bytes(user_path)
    user = _NOTHING if user_bytes is None else _content(user_path, _document(user_path, user_bytes), _KEYS, built_in)
    own, file = _NOTHING, None
    path = repository / REPOSITORY_FILE if repository is not None else user_path
    content = _bytes(path) if repository is not None else None
    if content is not None:
        document = _document(path, content)
        known = {name: key for name, key in _KEYS.items() if key.runs is not None}
        own = _content(path, document, known, built_in)
        if runs := tuple(line for name, value in document.items() for line in _lines(_KEYS[name], value)):
            file = RepositoryFile(path=path, sha256=hashlib.sha256(content).hexdigest(), runs=runs)
    for place, agents in ((user_path, user.agents), (path, own.agents)):
        _refuse_unknown_peers(place, agents, {*user.agents, *own.agents, *built_in})
    is_allowed = file is not None and allows(file)
    if file is not None and not is_allowed:
        own = _NOTHING
    return Configuration(
        agents=user.agents | own.agents,
        checks=tuple(dict.fromkeys((*user.checks, *own.checks))),
        update_hint=user.update_hint,
        repository_agents=own.agents,
        repository_file=file,
        is_allowed=is_allowed,
    )


def _content(path: Path, document: dict[str, Any], known: Collection[str], built_in: Collection[str]) -> _Content:
    _refuse_unknown(path, "", document, tuple(known))
    tables = _table(path, "agents", document.get("agents", {}))
    agents = {}
    for name, table in tables.items():
        key = f"agents.{name}"
        if sum(other.lower() == name.lower() for other in tables) > 1:
            _refuse(path, key, table, "another agent has this name in other letters")
        agents[name.lower()] = _agent(path, key, name, table, built_in)
    checks = _texts(path, "checks", document.get("checks", []))
    return _Content(agents, checks, _switch(path, "update_hint", document.get("update_hint", True)))


def _refuse_unknown_peers(path: Path, agents: Mapping[str, AgentConfiguration], known: Collection[str]) -> None:
    for name, agent in agents.items():
        if agent.peer and agent.peer not in known:
            known_ones = ", ".join(sorted(known))
            _refuse(path, f"agents.{name}.peer", agent.peer, f"unknown agent; known are {known_ones}")


# --- what it makes loop run -----------------------------------------------------------------------------------------


def _lines(key: _Key, value: Any) -> Iterable[str]:
    return (escaped(line) for line in key.runs(value)) if key.runs is not None else ()


def _runs_of_checks(commands: list[str]) -> Iterable[str]:
    return (f"check {command}" for command in commands)


def _runs_of_agents(tables: dict[str, dict[str, Any]]) -> Iterable[str]:
    for name, table in tables.items():
        variables = [f"{variable}={shlex.quote(value)}" for variable, value in table.get("env", {}).items()]
        settings = [f"{key} {table[key]}" for key in ("model", "effort", "mode", "peer") if key in table]
        command = [shlex.join(table["command"])] if "command" in table else []
        yield f"agent {name}: {', '.join(filter(None, [' '.join([*variables, *command]), *settings]))}"


_KEYS: Mapping[str, _Key] = {
    "agents": _Key(_runs_of_agents),
    "checks": _Key(_runs_of_checks),
    "update_hint": _Key(None),
}


def escaped(text: str) -> str:
    """In one line, with an escape for each character that a terminal would not show as it is. Nothing is left out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


# --- files and values -----------------------------------------------------------------------------------------------


def _bytes(path: Path) -> bytes | None:
    try:
        return files.read_bytes(path)
    except MissingFileError:
        return None
    except (BadFileError, OSError) as error:
        raise UserError(f"{path}: cannot be read: {_reason(error)}") from error


def _document(path: Path, content: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(files.decoded(path, content))
    except BadFileError as error:
        raise UserError(f"{path}: cannot be read: {_reason(error)}") from error
    except (ValueError, RecursionError) as error:  # ValueError: also for a number of thousands of digits
        raise UserError(f"{path}: not a TOML file: {error}") from error


def _reason(error: Exception) -> object:
    return error.reason if isinstance(error, BadFileError) else error


def _agent(path: Path, key: str, name: str, table: object, built_in: Collection[str]) -> AgentConfiguration:
    if not _NAME.fullmatch(name):
        _refuse(path, key, name, "a name is letters, digits, - and _, beginning with a letter or digit")
    table_values = _table(path, key, table)
    _refuse_unknown(path, f"{key}.", table_values, _AGENT_KEYS)
    is_built_in = name.lower() in built_in
    if is_built_in and "command" in table_values:
        _refuse(path, f"{key}.command", table_values["command"], "this agent is built in: leave it out, or rename it")
    if is_built_in and "mode" in table_values:
        _refuse(path, f"{key}.mode", table_values["mode"], "this agent is built in, and works unattended: leave it out")
    if not is_built_in and "command" not in table_values:
        raise UserError(f'{path}: {key}: has no command; add e.g. command = ["{name}", "--acp"]')
    command = _texts(path, f"{key}.command", table_values.get("command", []))
    if not (command or is_built_in):
        _refuse(path, f"{key}.command", [], "give the program and its arguments")
    environment = _table(path, f"{key}.env", table_values.get("env", {}))
    for variable, value in environment.items():
        if not isinstance(value, str):  # it may be blank
            _refuse(path, f"{key}.env.{variable}", value, "a string is needed")
    values.environment(f"{path}: {key}.env.", environment)
    peer, model, effort, mode = (
        _text(path, f"{key}.{word}", table_values[word]) if word in table_values else ""
        for word in ("peer", "model", "effort", "mode")
    )
    return AgentConfiguration(
        command=command, env=environment, peer=peer.lower(), model=model, effort=effort, mode=mode
    )


def _texts(path: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        _refuse(path, key, value, "an array of strings is needed")
    return tuple(_text(path, f"{key}[{number}]", item) for number, item in enumerate(value))


def _text(path: Path, key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(path, key, value, "a string that is not blank is needed")
    return values.text(f"{path}: {key}", value)


def _switch(path: Path, key: str, value: object) -> bool:
    if not isinstance(value, bool):
        _refuse(path, key, value, "true or false is needed")
    return value


def _table(path: Path, key: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(path, key, value, f"a table is needed: [{key}]")
    return value


def _refuse_unknown(path: Path, prefix: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
    for key, value in table.items():
        if key not in known:
            _refuse(path, f"{prefix}{key}", value, f"unknown key; known are {', '.join(known)}")


def _refuse(path: Path, key: str, value: object, why: str) -> NoReturn:
    raise UserError(f"{path}: {key} = {values.shown(value)}: {why}")
