"""The live dashboard: a `textual` application. Draws what `collect` knows, and opens consoles; decides nothing.

It runs in the main thread, with textual's loop, and never waits: the collector's threads do. A browser (`web`) has no
terminal for a console, so the app says what to type instead.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import ClassVar, Protocol

from textual.app import App, ComposeResult, SuspendNotSupported
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import DataTable, Footer, Static, TabbedContent, TabPane

from actors.edges import environments
from shell.dashboard.collect import Details
from shell.dashboard.lines import Following, Lines
from shell.dashboard.panel import (
    PROCESS_COLUMNS,
    RUN_COLUMNS,
    TMUX_COLUMNS,
    headline,
    next_step,
    process_line,
)
from shell.dashboard.table import FittingTable
from shell.dashboard.view import ProcessView, RunView, Snapshot, TmuxView

REFRESH_S = 1.0
DETAILS_S = 0.1  # delay until the details of a newly selected run appear
DETAILS = {"run": "Run", "transcript": "Transcript", "mail": "Mail", "log": "Log"}
FROM_THE_END = ("transcript", "log")
WIDGETS = "#head, #views, #empty, #runs, #details, #agents, #process, #no-tmux, #tmux, Footer"


class Source(Protocol):
    """The source of all data: a `Collector`. All methods return immediately."""

    def snapshot(self) -> Snapshot | None:
        """The data that is known now."""

    def select(self, run: RunView | None) -> None:
        """Asks for the `details` of this run."""

    def details(self) -> Details | None:
        """The selected run's details; the same object until they change."""

    def close(self) -> None:
        """Ends the collecting."""


