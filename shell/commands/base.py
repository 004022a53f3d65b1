"""What a command is: how it is typed at the loop> prompt, how after `loop`, and what it does there.

Nothing heavy is imported here or at the top of a command's module, as `loop --help` needs all of them: what a command
needs it imports itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from actors.errors import UserError
from shell.commands.grammar import Errand, Subcommand

if TYPE_CHECKING:
    from supervisor.control.protocol import AnyAnswer, Request


class Prompt(Protocol):
    """What a command knows of the prompt that it was typed at."""

    directory: Path
    own: bool  # the run's own terminal: it cannot be left without ending the run

    def ask(self, request: Request) -> AnyAnswer:
        """Asks the run. Raises `LoopError`."""

    def leave(self) -> None:
        """Ends the prompt; the run goes on."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """One command, at the prompt, after `loop`, or both. Both functions raise `LoopError`, in one line.

    `typed` gets what was typed after the name at the prompt, and returns what is to be printed. It runs in the prompt's
    command thread, so it may wait for the run. Its docstring is its help. `completes`: for each place after the name,
    what can be there, separated by "|": "actor", "agent", "command", "mail", or the words themselves.

    `row` is the grammar of `loop NAME`. `once` prints the answer and returns an exit status; a run that is not running
    is shown from its files, and orders to it are refused with the way to resume it. With --json one object is printed
    (`logs`: one per line). None: `shell.cli` calls what does it.
    """

    name: str
    arguments: str = ""
    typed: Callable[[Prompt, str], str] | None = None
    completes: tuple[str, ...] = ()
    row: Subcommand | None = None
    once: Callable[[Errand], int] | None = None

    @property
    def usage(self) -> str:
        """As it is typed at the prompt."""
        return f"{self.name} {self.arguments}".rstrip()

    @property
    def help(self) -> str:
        """Of the command at the prompt."""
        return (self.typed.__doc__ or "").strip()


def needed(text: str, usage: str) -> str:
    """The text, which must not be blank. Raises `UserError`."""
    if not text.strip():
        raise UserError(f"{usage.partition(' ')[0]} needs an argument: {usage}")
    return text.strip()


def words_of(rest: str, usage: str, least: int, most: int) -> list[str]:
    """So many words, blank ones at the end. Raises `UserError`."""
    words = rest.split()
    if not least <= len(words) <= most:
        raise UserError(f"{usage.partition(' ')[0]} has the wrong number of arguments: {usage}")
    return [*words, *([""] * (most - len(words)))]


Action = Literal["pause", "pause-now", "stop", "stop-now"]


def now_or_later(rest: str, later: Action, now: Action) -> Action:
    """What was typed: nothing, or `now`. Raises `UserError`."""
    if rest not in ("", "now"):
        raise UserError(f"{later} takes now or nothing, not {rest!r}")
    return now if rest else later
