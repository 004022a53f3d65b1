"""The prompts that continue a turn: after it was cut short, in a new session, or with the other agent. Pure.

Each keeps the first line of the prompt that it continues, with "(continued)" behind it. It can be continued in turn,
and does not grow. `why` says what happened; `template` is the user's text, "" = the built-in one.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.machines.prompt_templates import ASKED, filled, paragraphs

CONTINUED = " (continued)"
# Why a turn is continued.
UNFINISHED = "the turn ended before you were finished"
ENDED_EARLY = "your turn ended before you were through with it"
SILENT = "for a long time there was no sign of life from you, so the turn was interrupted"
# Why a session has ended.
TOO_LONG = "Your session became too long for the model."
GONE = "Your session does not exist any more."
NO_SIGN_OF_LIFE = "In your session there was twice no sign of life from you for a long time."
_NAMES = 20  # files of the tree that a hand-off names
_SAID_LENGTH = 2_000  # characters of an agent's last words that a new session gets


def continuation(prompt: str, *, why: str = UNFINISHED, template: str = "") -> str:
    """Continues a turn that was cut short, e.g. because "the run was paused" (`why`).

    `prompt` is the prompt of that turn; it is given again as a whole, since the agent may never have seen it. The
    first line stays recognisable: "Iteration 2" becomes "Iteration 2 (continued)". A continuation can be continued
    like any prompt; it does not grow.
    """
    header, body = _asked(prompt)
    return paragraphs(
        header + CONTINUED, filled("continuation", template, {"why": why, "asked": paragraphs(ASKED, body)})
    )


def with_unknown(text: str, command: str) -> str:
    """The prompt of a turn that was cut when the agent's host, or the link to it, was lost."""
    return paragraphs(
        text,
        "The machine on which you worked, or the connection to it, was lost. The outcome of your last command there is "
        f"not known: `{command}`. It may have run in full, in part or not at all, and what it wrote may not be in this "
        "directory: look before you run it again.",
    )


def reminder(prompt: str, *, why: str = ENDED_EARLY, quoted: bool = False, template: str = "") -> str:
    """Continues a turn whose prompt is in the agent's own transcript, without repeating the prompt.

    `quoted`: repeats the prompt where its first line is ambiguous: all messages of an agent begin alike, and a user's
    message may be longer than its first line.
    """
    header, body = _asked(prompt)
    return paragraphs(
        header + CONTINUED,
        filled("reminder", template, {"why": why}),
        f"This is the message that is meant; it was sent once:\n\n{body}" if quoted and body else "",
    )


def hand_over(prompt: str, *, said: str = "", why: str = TOO_LONG, template: str = "") -> str:
    """Continues a turn in a new session, because of the old one (`why`). `said`: the agent's last words there.

    It repeats the whole request; the work done is in the directory.
    """
    header, body = _asked(prompt)
    parts = {"why": why, "said": _said("you said in the old session", said), "asked": paragraphs(ASKED, body)}
    return paragraphs(header + CONTINUED, filled("hand_over", template, parts))


def take_over(prompt: str, *, giver: str, said: str = "", template: str = "") -> str:
    """Gives a turn to the other agent, because the limit of the first one, `giver`, is used up. `said`: its last words.

    It repeats the whole request; the work done is in the directory.
    """
    header, body = _asked(prompt)
    parts = {"giver": giver, "said": _said(f'"{giver}" said', said), "asked": paragraphs(ASKED, body)}
    return paragraphs(header + CONTINUED, filled("take_over", template, parts))


def _said(who: str, said: str) -> str:
    return f"The last thing that {who}:\n{said.strip()[-_SAID_LENGTH:]}" if said.strip() else ""


def with_tree(prompt: str, facts: Sequence[str]) -> str:
    """The prompt, with what is in the directory at the time of a hand-off."""
    return paragraphs(prompt, "The directory, when this was handed over:\n" + "\n".join(facts) if facts else "")


def tree_facts(commit: str, branch: str, *, changed: Sequence[str] = (), uncommitted: Sequence[str] = ()) -> list[str]:
    """What is in the directory, for `with_tree`."""
    return [
        *([f"commit {commit}" + (f" on branch {branch}" if branch else "")] if commit else []),
        *([f"changed since the run began: {_some(changed)}"] if changed else []),
        *([f"not committed: {_some(uncommitted)}"] if uncommitted else []),
    ]


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def _asked(prompt: str) -> tuple[str, str]:
    """The first line of a request, and its whole text, also of one that continues another."""
    header, _, body = prompt.partition("\n")
    if header.endswith(CONTINUED):
        body = body.partition(ASKED)[2]
    return header.removesuffix(CONTINUED), body.strip()
