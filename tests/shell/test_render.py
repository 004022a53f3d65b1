from datetime import UTC

from actors.messages import Progress
from shell import render


def shown(kind: str, text: str, agent: str = "", source: str = "worker", *, colour: bool = False) -> list[str]:
    progress = Progress(at_ms=1_767_225_600_000, source=source, agent=agent, kind=kind, text=text)
    return list(render.lines(progress, zone=UTC, colour=colour))


def test_a_line_says_when_who_and_what():
    assert shown("say", "I look at it.", agent="codex") == ["00:00:00 codex      I look at it."]


def test_further_lines_stand_below_the_first():
    assert shown("say", "one\ntwo\n", agent="codex") == ["00:00:00 codex      one", " " * 20 + "two"]


def test_tools_and_errors_are_marked_without_colour():
    assert shown("tool", "ls", agent="codex") == ["00:00:00 codex      $ ls"]
    assert shown("error", "no plan") == ["00:00:00 loop       error: no plan"]


def test_the_supervisor_and_the_run_speak_as_loop_and_the_bridge_as_itself():
    assert shown("note", "x", source="supervisor") == ["00:00:00 loop       x"]
    assert shown("note", "x", source="bridge") == ["00:00:00 bridge     x"]


def test_an_empty_text_is_still_a_line():
    assert shown("note", "") == ["00:00:00 loop       "]


def test_colour_wraps_the_name_only():
    (line,) = shown("say", "x", agent="codex", colour=True)
    assert line == "00:00:00 \x1b[36mcodex     \x1b[0m x"


def test_half_a_character_costs_no_record():
    progress = Progress(at_ms=0, source="supervisor", agent="", kind="note", text="branch \ud83d")
    assert '"text":"branch \N{REPLACEMENT CHARACTER}"' in render.json_record(progress, "1")
