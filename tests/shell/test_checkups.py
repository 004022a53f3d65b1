from pathlib import Path

from shell.checkups import MOST_DIFFERENCES, Place, _untested, environment

TESTED = ("0.163.0", "0.171.0")


def test_a_version_between_two_that_were_tested_is_told_with_what_changed_there():
    words, differs = _untested("codex", "0.169.0", TESTED)
    assert words.startswith(
        "a version that was not tested: 0.163.0 and 0.171.0 were, it is between 0.163.0 and 0.171.0, "
    )
    assert "tools, new: functions.send_message_to_user_async" in differs
    assert len(words) < MOST_DIFFERENCES + 30


def test_a_version_that_is_newer_than_all_is_told_as_that():
    assert _untested("codex", "9.0.0", TESTED)[0].endswith("were, it is newer than 0.171.0")


def test_nothing_is_said_of_a_version_that_was_tested_and_of_one_that_is_not_known():
    assert _untested("codex", "0.163.0", TESTED) == _untested("codex", None, TESTED) == ("", [])


def test_every_variable_that_gives_a_setting_is_looked_at():
    variables = {"LOOP_COOLDOWN_MS": "soon", "LOOP_RETRY_MS": "0", "LOOP_CODEX_MODEL": "a\nb", "LOOP_UPDATE_HINT": "0"}
    found = [(each.subject, each.level) for each in environment(Place(Path(), Path(), variables, {}))]
    assert found == [("LOOP_CODEX_MODEL", "problem"), ("LOOP_COOLDOWN_MS", "note"), ("LOOP_RETRY_MS", "problem")]
