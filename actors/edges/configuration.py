"""Reads the configuration files: `~/.loop/config.toml` (the user's) and `<repo>/.loop.toml` (the repository's).

    checks = ["make test"]              # shell commands that we run ourselves to prove that the task is done
    update_hint = false                 # the user's file only: say nothing of newer versions of loop

    [agents.gemini]                     # an agent that speaks the Agent Client Protocol
    command = ["gemini", "--acp"]
    env = { GEMINI_MODEL = "flash" }    # optional: added to its environment
    peer = "claude"                     # optional: the agent it is paired with

What the repository says takes the place of what the user says: agent by agent, and for `checks` as a whole.
Only reads files, when it is called; anything it does not know is refused, so that a typing error is not overlooked.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from actors import values
from actors.edges import files
from actors.errors import BadFileError, MissingFileError, UserError

USER_FILE = Path(".loop") / "config.toml"  # in the home directory
REPOSITORY_FILE = Path(".loop.toml")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_TOP_LEVEL = ("agents", "checks")
_USER_LEVEL = (*_TOP_LEVEL, "update_hint")
_AGENT_KEYS = ("command", "env", "peer")


class AgentConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """One table `[agents.NAME]`. `peer` is in lower case; "" when it is left out."""

    command: tuple[str, ...]
    env: dict[str, str] = {}
    peer: str = ""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """Both files together. Agents by their names in lower case."""

    agents: dict[str, AgentConfiguration] = {}
    checks: tuple[str, ...] = ()
    update_hint: bool = True


def read_configuration(home: Path, repository: Path | None, built_in: Collection[str]) -> Configuration:
    """The configuration; files that are not there say nothing. `built_in` are the agents that need no table.

    Raises `UserError` with file, key and value.
    """
    agents: dict[str, AgentConfiguration] = {}
    peers: list[tuple[Path, str, str]] = []
    checks: tuple[str, ...] = ()
    update_hint = True
    files.check_private((home / USER_FILE).parent)
    for path in (home / USER_FILE, *((repository / REPOSITORY_FILE,) if repository else ())):
        document = _document(path)
        _refuse_unknown(path, "", document, _USER_LEVEL if path == home / USER_FILE else _TOP_LEVEL)
        update_hint = _switch(path, "update_hint", document.get("update_hint", update_hint))
        if "checks" in document:
            checks = _texts(path, "checks", document["checks"])
        tables = _table(path, "agents", document.get("agents", {}))
        for name, table in tables.items():
            key = f"agents.{name}"
            if sum(other.lower() == name.lower() for other in tables) > 1:
                _refuse(path, key, table, "another agent has this name in other letters")
            agent = _agent(path, key, name, table, built_in)
            agents[name.lower()] = agent
            peers.append((path, key, agent.peer))
    for path, key, peer in peers:
        if peer and peer not in agents and peer not in built_in:
            known = ", ".join(sorted({*agents, *built_in}))
            _refuse(path, f"{key}.peer", peer, f"unknown agent; known are {known}")
    return Configuration(agents=agents, checks=checks, update_hint=update_hint)


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(files.read_text(path))
    except MissingFileError:
        return {}
    except (BadFileError, OSError) as error:
        reason = error.reason if isinstance(error, BadFileError) else error
        raise UserError(f"{path}: cannot be read: {reason}") from error
    except (ValueError, RecursionError) as error:  # ValueError: also for a number of thousands of digits
        raise UserError(f"{path}: not a TOML file: {error}") from error


def _agent(path: Path, key: str, name: str, table: object, built_in: Collection[str]) -> AgentConfiguration:
    if not _NAME.fullmatch(name):
        _refuse(path, key, name, "a name is letters, digits, - and _, beginning with a letter or digit")
    if name.lower() in built_in:
        _refuse(path, key, name, "this agent is built in; choose another name")
    table_values = _table(path, key, table)
    _refuse_unknown(path, f"{key}.", table_values, _AGENT_KEYS)
    if "command" not in table_values:
        raise UserError(f'{path}: {key}: has no command; add e.g. command = ["{name}", "--acp"]')
    command = _texts(path, f"{key}.command", table_values["command"])
    if not command:
        _refuse(path, f"{key}.command", [], "give the program and its arguments")
    environment = _table(path, f"{key}.env", table_values.get("env", {}))
    for variable, value in environment.items():
        if not isinstance(value, str):  # it may be blank
            _refuse(path, f"{key}.env.{variable}", value, "a string is needed")
    values.environment(f"{path}: {key}.env.", environment)
    peer = _text(path, f"{key}.peer", table_values["peer"]) if "peer" in table_values else ""
    return AgentConfiguration(command=command, env=environment, peer=peer.lower())


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
