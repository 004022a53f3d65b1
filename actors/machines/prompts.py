"""Every prompt that the loop sends to an agent, from typed inputs. Pure.

Those that continue a turn are in machines/continuations; the texts that a user may replace are in prompt_templates.
`template` is the user's; "" = the built-in one.

The first line of each names its kind ("Iteration 2", "Review round 1", ...), for readers of a transcript and for
scripted agents. `peer` is the name of the other agent of a pair. None: there is no pair, so no prompt mentions another
agent or a bridge. Each agent of a pair gets the bridge at its start (over HTTP, else over stdio). So a prompt of a pair
may mention its tools.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from actors.machines import finding_prompts
from actors.machines.finding_prompts import ReviewFindings
from actors.machines.prompt_templates import filled, paragraphs
from actors.machines.verdict import REVIEW_FAIL, REVIEW_PASS

ROLE_HEADER = "Your part"
PLAN_HEADER = "Plan"
PLAN_REVIEW_HEADER = "Plan review"
PULL_REQUEST_HEADER = "Draft pull request"
DIAGNOSIS_HEADER = "Diagnosis"
KEEP_PLAN = "<plan>KEEP</plan>"

NoteKind = Literal["review", "self-review", "no-verdict", "checks", "human", "place", "diagnosis", "overdue"]
REVIEW_NOTES: frozenset[NoteKind] = frozenset({"review", "self-review", "no-verdict"})


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the next iteration must address. `source` is its label: an agent's name, "checks", "human".

    `reached_worker`: the primary agent has the text already, as a message from its peer, so it is not repeated.
    """

    kind: NoteKind
    source: str
    text: str
    reached_worker: bool = False


def iteration_header(number: int) -> str:
    """First line of the work prompt of this iteration."""
    return f"Iteration {number}"


def review_header(number: int) -> str:
    """First line of the review prompts of this round, the same for all reviewers."""
    return f"Review round {number}"


def role_prompt(primary: str, *, template: str = "") -> str:
    """The role prompt: tells the peer of a workspace its part, before its first task."""
    return paragraphs(ROLE_HEADER, filled("role", template, {"worker": primary}))


def plan(task: str, *, proof: str, refused: str = "", template: str = "") -> str:
    """Asks for PLAN.md and nothing else. `refused`: why the result of an earlier turn is not a plan."""
    again = (
        f"You were asked for this before, but {refused}. Write the plan for the task above to the file PLAN.md now. "
        "Only if the PLAN.md that is there is that plan, word for word, leave it, and end your answer with this line, "
        f"alone, as the last one:\n{KEEP_PLAN}"
    )
    parts = {
        "task": _task(task, ""),
        "proof": _proof_unless_in(task, proof),
        "refused": again if refused else "",
    }
    return paragraphs(PLAN_HEADER, filled("plan", template, parts))


def plan_review(task: str, *, template: str = "") -> str:
    """Asks a reviewer to check PLAN.md and to correct it in place."""
    return paragraphs(PLAN_REVIEW_HEADER, filled("plan_review", template, {"task": _task(task, "")}))


def iteration(
    number: int,
    *,
    of: int,
    task: str,
    request: str = "",
    proof: str,
    done_signal: str,
    notes: Sequence[Note] = (),
    unanimous: bool = False,
    checks: Sequence[str] = (),
    peer: str | None = None,
    findings: Sequence[str] = (),
    template: str = "",
) -> str:
    """The work prompt. `unanimous`: there were several reviewers, and none of them passed the work.

    `request`: the user's own words, when the task is a plan made from them.
    """
    opening = (
        f"This is iteration {number} of at most {of}. Work on the task below in the current repository; what earlier "
        "iterations did is already there."
        if number > 1
        else f"Work on the task below in the current repository. You have at most {of} iterations."
    )
    parts = {
        "opening": opening,
        "iteration": str(number),
        "max_iterations": str(of),
        "task": _task(task, request),
        "notes": _notes(notes, unanimous=unanimous),
        "findings": finding_prompts.open_findings(findings),
        "proof": _proof_unless_in(task, proof),
        "checks": _checks_to_come(checks),
        "peer": _bridge(peer),
        "done_signal": done_signal,
    }
    return paragraphs(iteration_header(number), filled("work", template, parts))


