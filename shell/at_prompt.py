"""The commands of the loop> prompt, and their execution."""

from __future__ import annotations

from actors import values
from actors.errors import LoopError, UserError
from shell.commands.actors import ACTORS
from shell.commands.base import Command, Prompt
from shell.commands.change_actor import KILL, RESTART, START
from shell.commands.cost import COST
from shell.commands.diff import DIFF
from shell.commands.findings import FINDINGS, WAIVE
from shell.commands.followup import FOLLOWUP
from shell.commands.hosts import HOSTS
from shell.commands.inspect import INSPECT
from shell.commands.interrupt import INTERRUPT
from shell.commands.leave import DETACH, QUIT
from shell.commands.log import LOG
from shell.commands.mail import MAIL
from shell.commands.mailbox import MAILBOX
from shell.commands.pause import PAUSE
from shell.commands.place import PLACE
from shell.commands.restore import RESTORE
from shell.commands.resume import RESUME
from shell.commands.review import REVIEW
from shell.commands.runs import RUNS
from shell.commands.say import SAY
from shell.commands.status import STATUS
from shell.commands.steer import STEER
from shell.commands.stop import STOP
from shell.commands.trace import TRACE
from shell.commands.transcript import TRANSCRIPT
from shell.commands.verdict import APPROVE, REJECT
from shell.commands.verify import VERIFY


def _type_help(_prompt: Prompt, rest: str) -> str:
    """All commands, or one of them in full."""
    from shell import tables

    if not rest:
        rows = [[each.name, each.help.splitlines()[0]] for each in COMMANDS.values()]
        return "\n".join(tables.columns(rows))
    return help_of(rest)


def help_of(name: str) -> str:
    """The command's form, and what it does. Raises `UserError` for an unknown one."""
    found = COMMANDS.get(name.lower())
    if found is None:
        raise UserError(f"no command {name!r}: help lists them")
    body = "\n".join(f"  {line.strip()}".rstrip() for line in found.help.splitlines())
    return f"{found.usage}\n{body}"


HELP = Command(name="help", arguments="[COMMAND]", typed=_type_help, completes=("command",))

# In the order of `help`.
AT_PROMPT = (
    *(STATUS, ACTORS, HOSTS, RUNS, COST, MAILBOX, INSPECT, TRACE, LOG, TRANSCRIPT, MAIL),
    *(SAY, STEER, INTERRUPT, FOLLOWUP, REVIEW, FINDINGS, WAIVE, APPROVE, REJECT, DIFF, VERIFY, RESTORE),
    *(PAUSE, RESUME, STOP, RESTART, KILL, START, PLACE),
    *(DETACH, QUIT, HELP),
)

COMMANDS: dict[str, Command] = {each.name: each for each in AT_PROMPT}


def meant(word: str) -> str:
    """The command that a mistyped word resembles; "" = none."""
    return values.near(word.lower(), COMMANDS)


def execute(prompt: Prompt, line: str) -> str:
    """Runs a typed line and returns the text to print: the answer, or one line about an error."""
    name, _, rest = line.strip().removeprefix("/").partition(" ")
    try:
        found = COMMANDS.get(name.lower())
        if found is None or found.typed is None:
            raise UserError(f"unknown command {name!r}{values.meant(name.lower(), COMMANDS)}; help lists the commands")
        return found.typed(prompt, rest.strip())
    except LoopError as error:
        return f"error: {error}"
