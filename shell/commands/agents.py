"""`agents`: the agents that a run can use."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import MORE, Invocation, Subcommand


def _agents(invocation: Invocation) -> int:
    from shell.agents import run_agents

    return run_agents(invocation)


AGENTS = Command(
    name="agents",
    row=Subcommand(
        "agents",
        "list the agents that a run can use; add one",
        (MORE,),
        ("--json",),
        "Actions: list (the default); update, which asks the public registry of the Agent Client Protocol; "
        "add NAME, which writes a known agent to ~/.loop/config.toml. A known agent whose program is on your "
        "PATH needs no configuration: loop --agent gemini.",
        shown="[list | update | add NAME]",
    ),
    once=_agents,
)