def diagnosis(why: str, *, task: str, request: str = "", template: str = "") -> str:
    """Asks the worker why there is no progress. `why`: what shows that."""
    parts = {"why": why, "task": _task(task, request)}
    return paragraphs(DIAGNOSIS_HEADER, filled("diagnosis", template, parts))


def review(
    number: int,
    *,
    task: str,
    request: str = "",
    proof: str,
    done_signal: str,
    checks: Sequence[str] = (),
    changed: Sequence[str] = (),
    compared: tuple[str, str] | None = None,
    send_notes_to: str | None = None,
    findings: ReviewFindings | None = None,
    diagnosis: str = "",
    template: str = "",
) -> str:
    """The review prompt of one round. `send_notes_to`: name of the primary agent when the reviewer is its peer.

    `changed`: files changed since the last checks and reviews, which do not count any more; `compared`: the commits
    before and after. `findings`: the ledger; None: there is none. `diagnosis`: what the worker said when there was no
    progress.
    """
    notes_to = (
        f'Send what must change to "{send_notes_to}" with the tool send_message of the MCP server loop-bridge before '
        "you end your review, and repeat it in the review. Never ask the human to pass a message on."
        if send_notes_to
        else ""
    )
    stalled = f"The work had stalled, and the worker was asked why. It said:\n{diagnosis}"
    parts = {
        "round": str(number),
        "task": _task(task, request),
        "proof": f"Proof that is asked for:\n{proof.strip()}" if proof.strip() else "",
        "changed": _changed(changed, compared),
        "checks": _checks_passed(checks),
        "diagnosis": stalled if diagnosis else "",
        "peer": notes_to,
        "findings": "" if findings is None else paragraphs(*finding_prompts.to_settle(findings)),
        "pass": REVIEW_PASS,
        "fail": REVIEW_FAIL,
        "done_signal": done_signal,
    }
    return paragraphs(review_header(number), filled("review", template, parts))


_WITHOUT = {
    "remote": ". There is no remote here, so do not push, add no remote, and open no pull request.",
    "gh": " and push. GitHub's CLI `gh` is not installed here, so open no pull request, and install nothing for it.",
}


_COMMIT_ONLY = (
    "The work below is done and approved. Commit what is not committed yet, on a branch of its own if you are on the "
    "default branch. Do not push, add no remote, and open no pull request: that is done from the user's machine after "
    "your answer. The message of the last commit becomes the pull request: its first line is the title, and the rest "
    "is the body, which says why and how it was verified."
)


def verdict(number: int, why: str, *, template: str = "") -> str:
    """Asks a reviewer for only the last line of its review; `why`: the fault of the line it gave."""
    parts = {"why": why, "pass": REVIEW_PASS, "fail": REVIEW_FAIL}
    return paragraphs(f"{review_header(number)}: verdict", filled("verdict", template, parts))


def verdict_now(number: int, *, template: str = "") -> str:
    """Asks a reviewer whose review took too long for what it has found so far, and for its verdict."""
    parts = {"pass": REVIEW_PASS, "fail": REVIEW_FAIL}
    return paragraphs(f"{review_header(number)}: verdict", filled("verdict_now", template, parts))


def pull_request(
    task: str,
    lacks: str = "",
    *,
    request: str = "",
    findings: Sequence[str] = (),
    verified: Sequence[str] = (),
    template: str = "",
) -> str:
    """Asks the primary agent to publish the approved work as a draft pull request. Without a "remote" or "gh", or
    "away" from the user's logins, it asks for the possible part, in built-in words: committed work is found again, and
    the user, or the run, can open the pull request.
    """
    told = _task(task, request, was=True)
    checked = "How it was verified, for the body:\n" + "\n".join(verified) if verified else ""
    if lacks == "away":
        return paragraphs(PULL_REQUEST_HEADER, _COMMIT_ONLY, checked, told, "Answer with the name of the branch.")
    if lacks in _WITHOUT:
        return paragraphs(
            PULL_REQUEST_HEADER,
            "The work below is done and approved. Commit what is not committed yet, on a branch of its own if you are "
            f"on the default branch{_WITHOUT[lacks]}",
            told,
            "Answer with the name of the branch.",
        )
    parts = {
        "task": told,
        "findings": finding_prompts.to_list(findings),
        "verified": checked,
    }
    return paragraphs(PULL_REQUEST_HEADER, filled("pull_request", template, parts))


