"""The dashboard as text and as tables that fit a width. Pure: structs in, text out; readable without colour.

A table has columns with a least width, and drops those that matter least until the rest fits. What agents say is shown
in one line and without control characters, since it is foreign text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Generic, NamedTuple, TypeVar

from actors.text import line
from shell import spending, tables
from shell.dashboard.view import ProcessView, RunView, Snapshot, TmuxView, repository_name

GAP = 2  # blanks between columns
ENDED_SHOWN = 20  # ended runs in the text form
LEAST_WIDTH = 40  # narrower terminals get this width

Row = TypeVar("Row")


class Column(NamedTuple, Generic[Row]):
    """`rank`: 0 is dropped last. A column gets `least` cells, then up to `most`; one without `most` takes the rest."""

    title: str
    cell: Callable[[Row, int], str]  # of a row, at this Unix time in ms
    least: int
    rank: int
    most: int = 0


class Fitted(NamedTuple):
    """A table of this width: `columns` are title and width; each row has a cell for each of them, cut to its width.

    `dropped` has for each row what found no room, as "title value".
    """

    columns: list[tuple[str, int]]
    rows: list[list[str]]
    dropped: list[list[str]]


# --- text -----------------------------------------------------------------------------------------------------


def clean(text: str) -> str:
    """The text in one line, without control characters, which could move the cursor."""
    return " ".join(line(text).split())


ZERO_WIDTH = "\u200c\u200d\ufe0e\ufe0f"  # joiners, and variants of the letter before


def cells(text: str) -> int:
    """The width of the text on the screen."""
    return len(text) if text.isascii() else sum(_cells_of(letter) for letter in text)


def _cells_of(letter: str) -> int:
    if unicodedata.combining(letter) or letter in ZERO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def cut(text: str, width: int) -> str:
    """The text, at most so wide; an ellipsis replaces the rest."""
    if cells(text) <= width:
        return text
    return f"{text[: _letters_that_fit(text, width - 1)].rstrip()}…"


def wrap(line: str, width: int) -> list[str]:
    """The line in pieces that fit; those after the first are indented a little more than it is."""
    line = line.rstrip()
    lead = len(line) - len(line.lstrip())
    indent = " " * min(lead + 2, width // 2)
    pieces: list[str] = []
    at, before, beginning = 0, "", lead
    while True:  # in parts: it may be a million letters long
        part = before + line[at : at + 4 * width]
        end = _letters_that_fit(part, width)
        if end == len(part) and at + 4 * width >= len(line):
            return [*pieces, part]
        if end < len(part):
            blank = part.rfind(" ", beginning + 1, end + 1)
            end = blank if blank > 0 else end
        pieces.append(part[:end].rstrip())
        at += max(1, end - len(before))
        while at < len(line) and line[at].isspace():
            at += 1
        before, beginning = indent, len(indent)


def _letters_that_fit(text: str, width: int) -> int:
    for index, letter in enumerate(text):
        width -= _cells_of(letter)
        if width < 0:
            return index
    return len(text)


def ago(ms: int, now_ms: int) -> str:
    """How long ago, in four characters at most: 12s, 4m, 3h, 12d; "-" for never."""
    if not ms:
        return "-"
    seconds = max(0, now_ms - ms) // 1000
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def count(number: int) -> str:
    """Tokens for the user, in six characters at most: 950, 12.3k, 4.5M."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def run_name(key: str) -> str:
    """A key without the repository's hash."""
    repo_id, _, run_id = key.rpartition("/")
    return f"{repository_name(repo_id)}/{run_id}" if repo_id else run_id


# --- tables ---------------------------------------------------------------------------------------------------


