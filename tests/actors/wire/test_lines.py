import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import AgentBreachError
from actors.wire.lines import LONGEST_LINE, LineCutter


@given(st.lists(st.sampled_from([b"", b"a", b"bc\n", b"\n", b"\n\nd", b"e\nf\ng"]), max_size=12))
def test_lines_are_the_same_however_the_stream_is_cut(pieces: list[bytes]) -> None:
    cutter = LineCutter()
    lines = [line for piece in pieces for line in cutter.feed(piece)]
    assert [*lines, cutter.rest] == b"".join(pieces).split(b"\n")


def test_a_line_beyond_the_limit_is_refused_with_the_limit_and_nothing_of_it_is_kept() -> None:
    cutter = LineCutter(limit=2_000_000)
    cutter.feed(b"ok\n" + b"x" * 1_500_000)
    with pytest.raises(AgentBreachError, match=r"^sent a line of over 2 MB$"):
        cutter.feed(b"x" * 1_500_000)
    assert cutter.rest == b""


def test_a_line_of_the_longest_length_costs_as_much_as_its_pieces() -> None:
    """Each piece is copied once: a cutter that joins at each piece would copy 25 million times 64 kB."""
    cutter = LineCutter()
    piece = b"x" * 65_536
    for _ in range(LONGEST_LINE // len(piece)):
        assert cutter.feed(piece) == []
    assert [len(line) for line in cutter.feed(b"\n")] == [LONGEST_LINE // len(piece) * len(piece)]
