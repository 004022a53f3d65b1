"""Any coding agent that speaks the Agent Client Protocol: the door to its adapter (acp_agent.py).

Imports nothing of the protocol's package: that takes 0.6 s of CPU, and it may not be installed. The package is
imported when an adapter is made, in the process that drives the agent.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec

from actors.adapters.base import Agent, AgentSettings, EventSink
from actors.errors import AgentUnavailableError


def factory(settings: AgentSettings, sink: EventSink) -> Agent:
    """An adapter for the program `settings.command`. Raises what `preflight` raises."""
    preflight(settings)
    from actors.adapters.acp_agent import AcpAgent

    return AcpAgent(settings, sink)


def preflight(settings: AgentSettings) -> None:
    """Raises `AgentUnavailableError` when the agent's program or the protocol's package is missing. Starts nothing."""
    if not settings.command:
        raise AgentUnavailableError(f"agent {settings.name!r} has no command: set it in [agents.{settings.name}]")
    program = settings.command[0]
    path = str(settings.cwd / program) if "/" in program else program
    if shutil.which(path, path=settings.environment.get("PATH", "")) is None:
        raise AgentUnavailableError(
            f"agent {settings.name!r}: program {program!r} was not found: install it, "
            f"or correct `command` in [agents.{settings.name}]"
        )
    if find_spec("acp") is None:
        raise AgentUnavailableError(
            f"agent {settings.name!r} needs the Python package agent-client-protocol: pip install 'pairloop[acp]'"
        )