RUN_COLUMNS: tuple[Column[RunView], ...] = (
    Column("run", lambda run, _: run.run_id, 3, 0, 12),
    Column("state", lambda run, _: run.stands, 9, 1, 14),
    Column("age", lambda run, now: ago(run.created_at_ms, now), 4, 2, 4),
    Column("mode", lambda run, _: run.mode or "-", 6, 7, 12),
    Column("repository", lambda run, _: run.repository, 10, 3, 20),
    Column("agents", lambda run, _: "+".join(dict.fromkeys(run.agents.values())) or "-", 8, 8, 24),
    Column("tokens", lambda run, _: spending.tokens(run.tokens, run.usage, count) if run.report else "-", 6, 5, 6),
    Column("cost", lambda run, _: spending.money(run.usage) if run.report else "-", 6, 6, 9),
    Column("budget", lambda run, _: run.budget, 6, 11, 32),
    Column("findings", lambda run, _: run.findings, 8, 10, 8),
    Column("cwd", lambda run, _: run.cwd, 20, 9, 60),
    Column("what", lambda run, _: run.line, 20, 4),
)

PROCESS_COLUMNS: tuple[Column[ProcessView], ...] = (
    Column("pid", lambda each, _: str(each.pid or "-"), 5, 0, 8),
    Column("agent", lambda each, _: each.agent, 6, 1, 12),
    Column("state", lambda each, _: each.state, 6, 2, 8),
    Column("run", lambda each, _: run_name(each.run) or "-", 8, 3, 24),
    Column("session", lambda each, _: each.session_id or "-", 8, 6, 36),
    Column("cwd", lambda each, _: each.cwd or "-", 20, 7, 60),
    Column("last", lambda each, now: ago(each.last_event_at_ms, now), 4, 4, 4),
    Column("event", lambda each, _: each.last_event, 16, 5),
)

TMUX_COLUMNS: tuple[Column[TmuxView], ...] = (
    Column("session", lambda each, _: each.name, 12, 1, 40),
    Column("run", lambda each, _: run_name(each.run), 8, 2, 24),
    Column("age", lambda each, now: ago(each.created_at_ms, now), 4, 4, 4),
    Column("attached", lambda each, _: str(each.attached), 8, 3, 8),
    Column("attach with", lambda each, _: each.attach, 34, 0, 80),
)


def fit(columns: Sequence[Column[Row]], rows: Sequence[Row], now_ms: int, width: int, gap: int = GAP) -> Fitted:
    """The table in `width` cells, `gap` of them after each column but the last."""
    most = 4 * width + 1  # letters that are measured: more is not shown, and a million would take seconds
    texts = [[clean(column.cell(row, now_ms)[: 2 * most])[:most] for column in columns] for row in rows]
    kept: list[int] = []
    room = width + gap
    for index in sorted(range(len(columns)), key=lambda index: columns[index].rank):
        if room < columns[index].least + gap:
            break
        room -= columns[index].least + gap
        kept.append(index)
    widths = {index: columns[index].least for index in kept}
    for index in kept:  # in the order in which they matter
        column = columns[index]
        wanted = max([cells(column.title), *(cells(row[index]) for row in texts)])
        more = min(room, max(0, min(wanted, column.most) - column.least))
        widths[index] += more
        room -= more
    for index in kept:
        if not columns[index].most:
            widths[index] += room
            room = 0
    order = sorted(kept)
    return Fitted(
        columns=[(columns[index].title, widths[index]) for index in order],
        rows=[[cut(row[index], widths[index]) for index in order] for row in texts],
        dropped=[
            [f"{columns[index].title} {row[index]}" for index in range(len(columns)) if index not in widths]
            for row in texts
        ],
    )


def _lines(table: Fitted, *, more: bool) -> list[str]:
    """The table as lines. `more`: dropped columns follow each row."""
    lines = [_line([title for title, _ in table.columns], table)]
    for row, dropped in zip(table.rows, table.dropped, strict=True):
        lines.append(_line(row, table))
        lines += [f"    {each}" for each in dropped] if more else []
    return lines


def _line(row: Sequence[str], table: Fitted) -> str:
    padded = (text + " " * (width - cells(text)) for text, (_, width) in zip(row, table.columns, strict=True))
    return (" " * GAP).join(padded).rstrip()


# --- one run --------------------------------------------------------------------------------------------------


