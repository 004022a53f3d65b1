"""The line of each key of a TOML document."""

from __future__ import annotations

import tomllib

from hypothesis import given, strategies

from actors.edges.toml_lines import MOST_LINES_OF_ONE, lines_of

DOCUMENT = """# a comment
checks = [
    "make test",  # x = 1
    "[agents.y]",
]
proof = '''
max_wait = "not a key"
'''
"odd key".a = 1

[agents.gemini]  # the table
command = ["gemini"]
env = { A = "1", B = "2" }
[agents."b.c"]
peer = "x"
[[others]]
name = 1
"""


def test_each_key_has_the_line_where_it_begins() -> None:
    found = lines_of(DOCUMENT)
    assert {".".join(path): line for path, line in found.items()} == {
        "checks": 2,
        "proof": 6,
        "odd key": 9,
        "odd key.a": 9,
        "agents": 11,
        "agents.gemini": 11,
        "agents.gemini.command": 12,
        "agents.gemini.env": 13,
        "agents.gemini.env.A": 13,
        "agents.gemini.env.B": 13,
        "agents.b.c": 14,
        "agents.b.c.peer": 15,
        "others": 16,
        "others.name": 17,
    }


def test_what_is_too_long_has_no_line_and_costs_little() -> None:
    text = "a = 1\nb = [\n" + "1,\n" * 50_000 + "]\nc = 2\n"
    assert lines_of(text) == {("a",): 1}
    assert lines_of("a = [\n" + "1,\n" * (MOST_LINES_OF_ONE - 3) + "]\n") == {("a",): 1}


@given(strategies.lists(strategies.sampled_from(DOCUMENT.splitlines()), max_size=12))
def test_every_line_that_is_found_holds_its_key(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    for path, line in lines_of(text).items():
        assert path[-1] in lines[line - 1] or path[0] in lines[line - 1]
