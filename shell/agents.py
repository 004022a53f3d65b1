"""`loop agents`: the agents that a run can use here, the other known ones, and how to add one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

from actors.adapters import BUILT_IN_NAMES, WORKING_NAMES
from actors.edges import agent_registry, environments, files, trust
from actors.edges.agent_registry import Registry
from actors.edges.config_file import USER_FILE
from actors.edges.configuration import read_configuration
from actors.errors import MissingFileError, UserError
from shell import imports, output
from shell.checkups import Place
from shell.checkups import agent as check_agent
from shell.commands.grammar import Invocation
from shell.known_agents import command_of, how_to_install, installed, started

ACTIONS = ("list", "update", "add")


class Row(NamedTuple):
    """One agent. `state`: ready, installed but not ready, or known but not installed; `text` gives the reason or the
    remedy.
    """

    name: str
    state: Literal["ready", "not ready", "not installed"]
    text: str


def run_agents(invocation: Invocation) -> int:
    """Runs `loop agents` and returns an exit status. Raises `LoopError`."""
    action, *names = invocation.text.split() or ["list"]
    home = environments.home()
    if action not in ACTIONS:
        raise UserError(
            f"loop agents has no {action!r}, only {', '.join(ACTIONS)}; "
            'a task that begins with this word is put in quotes: loop "agents ..."'
        )
    if action == "add" and len(names) != 1:
        raise UserError("loop agents add takes the name of one agent; loop agents lists them")
    if action != "add" and names:
        raise UserError(f"loop agents {action} takes no further words, but got {' '.join(names)!r}")
    if action == "update":
        registry = agent_registry.fetch(home)
        output.say(f"{len(registry.agents)} agents are known, as of {registry.date}")
        return os.EX_OK
    if action == "add":
        output.say(add(names[0], home, environments.handed_on()))
        return os.EX_OK
    return _list(invocation, home)


def add(name: str, home: Path, environment: Mapping[str, str]) -> str:
    """Adds the known agent to the user's configuration; returns what was written, for the user. Raises `UserError`."""
    known = agent_registry.read(home).find(name)
    key = name.lower()
    if key in BUILT_IN_NAMES:
        raise UserError(f"{key} is built in: loop --agent {key}")
    if known is None:
        raise UserError(f"{name!r} is not a known agent: loop agents lists them, loop agents update asks the registry")
    if key in read_configuration(home, None, BUILT_IN_NAMES).agents:
        raise UserError(f"{key} is configured already: see [agents.{key}] in {home / USER_FILE}")
    lines = [f"[agents.{key}]", f"command = {_toml(command_of(known, environment.get('PATH')))}"]
    if known.env:
        pairs = ", ".join(f"{json.dumps(variable)} = {json.dumps(value)}" for variable, value in known.env.items())
        lines.append(f"env = {{ {pairs} }}")
    table = "\n".join(lines) + "\n"
    path = home / USER_FILE
    try:
        before = files.read_text(path)
    except MissingFileError:
        before = ""
    files.make_private(path.parent)
    gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    files.replace(path, f"{before}{gap}{table}".encode())
    hint = f"; log in with: {known.login}" if known.login else ""
    return f"added to {path}:\n{table}use it with: loop --agent {key}{hint}"


def _toml(words: Sequence[str]) -> str:
    return f"[{', '.join(json.dumps(word) for word in words)}]"  # JSON's strings are TOML's as well


def _list(invocation: Invocation, home: Path) -> int:
    cwd = Path.cwd()
    environment = environments.handed_on()
    path = environment.get("PATH")
    registry = agent_registry.read(home)
    configuration = trust.read_trusted(home, cwd, BUILT_IN_NAMES)
    here = [known for known in registry.agents if installed(known, path)]
    given = {*BUILT_IN_NAMES, *configuration.agents}
    known_ones = {known.id: started(known.id, known, path) for known in here if known.id not in given}
    complete = {**configuration.agents, **known_ones}
    names = [*sorted(WORKING_NAMES), *complete]
    place = Place(home, cwd, environment, complete)
    imports.load(imports.OF_CHECKUPS, names)
    with ThreadPoolExecutor(len(names)) as pool:
        rows = list(pool.map(lambda name: _row(name, place), names))
    rows += _others(registry, names, {known.id for known in here})
    if invocation.json:
        output.say_json_text(json.dumps({"as_of": registry.date, "agents": [row._asdict() for row in rows]}, indent=2))
        return os.EX_OK
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        output.say(f"{row.name:<{widths[0]}}  {row.state:<{widths[1]}}  {row.text}")
    output.say(f"known agents as of {registry.date}; loop agents update asks the public registry")
    return os.EX_OK


def _row(name: str, place: Place) -> Row:
    finding = next(iter(check_agent(name)(place)))
    return Row(name, "ready" if finding.level == "ok" else "not ready", finding.text)


def _others(registry: Registry, names: Sequence[str], here: set[str]) -> list[Row]:
    return [
        Row(known.id, "not installed", how_to_install(known))
        for known in registry.agents
        if known.id not in here and known.id not in names
    ]
