"""What proves the work, and who reviews it: the rows of the group "proof". Pure."""

from __future__ import annotations

from actors import setting_values
from actors.setting_rows.row import Setting

BOTH = "claudex"
CHECK_TIMEOUT_S = 30 * 60

ROWS: tuple[Setting, ...] = (
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
        "on_unavailable",
        "proof",
        "what to do when an agent cannot work: not logged in, no credit, does not start. ask: wait for you. wait: try "
        "again, up to --max-wait. fail: end the run. For a reviewer also skip: the other reviewer decides alone. "
        "other: the other agent reviews in its place",
        ("--on-unavailable",),
        value="ask|wait|skip|other|fail",
        default="ask",
        choices=("ask", "wait", "skip", "other", "fail"),
        field="on_unavailable",
        key="on_unavailable",
    ),
)
