"""Files in place of the built-in prompts: the rows of the group "prompts". Pure."""

from __future__ import annotations

from collections.abc import Mapping

from actors.setting_rows.row import Setting

WHAT: Mapping[str, str] = {
    "role": "tells the reviewer of a workspace its part",
    "plan": "asks for PLAN.md",
    "plan_review": "asks for a review of PLAN.md",
    "work": "asks for the work of an iteration",
    "review": "asks for a review",
    "verdict": "asks once more for a verdict that broke the form",
    "pull_request": "asks for the pull request",
}

ROWS: tuple[Setting, ...] = tuple(
    Setting(
        f"prompt_{name}",
        "prompts",
        f"a file, relative to this one, with the prompt that {what}",
        shown="built in",
        field="prompts",
        key=f"prompts.{name}",
    )
    for name, what in WHAT.items()
)
