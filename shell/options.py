"""The command line: turns words into options, by the rows of `actors.settings_table`. Pure: no file, no environment.

`parse` returns only typed values; `actors.settings_layers` adds the defaults. argparse is not used: it cannot express
an option that takes the next word only when it is one of three. It also costs more than half of the time of `loop
--help`. Dataclasses import `inspect`, which costs a fifth of it, and are not used either.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from actors import values
from actors.errors import UserError
from actors.setting_rows.row import GROUPS, Setting
from actors.setting_values import Value
from actors.settings_layers import Sourced
from actors.settings_table import BY_FLAG, SETTINGS, TABLE
from shell.commands.grammar import AT_PROMPT_ALONE, Invocation
from shell.subcommands import SUBCOMMANDS, meant_subcommand, no_further_words, parse_subcommand

Command = Literal["run", "workspace", "submit", "acp", "config", "subcommand", "help", "version"]

_UPDATE_WORDS = ("update", "upgrade")
_OPTION_WORDS = ("help", "version")


class Options(NamedTuple):
    """The typed options, checked as far as words alone allow. `typed` has the settings by name, without defaults."""

    command: Command = "run"
    typed: Mapping[str, Value] = {}
    words: tuple[str, ...] = ()  # the positional prompt
    invocation: Invocation | None = None  # of the commands "subcommand" and "config"

    def value(self, name: str) -> Value:
        """The typed value, else the default. Only for a setting that no file and no variable can set."""
        return self.typed.get(name, SETTINGS[name].default)

    def but(self, **typed: Value) -> Options:
        """A copy with these values, as if they were typed as well."""
        return self._replace(typed={**self.typed, **typed})

    def layer(self) -> Iterable[Sourced]:
        """The layer of the command line."""
        return [Sourced(name, value, "command line") for name, value in self.typed.items()]

    @property
    def is_interactive(self) -> bool:
        """Whether a prompt, hints and questions are allowed beside the requested output."""
        return not (self.headless or self.is_raw or self.logs_json)

    @property
    def task(self) -> str | None:
        """The prompt, from either form; None when there is none."""
        prompt = self.typed.get("prompt")
        return " ".join(self.words) if self.words else str(prompt) if prompt is not None else None

    @property
    def run_id(self) -> str:
        """The run to resume; "" = none."""
        return str(self.typed.get("run_id", ""))

    @property
    def session(self) -> str:
        """The session to resume; "" = none."""
        return str(self.typed.get("session", ""))

    @property
    def tmux(self) -> bool:
        """Whether the run is to run in a tmux session."""
        return self.value("tmux") is True

    @property
    def headless(self) -> bool:
        """Whether the run is to behave as without a terminal."""
        return self.value("headless") is True

    @property
    def is_raw(self) -> bool:
        """Whether to print the agents' own events."""
        return self.value("format") == "raw"

    @property
    def logs_json(self) -> bool:
        """Whether to print records as JSON."""
        return self.value("log_format") == "json"

    @property
    def worktree(self) -> bool:
        """Whether the run is to work in a worktree of its own."""
        return self.value("worktree") is True


def parse(arguments: Sequence[str]) -> Options:
    """Parses the words. Raises `UserError` with one line for the first error."""
    for before, word in zip(("", *arguments), arguments, strict=False):
        takes_it = before in BY_FLAG and BY_FLAG[before].value
        values.text(before if takes_it else "a word of the command line", word)
    if not arguments:
        return Options(command="workspace", typed={"tmux": True})
    if arguments[0].lower() in _UPDATE_WORDS and all(word.startswith("-") for word in arguments[1:]):
        arguments = ["update", *arguments[1:]]
    elif arguments[0].lower() == "update":  # "update the readme" is a task
        return _parse_run(arguments)
    wants_help = any(word in ("-h", "--help") for word in arguments[1:])
    if (name := arguments[0].lower()) in AT_PROMPT_ALONE and wants_help:
        return Options(command="help", invocation=Invocation(name=name))
    if name in SUBCOMMANDS:
        if wants_help:
            return Options(command="help", invocation=Invocation(name=name))
        if name == "submit":
            return _submission(_parse_run(arguments[1:]))
        if name == "acp":
            return _driven(_parse_run(arguments[1:]))
        if name == "config":
            options = _parse_run([word for word in arguments[1:] if word != "--json"])
            if options.words:
                raise UserError(no_further_words(SUBCOMMANDS[name], " ".join(options.words)))
            return options._replace(command="config", invocation=Invocation(name=name, json="--json" in arguments))
        return Options(command="subcommand", invocation=parse_subcommand(name, arguments[1:]))
    return _parse_run(arguments)


