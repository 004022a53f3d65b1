"""`loop prompts`: shows the prompts that count here, and writes the built-in ones as files. Starts no run."""

from __future__ import annotations

import os
from pathlib import Path

from actors import values
from actors.adapters import BUILT_IN_NAMES
from actors.edges import environments, trust
from actors.edges.configuration import Configuration
from actors.errors import UserError
from actors.machines.prompt_templates import TEMPLATES
from actors.setting_rows.prompts import WHAT
from actors.settings_layers import Sourced, merge
from shell import output
from shell.commands.grammar import Invocation

_USAGE = "loop prompts show [NAME] | list | copy [NAME...] DIR"


def show_or_copy(invocation: Invocation) -> int:
    """Runs `loop prompts` and returns an exit status. Raises `UserError` in one line."""
    words = invocation.text.split(" ") if invocation.text else []
    match action := invocation.action.lower():
        case "show" | "list" if len(words) <= (action == "show"):
            configuration = trust.read_trusted(environments.home(), Path.cwd(), BUILT_IN_NAMES)
            if words:
                _show(_known(words[0]), configuration, as_json=invocation.json)
            else:
                _list(configuration, as_json=invocation.json)
        case "copy" if words:
            names = []
            while len(words) > 1 and words[0] in TEMPLATES:
                names.append(words.pop(0))
            if len(words) > 1 and os.sep not in words[0]:  # a directory with a blank in its name begins as a path
                _known(words[0])
            _copy(names or list(TEMPLATES), Path(" ".join(words)))
        case "copy":
            raise UserError(f"loop prompts copy needs a directory: {_USAGE}")
        case _:
            typed = f"{invocation.action} {invocation.text}".strip()
            raise UserError(f"loop prompts takes show, list or copy, not {typed!r}: {_USAGE}")
    return os.EX_OK


def _known(name: str) -> str:
    if name not in TEMPLATES:
        raise UserError(
            f"unknown prompt {name!r}{values.meant(name, TEMPLATES)}; the prompts are {', '.join(TEMPLATES)}"
        )
    return name


def _origin(name: str, configuration: Configuration) -> str:
    source: Sourced = merge(configuration.user, configuration.repository).sources(f"prompt_{name}")[-1]
    return str(Path(source.path).parent / str(source.value)) if source.path else "built in"


def _show(name: str, configuration: Configuration, *, as_json: bool) -> None:
    text = configuration.prompts.get(name) or TEMPLATES[name].text
    if as_json:
        places = dict(TEMPLATES[name].placeholders)
        facts = {"name": name, "origin": _origin(name, configuration), "text": text, "placeholders": places}
        output.say_json({**facts, "needs": list(TEMPLATES[name].needs)})
    else:
        output.say_lines(text.rstrip("\n").split("\n"))


def _list(configuration: Configuration, *, as_json: bool) -> None:
    origins = {name: _origin(name, configuration) for name in TEMPLATES}
    if as_json:
        output.say_json({name: {"origin": origin, "what": WHAT[name]} for name, origin in origins.items()})
        return
    for name, origin in origins.items():
        output.say_lines([f"{name:<13} {WHAT[name]} ({origin})"])
        output.say_lines([f"{'':<13}   {{{place}}}: {what}" for place, what in TEMPLATES[name].placeholders.items()])


def _copy(names: list[str], directory: Path) -> None:
    paths = {name: directory / f"{name}.md" for name in names}
    for path in paths.values():
        if os.path.lexists(path):
            raise UserError(f"{path} is there already, and nothing is overwritten: give another directory")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, path in paths.items():
            with path.open("x", encoding="utf-8") as file:
                file.write(TEMPLATES[name].text + "\n")
    except OSError as error:
        raise UserError(f"{error.filename or directory}: {(error.strerror or str(error)).lower()}") from error
    output.say_lines([f"{path}: the prompt that {WHAT[name]}" for name, path in paths.items()])
    output.say('a file counts once a configuration file names it: [prompts], e.g. work = "prompts/work.md"')
