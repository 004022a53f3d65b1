"""What a command is: its form at the loop> prompt, its form after `loop`, and its function for each.

This module and the tops of the commands' modules import nothing heavy, as `loop --help` needs all of them. A command
imports in its function what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from actors.errors import UserError
from shell.commands.grammar import Invocation, Subcommand

if TYPE_CHECKING:
    from supervisor.control.protocol import AnyAnswer, Request


class Prompt(Protocol):
    """What a command may use of its prompt."""

    directory: Path
    own: bool  # the run's own terminal: leaving it ends the run

    def ask(self, request: Request) -> AnyAnswer:
        """Asks the run. Raises `LoopError`."""

    def leave(self) -> None:
        """Ends the prompt; the run continues."""

    def start(self, name: str, command: Sequence[str]) -> str:
        """Runs the program beside the prompt, which shows what it prints. Returns what is to be said at once. Raises
        `OperationalError`.
        """


class Command(NamedTuple):
    """One command, at the prompt, after `loop`, or both. Both functions raise `LoopError` with one line.

    `typed` gets the words after the name at the prompt, and returns the text to print. It runs in the prompt's command
    thread, so it may wait for the run. Its docstring is its help. `completes`: the candidates of each place after the
    name, separated by "|": "actor", "agent", "command", "host", "mail", or the words themselves.

    `row` is the grammar of `loop NAME`. `once` prints the answer and returns an exit status; a run that is not running
    is shown from its files, and orders to it are refused with the command that resumes it. With --json it prints one
    object (`logs`: one per line). None: `shell.cli` carries the command out.
    """

    name: str
    arguments: str = ""
    typed: Callable[[Prompt, str], str] | None = None
    completes: tuple[str, ...] = ()
    row: Subcommand | None = None
    once: Callable[[Invocation], int] | None = None

    @property
    def usage(self) -> str:
        """The command's form at the prompt."""
        return f"{self.name} {self.arguments}".rstrip()

    @property
    def help(self) -> str:
        """The command's help at the prompt."""
        return (self.typed.__doc__ or "").strip()


def needed(text: str, usage: str) -> str:
    """Returns the text. Raises `UserError` when it is blank."""
    if not text.strip():
        raise UserError(f"{usage.partition(' ')[0]} needs an argument: {usage}")
    return text.strip()


def words_of(rest: str, usage: str, least: int, most: int) -> list[str]:
    """Splits `rest` into `least` to `most` words, padded with "" to `most`. Raises `UserError`."""
    words = rest.split()
    if not least <= len(words) <= most:
        raise UserError(f"{usage.partition(' ')[0]} has the wrong number of arguments: {usage}")
    return [*words, *([""] * (most - len(words)))]


Action = Literal["pause", "pause-now", "stop", "stop-now"]


def now_or_later(rest: str, later: Action, now: Action) -> Action:
    """The action of a typed "" or `now`. Raises `UserError` for anything else."""
    if rest not in ("", "now"):
        raise UserError(f"{later} takes now or nothing, not {rest!r}")
    return now if rest else later
