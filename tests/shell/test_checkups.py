from shell.checkups import MOST_DIFFERENCES, _untested

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
