"""Commands of the user at moments of a run: the rows of the group "hooks". Pure."""

from __future__ import annotations

from collections.abc import Mapping

from actors import setting_values
from actors.setting_rows.row import Setting

HOOK_TIMEOUT_S = 10 * 60

_MOMENTS: Mapping[str, str] = {
    "before_turn": "before each turn of an agent",
    "after_turn": "after each turn of an agent",
    "before_check": "before the checks",
    "after_check": "after the checks",
    "before_review": "before a review round",
    "after_review": "after a review round",
    "before_done": "when the work is approved, before it is published",
    "after_done": "when the work is published, before the run is completed",
}

ROWS: tuple[Setting, ...] = (
    *(
        Setting(
            f"hook_{moment}",
            "hooks",
            f"a shell command that runs {when}; it gets JSON on standard input, and exit status 2 stops the run",
            parse=setting_values.command,
            default="",
            field="hooks",
            fresh=True,
            key=f"hooks.{moment}",
        )
        for moment, when in _MOMENTS.items()
    ),
    Setting(
        "hook_timeout",
        "hooks",
        "how long one hook may run; a hook that takes longer is ended, and the run continues",
        parse=setting_values.seconds,
        default=HOOK_TIMEOUT_S,
        field="hook_timeout_s",
        fresh=True,
        key="hooks.timeout",
        show=lambda seconds: setting_values.span(seconds * 1_000 if isinstance(seconds, int) else 0),
    ),
)
