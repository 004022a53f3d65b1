"""Decides the next step for Claude Code's TUI: at its start, to enter a prompt, to stop it, when it asks. Pure.

Plain objects without I/O: each gets what is visible and the time (seconds of one clock), and returns the next step. A
key is pressed again where it may have been lost; a prompt is never pasted twice.
"""

from __future__ import annotations

from typing import Literal

from actors.adapters.claude_pane_screen import answer, input_box, limit_menu, shows_end, squeeze

READY_S = 60.0  # of a loaded machine, and of a user who answers dialogs
ANSWER_S = 5.0  # until a dialog disappears
UNKNOWN_DIALOG_S = 8.0  # then the user is told that the program asks something
ENTER_S = 2.0  # for the hook, after Enter
SUBMIT_S = 45.0  # for the hook in total: an interpreter's start on a loaded machine
DIALOG_NOTE_S = 5.0
INTERRUPT_AGAIN_S = 2.0
ESCAPES = 4


class Starting:
    """The program's start. Its hook reports before its input box appears; text typed before that is lost."""

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._answered = ""  # the screen of the last answered dialog
        self._answered_at_s = 0.0
        self._is_noted = False

    def is_over(self, screen: str, *, ready: bool) -> bool:
        """Whether prompts can be typed. `ready`: the program's hook has reported."""
        return ready and input_box(screen) is not None

    def is_overdue(self, now_s: float) -> bool:
        """Whether it waits for something unknown."""
        return now_s - self._began_s > READY_S

    def keys(self, screen: str, now_s: float) -> tuple[str, ...]:
        """The keys that answer the dialog on the screen; () for none. They count as pressed.

        After Enter another dialog comes, on which a second Enter would mean no: the same screen is answered again only
        after some time.
        """
        keys = answer(screen) if input_box(screen) is None else ()
        if not keys or (screen == self._answered and now_s - self._answered_at_s <= ANSWER_S):
            return ()
        self._answered, self._answered_at_s = screen, now_s
        return keys

    def is_note_due(self, screen: str, now_s: float) -> bool:
        """Whether to tell the user that the program asks something; True once."""
        if self._is_noted or answer(screen) or now_s - self._began_s <= UNKNOWN_DIALOG_S:
            return False
        self._is_noted = True
        return True


class Bringing:
    """A prompt on its way to a pane that the user may be using."""

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._is_noted = False

    def is_note_due(self, now_s: float) -> bool:
        """Whether to tell the user that the prompt waits for them; True once."""
        if self._is_noted or now_s - self._began_s <= DIALOG_NOTE_S:
            return False
        self._is_noted = True
        return True


class Entering:
    """From Enter until the program confirms the prompt."""

    def __init__(self, now_s: float) -> None:
        self._until_s = now_s + SUBMIT_S
        self._entered_s = now_s

    def next(self, now_s: float, *, has_it: bool) -> Literal["taken", "lost", "wait", "look at the box"]:
        """`look at the box`: press `key_for` the prompt again if there is one, and report it by `pressed`."""
        if has_it:
            return "taken"
        if now_s > self._until_s:
            return "lost"
        return "wait" if now_s - self._entered_s < ENTER_S else "look at the box"

    def pressed(self, now_s: float) -> None:
        """Records another key."""
        self._entered_s = now_s


def key_for(screen: str, words: str, text: str) -> Literal["Enter", "Escape", ""]:
    """The key that a typed prompt needs, which was not taken; "": none.

    The question of a used-up limit may open when the prompt is in the box already: then it has got the Enter.
    """
    if limit_menu(screen):
        return "Escape"
    box = input_box(screen)
    holds = box is not None and (squeeze(words) in squeeze(box) or shows_end(box, text))
    return "Enter" if holds else ""


class Escaping:
    """Stops the program's current work. While nothing runs, Escape would open a menu."""

    def __init__(self) -> None:
        self._presses = 0
        self._pressed_s = 0.0

    def next(self, now_s: float, *, wanted: bool, idle: bool) -> Literal["done", "press", "wait", "lost"]:
        """`press`: Escape, now. It counts as pressed."""
        if not wanted or idle:
            return "done"
        if self._presses and now_s - self._pressed_s < INTERRUPT_AGAIN_S:
            return "wait"
        if self._presses == ESCAPES:
            return "lost"
        self._presses += 1
        self._pressed_s = now_s
        return "press"


class Question:
    """Whether the program waits for the user's answer during a turn, and whether that was reported."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._is_told = False

    def next(self, now_s: float, *, status: str, permission: str) -> Literal["tell", "answered", "nothing"]:
        """`status`: the program's own report, "" = none. `permission`: the call that it asks permission for.

        A permission is reported immediately; another question only after some time without an answer.
        """
        if status != "waiting" if status else not permission:
            return self.over()
        if self._since_s is None:
            self._since_s = now_s
        if self._is_told or not (permission or now_s - self._since_s > DIALOG_NOTE_S):
            return "nothing"
        self._is_told = True
        return "tell"

    def over(self) -> Literal["answered", "nothing"]:
        """The program asks nothing any more."""
        self._since_s = None
        was_told, self._is_told = self._is_told, False
        return "answered" if was_told else "nothing"
