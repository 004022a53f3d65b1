from datetime import UTC

import pytest

from actors.text import line
from shell.dashboard import panel
from shell.dashboard.panel import (
    PROCESS_COLUMNS,
    RUN_COLUMNS,
    TMUX_COLUMNS,
    ago,
    cells,
    count,
    cut,
    fit,
    text_lines,
    wrap,
)
from tests.shell.dashboard.made import NASTY, NOW, live, much, process, report, run, snapshot, status, tmux


def test_a_line_of_a_million_letters_is_wrapped_in_linear_time():
    pieces = wrap("\N{EURO SIGN}" * 1_000_000, 120)
    assert sum(piece.count("\N{EURO SIGN}") for piece in pieces) == 1_000_000


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200, 500])
@pytest.mark.parametrize("runs", [0, 1, 2, 200])
def test_no_line_is_wider_than_the_screen_whatever_an_agent_says(width: int, runs: int):
    lines = text_lines(much(runs), width=width)
    assert max(map(cells, lines)) <= width
    assert not any(letter in line for line in lines for letter in "\x1b\x07\n\r\t")


@pytest.mark.parametrize("width", [60, 100, 200])
def test_a_table_takes_its_width_and_never_more(width: int):
    table = fit(RUN_COLUMNS, [run(1, last_event=NASTY)], NOW, width)
    assert sum(cells for _, cells in table.columns) + 2 * (len(table.columns) - 1) == width


def test_the_columns_that_matter_least_are_dropped_first():
    def titles(width: int) -> list[str]:
        return [title for title, _ in fit(RUN_COLUMNS, [run()], NOW, width).columns]

    assert titles(60) == ["run", "state", "age", "repository", "what"]
    assert titles(100) == ["run", "state", "age", "mode", "repository", "agents", "tokens", "cost", "what"]
    assert titles(200) == [column.title for column in RUN_COLUMNS]
    assert [title for title, _ in fit(PROCESS_COLUMNS, [process()], NOW, 60).columns] == [
        "pid", "agent", "state", "run", "last", "event",
    ]  # fmt: skip


def test_what_found_no_room_is_kept_beside_the_row():
    table = fit(PROCESS_COLUMNS, [process()], NOW, 60)
    assert table.dropped == [["session 0a2b21f5-a9d6-4e0e-9c3c-111111111111", "cwd /work/greeting"]]
    text = "\n".join(text_lines(snapshot([run()], processes=[process()]), width=60))
    assert "session 0a2b21f5-a9d6-4e0e-9c3c-111111111111" in text


def test_wide_letters_count_twice_and_combining_ones_not_at_all():
    assert cells("日本") == 4
    assert cells("e\u0301") == 1
    assert cut("日本語", 5) == "日本…"
    assert cut("abcdef", 4) == "abc…"
    assert cut("abc", 3) == "abc"


@pytest.mark.parametrize(
    ("line", "width", "pieces"),
    [
        ("short", 10, ["short"]),
        ("  one two three", 9, ["  one two", "    three"]),
        ("日本語日本語", 5, ["日本", "  語", "  日", "  本", "  語"]),
        ("averylongword and", 8, ["averylon", "  gword", "  and"]),
        ("a  b   ", 5, ["a  b"]),
        ("", 5, [""]),
    ],
)
def test_a_line_is_wrapped_at_blanks_and_nothing_of_it_is_lost(line: str, width: int, pieces: list[str]):
    assert wrap(line, width) == pieces


def test_a_line_of_a_million_letters_is_wrapped_without_measuring_it_again_for_each_piece():
    pieces = wrap("\N{EURO SIGN}" * 1_000_000, 60)
    assert sum(piece.count("\N{EURO SIGN}") for piece in pieces) == 1_000_000


@pytest.mark.parametrize("width", [4, 7, 60])
def test_no_piece_of_a_wrapped_line_is_too_wide(width: int):
    pieces = wrap(line(f"      {NASTY}"), width)
    assert max(map(cells, pieces)) <= width
    assert "".join("".join(pieces).split()) == "".join(line(NASTY).split())


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (61, "1m"), (7_300, "2h"), (200_000, "2d"), (-5, "0s")]
)
def test_ages_are_short(seconds: int, text: str):
    assert ago(NOW - seconds * 1000, NOW) == text


def test_an_unknown_time_is_a_dash():
    assert ago(0, NOW) == "-"


@pytest.mark.parametrize(("number", "text"), [(0, "0"), (999, "999"), (12_345, "12.3k"), (4_500_000, "4.5M")])
def test_tokens_are_short(number: int, text: str):
    assert count(number) == text


def test_somebody_without_runs_is_told_the_next_step():
    text = "\n".join(text_lines(snapshot([]), width=60, zone=UTC))
    assert text.startswith("loop dashboard: 0 running, 0 ended, 08:53:20")
    assert "No run yet in /home/me/.loop/runs." in text
    assert 'loop "fix the failing test"' in text


def test_a_live_run_is_shown_with_actors_mailboxes_sessions_and_cost():
    lines = text_lines(snapshot([live(tmux_session="greeting-loop-3"), run(9)], tmux=[tmux()]), width=100, zone=UTC)
    text = "\n".join(lines)
    assert "1 running, 1 ended, 24.7k tokens $0.25" in lines[0]
    assert "run 3  working  iteration 2 of 20: waits for codex" in text
    assert "worker    busy     pid 78  2 waiting; work turn for 1 m 0 s; 4 s ago: tool: pytest -q" in text
    assert "12,000 tokens in  345 out  $0.12" in text
    assert "session of  codex (worker)     codex-session" not in text  # the manifest's ids stand until there is news
    assert "w-3" in text
    assert "loop shell greeting-0123456789ab/3" in text
    assert "tmux attach -t greeting-loop-3" in text
    assert "9    completed  9h" in text


def test_only_the_newest_ended_runs_are_printed_and_the_others_counted():
    text = "\n".join(text_lines(snapshot([run(number) for number in range(1, 60)]), width=100))
    assert "(39 older runs are not shown" in text


def test_how_to_go_on_is_said_of_a_run_that_is_not_running():
    lines = panel.run_lines(run(state="failed"), now_ms=NOW, hint="to resume it: loop --run-id 3")
    assert lines[0] == "run 3  failed"
    assert lines[-1] == "  to resume it: loop --run-id 3"


def test_trouble_is_said_in_the_second_line():
    silent = live(trouble="its root has not answered for 9 s", report=report(status=status()))
    assert panel.run_lines(silent, now_ms=NOW)[1] == "  its root has not answered for 9 s"


def test_a_process_is_said_in_one_line_with_all_that_is_known():
    assert panel.process_line(process(), NOW) == (
        "claude, active, pid 500; run greeting/3 (worker); session 0a2b21f5-a9d6-4e0e-9c3c-111111111111; "
        "in /work/greeting; 4s ago: say: done"
    )


def test_the_command_that_attaches_is_the_last_thing_to_go():
    (row,) = fit(TMUX_COLUMNS, [tmux()], NOW, 60).rows
    assert row[-1] == "tmux attach -t greeting-loop-3"
