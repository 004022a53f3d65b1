"""What prompts say of findings: to the worker, to a reviewer, and for the pull request. Pure.

Each finding comes as one line, as machines/findings writes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from actors.machines.review_answer import EXAMPLE, EXAMPLE_REASON


class ReviewFindings(msgspec.Struct, frozen=True, kw_only=True):
    """What a reviewer is told of earlier findings: one line each."""

    own: Sequence[str] = ()  # which it has to settle
    others: Sequence[str] = ()  # which another reviewer settles
    suppressed: Sequence[str] = ()  # which it is not to raise again


REFUSE = (
    "A finding that you think is wrong, or not part of the task, you may refuse. Write a line of this form into your "
    "answer, with the finding's id; its reviewer reads the reason and settles it:\n"
    f"REFUSED f1: {EXAMPLE_REASON}"
)
FORM = (
    "Name few findings, the most important first, each once, on one line of this form:\n"
    f"FINDING blocking | {EXAMPLE.place} | {EXAMPLE.description} | {EXAMPLE.command}\n"
    "Write `minor` in place of `blocking` for what does not keep the task from being done: that tests could be "
    "added, alone, is minor. What is only minor does not need another iteration."
)


def open_findings(findings: Sequence[str]) -> str:
    """For the worker: what is open, and how it refuses; "" = nothing."""
    if not findings:
        return ""
    return "\n\n".join(
        [
            "Findings of the reviews that are open. Only the reviewer closes one, after it has looked at the work:",
            "\n".join(findings),
            REFUSE,
        ]
    )


def to_settle(findings: ReviewFindings) -> list[str]:
    """For a reviewer: the form of a finding, and the earlier ones."""
    own = "\n".join(findings.own)
    others = "\n".join(findings.others)
    suppressed = "\n".join(findings.suppressed)
    return [
        FORM,
        f"These findings of yours are open. Settle each one, on a line with its id: FIXED f1, or STAYS f1 when it is "
        f"still wrong, or ACCEPTED f1 when it was refused for a good reason:\n{own}"
        if own
        else "",
        f"These are another reviewer's, which settles them:\n{others}" if others else "",
        f"These are settled. Do not raise them again unless that code has changed:\n{suppressed}" if suppressed else "",
        "If your answer has to be JSON, its fields hold all this, the verdict too, and no other line is needed.",
    ]


def to_list(findings: Sequence[str]) -> str:
    """For the body of the pull request; "" = there are none."""
    if not findings:
        return ""
    return "At its end the body lists the findings of the reviews, as they are here:\n" + "\n".join(findings)
