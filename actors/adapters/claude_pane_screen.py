"""Reads the screen of Claude Code's TUI: its start-up dialogs and its input box. Pure.

The screen is not a protocol, so little depends on it: which key answers a dialog, and what the input box contains. The
fate of a prompt is never read here. Written against 2.1.330.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# A dialog's text, and the beginning of the answer to choose; "": the preselected one. By starting `loop` the user has
# already consented: unattended, in this folder, with this environment.
DIALOGS: Sequence[tuple[str, str]] = (
    ("trust this folder", "Yes, I trust"),
    ("Do you want to use this API key", "Yes"),
    ("Bypass Permissions mode", "Yes, I accept"),
    ("Resume full session as-is", "Resume full session as-is"),
    ("Continue without these settings", "Continue without these settings"),
    ("looks best with your terminal", ""),
    ("Press Enter to continue", ""),
)

_LIMIT_MENU = "Stopandwaitforlimittoreset"  # an answer of it, without blanks
_MARK = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"  # before the selected answer, and in the input box
_OPTION = re.compile(rf"^\s*(?P<chosen>{_MARK})?\s*(?:\d+\.\s+)?(?P<text>\S.*?)\s*$")
_RULE = re.compile(r"^\s*─{10}")
_BLANKS = re.compile(r"\s+")


def answer(screen: str) -> tuple[str, ...]:
    """The keys for the start-up dialog on the screen; () without a known dialog.

    Either the keys to the right answer or, when it is selected, Enter: read the screen again in between.
    """
    said = squeeze(screen).lower()
    for words, wanted in DIALOGS:
        if squeeze(words).lower() not in said:
            continue
        if not wanted:
            return ("Enter",)
        options = [match for row in screen.splitlines() if (match := _OPTION.match(row))]
        chosen = next((n for n, option in enumerate(options) if option["chosen"]), None)
        right = next((n for n, option in enumerate(options) if option["text"].startswith(wanted)), None)
        if chosen is None or right is None:
            return ()
        if chosen == right:
            return ("Enter",)
        return ("Down",) * (right - chosen) or ("Up",) * (chosen - right)
    return ()


def limit_menu(screen: str) -> bool:
    """Whether the program asks what to do about a used-up limit. Its menu replaces the input box."""
    return input_box(screen) is None and _LIMIT_MENU in squeeze(screen)


_TOKENS = re.compile(r"[\d.,]+k? tokens")


def tokens_shown(screen: str) -> tuple[str, ...]:
    """The counts of tokens on the screen: they grow while the model writes. Its spinner and clock always move."""
    return tuple(_TOKENS.findall(screen))


def input_box(screen: str) -> str | None:
    """The text of the input box, hints included; None when a dialog or menu replaces the box."""
    rows = screen.rstrip().splitlines()
    rules = [n for n, row in enumerate(rows) if _RULE.match(row)]
    if len(rules) < 2:
        return None
    box = rows[rules[-2] + 1 : rules[-1]]
    if not box or box[0][:1] not in {_MARK, "!", ">"}:
        return None
    return "\n".join([box[0][1:].strip(), *(row.strip() for row in box[1:])]).strip()


def shows_end(box: str, text: str) -> bool:
    """Whether the box shows the end of the pasted text, or a placeholder for a long one."""
    end = squeeze(text)[-16:]
    return "[Pastedtext#" in squeeze(box) or (bool(end) and squeeze(box).endswith(end))


def squeeze(text: str) -> str:
    """The text without blanks: line breaks depend on the pane's width."""
    return _BLANKS.sub("", text)