def background(tasks: Sequence[str]) -> str:
    """Asks about background tasks that keep a turn open without any output."""
    return paragraphs(
        "Background tasks",
        "Your turn is over as soon as these background tasks have ended, and for a long time there was no output:",
        "\n".join(tasks),
        "Stop a task that does not end by itself, such as a server, and one that hangs. If you need the result of a "
        "task, let it run. Begin no other work.",
    )


def mail(sender: str, text: str, *, answerable: bool = True) -> str:
    """Wraps a message from the other agent, so that it is not mistaken for the user's.

    `answerable`: the recipient can probably write to the sender; else the prompt asks for no answer.
    """
    return paragraphs(
        f"Message from {sender}",
        f'This comes from the agent "{sender}" that works with you, over the bridge. No human wrote it, and what you '
        f'answer here does not reach "{sender}".',
        text.strip(),
        "Act on it as far as it concerns your part. Do not answer the human about it. If you have something useful to "
        f'say in return, send it to "{sender}" with the tool send_message; thanks and confirmations are not needed.'
        if answerable
        else "Act on it as far as it concerns your part. Do not answer the human about it. You have no way to write to "
        f'"{sender}", and no answer is expected.',
    )


def _task(task: str, request: str, *, was: bool = False) -> str:
    """The task, after the user's own words where it is an agent's plan for them."""
    head = "The task was" if was else "The task"
    if not request.strip():
        return f"{head}:\n{task.strip()}"
    return f"{head}, in the user's words:\n{request.strip()}\n\nThe plan for it:\n{task.strip()}"


def _proof_unless_in(task: str, proof: str) -> str:
    required = {line.strip() for line in proof.splitlines()} - {""}
    if required <= {line.strip() for line in task.splitlines()}:
        return ""  # even when no proof is requested
    return f"Proof that is asked for:\n{proof.strip()}"


def _notes(notes: Sequence[Note], *, unanimous: bool) -> str:
    if not notes:
        return ""
    parts = ["Notes on the work so far:", *(f"[{note.source}] {_text(note)}" for note in notes)]
    if unanimous:
        parts.append(
            "Every reviewer turned the work down, each on its own. Where two of them found the same thing, take that "
            "as a stronger signal that it is real."
        )
    parts.append("You decide what to do about each note. If you leave one aside, say why in a sentence.")
    return paragraphs(*parts)


def _text(note: Note) -> str:
    if note.reached_worker:
        return "asks for changes; you have its notes already, as a message over the bridge"
    return note.text.strip()


def _checks_to_come(checks: Sequence[str]) -> str:
    if not checks:
        return ""
    return "Once you say that you are done, these commands are run, and each must exit with 0:\n" + "\n".join(checks)


def _changed(names: Sequence[str], compared: tuple[str, str] | None) -> str:
    if not names:
        return ""
    how = f" `git diff {compared[0]} {compared[1]}` shows what was changed:" if compared is not None else ""
    return (
        "Files were changed during the last review, so no verdict of it counts. Review the work as it is now"
        f"{'.' if how else ':'}{how}\n" + "\n".join(names)
    )


def _checks_passed(checks: Sequence[str]) -> str:
    if not checks:
        return ""
    return "These commands were run after the work was said to be done, and each exited with 0:\n" + "\n".join(checks)


def _bridge(peer: str | None) -> str:
    if peer is None:
        return ""
    return (
        f'You work as a pair with another agent, "{peer}". You reach it directly through the MCP server loop-bridge: '
        f'send_message with target "{peer}" to ask it, to hand it a part or to have it look at something; '
        "receive_messages for what it has sent you; bridge_status when you are unsure whether something arrived. "
        f'Never ask the human to pass a message on, and never answer the human in the name of "{peer}".'
    )
