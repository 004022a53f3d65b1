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
    "verdict_now": "asks for the verdict of an overdue review",
    "diagnosis": "asks why there is no progress",
    "pull_request": "asks for the pull request",
    "continuation": "continues a turn that was cut short, with its request",
    "reminder": "continues a turn whose request the agent still has",
    "hand_over": "continues a turn in a new session",
    "take_over": "gives a turn to the other agent, at a limit",
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