class Dashboard(App[int]):
    """Closes its source when it ends."""

    TITLE = "loop dashboard"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { height: 1; background: $panel; padding: 0 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    #runs { height: auto; max-height: 40%; }
    #agents, #tmux { height: 1fr; }
    Tabs { height: 1; }
    Underline { display: none; }
    Tab.-active { text-style: reverse; }
    DataTable { scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; overflow-x: hidden; }
    TabbedContent { height: 1fr; }
    TabPane { padding: 0; }
    #empty { padding: 1 2; }
    Lines { padding: 0 1; }
    #process { height: auto; max-height: 5; padding: 0 1; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c,ctrl+q", "quit", "Quit", key_display="q", priority=True),
        Binding("c", "console", "Console"),
        Binding("a", "attach", "Attach"),
        *(Binding(name[0], f"detail('{name}')", title) for name, title in DETAILS.items()),
        Binding("1", "view('runs')", "Runs", show=False),
        Binding("2", "view('agents')", "Agents", show=False),
        Binding("3", "view('tmux')", "tmux", show=False),
        Binding("escape", "back", "Back", show=False),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source
        self._snapshot: Snapshot | None = None
        self._texts: dict[str, list[str]] = {}
        self._detailed = ""  # the key of their run
        self._written: dict[str, str] = {}
        self._offered: tuple[bool, bool] = (False, False)  # whether there is a run, and a tmux session

    def compose(self) -> ComposeResult:
        """Builds three views; the view of the runs shows details of the selected run."""
        yield Static(" looking", id="head", markup=False)
        with TabbedContent(id="views"):
            with TabPane("1 Runs", id="view-runs"):
                yield Static(id="empty", markup=False)
                yield FittingTable[RunView](RUN_COLUMNS, lambda run: run.key, id="runs")
                with TabbedContent(id="details"):
                    for name, title in DETAILS.items():
                        kind = Following if name in FROM_THE_END else VerticalScroll
                        with TabPane(title, id=f"detail-{name}"), kind(id=f"scroll-{name}"):
                            yield Lines(id=f"text-{name}")
            with TabPane("2 Agents", id="view-agents"), Vertical():
                yield FittingTable[ProcessView](PROCESS_COLUMNS, _process_key, id="agents")
                yield Static(id="process", markup=False)
            with TabPane("3 tmux", id="view-tmux"):
                yield Static(" no tmux session of loop: loop --tmux starts a run in one", id="no-tmux", markup=False)
                yield FittingTable[TmuxView](TMUX_COLUMNS, lambda each: each.name, id="tmux")
        yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Starts the refresh."""
        self.call_after_refresh(self._refresh)
        self.set_interval(REFRESH_S, self._refresh)
        self.set_interval(DETAILS_S, self._show_details)
        self._runs.focus()
        if not self.is_web:
            # For an exit that restores the terminal.
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.exit)

    def on_unmount(self) -> None:
        """Ends the refresh."""
        self._source.close()

    # --- showing ----------------------------------------------------------------------------------------------------

    def _refresh(self) -> None:
        snapshot = self._source.snapshot()
        if snapshot is not None and self._is_drawn:
            self.show(snapshot)

    @property
    def _is_drawn(self) -> bool:
        """Whether the widgets exist. Timers fire and messages come also while textual removes them at the end."""
        return len(self.query(WIDGETS)) == WIDGETS.count(",") + 1

    def show(self, snapshot: Snapshot) -> None:
        """Draws the snapshot."""
        now = snapshot.at_ms
        first = self._snapshot is None
        self._snapshot = snapshot
        self._write("head", f"loop: {headline(snapshot)}")
        empty = not snapshot.runs
        self.query_one("#empty", Static).display = empty
        self._write("empty", "\n".join(next_step(snapshot)) if empty else "")
        self._runs.display = self.query_one("#details").display = not empty
        self._runs.show(snapshot.runs, now)
        if first:
            self._runs.focus()
        self._agents.show([*snapshot.processes, *snapshot.finished], now)
        self._show_process()
        self.query_one("#no-tmux").display = not snapshot.tmux
        self._sessions.show(snapshot.tmux, now)
        self._select()
        views = self.query_one("#views", TabbedContent)
        running = sum(run.running for run in snapshot.runs)
        for name, label in (
            ("runs", f"1 Runs {running}/{len(snapshot.runs)}"),
            ("agents", f"2 Agents {len(snapshot.processes)}"),
            ("tmux", f"3 tmux {len(snapshot.tmux)}"),
        ):
            tab = views.get_tab(f"view-{name}")
            if tab.label_text != label:
                tab.label = label
        offered = (not empty, bool(snapshot.tmux))
        if offered != self._offered:
            self._offered = offered
            self.refresh_bindings()

    def _select(self) -> None:
        self._source.select(self._runs.selected)

    def _show_details(self) -> None:
        """Draws the details of the selected run as soon as they are known."""
        if self._snapshot is None:
            self._refresh()
        known = self._source.details()
        if not self._is_drawn:
            return
        selected = self._runs.selected
        if selected is None or known is None or known.key != selected.key or known.texts is self._texts:
            return
        for name, lines in known.texts.items():
            self.query_one(f"#text-{name}", Lines).show(lines)
            if known.key != self._detailed:
                scroll = self.query_one(f"#scroll-{name}", VerticalScroll)
                if isinstance(scroll, Following):
                    scroll.follow()
                else:
                    scroll.scroll_home(animate=False)
        self._texts, self._detailed = known.texts, known.key

    def _show_process(self) -> None:
        each = self._agents.selected
        now = self._snapshot.at_ms if self._snapshot is not None else 0
        text = "no claude or codex process, and no session of one" if each is None else process_line(each, now)
        self._write("process", text)

    def _write(self, place: str, text: str) -> None:
        """Writes the text if it has changed. A redraw each second would be visible over a slow link."""
        if self._written.get(place) != text:
            self._written[place] = text
            self.query_one(f"#{place}", Static).update(text)

    # --- keys and mouse ---------------------------------------------------------------------------------------------

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Handles the selection of another run or process."""
        if not self._is_drawn:
            return
        if event.data_table.id == "runs":
            self._select()
        elif event.data_table.id == "agents":
            self._show_process()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Handles Enter, or a click on the selected row: moves into its details."""
        if not self._is_drawn:
            return
        if event.data_table.id == "runs":
            self._details.query_one(f"#scroll-{self._detail}").focus()
        elif event.data_table.id == "tmux":
            self.action_attach()

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        """Gives the keys to the visible table."""
        if event.tabbed_content.id == "views":
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """Shows a key in the last line only where it does something."""
        match action:
            case "console" | "detail":
                return self._is_drawn and self._view == "runs" and self._runs.selected is not None
            case "attach":
                return self._is_drawn and self._view == "tmux" and self._sessions.selected is not None
        return True

    def action_view(self, name: str) -> None:
        """Shows the runs, the agents, or the tmux sessions."""
        self.query_one("#views", TabbedContent).active = f"view-{name}"
        self.query_one(f"#{name}", DataTable).focus()

    def action_detail(self, name: str) -> None:
        """Shows another side of the selected run."""
        self._details.active = f"detail-{name}"

    async def action_back(self) -> None:
        """Goes from the details back to the runs."""
        self.action_view(self._view)

    def action_console(self) -> None:
        """`loop shell` on the selected run, in this terminal; back here when it is left."""
        run = self._runs.selected
        if run is None:
            return
        if not run.running:
            self._say(f"run {run.run_id} is not running, so it has no console: the Run tab says how to resume it")
            return
        self._lend_terminal([sys.executable, "-P", "-m", "shell.attached", run.key], f"loop shell {run.key}")

    def action_attach(self) -> None:
        """`tmux attach` to the selected session; back here when it is detached."""
        session = self._sessions.selected
        if session is None:
            return
        if environments.own("TMUX"):  # tmux does not nest
            self._lend_terminal(["tmux", "switch-client", "-t", f"={session.name}"], session.attach)
        else:
            self._lend_terminal(["tmux", "attach-session", "-t", f"={session.name}"], session.attach)

    def _lend_terminal(self, command: Sequence[str], typed: str) -> None:
        """Runs a command in this terminal. `typed` is what the user would type for it."""
        try:
            with self.suspend(), _interrupts_are_not_ours():
                status = subprocess.run(command, env=environments.handed_on(), check=False).returncode
                if status != 0:
                    with suppress(EOFError):
                        input(f"[loop] {typed} ended with exit status {status}; Enter goes back to the dashboard ")
        except SuspendNotSupported:
            self._say(f"no terminal here; in a terminal, type: {typed}")

    def _say(self, text: str) -> None:
        self.notify(text, markup=False)

    @property
    def _runs(self) -> FittingTable[RunView]:
        return self.query_one("#runs", FittingTable)

    @property
    def _agents(self) -> FittingTable[ProcessView]:
        return self.query_one("#agents", FittingTable)

    @property
    def _sessions(self) -> FittingTable[TmuxView]:
        return self.query_one("#tmux", FittingTable)

    @property
    def _details(self) -> TabbedContent:
        return self.query_one("#details", TabbedContent)

    @property
    def _view(self) -> str:
        return self.query_one("#views", TabbedContent).active.removeprefix("view-")

    @property
    def _detail(self) -> str:
        return self._details.active.removeprefix("detail-")


@contextmanager
def _interrupts_are_not_ours() -> Iterator[None]:
    """Ignores Ctrl-C while another program has the terminal. Uses a handler, since SIG_IGN would be inherited."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _process_key(each: ProcessView) -> str:
    return f"{each.pid} {each.session_id} {each.running}"
