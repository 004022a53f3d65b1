"""The text of each prompt, as a template: the built-in one, or the user's in its place. Pure.

A template is paragraphs with placeholders such as `{task}`. A paragraph of which nothing is left is dropped. `{{task}}`
stands for the text `{task}`. Any other brace is text. The first line of a prompt names its kind. It is not part of a
template: readers of transcripts, and turns that continue, need it as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from actors import values

_PLACE = re.compile(r"\{\{([a-z_]+)\}\}|\{([a-z_]+)\}")
_GAP = re.compile(r"\n[ \t]*\n\s*")


class Template(NamedTuple):
    """One built-in prompt. `placeholders`: each with its meaning. `needs`: what every text in its place must have."""

    text: str
    placeholders: Mapping[str, str]
    needs: tuple[str, ...]
    ends_with: str = ""  # a placeholder that comes last: what follows it would grow with each continuation


ASKED = "What you were asked:"  # before a request that is given again; readers find the request behind it
_ASKED = "the request, as a whole; it comes last"
_SAID = "the last words before it"
_TASK = "the task; a plan comes with the user's own words"
_PROOF = "the proof that is asked for"
_DONE = "the line by which the worker says that it is done"

TEMPLATES: Mapping[str, Template] = {
    "role": Template(
        'You work as a pair with another agent, "{worker}", in this repository. "{worker}" is the primary worker: '
        "it plans, implements and verifies. You are its peer: do not take the work over, and change nothing that you "
        "are not asked to change.\n\n"
        "You will be asked for reviews: then approve what is done and proved, or give findings that can be acted upon. "
        '"{worker}" may write to you in between; you reach it with the tool send_message of the MCP server '
        "loop-bridge. Never ask the human to pass a message on.\n\n"
        "There is nothing to do now. Answer with one line that you are ready.",
        {"worker": "the name of the primary agent"},
        ("{worker}",),
    ),
    "plan": Template(
        "{task}\n\n{proof}\n\n"
        "Write a plan for this task to the file PLAN.md in the current directory; when the file exists, bring it up to "
        "date. The plan names the steps in order, the files that each step touches, and how each step will be "
        "verified. Look into the repository as much as you need, but change no other file now: the work itself "
        "starts later, from this plan.\n\n{refused}",
        {"task": _TASK, "proof": _PROOF, "refused": "why an earlier turn's result is not a plan, and what to do"},
        ("{task}", "{refused}", "PLAN.md"),
    ),
    "plan_review": Template(
        "{task}\n\n"
        "PLAN.md in the current directory is the plan for it. Check the plan against the task and against the "
        "repository: wrong assumptions, steps missing or in the wrong order, results that nobody would verify.\n\n"
        "Correct PLAN.md directly where it needs it, and leave it alone where it is good. Change no other file: "
        "the work itself has not started.",
        {"task": _TASK},
        ("{task}", "PLAN.md"),
    ),
    "work": Template(
        "{opening}\n\n{task}\n\n{notes}\n\n{findings}\n\n{proof}\n\n{checks}\n\n{peer}\n\n"
        "When everything is finished, and you have verified it yourself and seen the proof, end your answer with this "
        "line, alone, as the last one:\n{done_signal}\n"
        "Leave that line out as long as anything is open or unverified: another iteration follows then.",
        {
            "opening": "which iteration this is, of how many",
            "iteration": "its number",
            "max_iterations": "how many there are at most",
            "task": _TASK,
            "notes": "what reviews, checks and the user found so far",
            "findings": "open findings, and how one is refused",
            "proof": _PROOF,
            "checks": "the check commands that run afterwards",
            "peer": "how the other agent is reached",
            "done_signal": _DONE,
        },
        ("{task}", "{notes}", "{findings}", "{done_signal}"),
    ),
    "review": Template(
        "The work on the task below is said to be done. Find out whether that is true, in the current repository.\n\n"
        "{task}\n\n{proof}\n\n"
        "Look first at what has changed: `git status`, `git diff`, and the commits of this branch. Run the tests and "
        "commands that prove or disprove the claim; take nobody's word for it. Do not change the work yourself.\n\n"
        "{changed}\n\n{checks}\n\n{diagnosis}\n\n"
        "For everything that must change, give the file and place, what is wrong, and the command that shows it.\n\n"
        "{peer}\n\n{findings}\n\n"
        "The last line of your answer is your verdict, alone and without any decoration: "
        "{pass} when the task is done and proved, {fail} when anything must change. "
        "Write only one of the two, nothing after it, and nowhere the line {done_signal}.",
        {
            "round": "the number of the review round",
            "task": _TASK,
            "proof": _PROOF,
            "changed": "the files that changed since the last reviews",
            "checks": "the check commands that passed",
            "diagnosis": "what the worker said when there was no progress",
            "peer": "how notes are sent to the worker",
            "findings": "the form of a finding, and the earlier ones to settle",
            "pass": "the line of a review that approves",
            "fail": "the line of a review that wants changes",
            "done_signal": _DONE,
        },
        ("{task}", "{findings}", "{pass}", "{fail}"),
    ),
    "verdict": Template(
        "Your review is read, but {why}. Do not review again, and change nothing. Answer with your verdict alone, one "
        "line without any decoration: {pass} when the task is done and proved, {fail} when anything must change.",
        {
            "why": "the fault of the verdict that was given",
            "pass": "the line of a review that approves",
            "fail": "the line of a review that wants changes",
        },
        ("{pass}", "{fail}"),
    ),
    "verdict_now": Template(
        "Your review took too long, and was interrupted. Look no further, run nothing, and change nothing. Give what "
        "you have found so far: for everything that must change, the file and place, and what is wrong. The last line "
        "of your answer is your verdict, alone and without any decoration: {pass} only when what you have seen proves "
        "that the task is done, else {fail}.",
        {"pass": "the line of a review that approves", "fail": "the line of a review that wants changes"},
        ("{pass}", "{fail}"),
    ),
    "diagnosis": Template(
        "There is no progress: {why}. Do not try again now, and change nothing. Another iteration follows. Answer in "
        "at most 20 lines, for the user and for the reviewers:\n\n"
        "1. What have you tried, and what came of it?\n"
        "2. Why does it not work? Name the cause, or what you do not know about it.\n"
        "3. What would settle it: another approach, a decision, an access or a fact? Say what only the user can give."
        "\n\n{task}",
        {"why": "what shows that there is no progress", "task": _TASK},
        ("{why}", "{task}"),
    ),
    "pull_request": Template(
        "The work below is done and approved. Publish it:\n\n"
        "1. Commit what is not committed yet, on a branch of its own if you are on the default branch, and push.\n"
        "2. Look whether this branch has an open pull request (`gh pr view`). If it has, the follow-up commit that you "
        "pushed is all that is needed: do not open a second one.\n"
        "3. Otherwise open one with `gh pr create --draft`: a title that says what changed, and a body that says why "
        "and how it was verified.\n\n"
        "{findings}\n\n{verified}\n\n{task}\n\n"
        "Answer with the address of the pull request, or with the reason why there is none.",
        {
            "task": _TASK,
            "findings": "the findings of the reviews, for the body",
            "verified": "how the work was verified, for the body",
        },
        ("{task}",),
    ),
    "continuation": Template(
        "Your work on this was cut short: {why}. Look at what you have already done, do not do it again, and carry on "
        "from there. {asked}",
        {"why": "why the turn was cut short", "asked": _ASKED},
        ("{asked}",),
        "{asked}",
    ),
    "reminder": Template(
        "Your work on this was cut short: {why}. The request is earlier in this conversation. Look at what "
        "you have already done, do not do it again, carry on to the end, and close as you were asked to.",
        {"why": "why the turn was cut short"},
        (),
    ),
    "hand_over": Template(
        "{why} This is a new one, and nothing of the old conversation is here. "
        "What you did is in the directory: before you carry on, read PLAN.md if there is one, `git status`, `git diff` "
        "and `git log -n 20`. Do not do again what is there.\n\n{said}\n\n"
        "Carry on to the end, and close as you are asked to. {asked}",
        {"why": "why the old session has ended", "said": _SAID, "asked": _ASKED},
        ("{asked}",),
        "{asked}",
    ),
    "take_over": Template(
        'You take this work over from "{giver}", whose usage limit is used up. It comes back later, and then reviews '
        "what you did: the work is yours now, whatever you were told before. Nothing of its conversation is here. What "
        "it did is in the directory: before you carry on, read PLAN.md if there is one, `git status`, `git diff` and "
        "`git log -n 20`. Do not do again what is there.\n\n{said}\n\n"
        "Carry on to the end, and close as you are asked to. {asked}",
        {"giver": "the name of the agent whose limit is used up", "said": _SAID, "asked": _ASKED},
        ("{asked}",),
        "{asked}",
    ),
}


def filled(name: str, text: str, parts: Mapping[str, str]) -> str:
    """The prompt's paragraphs. `text`: the user's template; "" = the built-in one. `parts`: each placeholder's text."""
    template = text or TEMPLATES[name].text
    return "\n\n".join(
        paragraph for each in _GAP.split(template.strip()) if (paragraph := _PLACE.sub(_put(parts), each)).strip()
    )


