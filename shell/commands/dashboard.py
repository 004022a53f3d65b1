"""`dashboard`: all runs, live."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Errand, Subcommand


def _dashboard(errand: Errand) -> int:
    from shell.dashboard import dashboard

    return dashboard(errand)


DASHBOARD = Command(
    name="dashboard",
    row=Subcommand(
        "dashboard",
        "all runs, agents and tmux sessions, live",
        (),
        ("--once", "--json", "--web", "--port"),
        "The runs of all repositories: choose one to see its actors, transcript and mail, and to open its console. "
        "--once prints it, as it does by itself where there is no terminal; --json prints all that is known as one "
        "object. --web serves it to a browser on this machine (on port N, else on any that is free) at an address "
        "that holds a secret: whoever has it sees everything.",
    ),
    once=_dashboard,
)
