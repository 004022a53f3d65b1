"""`doctor`: checks the environment. `shell.doctor` does it, also where a package is another project's."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import Subcommand

DOCTOR = Command(
    name="doctor",
    row=Subcommand(
        "doctor",
        "what a run needs and is not here, and what to do",
        (),
        ("--fix", "--json"),
        "Looks at agents and their logins, tools, directories, sockets and ports, the configuration, and at what "
        "dead runs have left behind: it asks on a terminal whether to clean that up, --fix does it. Exit status "
        "0: a run could start here.",
    ),
)