def run_lines(run: RunView, *, now_ms: int, hint: str = "") -> list[str]:
    """Everything about one run, in lines of any length. `hint`: how to resume one that is not running."""
    if run.report is None:
        lines = [f"run {run.run_id}  {run.stands}", f"  files  {run.directory}"]
    else:
        lines = tables.report_lines(run.report, now_ms=now_ms, state=run.state)
    begun = f"begun {tables.duration(now_ms - run.created_at_ms)} ago" if run.created_at_ms else "start time unknown"
    lines.insert(1, f"  of {run.repository} in {run.cwd or '?'}, {run.mode or 'mode unknown'}, {begun}")
    if run.trouble:
        lines.insert(1, f"  {run.trouble}")
    lines += [f"  {line}" for line in session_lines(run)]
    if run.tmux_session:
        lines.append(f"  tmux attach -t {run.tmux_session}")
    if run.running:
        lines.append(f"  loop shell {run.key}")
    elif hint:
        lines.append(f"  {hint}")
    return lines


def session_lines(run: RunView) -> list[str]:
    """The ids of the agents' own sessions."""
    rows = [
        ["session of", f"{run.agents.get(role, role)} ({role})" if role in run.agents else role, session]
        for role, session in run.sessions.items()
    ]
    return tables.columns(rows)


def process_line(each: ProcessView, now_ms: int) -> str:
    """Everything about one process or session, in a line of any length."""
    facts = [f"{each.agent}, {each.state}" + (f", pid {each.pid}" if each.pid else "")]
    facts += [f"run {run_name(each.run)} ({each.role})"] if each.run else []
    facts += [f"session {each.session_id}"] if each.session_id else []
    facts += [f"in {each.cwd}"] if each.cwd else []
    if each.last_event_at_ms:
        facts.append(
            f"{ago(each.last_event_at_ms, now_ms)} ago{': ' + clean(each.last_event) if each.last_event else ''}"
        )
    return "; ".join(facts)


# --- everything -----------------------------------------------------------------------------------------------


def headline(snapshot: Snapshot, zone: timezone | None = None) -> str:
    """The numbers of runs, tokens and dollars, in at most 60 columns."""
    running = [run for run in snapshot.runs if run.running]
    moment = datetime.fromtimestamp(snapshot.at_ms / 1000, zone).strftime("%H:%M:%S")
    usage = spending.together(run.usage for run in running)
    tokens = spending.tokens(usage.input_tokens + usage.output_tokens, usage, count)
    spent = f", {tokens} tokens {spending.money(usage)}" if running else ""
    trouble = f"; {snapshot.trouble}" if snapshot.trouble else ""
    return f"{len(running)} running, {len(snapshot.runs) - len(running)} ended{spent}, {moment}{trouble}"


def next_step(snapshot: Snapshot) -> list[str]:
    """The hint for a user without runs."""
    return [
        f"No run yet in {snapshot.runs_in}.",
        "",
        "To start one, in a repository:",
        '  loop "fix the failing test" --check "make test"',
        "or queue it for loop serve:",
        '  loop submit "fix the failing test"',
        "All options: loop --help",
    ]


def text_lines(snapshot: Snapshot, *, width: int, zone: timezone | None = None) -> list[str]:
    """The whole dashboard as text for a pipe, or for a terminal of this width."""
    width = max(width, LEAST_WIDTH)
    now = snapshot.at_ms
    lines = [f"loop dashboard: {headline(snapshot, zone)}", ""]
    running = [run for run in snapshot.runs if run.running]
    ended = [run for run in snapshot.runs if not run.running]
    if not snapshot.runs:
        lines += next_step(snapshot)
    for run in running:
        lines += run_lines(run, now_ms=now)
    if running and ended:
        lines.append("")
    if ended:
        lines += _lines(fit(RUN_COLUMNS, ended[:ENDED_SHOWN], now, width), more=False)
    if len(ended) > ENDED_SHOWN:
        lines.append(f"({len(ended) - ENDED_SHOWN} older runs are not shown: loop dashboard, or --json, has them)")
    for title, table in (
        ("agents' processes", fit(PROCESS_COLUMNS, snapshot.processes, now, width)),
        ("agents' finished sessions", fit(PROCESS_COLUMNS, snapshot.finished, now, width)),
        ("tmux sessions", fit(TMUX_COLUMNS, snapshot.tmux, now, width)),
    ):
        if table.rows:
            lines += ["", title, *_lines(table, more=title != "agents' finished sessions")]
    return [piece for each in lines for piece in wrap(line(each), width)]
