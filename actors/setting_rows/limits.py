"""What bounds a run, and when it pauses: the rows of the group "limits". Pure."""

from __future__ import annotations

from actors import setting_values
from actors.setting_rows.row import Setting

MAX_ITERATIONS = 20
MOST_ITERATIONS = 1_000_000
COOLDOWN_MS = 30_000
RETRY_MS = 5_000
MAX_STALLED = 3
MAX_ROUNDS = 10  # of a task: in reports of loops without an end there were 22 to 48, nearly all of them without effect
SILENCE_MS = 10 * 60_000  # longer than any answer of a model without a sign of life
TOOL_TIMEOUT_MS = 2 * 3_600_000  # a long build or test run without output
MAX_WAIT_MS = 12 * 3_600_000  # a night's outage or a five-hour window; what lasts longer needs the user

_TIME = setting_values.duration(most="a year", most_ms=setting_values.LONGEST_MS)

ROWS: tuple[Setting, ...] = (
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
        parse=_TIME,
        default=MAX_WAIT_MS,
        field="max_wait_ms",
        key="max_wait",
        show=setting_values.span,
    ),
    Setting(
        "at_limit",
        "limits",
        "what to do when the allowance of the agent that works is used up: wait for its reset, swap (the other agent "
        "works until then), or stop",
        ("--at-limit",),
        value="wait|swap|stop",
        default="wait",
        choices=("wait", "swap", "stop"),
        field="at_limit",
        key="at_limit",
    ),
    Setting(
        "no_wait",
        "limits",
        "as --at-limit stop: the run stops at a used-up allowance, and says when it is reset",
        ("--no-wait",),
        default=False,
        field="at_limit",
    ),
    Setting(
        "max_rounds",
        "limits",
        "review rounds of a task before the user is asked; 0: any number",
        ("--max-rounds",),
        value="N",
        parse=setting_values.number(least=0, most=MOST_ITERATIONS),
        default=MAX_ROUNDS,
        field="max_rounds",
        key="max_rounds",
        toml="number",
    ),
    Setting(
        "max_stalled",
        "limits",
        "iterations in a row without progress before the worker is asked for a diagnosis, and then the user; "
        "0: any number",
        ("--max-stalled",),
        value="N",
        parse=setting_values.number(least=0, most=MOST_ITERATIONS),
        default=MAX_STALLED,
        field="max_stalled",
        key="max_stalled",
        toml="number",
    ),
    Setting(
        "silence",
        "limits",
        "how long an agent may be silent in a turn, before it is interrupted and tried again; 0: without a limit",
        ("--silence",),
        value="TIME",
        parse=_TIME,
        default=SILENCE_MS,
        field="silence_ms",
        key="silence",
        show=setting_values.span,
    ),
    Setting(
        "tool_timeout",
        "limits",
        "how long a tool or background task may run without output, before that counts as silence; 0: without a limit",
        ("--tool-timeout",),
        value="TIME",
        parse=_TIME,
        default=TOOL_TIMEOUT_MS,
        field="tool_timeout_ms",
        key="tool_timeout",
        show=setting_values.span,
    ),
    Setting(
        "turn_timeout",
        "limits",
        "how long a turn may take, before it is interrupted and counts as failed",
        ("--turn-timeout",),
        value="TIME",
        parse=_TIME,
        default=0,
        shown="no limit",
        field="turn_timeout_ms",
        key="turn_timeout",
    ),
    Setting(
        "review_patience",
        "limits",
        "how long a review may take, before the reviewer is interrupted and asked for its verdict alone",
        ("--review-patience",),
        value="TIME",
        parse=_TIME,
        default=0,
        shown="--turn-timeout",
        field="review_patience_ms",
        key="review_patience",
    ),
    Setting(
        "max_cost",
        "limits",
        "the most that the whole run may cost, over all resumes; then it asks, or stops. See docs/limits.md",
        ("--max-cost",),
        value="USD",
        parse=setting_values.dollars,
        shown="no limit",
        field="max_cost_usd",
        key="max_cost",
        toml="decimal",
    ),
    Setting(
        "max_tokens",
        "limits",
        "the most tokens that the whole run may use, in and out together",
        ("--max-tokens",),
        value="N",
        parse=setting_values.tokens,
        shown="no limit",
        field="max_tokens",
        key="max_tokens",
        toml="number",
    ),
    Setting(
        "max_time",
        "limits",
        "how long the whole run may work; pauses, stops and waits for you do not count",
        ("--max-time",),
        value="TIME",
        parse=setting_values.duration(most="a year", most_ms=setting_values.LONGEST_MS, least_ms=1),
        shown="no limit",
        field="max_time_ms",
        key="max_time",
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
)