def _parse_run(arguments: Sequence[str]) -> Options:
    typed: dict[str, Value] = {}
    prompt: list[str] = []
    words = _Peekable(arguments)
    literal = False
    for word in words:
        if word == "--":
            literal = True
            prompt += words
        elif word.startswith("-") and word != "-":
            row, value = _take_flag(word, words)
            if row.name == "help":
                return Options(command="help")
            if row.name == "version":
                return Options(command="version")
            typed[row.name] = _joined(row, typed.get(row.name), value)
        else:
            prompt.append(word)
    if len(prompt) == 1 and not literal:
        _refuse_near_miss(prompt[0])
    return _checked(Options(typed=typed, words=tuple(prompt)))


def _joined(row: Setting, before: Value, value: Value) -> Value:
    if row.adds:
        return (*(before if isinstance(before, tuple) else ()), str(value))
    if row.means and before not in (None, value):
        raise UserError(f"{' and '.join(row.flags)} exclude each other: give one of them")
    return value


def _submission(options: Options) -> Options:
    """The options of `loop submit`. Refuses those that concern a terminal."""
    for flag in ("--tmux", "--exit", "--headless", "--log-format", "--format"):
        if BY_FLAG[flag].name in options.typed:
            raise UserError(f"loop submit takes no {flag}: the run has no terminal; see loop serve --help")
    return options if options.command == "version" else options._replace(command="submit")


def _driven(options: Options) -> Options:
    """The options of `loop acp`. Refuses what the client says, and those that concern a terminal."""
    if options.command in ("help", "version"):
        return options
    if options.task is not None:
        raise UserError(
            f"loop acp takes no task, but got {options.task!r}: the client's prompt is the task, so leave it out"
        )
    for flag in ("--run-id", "--session", "--tmux", "--exit", "--log-format", "--format"):
        if BY_FLAG[flag].name in options.typed:
            raise UserError(f"loop acp takes no {flag}: the client chooses the session; see loop acp --help")
    return options._replace(command="acp")


def _refuse_near_miss(word: str) -> None:
    if any(letter in word for letter in " ./"):
        return
    meant = f"--{word.lower()}" if word.lower() in _OPTION_WORDS else meant_subcommand(word)
    if meant:
        raise UserError(
            f"unknown command {word!r} (did you mean loop {meant}?); to use this word as the task: loop -- {word}"
        )
    if word.lower() in AT_PROMPT_ALONE:
        raise UserError(
            f"{word!r} is a command of the loop> prompt, which loop shell attaches to a run; "
            f"to use this word as the task: loop -- {word}"
        )


def _take_flag(word: str, words: _Peekable) -> tuple[Setting, Value]:
    flag, has_value, value = word.partition("=")
    row = BY_FLAG.get(flag)
    if row is None:
        raise UserError(f"unknown option {flag!r}{values.meant(flag, BY_FLAG)}; see loop --help")
    if not row.value:
        if has_value:
            raise UserError(f"{flag} takes no value, but got {value!r}")
        return row, row.means.get(flag, True)
    if not has_value:
        following = words.peek()
        if row.bare is not None:
            value = words.pop() if following in row.choices else row.bare
            _question_near_value(row, flag, following)
        elif following is None or _looks_like_flag(following):
            raise UserError(f"{flag} needs a value: {flag} {row.value}")
        else:
            value = words.pop()
    return row, row.checked(row.flags[-1], value)


