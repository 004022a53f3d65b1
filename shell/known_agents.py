"""Known agents (actors/edges/agent_registry) on this machine: which are installed, and how each starts.

A known agent whose program is on PATH needs no configuration: `--agent gemini` uses it (shell/pairing). Looks at PATH;
starts nothing.
"""

from __future__ import annotations

import shutil

from actors.edges.agent_registry import KnownAgent
from actors.edges.agent_tables import AgentConfiguration
from actors.errors import UserError


def started(name: str, known: KnownAgent, path: str | None) -> AgentConfiguration:
    """How the agent of this name starts, by its own program on `path`. Raises `UserError` for none."""
    program = installed(known, path)
    if program is None:
        raise UserError(f"{name} is not installed: {how_to_install(known)}")
    return AgentConfiguration(command=(program, *known.args), env=known.env)


def installed(known: KnownAgent, path: str | None) -> str | None:
    """The program on PATH that starts the agent; None when it is not installed."""
    return next((program for program in known.programs if shutil.which(program, path=path)), None)


def how_to_install(known: KnownAgent) -> str:
    """One line that tells the user how to install the agent."""
    if known.npx:
        package = known.npx.rpartition("@")[0] or known.npx
        return f"npm install -g {package}; or: loop agents add {known.id}, which starts it with npx"
    if known.uvx:
        package = known.uvx.partition("==")[0]
        return f"uv tool install {package}; or: loop agents add {known.id}, which starts it with uvx"
    return f"see the site of {known.name or known.id}, and have {known.programs[0]} on your PATH"


def command_of(known: KnownAgent, path: str | None) -> tuple[str, ...]:
    """The command that starts the agent here: its own program, else npx or uvx. Raises `UserError` for none."""
    program = installed(known, path)
    if program is not None:
        return (program, *known.args)
    if known.npx and shutil.which("npx", path=path):
        return ("npx", "-y", known.npx, *known.args)
    if known.uvx and shutil.which("uvx", path=path):
        start = ("--from", known.uvx, known.uvx_program) if known.uvx_program else (known.uvx,)
        return ("uvx", *start, *known.args)
    raise UserError(f"{known.id} cannot be started here: {how_to_install(known).partition('; or')[0]}")
