"""What the user is told to type."""

from actors.machines import hints


def test_a_resume_hint_names_the_directory_for_a_reader_who_may_be_anywhere():
    assert hints.resume("3", "/a b/it's") == """cd '/a b/it'"'"'s' && loop --run-id 3"""
    assert hints.resume("3") == "loop --run-id 3"
