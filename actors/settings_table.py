"""The table of all settings: one row per setting, whatever it can be given by. Pure.

A setting is added here, and as a field of `actors.settings.RunSettings` when the run needs it. The command line, the
configuration files, `loop --help`, `loop config`, the README's tables and docs/configuration.md read this table; a
default is written here and nowhere else.
How the values of a start come together is `actors.settings_layers`.

Imports nothing heavy, as `loop --help` reads it: that is why `RunSettings`, which needs msgspec, has its own module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from actors import values
from actors.errors import UserError

Value = str | int | bool | tuple[str, ...] | None
Parse = Callable[[str, str], Value]
Group = Literal["task", "agents", "proof", "limits", "start", "output"]
Written = Literal["string", "number", "boolean", "array"]

GROUPS: Mapping[Group, str] = {
    "task": "the task",
    "agents": "agents and models",
    "proof": "proof and review",
    "limits": "limits and pauses",
    "start": "how it starts",
    "output": "input and output",
}

DEFAULT_AGENT = "codex"
BOTH = "claudex"
DONE_SIGNAL = "<promise>DONE</promise>"
MAX_ITERATIONS = 20
MOST_ITERATIONS = 1_000_000
CHECK_TIMEOUT_S = 30 * 60
MOST_CHECK_TIMEOUT_S = 7 * 24 * 3600
COOLDOWN_MS = 30_000
RETRY_MS = 5_000
MOST_PAUSE_MS = 24 * 3_600_000
MAX_WAIT_MS = 12 * 3_600_000  # a night's outage or a five-hour window; what lasts longer needs the user


# --- from text to a value -------------------------------------------------------------------------------------------


def _text(what: str, typed: str) -> str:
    if not typed.strip():
        raise UserError(f"{what} must not be empty: give a text after it")
    return values.text(what, typed.strip())


def _line(what: str, typed: str) -> str:
    return _text(what, values.line(what, typed.strip()))


def _command(what: str, typed: str) -> str:
    if not typed.strip():
        raise UserError(f"{what} must not be empty: give a shell command after it")
    return values.text(what, typed)


def _model(what: str, typed: str) -> str:
    name, is_pair, model = values.line(what, typed.strip()).partition("=")
    if not (is_pair and name.strip() and model.strip()):
        raise UserError(f"{what} takes an agent and its model, such as gemini=gemini-2.5-pro, not {typed!r}")
    return f"{name.strip().lower()}={model.strip()}"


def _number(*, least: int, most: int) -> Parse:
    return lambda what, typed: values.whole_number(what, typed, least=least, most=most)


def _seconds(what: str, typed: str) -> int:
    """`90`, `90s`, `30m` or `2h`."""
    text = typed.strip().lower()
    number = text.rstrip("smh")
    unit = {"": 1, "s": 1, "m": 60, "h": 3600}.get(text[len(number) :], 0)
    known = number.isascii() and number.isdigit() and len(number) <= len(str(MOST_CHECK_TIMEOUT_S))
    seconds = int(number) * unit if known else 0
    if not 1 <= seconds <= MOST_CHECK_TIMEOUT_S:
        most = MOST_CHECK_TIMEOUT_S // 3600
        raise UserError(f"{what} takes a time from 1s to {most}h, as 90s, 30m or 2h, not {values.shown(typed)}")
    return seconds


_UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}
_LONGEST_MS = 365 * _UNITS_MS["d"]


def milliseconds(text: str) -> int | None:
    """The milliseconds of `2h`, `90s`, `1h30m`, `0`; None for anything else, and for more than a year."""
    word = text.strip().lower()
    if word == "0":
        return 0
    left, ms = word, 0
    for unit, length in _UNITS_MS.items():  # largest first; without `re`, which --help does not need
        count, has_unit, rest = left.partition(unit)
        if has_unit:
            if not (count.isascii() and count.isdigit() and len(count) <= 6):
                return None
            ms, left = ms + int(count) * length, rest
    return None if left or not word or ms > _LONGEST_MS else ms


def _milliseconds(*, most: str, most_ms: int, least_ms: int = 0) -> Parse:
    def parse(what: str, typed: str) -> int:
        ms = milliseconds(typed)
        if ms is None or not least_ms <= ms <= most_ms:
            zero = " or 0" if least_ms == 0 else ""
            raise UserError(
                f"{what} takes a time of up to {most}, such as 90s, 30m, 2h{zero}, not {values.shown(typed)}"
            )
        return ms

    return parse


def _variable_ms(least: int) -> Callable[[str, str], Value]:
    """Milliseconds; anything but a number does not count, as it never did."""

    def parse(what: str, typed: str) -> Value:
        text = typed.strip()
        if not (text.isascii() and text.isdigit()):
            return None
        return values.whole_number(what, text, least=least, most=MOST_PAUSE_MS)

    return parse


def _variable_line(what: str, typed: str) -> Value:
    return values.line(what, typed.strip()) if typed.strip() else None


def _variable_switch(what: str, typed: str) -> Value:
    del what
    word = typed.strip().lower()
    return word not in ("0", "off", "no", "false") if word else None


def _span(value: Value) -> str:
    """Milliseconds as they can be typed."""
    left, text = value if isinstance(value, int) else 0, ""
    for unit, length in (("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)):
        count, left = divmod(left, length)
        text += f"{count}{unit}" if count else ""
    return text or "0"


# --- the table ------------------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """One row. Texts are for `--help` and the documents alike.

    `field` is the field of `RunSettings` that it decides, alone or together with others; "" = it concerns this start
    only. `key` with a dot is in a table of its own; such keys are read by `actors.edges.configuration`.
    """

    name: str
    group: Group
    help: str
    flags: tuple[str, ...] = ()
    value: str = ""  # what the flag takes; "" = nothing
    parse: Parse = _line  # what it is called, and the text; raises `UserError`
    default: Value = None
    shown: str = ""  # the default in words, where the value does not say it
    choices: tuple[str, ...] = ()
    bare: str | None = None  # what the flag means without a value
    means: Mapping[str, str] = {}  # the value of each flag, where flags of one setting exclude each other
    adds: bool = False  # several values add up
    field: str = ""
    resumes: bool = True  # whether a resume can change `field`
    key: str = ""  # in the configuration files
    written: Written = "string"
    # Whether a repository's `.loop.toml` may set it: only once that content is trusted, or not at all.
    repository: Literal["trust", "never"] = "trust"
    variable: str = ""
    from_variable: Callable[[str, str], Value] = _variable_line  # None: it does not count
    variable_help: str = ""  # where it is not `help`
    show: Callable[[Value], str] = str

    @property
    def shown_default(self) -> str:
        """As the documents say it; "" = there is none."""
        return self.shown or ("" if self.default in (None, "", False, ()) else self.show(self.default))

    def checked(self, what: str, text: str) -> Value:
        """The value of a text. Raises `UserError` in one line, which begins with `what`."""
        if self.choices:
            if text not in self.choices:
                raise UserError(f"{what} takes one of {', '.join(self.choices)}, not {values.shown(text)}")
            return text
        return self.parse(what, text)


TABLE: tuple[Setting, ...] = (
    Setting(
        "prompt",
        "task",
        "the task, or the path of a .md file that holds it; loop makes PLAN.md from plain text first",
        ("-p", "--prompt"),
        value="TEXT|FILE.md",
        parse=_text,
        shown="PLAN.md",
    ),
    Setting(
        "proof",
        "task",
        "how to prove that the task is done",
        ("--proof",),
        value="TEXT",
        parse=_text,
        default="",
        field="proof",
        key="proof",
    ),
    Setting(
        "done",
        "task",
        "the line by which the worker says that it is done",
        ("-d", "--done"),
        value="SIGNAL",
        default=DONE_SIGNAL,
        field="done_signal",
        key="done",
    ),
    Setting(
        "agent",
        "agents",
        "the worker: codex, claude, embedded, or an agent from the configuration",
        ("-a", "--agent"),
        value="NAME",
        default=DEFAULT_AGENT,
        field="worker",
        resumes=False,
        key="agent",
    ),
    Setting(
        "peer",
        "agents",
        "the reviewer; any agent can review for any other",
        ("--peer",),
        value="NAME",
        shown="the worker's own peer",
        field="reviewer",
        resumes=False,
        key="agents.NAME.peer",
    ),
    Setting(
        "only",
        "agents",
        "single-agent mode: one agent does the work and both reviews",
        ("--claude-only", "--codex-only"),
        means={"--claude-only": "claude", "--codex-only": "codex"},
        field="paired",
        resumes=False,
    ),
    Setting(
        "models",
        "agents",
        "model for any agent of the run; can be repeated",
        ("--model",),
        value="NAME=MODEL",
        parse=_model,
        default=(),
        shown="the agent's own",
        adds=True,
        key="agents.NAME.model",
    ),
    Setting(
        "codex_model",
        "agents",
        "model for Codex",
        ("--codex-model",),
        value="MODEL",
        shown="Codex's own",
        key="agents.codex.model",
        variable="LOOP_CODEX_MODEL",
    ),
    Setting(
        "claude_model",
        "agents",
        "model for Claude",
        ("--claude-model",),
        value="MODEL",
        shown="Claude's own",
        key="agents.claude.model",
    ),
    Setting(
        "codex_reviewer_model",
        "agents",
        "model for Codex when it reviews, plans included",
        ("--codex-reviewer-model",),
        value="MODEL",
        shown="--codex-model",
        key="agents.codex.reviewer_model",
    ),
    Setting(
        "claude_reviewer_model",
        "agents",
        "model for Claude when it reviews, plans included",
        ("--claude-reviewer-model",),
        value="MODEL",
        shown="--claude-model",
        key="agents.claude.reviewer_model",
    ),
    Setting(
        "checks",
        "proof",
        "a shell command that loop itself runs when the worker says that it is done; exit status 0 proves it. "
        "Can be repeated",
        ("--check",),
        value="COMMAND",
        parse=_command,
        default=(),
        adds=True,
        field="checks",
        key="checks",
        written="array",
    ),
    Setting(
        "check_timeout",
        "proof",
        "how long one check may run; a check that takes longer fails",
        ("--check-timeout",),
        value="TIME",
        parse=_seconds,
        default=CHECK_TIMEOUT_S,
        field="check_timeout_s",
        key="check_timeout",
        show=lambda seconds: _span(seconds * 1_000 if isinstance(seconds, int) else 0),
    ),
    Setting(
        "review",
        "proof",
        "who reviews when the worker is done; claudex: both, in parallel",
        ("--review",),
        value="claude|codex|claudex",
        default=BOTH,
        choices=("claude", "codex", BOTH),
        bare=BOTH,
        field="reviewers",
        key="review",
    ),
    Setting(
        "review_plan",
        "proof",
        "who reviews PLAN.md; other: the peer",
        ("--review-plan",),
        value="other|claude|codex|none",
        default="other",
        choices=("other", "claude", "codex", "none"),
        bare="other",
        field="plan_reviewer",
        key="review_plan",
    ),
    Setting(
        "max_iterations",
        "limits",
        "iterations before the run stops, or asks for a follow-up on a terminal",
        ("-m", "--max-iterations"),
        value="N",
        parse=_number(least=1, most=MOST_ITERATIONS),
        default=MAX_ITERATIONS,
        field="max_iterations",
        key="max_iterations",
        written="number",
    ),
    Setting(
        "max_wait",
        "limits",
        "how long a turn may wait for its provider, at a limit or in an outage, before the run stops; 0: not at all",
        ("--max-wait",),
        value="TIME",
        parse=_milliseconds(most="a year", most_ms=_LONGEST_MS),
        default=MAX_WAIT_MS,
        field="max_wait_ms",
        key="max_wait",
        show=_span,
    ),
    Setting(
        "cooldown",
        "limits",
        "pause between iterations",
        parse=_milliseconds(most="a day", most_ms=MOST_PAUSE_MS),
        default=COOLDOWN_MS,
        field="cooldown_ms",
        key="cooldown",
        variable="LOOP_COOLDOWN_MS",
        from_variable=_variable_ms(0),
        variable_help="pause between iterations, in milliseconds",
        show=_span,
    ),
    Setting(
        "retry",
        "limits",
        "first wait for a provider that does not answer; it doubles, up to 5 minutes",
        parse=_milliseconds(most="a day", most_ms=MOST_PAUSE_MS, least_ms=1),
        default=RETRY_MS,
        field="retry_ms",
        key="retry",
        variable="LOOP_RETRY_MS",
        from_variable=_variable_ms(1),  # nobody is asked again without a wait
        variable_help="first wait for a provider that does not answer, in milliseconds",
        show=_span,
    ),
    Setting(
        "run_id",
        "start",
        "resume this run, with its agents, where it was; options that you do not repeat keep their values",
        ("--run-id",),
        value="ID",
        variable="LOOP_RUN_ID",
        variable_help="as --run-id, but the run may be a new one",
    ),
    Setting(
        "session",
        "start",
        "resume the run of this run id, Claude session id or Codex thread id; "
        "with a single agent: resume this session of it",
        ("--session",),
        value="ID",
    ),
    Setting(
        "tmux",
        "start",
        "run in a tmux session, which survives the terminal: Claude and Codex side by side, loop> below; "
        "without prompt and proof it waits for the first task",
        ("--tmux",),
        default=False,
    ),
    Setting(
        "exit",
        "start",
        "end the workspace when its task is completed; without it, it stays open for the next task, until Ctrl-D",
        ("--exit",),
        default=False,
        field="open_ended",
    ),
    Setting(
        "worktree",
        "start",
        "work in a git worktree and on a branch of its own",
        ("--worktree",),
        default=False,
    ),
    Setting(
        "trust",
        "start",
        "allow in this run what the repository's .loop.toml now says; see loop trust",
        ("--trust",),
        default=False,
    ),
    Setting(
        "portable",
        "start",
        "1: start actors without forking, as on systems that cannot fork safely",
        variable="LOOP_PORTABLE",
    ),
    Setting(
        "headless",
        "output",
        "no prompt and no questions, one line per record, as without a terminal",
        ("--headless",),
        default=False,
    ),
    Setting(
        "format",
        "output",
        "pretty: what happens, for reading; raw: the agents' own JSON events",
        ("--format",),
        value="pretty|raw",
        default="pretty",
        choices=("pretty", "raw"),
    ),
    Setting(
        "log_format",
        "output",
        "output format when there is no prompt; json: one object per line",
        ("--log-format",),
        value="text|json",
        default="text",
        choices=("text", "json"),
    ),
    Setting(
        "update_hint",
        "output",
        "whether the start of a run tells of a newer version of loop",
        default=True,
        shown="true",
        key="update_hint",
        written="boolean",
        repository="never",
        variable="LOOP_UPDATE_HINT",
        from_variable=_variable_switch,
        variable_help="0: no hint about newer versions",
    ),
    Setting("no_color", "output", "any value: no colors", variable="NO_COLOR"),
    Setting("version", "output", "print the version", ("-v", "--version"), default=False),
    Setting("help", "output", "print this help", ("-h", "--help"), default=False),
)

SETTINGS: Mapping[str, Setting] = {row.name: row for row in TABLE}
BY_FLAG: Mapping[str, Setting] = {flag: row for row in TABLE for flag in row.flags}
BY_KEY: Mapping[str, Setting] = {row.key: row for row in TABLE if row.key and "." not in row.key}
