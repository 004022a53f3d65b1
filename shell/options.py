"""The command line: every option with its default, its help and its refusals. Pure: no file, no environment.

argparse is not used: it cannot express an option that takes the next word only when it is one of three, and it costs
more than half of what `loop --help` takes. Nor are dataclasses, which import `inspect`: a fifth of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from actors import values
from actors.errors import UserError
from shell.subcommands import SUBCOMMANDS as ERRANDS
from shell.subcommands import Errand, meant_subcommand, parse_errand

Command = Literal["run", "workspace", "update", "submit", "errand", "help", "version"]

DONE_SIGNAL = "<promise>DONE</promise>"
MAX_ITERATIONS = 20
MOST_ITERATIONS = 1_000_000
MAX_WAIT = "12h"
DEFAULT_AGENT = "codex"
BOTH = "claudex"

SUBCOMMANDS: dict[str, Command] = {"update": "update", "upgrade": "update"}


class Options(NamedTuple):
    """What was typed, checked as far as words alone allow. None or "" = not given."""

    command: Command = "run"
    agent: str = ""  # DEFAULT_AGENT; a resumed run keeps its own
    peer: str = ""  # the agent's own peer; a resumed run keeps its own
    only: str = ""  # the one agent of single-agent mode
    prompt: str | None = None
    words: tuple[str, ...] = ()  # the positional prompt
    proof: str = ""
    checks: tuple[str, ...] = ()
    check_timeout_s: int = 0
    codex_model: str = ""
    claude_model: str = ""
    models: tuple[tuple[str, str], ...] = ()  # agent in lower case, model
    codex_reviewer_model: str = ""
    claude_reviewer_model: str = ""
    max_iterations: int = MAX_ITERATIONS
    max_wait_ms: int | None = None  # MAX_WAIT; a resumed run keeps its own
    done: str = DONE_SIGNAL
    format: str = "pretty"
    review: str = BOTH
    review_plan: str = "other"
    run_id: str = ""
    session: str = ""
    tmux: bool = False
    exit: bool = False
    worktree: bool = False
    headless: bool = False
    trust: bool = False
    log_format: str = "text"
    errand: Errand | None = None  # of command "errand"
    given: frozenset[str] = frozenset()  # the options that were typed, also with the value that is their default

    @property
    def is_for_people(self) -> bool:
        """Whether what is printed may be more than what was asked for."""
        return not self.headless and self.format != "raw" and self.log_format != "json"

    @property
    def task(self) -> str | None:
        """The prompt, however it was given; None when it was not."""
        return " ".join(self.words) if self.words else self.prompt


class Option(NamedTuple):
    """One option. `value` names what it takes ("" = nothing); `bare` is what it means without a value."""

    flags: tuple[str, ...]
    help: str
    take: Callable[[Options, str], Options]
    value: str = ""
    bare: str | None = None
    choices: tuple[str, ...] = ()
    default: str = ""

    @property
    def name(self) -> str:
        """As in `Options.given`: the long flag as an identifier."""
        return self.flags[-1].removeprefix("--").replace("-", "_")


def _with(options: Options, name: str, value: Any) -> Options:
    changes: dict[str, Any] = {name: value}
    return options._replace(**changes)


def _text(name: str, *, what: str) -> Callable[[Options, str], Options]:
    def take(options: Options, value: str) -> Options:
        if not value.strip():
            raise UserError(f"{what} must not be empty: give a text after it")
        return _with(options, name, value.strip())

    return take


def _line(name: str, *, what: str) -> Callable[[Options, str], Options]:
    """A text of one line: a name, an id, a signal."""
    take_text = _text(name, what=what)
    return lambda options, value: take_text(options, values.line(what, value.strip()))


def _choice(name: str) -> Callable[[Options, str], Options]:
    return lambda options, value: _with(options, name, value)


def _flag(**changes: Any) -> Callable[[Options, str], Options]:
    return lambda options, _value: options._replace(**changes)


def _model_of(options: Options, value: str) -> Options:
    name, is_pair, model = values.line("--model", value.strip()).partition("=")
    if not (is_pair and name.strip() and model.strip()):
        raise UserError(f"--model takes an agent and its model, such as gemini=gemini-2.5-pro, not {value!r}")
    return options._replace(models=(*options.models, (name.strip().lower(), model.strip())))


def _only(agent: str) -> Callable[[Options, str], Options]:
    def take(options: Options, _value: str) -> Options:
        if options.only not in ("", agent):
            raise UserError("--claude-only and --codex-only exclude each other: give one of them")
        return options._replace(only=agent)

    return take


def _max_iterations(options: Options, value: str) -> Options:
    number = values.whole_number("--max-iterations", value, least=1, most=MOST_ITERATIONS)
    return options._replace(max_iterations=number)


def _max_wait(options: Options, value: str) -> Options:
    from actors.machines import durations  # brings `re` along, which --help can do without

    max_wait_ms = durations.parse(value)
    if max_wait_ms is None:
        raise UserError(f"--max-wait takes a time of up to a year, such as 90s, 30m, 2h or 0, not {value!r}")
    return options._replace(max_wait_ms=max_wait_ms)


def _check(options: Options, value: str) -> Options:
    if not value.strip():
        raise UserError("--check must not be empty: give a shell command after it")
    return options._replace(checks=(*options.checks, value))


_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}
_LONGEST_S = 7 * 24 * 3600


def _duration(name: str, flag: str) -> Callable[[Options, str], Options]:
    def take(options: Options, value: str) -> Options:
        text = value.strip().lower()
        number = text.rstrip("smh")
        unit = text[len(number) :]
        known = number.isascii() and number.isdigit() and len(number) <= len(str(_LONGEST_S)) and unit in _UNITS_S
        seconds = int(number) * _UNITS_S[unit] if known else 0
        if not 1 <= seconds <= _LONGEST_S:
            raise UserError(f"{flag} takes a time from 1s to {_LONGEST_S // 3600}h, as 90s, 30m or 2h, not {value!r}")
        return _with(options, name, seconds)

    return take


OPTIONS: tuple[Option, ...] = (
    Option(
        ("-a", "--agent"),
        "primary worker: codex, claude, embedded, or one from the configuration; the other one is its peer",
        _line("agent", what="--agent"),
        value="NAME",
        default=DEFAULT_AGENT,
    ),
    Option(
        ("--peer",),
        "the agent that reviews; any agent can review for any other",
        _line("peer", what="--peer"),
        value="NAME",
        default="the worker's own peer",
    ),
    Option(("--claude-only",), "one agent: Claude works, reviews and reviews the plan", _only("claude")),
    Option(("--codex-only",), "one agent: Codex works, reviews and reviews the plan", _only("codex")),
    Option(
        ("-p", "--prompt"),
        "the task, or the path of a .md file that holds it; plain text is made into PLAN.md first",
        _text("prompt", what="--prompt"),
        value="TEXT|FILE.md",
    ),
    Option(("--proof",), "how to prove that the task is done", _text("proof", what="--proof"), value="TEXT"),
    Option(
        ("--check",),
        "a shell command that loop runs itself when the worker says that it is done; exit status 0 proves it. "
        "May be given several times",
        _check,
        value="COMMAND",
    ),
    Option(
        ("--check-timeout",),
        "how long one check may run; one that has not ended by then has failed",
        _duration("check_timeout_s", "--check-timeout"),
        value="DURATION",
        default="30m",
    ),
    Option(
        ("--model",),
        "model for any agent of the run; may be given several times",
        _model_of,
        value="NAME=MODEL",
        default="[agents.NAME] model, else the agent's own",
    ),
    Option(
        ("--codex-model",),
        "model for Codex",
        _line("codex_model", what="--codex-model"),
        value="MODEL",
        default="LOOP_CODEX_MODEL, else Codex's own",
    ),
    Option(
        ("--claude-model",),
        "model for Claude",
        _line("claude_model", what="--claude-model"),
        value="MODEL",
        default="Claude's own",
    ),
    Option(
        ("--codex-reviewer-model",),
        "model for Codex when it reviews, plans included",
        _line("codex_reviewer_model", what="--codex-reviewer-model"),
        value="MODEL",
        default="--codex-model",
    ),
    Option(
        ("--claude-reviewer-model",),
        "model for Claude when it reviews, plans included",
        _line("claude_reviewer_model", what="--claude-reviewer-model"),
        value="MODEL",
        default="--claude-model",
    ),
    Option(
        ("-m", "--max-iterations"),
        "iterations before it stops, or asks for a follow-up on a terminal",
        _max_iterations,
        value="N",
        default=str(MAX_ITERATIONS),
    ),
    Option(
        ("--max-wait",),
        "how long a turn may wait for its provider, at a limit or in an outage, before the run stops; 0: not at all",
        _max_wait,
        value="TIME",
        default=MAX_WAIT,
    ),
    Option(
        ("-d", "--done"),
        "the line by which the worker says that it is done",
        _line("done", what="--done"),
        value="SIGNAL",
        default=DONE_SIGNAL,
    ),
    Option(
        ("--format",),
        "pretty: what happens, for people; raw: the agents' own JSON events",
        _choice("format"),
        value="pretty|raw",
        choices=("pretty", "raw"),
        default="pretty",
    ),
    Option(
        ("--review",),
        "who reviews when the worker is done; claudex: both, in parallel",
        _choice("review"),
        value="claude|codex|claudex",
        bare=BOTH,
        choices=("claude", "codex", BOTH),
        default=BOTH,
    ),
    Option(
        ("--review-plan",),
        "who reviews PLAN.md; other: the peer",
        _choice("review_plan"),
        value="other|claude|codex|none",
        bare="other",
        choices=("other", "claude", "codex", "none"),
        default="other",
    ),
    Option(("--run-id",), "go on with this run", _line("run_id", what="--run-id"), value="ID"),
    Option(
        ("--session",),
        "go on with the run of this run id, Claude session id or Codex thread id; "
        "with a single agent: resume this session of it",
        _line("session", what="--session"),
        value="ID",
    ),
    Option(
        ("--tmux",),
        "run in a tmux session, which survives the terminal: Claude and Codex side by side, loop> below; "
        "without prompt and proof it waits for the first task",
        _flag(tmux=True),
    ),
    Option(
        ("--exit",),
        "end the workspace when its task is completed; without it, it stays open for the next task, until Ctrl-D",
        _flag(exit=True),
    ),
    Option(("--worktree",), "work in a git worktree and on a branch of its own", _flag(worktree=True)),
    Option(
        ("--trust",),
        "allow what the repository's .loop.toml says now to run its checks and agents, in this run; see loop trust",
        _flag(trust=True),
    ),
    Option(("--headless",), "no prompt, no questions, one line a record, as without a terminal", _flag(headless=True)),
    Option(
        ("--log-format",),
        "of what is printed without a prompt; json: one object a line",
        _choice("log_format"),
        value="text|json",
        choices=("text", "json"),
        default="text",
    ),
    Option(("-v", "--version"), "print the version", _flag(command="version")),
    Option(("-h", "--help"), "print this help", _flag(command="help")),
)

_BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}


def parse(arguments: Sequence[str]) -> Options:
    """The options that these words mean. Raises `UserError` with one line for the first thing that is wrong."""
    for before, word in zip(("", *arguments), arguments, strict=False):
        values.text(before if before in _BY_FLAG else "a word of the command line", word)
    if not arguments:
        return Options(command="workspace", tmux=True)
    if len(arguments) == 1 and arguments[0].lower() in SUBCOMMANDS:
        return Options(command=SUBCOMMANDS[arguments[0].lower()])
    if (name := arguments[0].lower()) in ERRANDS:
        if any(word in ("-h", "--help") for word in arguments[1:]):
            return Options(command="help", errand=Errand(name=name))
        if name == "submit":
            return _submission(_parse_run(arguments[1:]))
        return Options(command="errand", errand=parse_errand(name, arguments[1:]))
    return _parse_run(arguments)


def _parse_run(arguments: Sequence[str]) -> Options:
    options = Options()
    words = _Peekable(arguments)
    literal = False
    for word in words:
        if word == "--":
            literal = True
            options = options._replace(words=(*options.words, *words))
        elif word.startswith("-") and word != "-":
            options = _take_flag(options, word, words)
            if options.command in ("help", "version"):
                return options
        else:
            options = options._replace(words=(*options.words, word))
    if len(options.words) == 1 and not literal:
        _refuse_near_miss(options.words[0])
    return _checked(options)


def _submission(options: Options) -> Options:
    """What concerns a terminal has no meaning in the queue."""
    for flag in ("--tmux", "--exit", "--headless", "--log-format", "--format"):
        if _BY_FLAG[flag].name in options.given:
            raise UserError(f"loop submit takes no {flag}: the run has no terminal; see loop serve --help")
    return options if options.command == "version" else options._replace(command="submit")


def _refuse_near_miss(word: str) -> None:
    meant = "" if any(letter in word for letter in " ./") else meant_subcommand(word)
    if meant:
        raise UserError(
            f"{word!r} is no command (did you mean loop {meant}?); for a task of this one word: loop -- {word}"
        )


def _take_flag(options: Options, word: str, words: _Peekable) -> Options:
    flag, has_value, value = word.partition("=")
    option = _BY_FLAG.get(flag)
    if option is None:
        raise UserError(f"unknown option {flag!r}{_suggestion(flag)}; see loop --help")
    options = options._replace(given=options.given | {option.name})
    if not option.value:
        if has_value:
            raise UserError(f"{flag} takes no value, but got {value!r}")
        return option.take(options, "")
    if not has_value:
        following = words.peek()
        if option.bare is not None:
            value = words.pop() if following in option.choices else option.bare
        elif following is None or _looks_like_flag(following):
            raise UserError(f"{flag} needs a value: {flag} {option.value}")
        else:
            value = words.pop()
    if option.choices and value not in option.choices:
        raise UserError(f"{flag} takes one of {', '.join(option.choices)}, not {value!r}")
    return option.take(options, value)


def _looks_like_flag(word: str) -> bool:
    return word == "--" or word.partition("=")[0] in _BY_FLAG


def _suggestion(flag: str) -> str:
    import difflib  # only on the way to an error

    close = difflib.get_close_matches(flag, _BY_FLAG, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _checked(options: Options) -> Options:
    if options.words and options.prompt is not None:
        raise UserError(f"two prompts: --prompt {options.prompt!r} and {' '.join(options.words)!r}; give the task once")
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
        """The next word, which stays; None at the end."""
        return self._words[0] if self._words else None

    def pop(self) -> str:
        """The next word, which goes."""
        return self._words.pop(0)


def help_text(errand: Errand | None = None) -> str:
    """Every option with its default, or one subcommand; fits 80 columns."""
    if errand is not None:
        command = ERRANDS[errand.name]
        more = _wrapped(command.more, indent=2, width=80) if command.more else []
        return "\n".join([command.usage, f"  {command.help}", *more])
    lines = [
        "loop: one coding agent works, another reviews, until the task is proved done",
        "",
        "  loop                        loop --tmux; without tmux: a loop> prompt",
        "  loop [options] [prompt]     run a task; without a prompt: PLAN.md",
        *(f"  {each.words:<27} {each.help}" for each in ERRANDS.values()),
        "                              RUN: a run id; else the newest active run here",
        "  loop update                 update loop (also: upgrade)",
        "  claude-loop, codex-loop     loop --claude-only, loop --codex-only",
        "",
        "options:",
    ]
    for option in OPTIONS:
        value = f" [{option.value}]" if option.bare is not None else f" {option.value}" if option.value else ""
        lines.append(f"  {', '.join(option.flags)}{value}")
        text = option.help + (f" (default: {option.default})" if option.default else "")
        lines.extend(_wrapped(text, indent=6, width=80))
    lines += ["", "agents run with full permissions: use a virtual machine or a container"]
    return "\n".join(lines)


def _wrapped(text: str, *, indent: int, width: int) -> list[str]:
    lines, line = [], " " * indent
    for word in text.split():
        if len(line) + len(word) + 1 > width and line.strip():
            lines.append(line.rstrip())
            line = " " * indent
        line += word + " "
    return [*lines, line.rstrip()]
