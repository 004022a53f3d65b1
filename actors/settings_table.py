"""The table of all settings: one row per setting, with flag, key and variable. Pure.

A setting is added here, and as a field of `actors.settings.RunSettings` when the run needs it. The command line, the
configuration files, `loop --help`, `loop config`, the README's tables and docs/configuration.md read this table; a
default is written here and nowhere else. `actors.settings_layers` merges the values of a start.

Imports nothing heavy, since `loop --help` reads it. So `RunSettings`, which needs msgspec, has its own module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from actors import setting_values, values
from actors.errors import UserError
from actors.setting_values import Parse, Value

Group = Literal["task", "agents", "proof", "limits", "start", "output"]
Toml = Literal["string", "number", "boolean", "array"]

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
COOLDOWN_MS = 30_000
RETRY_MS = 5_000
MAX_WAIT_MS = 12 * 3_600_000  # a night's outage or a five-hour window; what lasts longer needs the user


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
    parse: Parse = setting_values.line  # what it is called, and the text; raises `UserError`
    default: Value = None
    shown: str = ""  # the default in words, where the value does not say it
    choices: tuple[str, ...] = ()
    bare: str | None = None  # what the flag means without a value
    means: Mapping[str, str] = {}  # the value of each flag, where flags of one setting exclude each other
    adds: bool = False  # several values add up
    field: str = ""
    resumes: bool = True  # whether a resume can change `field`
    key: str = ""  # in the configuration files
    toml: Toml = "string"
    # Whether a repository's `.loop.toml` may set it: only once that content is trusted, or not at all.
    repository: Literal["trust", "never"] = "trust"
    variable: str = ""
    from_variable: Callable[[str, str], Value] = setting_values.variable_line  # None: it does not count
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
        parse=setting_values.text,
        shown="PLAN.md",
    ),
    Setting(
        "proof",
        "task",
        "how to prove that the task is done",
        ("--proof",),
        value="TEXT",
        parse=setting_values.text,
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
        parse=setting_values.model,
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
        parse=setting_values.command,
        default=(),
        adds=True,
        field="checks",
        key="checks",
        toml="array",
    ),
    Setting(
        "check_timeout",
        "proof",
        "how long one check may run; a check that takes longer fails",
        ("--check-timeout",),
        value="TIME",
        parse=setting_values.seconds,
        default=CHECK_TIMEOUT_S,
        field="check_timeout_s",
        key="check_timeout",
        show=lambda seconds: setting_values.span(seconds * 1_000 if isinstance(seconds, int) else 0),
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
        parse=setting_values.number(least=1, most=MOST_ITERATIONS),
        default=MAX_ITERATIONS,
        field="max_iterations",
        key="max_iterations",
        toml="number",
    ),
    Setting(
        "max_wait",
        "limits",
        "how long a turn may wait for its provider, at a limit or in an outage, before the run stops; 0: not at all",
        ("--max-wait",),
        value="TIME",
        parse=setting_values.duration(most="a year", most_ms=setting_values.LONGEST_MS),
        default=MAX_WAIT_MS,
        field="max_wait_ms",
        key="max_wait",
        show=setting_values.span,
    ),
    Setting(
        "cooldown",
        "limits",
        "pause between iterations",
        parse=setting_values.duration(most="a day", most_ms=setting_values.MOST_PAUSE_MS),
        default=COOLDOWN_MS,
        field="cooldown_ms",
        key="cooldown",
        variable="LOOP_COOLDOWN_MS",
        from_variable=setting_values.variable_ms(0),
        variable_help="pause between iterations, in milliseconds",
        show=setting_values.span,
    ),
    Setting(
        "retry",
        "limits",
        "first wait for a provider that does not answer; it doubles, up to 5 minutes",
        parse=setting_values.duration(most="a day", most_ms=setting_values.MOST_PAUSE_MS, least_ms=1),
        default=RETRY_MS,
        field="retry_ms",
        key="retry",
        variable="LOOP_RETRY_MS",
        from_variable=setting_values.variable_ms(1),  # no provider is asked again without a wait
        variable_help="first wait for a provider that does not answer, in milliseconds",
        show=setting_values.span,
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
        toml="boolean",
        repository="never",
        variable="LOOP_UPDATE_HINT",
        from_variable=setting_values.variable_switch,
        variable_help="0: no hint about newer versions",
    ),
    Setting("no_color", "output", "any value: no colors", variable="NO_COLOR"),
    Setting("version", "output", "print the version", ("-v", "--version"), default=False),
    Setting("help", "output", "print this help", ("-h", "--help"), default=False),
)

SETTINGS: Mapping[str, Setting] = {row.name: row for row in TABLE}
BY_FLAG: Mapping[str, Setting] = {flag: row for row in TABLE for flag in row.flags}
BY_KEY: Mapping[str, Setting] = {row.key: row for row in TABLE if row.key and "." not in row.key}
