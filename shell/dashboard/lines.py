"""A text of lines that are wrapped to its width, those after the first a little more indented. An app's widget."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from shell.dashboard.panel import printable, wrap


class Lines(Static):
    """Shows any text as it is: no markup, no control characters."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - textual's own word
        super().__init__(id=id, markup=False)
        self._lines: Sequence[str] = ()
        self._text = ""

    def show(self, lines: Sequence[str]) -> None:
        """From now on."""
        self._lines = lines
        width = self.content_size.width
        if width:  # else it has not been laid out, as its tab is not shown: `on_resize` comes when it is
            text = "\n".join(piece for line in lines for piece in wrap(printable(line), width))
            if text != self._text:
                self._text = text
                self.update(Content(text))

    def on_resize(self, _event: Resize) -> None:
        """Another width has other pieces."""
        self.show(self._lines)
