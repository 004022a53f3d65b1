"""`prompts`: the prompts that count here, and copies of the built-in ones to begin with."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import MORE, Invocation, Subcommand


def _prompts(invocation: Invocation) -> int:
    from shell.prompt_texts import show_or_copy

    return show_or_copy(invocation)


PROMPTS = Command(
    name="prompts",
    row=Subcommand(
        "prompts",
        "show the prompts, or copy the built-in ones",
        ("action", MORE),
        ("--json",),
        "loop prompts show [NAME] shows a prompt as it counts here; loop prompts list names all of them, with their "
        "placeholders, and where each comes from. loop prompts copy [NAME...] DIR writes the built-in ones to NAME.md "
        "in that directory, and overwrites nothing. A file counts once [prompts] in a configuration file names it.",
        ("show", "list", "copy"),
        shown="show [NAME] | list | copy [NAME...] DIR",
    ),
    once=_prompts,
)
