"""Parses the subcommands, such as `loop status`, and their arguments. Pure.

A word is looked at before any run is: what is wrong with it alone is said first, whatever the run would say.

Their options come after them. A word that only resembles a subcommand is questioned: otherwise it would be a task, and
agents would work on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from actors import values
from actors.errors import UserError
from shell.commands.grammar import MORE, NUMBERS, OPTIONAL, TEXT, Invocation, Subcommand, checkpoint_number
from shell.one_shot import ONE_SHOT

MOST_RUNS = 1_000
_SHORT = {"-f": "--follow"}

SUBCOMMANDS: dict[str, Subcommand] = {each.name: each.row for each in ONE_SHOT if each.row is not None}


def parse_subcommand(name: str, arguments: Sequence[str]) -> Invocation:
    """Parses the arguments of subcommand `name`. Raises `UserError` with one line for the first error."""
    command = SUBCOMMANDS[name]
    invocation = Invocation(name=name)
    words: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        flag, has_value, value = word.partition("=")
        flag = _SHORT.get(flag, flag)
        if word == "--":
            words += rest
            break
        if not word.startswith("-") or word == "-":
            words.append(word)
        elif flag not in command.flags and not (flag == "--run" and "run" in command.takes):
            raise UserError(f"loop {name} has no option {word!r}: {command.usage}")
        elif flag in _TAKE_VALUE:
            if not has_value and not rest:
                raise UserError(f"{flag} needs a value: {command.usage}")
            invocation = _TAKE_VALUE[flag](invocation, value if has_value else rest.pop(0))
        elif has_value:
            raise UserError(f"{flag} takes no value, but got {value!r}")
        else:
            field = flag.removeprefix("--").replace("-", "_")
            set_flag: dict[str, Any] = {field: True}
            invocation = invocation._replace(**set_flag)
    _check_dashboard(invocation)
    if invocation.show and invocation.revoke:
        raise UserError("--show and --revoke exclude each other: give one of them")
    return _with_words(command, invocation, words)


def _with_words(command: Subcommand, invocation: Invocation, words: list[str]) -> Invocation:
    given: dict[str, Any] = {}
    for name in command.takes:
        if name in (TEXT, MORE):
            given["text"], words = " ".join(words).strip(), []
        elif words:
            word = words.pop(0)
            given[name] = checkpoint_number(name, word, command.usage) if name in NUMBERS else word
        if name not in (*OPTIONAL, MORE) and not given.get("text" if name == TEXT else name):
            what = f"{name.upper()}, one of {', '.join(command.actions)}" if name == "action" else name.upper()
            raise UserError(f"loop {command.name} needs {what}: {command.usage}")
    if words:
        raise UserError(no_further_words(command, " ".join(words)))
    if command.actions and given["action"].lower() not in command.actions:
        near = values.meant(given["action"], command.actions)
        raise UserError(
            f"loop {command.name} has no {given['action']!r}{near}, only {', '.join(command.actions)}; "
            f"{_in_quotes(command)}"
        )
    return invocation._replace(**given)


def no_further_words(command: Subcommand, words: str) -> str:
    """The refusal of words that the command does not take."""
    return f"loop {command.name} takes no further words, but got {words!r}: {command.usage}; {_in_quotes(command)}"


def _in_quotes(command: Subcommand) -> str:
    return f'a task that begins with this word is put in quotes: loop "{command.name} ..."'


def _check_dashboard(invocation: Invocation) -> None:
    if invocation.web and (invocation.once or invocation.json):
        raise UserError(f"--web and {'--once' if invocation.once else '--json'} exclude each other: give one of them")
    if invocation.port and not invocation.web:
        raise UserError(f"--port {invocation.port} is for --web: loop dashboard --web --port {invocation.port}")


def _port(invocation: Invocation, value: str) -> Invocation:
    return invocation._replace(port=values.whole_number("--port", value, least=1, most=65_535, says_most=True))


def _max_runs(invocation: Invocation, value: str) -> Invocation:
    return invocation._replace(max_runs=values.whole_number("--max-runs", value, least=1, most=MOST_RUNS))


def _log_format(invocation: Invocation, value: str) -> Invocation:
    if value not in ("text", "json"):
        raise UserError(f"--log-format takes one of text, json, not {value!r}")
    return invocation._replace(log_format=value)


_TAKE_VALUE: dict[str, Callable[[Invocation, str], Invocation]] = {
    "--run": lambda invocation, value: invocation._replace(run=value),
    "--max-runs": _max_runs,
    "--log-format": _log_format,
    "--port": _port,
    "--key": lambda invocation, value: invocation._replace(key=value),
}


def meant_subcommand(word: str) -> str:
    """The subcommand that a one-word prompt resembles; "" = none."""
    return values.near(word.lower(), [*SUBCOMMANDS, "upgrade"], cutoff=0.75)
