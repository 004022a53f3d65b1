"""The embedded agent's adapter: the ACP adapter with our own program. Runs in the session's asyncio thread."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

from actors.adapters import acp
from actors.adapters.base import Agent, AgentSettings, EventSink
from actors.embedded.scenario_file import SHIPPED, load_scenario
from actors.errors import AgentUnavailableError, ProtocolError, UserError
from actors.settings import Role

SCENARIO_VARIABLE = "LOOP_EMBEDDED_SCENARIO"
DEFAULT_SCENARIO = SHIPPED / "demo.toml"


def factory(settings: AgentSettings, sink: EventSink) -> Agent:
    """An adapter for the embedded agent. `settings.options["role"]`: the role whose rules it plays."""
    role = settings.options.get("role")
    if role not in get_args(Role):
        raise ProtocolError(f"the embedded agent was given the role {role!r}: one of {get_args(Role)} is needed")
    return acp.factory(_with_command(settings, str(role)), sink)


def preflight(settings: AgentSettings) -> None:
    """Raises `AgentUnavailableError` when the scenario cannot be played."""
    acp.preflight(_with_command(settings, "worker"))
    try:
        load_scenario(scenario_path(settings))
    except UserError as error:
        hint = f"set {SCENARIO_VARIABLE} to the path of a scenario file"
        raise AgentUnavailableError(f"agent {settings.name!r}: {error}; {hint}") from error


def program_of(settings: AgentSettings) -> Path:
    """The Python that plays it."""
    return acp.program_of(_with_command(settings, "worker"))


def scenario_path(settings: AgentSettings) -> Path:
    """The scenario to play: the option's, else the environment's, else the shipped one."""
    given = settings.options.get("scenario") or settings.environment.get(SCENARIO_VARIABLE)
    return settings.cwd / str(given) if given else DEFAULT_SCENARIO


def _with_command(settings: AgentSettings, role: str) -> AgentSettings:
    # -P: the working directory is a foreign repository, and its modules must not shadow ours.
    program = (sys.executable, "-P", "-m", "actors.embedded.agent")
    return replace(settings, command=(*program, "--scenario", str(scenario_path(settings)), "--role", role))
