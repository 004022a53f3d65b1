import pytest

from actors.adapters.versions import between

STEPS = [
    {"before": "0.9.0", "now": "0.10.0", "differs": ["tools, new: a"]},
    {"before": "0.10.0", "now": "0.12.1", "differs": ["tools, no more: a"]},
]


@pytest.mark.parametrize(
    ("version", "words", "differs"),
    [
        ("0.9.0", "", []),
        ("0.12.1", "", []),
        ("0.9.7", "between 0.9.0 and 0.10.0, which changed", ["tools, new: a"]),
        ("0.11", "between 0.10.0 and 0.12.1, which changed", ["tools, no more: a"]),
        ("0.8.99", "older than 0.9.0", []),
        ("1.0.0", "newer than 0.12.1", []),
    ],
)
def test_a_version_that_was_not_looked_at_stands_between_those_that_were(version: str, words: str, differs: list[str]):
    assert between(STEPS, version) == (words, differs)


def test_nothing_is_said_of_an_agent_that_was_never_looked_at():
    assert between([], "1.0") == ("", [])