def _question_near_value(row: Setting, flag: str, following: str | None) -> None:
    """The word after an option that needs no value is the task. One that resembles a value would have agents work on
    it.
    """
    if following is None or following in row.choices or not values.near(following.lower(), row.choices, cutoff=0.75):
        return
    raise UserError(
        f"{flag} takes one of {', '.join(row.choices)}, or nothing, not {following!r}"
        f"{values.meant(following.lower(), row.choices)}; to use it as the task: {flag} {row.bare} {following}"
    )


def _looks_like_flag(word: str) -> bool:
    return word == "--" or word.partition("=")[0] in BY_FLAG


def _checked(options: Options) -> Options:
    prompt = options.typed.get("prompt")
    if options.words and prompt is not None:
        raise UserError(f"two prompts: --prompt {prompt!r} and {' '.join(options.words)!r}; give the task once")
    if options.run_id and options.session:
        raise UserError(f"two runs: --run-id {options.run_id!r} and --session {options.session!r}; give one of them")
    if options.words and not " ".join(options.words).strip():
        raise UserError("the prompt is empty: give the task as text, as a .md file, or as PLAN.md in this directory")
    return options


class _Peekable(Iterator[str]):
    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def __next__(self) -> str:
        if not self._words:
            raise StopIteration
        return self._words.pop(0)

    def peek(self) -> str | None:
        """The next word, without taking it; None at the end."""
        return self._words[0] if self._words else None

    def pop(self) -> str:
        """Takes the next word."""
        return self._words.pop(0)


def help_text(invocation: Invocation | None = None) -> str:
    """Every option with its default, or one subcommand; fits 80 columns."""
    if invocation is not None:
        command = SUBCOMMANDS[invocation.name]
        words = [command.more] if command.more else []
        if "[RUN]" in command.usage or "--run RUN" in command.usage:
            words.append("RUN is a run id; without one, it is the newest active run here.")
        more = _wrapped(" ".join(words), indent=2, width=80) if words else []
        return "\n".join([command.usage, f"  {command.help}", *more])
    lines = [
        "loop: one coding agent works, another reviews, until the task is proved done",
        "",
        "  loop                        loop --tmux; without tmux: a loop> prompt",
        "  loop [options] [prompt]     run a task; without a prompt: PLAN.md",
        *(line for each in SUBCOMMANDS.values() for line in _help_of_command(each.words, each.help)),
        "  claude-loop, codex-loop     loop --claude-only, loop --codex-only",
        "",
        "RUN is a run id; without one, it is the newest active run here",
    ]
    for group, title in GROUPS.items():
        rows = [row for row in TABLE if row.group == group and row.flags]
        lines += ["", f"{title}:"] if rows else []
        lines += [line for row in rows for line in _help_of(row)]
    lines += [
        "",
        "most options can be set in ~/.loop/config.toml as well; loop config shows what",
        "counts here and where it comes from",
        "",
        "agents run with full permissions: use a virtual machine or a container",
    ]
    return "\n".join(lines)


def _help_of_command(words: str, what: str) -> Iterable[str]:
    """The words in a column, and what they do beside them; below them where they do not fit the column."""
    first, *more = _wrapped(what, indent=30, width=80)
    return [f"  {words:<27} {first.strip()}", *more] if len(words) <= 27 else [f"  {words}", first, *more]


def _help_of(row: Setting) -> Iterable[str]:
    value = f" [{row.value}]" if row.bare is not None else f" {row.value}" if row.value else ""
    yield f"  {', '.join(row.flags)}{value}"
    default = f" (default: {row.shown_default})" if row.shown_default else ""
    yield from _wrapped(row.help + default, indent=6, width=80)


def _wrapped(text: str, *, indent: int, width: int) -> list[str]:
    lines, line = [], " " * indent
    for word in text.split():
        if len(line) + len(word) + 1 > width and line.strip():
            lines.append(line.rstrip())
            line = " " * indent
        line += word + " "
    return [*lines, line.rstrip()]
