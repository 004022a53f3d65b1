"""`log` at the prompt, `logs` on the command line: what a run logged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from actors.errors import UserError
from shell import output
from shell.commands.base import Command, Prompt
from shell.commands.grammar import Invocation, Subcommand

if TYPE_CHECKING:
    from shell.log_lines import LogRecord

LOOK_AGAIN_S = 0.2  # a log file sends no event when it grows
SHOWN = 20  # lines of a log


def _show_json(record: LogRecord) -> None:
    output.say_json(record)


def _show_plain(record: LogRecord) -> None:
    from shell import log_lines

    output.say(log_lines.plain(record))


def _until_next_look() -> None:
    """Waits until the next look at the file. Raises `BrokenPipeError` as soon as the reader of our output is gone, not
    only at the next printed line.
    """
    import select
    import sys

    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)  # errors and the other side's end are reported in any case
    if watch.poll(LOOK_AGAIN_S * 1_000):
        raise BrokenPipeError


def _type_log(prompt: Prompt, rest: str) -> str:
    """The last lines of the run's log, or of one actor's part of it."""
    from shell import log_lines, run_files
    from shell.run_log import last_records

    loggers = (*run_files.ACTORS, "root")
    if rest not in ("", *loggers):
        raise UserError(f"no actor {rest!r}: there are {', '.join(loggers)}")
    found = last_records(prompt.directory, SHOWN, lambda each: not rest or log_lines.is_of(each, rest))
    return "\n".join(log_lines.plain(each) for each in found) or f"{rest or 'the run'} has logged nothing"


def _logs(invocation: Invocation) -> int:
    from shell import run_files
    from shell.run_log import read_log

    found = run_files.choose(invocation.run, running=False)
    show: Callable[[LogRecord], None] = _show_json if invocation.json else _show_plain
    for record in read_log(found.directory, follow=invocation.follow, pause=_until_next_look):
        show(record)
    return 0


LOG = Command(name="log", arguments="[ACTOR]", typed=_type_log, completes=("actor|root",))
LOGS = Command(
    name="logs",
    row=Subcommand("logs", "show the log of a run; -f follows it", flags=("--follow", "--json")),
    once=_logs,
)
