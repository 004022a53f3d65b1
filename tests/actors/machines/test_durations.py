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


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("90s", 90_000), (" 2H ", 7_200_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0s", 0)],
)
def test_a_time_is_typed_with_its_units(text: str, ms: int):
    assert durations.parse(text) == ms


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "1.5h", "2 h", "30m1h", "366d", "999999999h", "²h"])
def test_what_is_no_time_or_longer_than_a_year_is_none(text: str):
    assert durations.parse(text) is None
