"""A table of the dashboard: fits its width, keeps the cursor at its row when rows change, redraws only changed cells.

Belongs to the app's thread, like all widgets.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from rich.text import Text
from textual.events import Resize
from textual.widgets import DataTable

from shell.dashboard.panel import Column, Fitted, fit

Row = TypeVar("Row")

PADDING = 1  # on both sides of each cell
STYLES = {
    "working": "green",
    "active": "green",
    "reviewing": "cyan",
    "input-required": "bold yellow",
    "queued": "yellow",
    "down": "bold red",
    "failed": "red",
    "completed": "blue",
    "stopped": "dim",
    "ended": "dim",
}


class FittingTable(DataTable[Text], Generic[Row]):
    """Rows of any kind in `columns`. `key` names a row."""

    def __init__(self, columns: Sequence[Column[Row]], key: Callable[[Row], str], *, id: str) -> None:  # noqa: A002 - textual's own word
        super().__init__(id=id, cursor_type="row", cell_padding=PADDING)
        self._wanted = columns
        self._key = key
        self._fitted = Fitted([], [], [])
        self._now_ms = 0
        self.shown: list[Row] = []

    def show(self, rows: Sequence[Row], now_ms: int) -> None:
        """Shows these rows from now on."""
        selected = self.selected
        before = [self._key(row) for row in self.shown]
        self.shown, self._now_ms = list(rows), now_ms
        width = self.scrollable_content_region.width - 2 * PADDING
        fitted = fit(self._wanted, self.shown, now_ms, width, gap=2 * PADDING)
        if fitted.columns != self._fitted.columns:
            self.clear(columns=True)
            for title, cells in fitted.columns:
                self.add_column(Text(title), width=cells)
            self._fill(fitted, selected)
        elif before != [self._key(row) for row in self.shown]:
            self.clear()
            self._fill(fitted, selected)
        else:
            for index, (row, old) in enumerate(zip(fitted.rows, self._fitted.rows, strict=True)):
                for place, text in enumerate(row):
                    if text != old[place]:
                        self.update_cell_at((index, place), _styled(text))  # type: ignore[arg-type]  # a Coordinate is a tuple
        self._fitted = fitted

    @property
    def selected(self) -> Row | None:
        """The row at the cursor; None without rows."""
        return self.shown[self.cursor_row] if 0 <= self.cursor_row < len(self.shown) else None

    def _fill(self, fitted: Fitted, selected: Row | None) -> None:
        for row, cells in zip(self.shown, fitted.rows, strict=True):
            self.add_row(*map(_styled, cells), key=self._key(row))
        keys = [self._key(row) for row in self.shown]
        if selected is not None and self._key(selected) in keys:
            self.move_cursor(row=keys.index(self._key(selected)), animate=False)

    def on_resize(self, _event: Resize) -> None:
        """Chooses the columns for the new width."""
        self.show(self.shown, self._now_ms)


def _styled(text: str) -> Text:
    return Text(text, style=STYLES.get(text, ""), no_wrap=True)
