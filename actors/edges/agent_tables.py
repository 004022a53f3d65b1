"""The tables `[agents.NAME]` of a configuration file. Reads no file; raises `UserError` with the place of a mistake."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from actors import values
from actors.edges.config_file import USER_FILE, ConfigFile, Text, converted, refuse
from actors.errors import UserError
from actors.settings_layers import Sourced

_TEXTS = ("peer", "model", "reviewer_model", "effort", "mode")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class AgentConfiguration(msgspec.Struct, frozen=True, kw_only=True):
    """One table `[agents.NAME]`; a missing value is "". `command` is empty for a built-in agent. `peer` is in lower
    case.
    """

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    accounts: tuple[dict[str, str], ...] = ()
    peer: str = ""
    model: str = ""
    reviewer_model: str = ""
    effort: str = ""
    mode: str = ""


class _AgentTable(msgspec.Struct, forbid_unknown_fields=True):
    command: tuple[Text, ...] = ()
    env: dict[str, str] = {}
    peer: Text | UnsetType = UNSET
    model: Text | UnsetType = UNSET
    reviewer_model: Text | UnsetType = UNSET
    effort: Text | UnsetType = UNSET
    mode: Text | UnsetType = UNSET
    accounts: tuple[dict[str, str], ...] = ()


def agent_of(
    file: ConfigFile, name: str, table: dict[str, Any], built_in: Collection[str], users: Collection[str] = ()
) -> AgentConfiguration:
    """The checked table. `built_in`: agents that have no command of their own here. `users`: agents of the user's file,
    in lower case, whose command need not be repeated.
    """
    key = ("agents", name)
    if not _NAME.fullmatch(name):
        refuse(file, key, name, "a name is letters, digits, - and _, beginning with a letter or digit")
    found = converted(file, key, table, _AgentTable)
    is_built_in = name.lower() in built_in
    if is_built_in and "command" in table:
        refuse(file, (*key, "command"), table["command"], "this agent is built in: leave it out, or rename it")
    if is_built_in and "mode" in table:
        refuse(file, (*key, "mode"), table["mode"], "this agent is built in, and works unattended: leave it out")
    has_command = is_built_in or name.lower() in users
    if not has_command and "command" not in table:
        raise UserError(f'{file.place(*key)}: agents.{name}: has no command; add e.g. command = ["{name}", "--acp"]')
    if not found.command and (not has_command or "command" in table):
        refuse(file, (*key, "command"), [], "give the program and its arguments")
    place = f"{file.place(*key)}: agents.{name}."
    for number, word in enumerate(found.command):
        values.text(f"{place}command[{number}]", word)
    values.environment(f"{place}env.", found.env)
    accounts = tuple(_account(file, (*key, f"accounts[{n}]"), each) for n, each in enumerate(found.accounts))
    if accounts and not is_built_in:
        refuse(file, (*key, "accounts"), name, "only claude and codex can change accounts: leave it out")
    texts = {
        word: values.text(f"{place}{word}", text) for word in _TEXTS if (text := getattr(found, word)) is not UNSET
    }
    if "peer" in texts:
        texts["peer"] = texts["peer"].lower()
    return AgentConfiguration(command=found.command, env=found.env, accounts=accounts, **texts)


def merged(users: AgentConfiguration | None, own: AgentConfiguration) -> AgentConfiguration:
    """The user's table with the keys of the repository's in their place; of the environment, variable by variable.

    With a command of its own it is another agent: only the accounts stay, which a repository cannot set.
    """
    if users is None or own.command:
        return own if users is None else msgspec.structs.replace(own, accounts=users.accounts)
    texts = {key: value for key in _TEXTS if (value := getattr(own, key))}
    return msgspec.structs.replace(users, env={**users.env, **own.env}, **texts)


def merged_keys(users: Iterable[Sourced], own: Sequence[Sourced]) -> tuple[Sourced, ...]:
    """The keys of both files that count, as `merged` has them. An environment has those of both."""
    names = {each.name for each in own}
    stay = (
        each
        for each in users
        if each.name.endswith(".accounts")
        or (
            f"{each.name.rpartition('.')[0]}.command" not in names
            and (each.name not in names or each.name.endswith(".env"))
        )
    )
    return (*stay, *own)


def _account(file: ConfigFile, key: tuple[str, ...], variables: dict[str, str]) -> dict[str, str]:
    """The variables of one account; a leading `~/` is the home directory, since no shell reads them."""
    if file.origin == "repository configuration":
        refuse(file, key, list(variables), f"accounts are the user's to set, in ~/{USER_FILE}: leave them out")
    values.environment(f"{file.place(*key[:-1], 'accounts')}: {'.'.join(key)}.", variables)
    home = file.path.parent.parent
    return {name: str(home / value[2:]) if value.startswith("~/") else value for name, value in variables.items()}
