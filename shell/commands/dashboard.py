"""`dashboard`: all runs, live."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Invocation, Subcommand


def _dashboard(invocation: Invocation) -> int:
    from shell.dashboard import dashboard

    return dashboard(invocation)


DASHBOARD = Command(
    name="dashboard",
    row=Subcommand(
        "dashboard",
        "show all runs, agents and tmux sessions, live",
        (),
        ("--once", "--json", "--web", "--port"),
        "The runs of all repositories: choose one to see its actors, transcript and mail, and to open its "
        "console. --once prints them, which is also what happens without a terminal. --json prints all that "
        "is known, as one object. --web serves them to a browser on this machine, on port N or on any free "
        "one. The address holds a secret: anyone who has it can see everything.",
    ),
    once=_dashboard,
)
