"""The recorder's second half (scripts/record is the first): scripts/demo in a terminal, and its screens as an SVG.

tmux is the terminal, and the picture shows what it shows. Screens are taken several times a second. The picture is one
animated strip of all different screens; without animation it shows the last one. Only waits are shortened.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from rich.cells import cell_len
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "recording.svg"
COLUMNS, ROWS = 104, 30
EACH_S = 0.15
LONGEST_MS, LAST_MS = 1_500, 8_000

CELL, LINE, MARGIN, FONT = 8.0, 18, 14, 13.3
FONTS = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
_HUES = [(224, 108, 117), (152, 195, 121), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194)]
THEME = TerminalTheme(
    (26, 29, 35),
    (205, 209, 216),
    [(60, 64, 72), *_HUES, (171, 178, 191)],
    [(92, 99, 112), *_HUES, (255, 255, 255)],
)
CONSOLE = Console(width=10 * COLUMNS, color_system="truecolor")


class Screen(NamedTuple):
    """A screen of the terminal and its duration: one line per row, with colours as escape sequences."""

    rows: tuple[str, ...]
    ms: int


def main(words: Sequence[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="loop-record-") as place:
        socket = str(Path(place) / "tmux")
        try:
            screens = list(watch(socket, words))
        finally:
            tmux(socket, "kill-server", check=False)
    PICTURE.write_text(draw(screens))
    print(f"[record] {len(screens)} screens in {PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size / 1_000:.0f} kB")
    return 0


def watch(socket: str, words: Sequence[str]) -> Iterator[Screen]:
    """The different screens of one demo, from its first line until it has ended."""
    tmux(
        socket, "-f", os.devnull, "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-c", str(ROOT),
        "-e", "PS1=$ ", "sh", ";", "set-option", "-g", "status", "off", ";", "set-option", "-g", "remain-on-exit", "on",
    )  # fmt: skip
    tmux(socket, "respawn-pane", "-k", "scripts/demo", *words)
    shown: tuple[str, ...] = ()
    ms = 0
    pause = threading.Event()
    while True:
        over = tmux(socket, "display-message", "-p", "#{pane_dead}").strip() == "1"
        rows = tuple(tmux(socket, "capture-pane", "-e", "-p").rstrip("\n").split("\n"))
        if over:
            rows = tuple(row for row in rows if not row.startswith("Pane is dead"))
        if rows != shown and any(shown):
            yield Screen(shown, min(ms, LONGEST_MS))
            ms = 0
        shown = rows
        if over:
            yield Screen(shown, LAST_MS)
            return
        pause.wait(EACH_S)
        ms += int(EACH_S * 1_000)


def tmux(socket: str, *words: str, check: bool = True) -> str:
    return subprocess.run(["tmux", "-S", socket, *words], check=check, capture_output=True, text=True).stdout


def draw(screens: Sequence[Screen]) -> str:
    """One SVG of all screens."""
    width, height = round(COLUMNS * CELL + 2 * MARGIN), ROWS * LINE + 2 * MARGIN
    ids: dict[str, str] = {}
    strip = []
    for number, screen in enumerate(screens):
        for row, text in enumerate(screen.rows[:ROWS]):
            if Text.from_ansi(text).plain.strip():
                name = ids.setdefault(text, f"r{len(ids)}")
                strip.append(f'<use href="#{name}" y="{number * height + MARGIN + (row + 1) * LINE - 5}"/>')
    rows = [f'<text id="{name}" x="0">{_spans(text)}</text>' for text, name in ids.items()]
    whole = sum(screen.ms for screen in screens)
    stops, at = [], 0
    for number, screen in enumerate(screens):
        stops.append(f"{100 * at / whole:.3f}%{{transform:translateY(-{number * height}px)}}")
        at += screen.ms
    last = f"transform:translateY(-{(len(screens) - 1) * height}px)"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        "<title>A run of loop, as scripts/demo prints it. Waits are shortened.</title>",
        "<style>",
        f"text{{font:{FONT}px {FONTS};fill:{THEME.foreground_color.hex};white-space:pre}}",
        f".strip{{{last};animation:play {whole}ms step-end infinite}}",
        f"@keyframes play{{{''.join(stops)}}}",
        "@media (prefers-reduced-motion:reduce){.strip{animation:none}}",
        "</style>",
        "<defs>", *rows, "</defs>",
        f'<rect width="100%" height="100%" rx="8" fill="{THEME.background_color.hex}"/>',
        '<g class="strip">', *strip, "</g>",
        "</svg>",
        "",
    ])  # fmt: skip


def _spans(row: str) -> str:
    """The text of one row: a span per colour, at its column and of its width, whatever the font is."""
    parts, column = [], 0
    for piece in CONSOLE.render(Text.from_ansi(row, end="")):
        cells = cell_len(piece.text)
        if piece.text.strip():
            place = f'x="{MARGIN + column * CELL:g}" textLength="{cells * CELL:g}"'
            parts.append(f"<tspan {place}{_look(piece.style)}>{escape(piece.text)}</tspan>")
        column += cells
    return "".join(parts)


def _look(style: Style | None) -> str:
    if style is None:
        return ""
    colour = style.color.get_truecolor(THEME).hex if style.color and not style.color.is_default else ""
    attributes = {"fill": colour, "font-weight": "bold" if style.bold else "", "opacity": ".6" if style.dim else ""}
    return "".join(f' {name}="{value}"' for name, value in attributes.items() if value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
