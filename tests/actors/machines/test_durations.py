"""Lengths of time, as they are shown and typed."""

import pytest

from actors.machines import durations


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (1, "1 s"),
        (59_000, "59 s"),
        (60_000, "1 m"),
        (130_000, "2 m 10 s"),
        (3_600_000, "1 h"),
        (43_200_000, "12 h"),
        (90_061_000, "1 d 1 h"),
        (86_460_000, "1 d"),
    ],
)
def test_a_span_has_its_two_largest_units(ms: int, text: str):
    assert durations.span(ms) == text
