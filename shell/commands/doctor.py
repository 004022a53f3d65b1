"""`doctor`: checks the environment. `shell.doctor` does it, also where a package is another project's."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Subcommand

DOCTOR = Command(
    name="doctor",
    row=Subcommand(
        "doctor",
        "check the environment and suggest fixes",
        (),
        ("--fix", "--json"),
        "Checks agents and their logins, tools, directories, sockets, ports, the configuration, and what dead "
        "runs left behind. On a terminal it asks whether to clean that up; --fix cleans up without asking. "
        "Exit status 0: a run could start here.",
    ),
)
