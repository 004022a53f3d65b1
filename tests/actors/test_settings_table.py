"""The table of settings: what a value may be, and how it is written."""

import pytest

from actors import settings_table


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("90s", 90_000), (" 2H ", 7_200_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0s", 0)],
)
def test_a_time_is_typed_with_its_units(text: str, ms: int):
    assert settings_table.milliseconds(text) == ms


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "1.5h", "2 h", "30m1h", "366d", "999999999h", "²h"])
def test_what_is_no_time_or_longer_than_a_year_is_none(text: str):
    assert settings_table.milliseconds(text) is None
