"""The live dashboard with textual's own Pilot, on a screen that is not there, over a source that never changes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Footer
from textual.widgets._footer import FooterKey
from textual.widgets.data_table import RowKey

from shell.dashboard.app import Dashboard
from shell.dashboard.collect import Details
from shell.dashboard.panel import cells
from shell.dashboard.view import RunView, Snapshot
from tests.patience import PATIENCE_S
from tests.shell.dashboard.made import NASTY, live, much, process, run, snapshot, tmux

HEIGHT = 24


@dataclass
class Still:
    """A source that says what the test wants."""

    now: Snapshot
    selected: RunView | None = None
    closed: bool = False
    known: dict[str, Details] = field(default_factory=dict)

    def snapshot(self) -> Snapshot:
        return self.now

    def select(self, run: RunView | None) -> None:
        self.selected = run

    def details(self) -> Details | None:
        if self.selected is None:
            return None
        key = self.selected.key
        texts = {name: [f"the {name} of {key}", NASTY] for name in ("run", "transcript", "mail", "log")}
        return self.known.setdefault(key, Details(key, texts))

    def close(self) -> None:
        self.closed = True


Steps = Callable[[Dashboard, Pilot[int], Still], Awaitable[None]]


def play(shown: Snapshot, width: int, steps: Steps, height: int = HEIGHT) -> Still:
    source = Still(shown)

    async def whole() -> None:
        app = Dashboard(source)
        async with app.run_test(size=(width, height), notifications=True) as pilot:
            await pilot.pause()
            await steps(app, pilot, source)

    asyncio.run(whole())
    return source


def screen(app: Dashboard) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


async def until(app: Dashboard, pilot: Pilot[int], *texts: str, without: str = "") -> list[str]:
    """A screen with all of these texts, and without that one. Widgets are drawn one after another."""

    def fits(lines: list[str]) -> bool:
        return all(any(text in line for line in lines) for text in texts) and (
            not without or not any(without in line for line in lines)
        )

    await until_met(pilot, lambda: fits(screen(app)), lambda: [f"no {texts} without {without!r} in:", *screen(app)])
    return screen(app)


async def until_met(pilot: Pilot[int], met: Callable[[], bool], why: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not met():
                await pilot.pause(0.02)
    except TimeoutError:
        raise AssertionError(why()) from None


def misfits(app: Dashboard, width: int) -> list[object]:
    return [
        *(line for line in screen(app) if cells(line) != width),
        *(widget for widget in app.query("*") if widget.is_scrollable and widget.max_scroll_x),
        *(key for key in app.query_one(Footer).query(FooterKey) if key.region.right > width),
        *(line for line in screen(app) if any(letter in line for letter in "\x1b\x07\t")),
    ]


async def until_it_fits(app: Dashboard, pilot: Pilot[int], width: int) -> None:
    """A widget that is new, or has a new width, may be laid out after its text is there."""
    await until_met(pilot, lambda: misfits(app, width) == [], lambda: misfits(app, width))


async def until_selected(pilot: Pilot[int], source: Still, run_id: str) -> None:
    def is_selected() -> bool:
        return source.selected is not None and source.selected.run_id == run_id

    await until_met(pilot, is_selected, lambda: source.selected)


@pytest.mark.parametrize("width", [60, 100, 200])
@pytest.mark.parametrize("runs", [0, 1, 200])
def test_every_view_fits_the_screen(width: int, runs: int):
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        await until(app, pilot, f"1 Runs {min(runs, 1)}/{runs}")
        await until_it_fits(app, pilot, width)
        for key, text in [("t", "the transcript of"), ("m", "the mail of"), ("l", "the log of"), ("r", "the run of")]:
            if runs:
                await pilot.press(key)
                await until(app, pilot, text)
                await until_it_fits(app, pilot, width)
        for key, text in [("2", "pid"), ("3", "attach with")]:
            await pilot.press(key)
            await until(app, pilot, text)
            await until_it_fits(app, pilot, width)

    play(much(runs), width, steps)


def test_without_runs_it_tells_the_next_step():
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        lines = "\n".join(await until(app, pilot, "No run yet in /home/me/.loop/runs."))
        assert 'loop "fix the failing test"' in lines
        assert "Transcript" not in lines
        await pilot.press("c", "enter", "t")  # nothing to do, and nothing happens

    play(snapshot([]), 60, steps)


def test_keys_go_through_runs_and_what_is_known_of_them():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        await until(app, pilot, "the run of greeting-0123456789ab/1")
        await pilot.press("down", "down", "t")
        await until(app, pilot, "the transcript of greeting-0123456789ab/3")
        await until_selected(pilot, source, "3")
        await pilot.press("enter")
        await until_met(pilot, lambda: app.focused is app.query_one("#scroll-transcript"), lambda: app.focused)
        await pilot.press("escape", "up")
        await until(app, pilot, "the transcript of greeting-0123456789ab/2")

    play(snapshot([run(1), run(2), run(3)]), 100, steps)


def test_the_mouse_chooses_runs_sides_and_views():
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        await until(app, pilot, "the run of greeting-0123456789ab/1")
        await pilot.click("#runs", offset=(5, 3))
        await until(app, pilot, "the run of greeting-0123456789ab/3")
        await pilot.click("#--content-tab-detail-mail")
        await until(app, pilot, "the mail of greeting-0123456789ab/3")
        await pilot.click("#--content-tab-view-agents")
        await until(app, pilot, "claude, active, pid 500")
        await pilot.click("#--content-tab-view-tmux")
        await until(app, pilot, "tmux attach -t greeting-loop-3")

    play(snapshot([run(1), run(2), run(3)], processes=[process()], tmux=[tmux()]), 100, steps)


def test_the_selected_run_stays_selected_when_others_come_and_go():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        await until(app, pilot, "the run of greeting-0123456789ab/1")
        await pilot.press("down", "down")
        await until(app, pilot, "the run of greeting-0123456789ab/3")  # it is selected
        source.now = snapshot([live(7), run(1), run(3)])
        await until(app, pilot, "1 Runs 1/3")
        await until_selected(pilot, source, "3")
        await until(app, pilot, "the run of greeting-0123456789ab/3")
        source.now = snapshot([])
        await until(app, pilot, "No run yet")
        source.now = snapshot([run(4)])
        await until(app, pilot, "the run of greeting-0123456789ab/4")

    play(snapshot([run(1), run(2), run(3)]), 100, steps)


def test_a_short_transcript_stands_at_the_top():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        await pilot.press("t")
        await until(app, pilot, "the transcript of")
        await until_met(pilot, lambda: "the transcript of" in screen(app)[5], lambda: screen(app))

    play(snapshot([run(3)]), 100, steps)


def test_another_width_has_other_columns_and_the_same_run():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        await until(app, pilot, "tokens")
        await pilot.press("down")
        await until_selected(pilot, source, "2")
        for width, there, gone in [(60, "repository", "tokens"), (200, "cwd", "nothing"), (100, "mode", "cwd")]:
            await pilot.resize_terminal(width, HEIGHT)
            await until(app, pilot, there, without=gone)
            await until_it_fits(app, pilot, width)
            await until_selected(pilot, source, "2")

    play(snapshot([run(1), run(2)]), 100, steps)


def test_what_changes_is_drawn_and_the_rest_stays():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        await until(app, pilot, "iteration 2")
        source.now = snapshot([live(3, trouble="its root has not answered for 9 s"), run(4)])
        await until(app, pilot, "its root has not answered", "completed")

    play(snapshot([live(3), run(4)]), 100, steps)


def test_the_end_of_a_transcript_is_shown_unless_somebody_reads_further_up():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        def tell(count: int) -> None:
            lines = [f"line {number}." for number in range(count)]
            source.known["greeting-0123456789ab/3"] = Details("greeting-0123456789ab/3", {"transcript": lines})

        tell(100)
        while len(app._texts.get("transcript", ())) != 100:  # while another side is shown
            await pilot.pause(0.02)
        await pilot.press("t")
        await until(app, pilot, "line 99.")
        tell(200)
        await until(app, pilot, "line 199.")
        await pilot.press("enter", "home")
        await until(app, pilot, "line 0.")
        tell(300)
        while len(app._texts["transcript"]) != 300:
            await pilot.pause(0.02)
        await pilot.pause()
        assert any("line 0." in line for line in screen(app))
        await pilot.press("end")
        await until(app, pilot, "line 299.")
        tell(400)
        await until(app, pilot, "line 399.")

    play(snapshot([run(3)]), 100, steps)


@pytest.mark.parametrize(
    ("shown", "key", "said"),
    [
        (snapshot([run(3)]), "c", "run 3 is not running"),
        (snapshot([live(3)]), "c", "in a terminal, type: loop shell greeting-0123456789ab/3"),
        (snapshot([live(3)], tmux=[tmux()]), "3a", "in a terminal, type: tmux attach -t greeting-loop-3"),
    ],
)
def test_where_no_console_can_be_opened_it_says_what_to_do(shown: Snapshot, key: str, said: str):
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        await until(app, pilot, "1 Runs")
        await pilot.press(*key)
        # "there is no terminal", "is not running"; the rest is in the lines below
        await until_met(pilot, lambda: len(app._notifications) == 1, lambda: screen(app))
        (notice,) = app._notifications
        assert said in notice.message
        await until(app, pilot, " no")
        await until_it_fits(app, pilot, 60)

    play(shown, 60, steps)


def test_keys_that_do_nothing_are_not_offered():
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        def offers(key: str, other: str) -> bool:
            return key in screen(app)[-1] and other not in screen(app)[-1]

        await until_met(pilot, lambda: offers("Console", "Attach"), lambda: screen(app))
        await pilot.press("3")
        await until(app, pilot, "attach with")
        await until_met(pilot, lambda: offers("Attach", "Console"), lambda: screen(app))

    play(snapshot([live(3)], tmux=[tmux()]), 60, steps)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_it_is_left_with_a_key_and_looks_no_more(key: str):
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        await pilot.press(key)

    assert play(snapshot([run(3)]), 60, steps).closed


def test_news_of_a_table_that_is_removed_meanwhile_do_nothing():
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        await until(app, pilot, "the run of")
        table = app.query_one("#runs", DataTable)
        await table.remove()  # as at the end
        app.on_data_table_row_highlighted(DataTable.RowHighlighted(table, 0, RowKey("any")))
        app.on_data_table_row_selected(DataTable.RowSelected(table, 0, RowKey("any")))

    play(snapshot([run(3)]), 100, steps)
