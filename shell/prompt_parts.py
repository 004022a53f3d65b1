"""The parts of the loop> prompt that prompt_toolkit calls: keys, input, history, completion. All run in the prompt's
thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Protocol

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from actors.edges import environments, files
from actors.errors import BadFileError
from shell.at_prompt import COMMANDS
from supervisor.control.protocol import Report


class Known(Protocol):
    """What the completer can offer."""

    @property
    def report(self) -> Report | None:
        """The last report of the run."""

    def mail_ids(self) -> list[str]:
        """The ids of mail that a command can name."""


class RawInput(Vt100Input):
    """Keeps the terminal raw while text is printed above the prompt, and between two prompts.

    prompt_toolkit would restore the terminal meanwhile, for programs that read from it. Then Ctrl-C, which clears the
    typed line, would be a signal that ends the run, and Ctrl-D would be lost.
    """

    def cooked_mode(self) -> AbstractContextManager[None]:
        """Keeps the raw mode."""
        return nullcontext()


class History(FileHistory):
    """The history of all prompts on this machine. A line that begins with a blank is not kept.

    A full disk must not end the prompt.
    """

    def store_string(self, string: str) -> None:
        """See `FileHistory`."""
        if not string.startswith(" "):
            with suppress(OSError):
                super().store_string(string)


def history_file() -> Path:
    """The path of the history, created for the user alone if it is missing."""
    path = environments.home() / ".loop" / "history"
    with suppress(OSError, BadFileError):
        files.make_private(path.parent)
        os.close(files.open_own(path))
    return path


def key_bindings() -> KeyBindings:
    """Ctrl-C: see `_interrupt`."""
    keys = KeyBindings()

    @keys.add("c-c")
    def _interrupt(event: KeyPressEvent) -> None:
        """Clears the typed line; at an empty prompt, interrupts the run."""
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return keys


class CommandCompleter(Completer):
    """Completes commands, actors, agents, hosts, ids of mail."""

    def __init__(self, known: Known) -> None:
        self._known = known

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:  # noqa: ARG002
        """Offers commands, and after a command its arguments."""
        *before, word = document.text_before_cursor.removeprefix("/").split(" ")
        if not before:
            return self._matching(COMMANDS, word)
        found = COMMANDS.get(before[0])
        place = len(before) - 1
        if found is None or place >= len(found.completes):
            return []
        return self._matching(self._values(found.completes[place]), word)

    def _values(self, kinds: str) -> Iterator[str]:
        report = self._known.report
        for kind in kinds.split("|"):
            match kind:
                case "actor":
                    yield from (actor.name for actor in report.actors) if report else ()
                case "agent":
                    yield from (agent.label for agent in report.agents) if report else ()
                case "command":
                    yield from COMMANDS
                case "host":
                    yield from (host.name for host in report.hosts) if report else ()
                case "mail":
                    yield from self._known.mail_ids()
                case _:
                    yield kind

    @staticmethod
    def _matching(values: Iterable[str], word: str) -> list[Completion]:
        return [Completion(value, -len(word)) for value in values if value.startswith(word)]
