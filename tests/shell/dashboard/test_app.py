"""The live dashboard with textual's own Pilot, on a screen that is not there, over a source that never changes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from textual.pilot import Pilot
from textual.widgets import Footer
from textual.widgets._footer import FooterKey

from shell.dashboard.app import Dashboard
from shell.dashboard.collect import Details
from shell.dashboard.panel import cells
from shell.dashboard.view import RunView, Snapshot
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


async def until(app: Dashboard, pilot: Pilot[int], text: str) -> list[str]:
    for _ in range(500):
        if any(text in line for line in screen(app)):
            return screen(app)
        await pilot.pause(0.02)
    raise AssertionError("\n".join([f"no {text!r} in:", *screen(app)]))


def check_that_it_fits(app: Dashboard, width: int) -> None:
    assert {cells(line) for line in screen(app)} <= {width}
    too_wide = [widget for widget in app.query("*") if widget.is_scrollable and widget.max_scroll_x]
    assert too_wide == []
    assert [key for key in app.query_one(Footer).query(FooterKey) if key.region.right > width] == []
    assert not any(letter in line for line in screen(app) for letter in "\x1b\x07\t")


@pytest.mark.parametrize("width", [60, 100, 200])
@pytest.mark.parametrize("runs", [0, 1, 200])
def test_every_view_fits_the_screen(width: int, runs: int):
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        await until(app, pilot, f"1 Runs {min(runs, 1)}/{runs}")
        check_that_it_fits(app, width)
        for key, text in [("t", "the transcript of"), ("m", "the mail of"), ("l", "the log of"), ("r", "the run of")]:
            if runs:
                await pilot.press(key)
                await until(app, pilot, text)
                check_that_it_fits(app, width)
        for key, text in [("2", "pid"), ("3", "attach with")]:
            await pilot.press(key)
            await until(app, pilot, text)
            check_that_it_fits(app, width)

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
        assert source.selected is not None
        assert source.selected.run_id == "3"
        await pilot.press("enter")
        assert app.focused is app.query_one("#scroll-transcript")
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
        source.now = snapshot([live(7), run(1), run(3)])
        await until(app, pilot, "1 Runs 1/3")
        assert source.selected is not None
        assert source.selected.run_id == "3"
        await until(app, pilot, "the run of greeting-0123456789ab/3")
        source.now = snapshot([])
        await until(app, pilot, "No run yet")
        source.now = snapshot([run(4)])
        await until(app, pilot, "the run of greeting-0123456789ab/4")

    play(snapshot([run(1), run(2), run(3)]), 100, steps)


def test_a_short_transcript_stands_at_the_top():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        await pilot.press("t")
        lines = await until(app, pilot, "the transcript of")
        assert "the transcript of" in lines[5]

    play(snapshot([run(3)]), 100, steps)


def test_another_width_has_other_columns_and_the_same_run():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        await until(app, pilot, "tokens")
        await pilot.press("down")
        for width, there, gone in [(60, "repository", "tokens"), (200, "cwd", "nothing"), (100, "mode", "cwd")]:
            await pilot.resize_terminal(width, HEIGHT)
            lines = await until(app, pilot, there)
            assert not any(gone in line for line in lines)
            check_that_it_fits(app, width)
            assert source.selected is not None
            assert source.selected.run_id == "2"

    play(snapshot([run(1), run(2)]), 100, steps)


def test_what_changes_is_drawn_and_the_rest_stays():
    async def steps(app: Dashboard, pilot: Pilot[int], source: Still) -> None:
        await until(app, pilot, "iteration 2")
        source.now = snapshot([live(3, trouble="its root has not answered for 9 s"), run(4)])
        lines = "\n".join(await until(app, pilot, "its root has not answered"))
        assert "completed" in lines

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
        await until(app, pilot, " no")  # "there is no terminal", "is not running"; the rest is in the lines below
        (notice,) = app._notifications
        assert said in notice.message
        check_that_it_fits(app, 60)

    play(shown, 60, steps)


def test_keys_that_do_nothing_are_not_offered():
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        assert "Attach" not in (await until(app, pilot, "Console"))[-1]
        await pilot.press("3")
        await until(app, pilot, "attach with")
        assert "Console" not in (await until(app, pilot, "Attach"))[-1]

    play(snapshot([live(3)], tmux=[tmux()]), 60, steps)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_it_is_left_with_a_key_and_looks_no_more(key: str):
    async def steps(app: Dashboard, pilot: Pilot[int], _source: Still) -> None:
        await pilot.press(key)

    assert play(snapshot([run(3)]), 60, steps).closed
