"""The table of settings: what a value may be, and how it is written."""

import pytest

from actors import setting_values
from actors.settings import RunSettings
from actors.settings_table import BY_KEY, SETTINGS, TABLE


@pytest.mark.parametrize(
    ("text", "ms"),
    [("0", 0), ("90s", 90_000), (" 2H ", 7_200_000), ("1h30m", 5_400_000), ("1d", 86_400_000), ("0s", 0)],
)
def test_a_time_is_typed_with_its_units(text: str, ms: int):
    assert setting_values.milliseconds(text) == ms


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "1.5h", "2 h", "30m1h", "366d", "999999999h", "²h"])
def test_what_is_no_time_or_longer_than_a_year_is_none(text: str):
    assert setting_values.milliseconds(text) is None


def test_every_row_is_one_setting_and_leads_to_a_field_that_is_there():
    assert len(SETTINGS) == len(TABLE)
    assert len({row.key for row in TABLE if row.key}) == len([row for row in TABLE if row.key])
    assert {row.field for row in TABLE if row.field} <= set(RunSettings.__struct_fields__)
    assert all(row.flags or row.key or row.variable for row in TABLE)


def test_every_default_can_be_given_by_its_flag_or_key():
    """So whatever a file says can be taken back on the command line, with the value that is shown."""
    for row in TABLE:
        if row.default not in (None, "", False, True, ()):
            assert row.checked("it", str(row.shown_default)) == row.default


@pytest.mark.parametrize("key", [key for key, row in BY_KEY.items() if row.flags])
def test_a_key_is_named_like_its_flag(key: str):
    flag = SETTINGS[BY_KEY[key].name].flags[-1].removeprefix("--").replace("-", "_")
    assert key in (flag, f"{flag}s")
