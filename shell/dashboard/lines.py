"""Widgets for text: one wraps lines to its width with a hanging indent, the other one scrolls it. They belong to the
app's thread.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from actors.text import line as one_line
from shell.dashboard.panel import wrap


class Lines(Static):
    """Shows any text as it is: no markup, no control characters."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - textual's own word
        super().__init__(id=id, markup=False)
        self._lines: Sequence[str] = ()
        self._text = ""

    def show(self, lines: Sequence[str]) -> None:
        """Shows these lines from now on."""
        self._lines = lines
        width = self.content_size.width
        if width:  # else it has not been laid out, as its tab is not shown: `on_resize` comes when it is
            text = "\n".join(piece for line in lines for piece in wrap(one_line(line), width))
            if text != self._text:
                self._text = text
                self.update(Content(text))

    def on_resize(self, _event: Resize) -> None:
        """Wraps the text to the new width."""
        self.show(self._lines)
        if isinstance(self.parent, Following):
            self.parent.text_changed()


class Following(VerticalScroll):
    """Stays at the end of its text until the user scrolls up, and again when the user scrolls back to the end.

    textual's own `anchor` puts a short text at the bottom.
    """

    _at_end = True

    def text_changed(self) -> None:
        """Scrolls after a change of the text's height."""
        if self._at_end:
            self.follow()

    def follow(self) -> None:
        """Scrolls to the end, and follows it."""
        self._at_end = True
        self.scroll_end(animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Handles scrolling by the user. A growing text does not change the place."""
        super().watch_scroll_y(old_value, new_value)
        self._at_end = new_value >= self.max_scroll_y