def paragraphs(*parts: str) -> str:
    """The parts that are not empty, as paragraphs."""
    return "\n\n".join(part for part in parts if part)


def _put(parts: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    """The text for each place; a name without one stays as it is."""
    return lambda found: f"{{{found[1]}}}" if found[1] else parts.get(found[2], found[0])


class Fault(NamedTuple):
    """What is wrong with a template. `line` 0: with all of it."""

    line: int
    why: str


def fault(name: str, text: str) -> Fault | None:
    """The first fault of a text in place of this prompt; None = it can be used."""
    known = TEMPLATES[name].placeholders
    used = {""}
    for number, line in enumerate(text.split("\n"), 1):
        for found in _PLACE.finditer(line):
            if (word := found[2]) and word not in known:
                braced = {f"{{{each}}}" for each in known}
                return Fault(
                    number,
                    f"unknown placeholder {{{word}}}{values.meant(f'{{{word}}}', braced)}; the prompt {name} has "
                    f"{', '.join(sorted(braced))}; for the text itself write {{{{{word}}}}}",
                )
            used.add(found[2] or "")
    for need in TEMPLATES[name].needs:
        word = need.strip("{}")
        if need.startswith("{") and word not in used:
            return Fault(0, f"lacks {need}: {known[word]}; loop prompts copy {name} DIR writes one that has all of it")
        if not need.startswith("{") and need not in text:
            return Fault(0, f"does not mention {need}; loop prompts copy {name} DIR writes one that has all of it")
    return _fault_at_the_end(name, text)


def _fault_at_the_end(name: str, text: str) -> Fault | None:
    last = TEMPLATES[name].ends_with
    if last and not text.rstrip().endswith(last):
        return Fault(0, f"does not end with {last}: put it last, as loop prompts show {name} has it")
    if last and (ASKED in text or text.count(last) > 1):
        return Fault(0, f"has {last} or the words {ASKED!r} before the end: {last} brings them, once")
    return None


# Those of a turn that continues: its session needs them, too.
OF_A_CONTINUATION = ("continuation", "reminder", "hand_over")
