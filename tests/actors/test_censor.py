import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.censor import STRUCK_OUT, censor

VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=8)


@pytest.mark.parametrize("name", ["OPENAI_API_KEY", "gh_token", "MYSQL_PWD", "PGPASS", "GH_PAT", "SESSION_COOKIE"])
@given(value=VALUES)
def test_the_value_of_a_variable_that_is_named_as_secret_is_struck_out(name: str, value: str) -> None:
    assert value not in censor({name: value})(f"<{value}> {value}")


def test_a_secret_is_struck_out_in_json_and_line_by_line() -> None:
    key = 'first "line" of it\n\tsecond ä line\r\nthird line is it'
    strike_out = censor({"DEPLOY_KEY": key})
    for text in (
        key,
        json.dumps(key),
        json.dumps({"a": [key]}, ensure_ascii=False),
        "  | second ä line",
        *key.splitlines(),
    ):
        struck = strike_out(text)
        assert not [word for word in ("first", "second", "third") if word in struck]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgres://user:hunter2@db/prod", "postgres://user:***@db/prod"),
        ("redis://:p@ss@cache:6379/0", "redis://:***@cache:6379/0"),
        (
            "see https://x-access-token:ghs_abc@github.com/a/b.git now",
            "see https://x-access-token:***@github.com/a/b.git now",
        ),
        ("http://localhost:8080/@scope/package and user@host", "http://localhost:8080/@scope/package and user@host"),
        ("git@github.com:a/b.git", "git@github.com:a/b.git"),
    ],
)
def test_the_password_of_any_address_is_struck_out_and_nothing_else(address: str, shown: str) -> None:
    assert censor({})(address) == shown


def test_the_password_of_an_address_in_the_environment_is_struck_out_alone_as_well() -> None:
    assert censor({"DATABASE_URL": "mysql://a:correct-horse@db"})("it is correct-horse") == "it is ***"


def test_short_values_other_variables_and_the_frame_of_a_key_stay() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\n-----END PRIVATE KEY-----"
    strike_out = censor({"TOKEN": "true", "EDITOR": "emacs-emacs", "PATH": "/usr/bin:/bin", "PEM_KEY": pem})
    text = "true emacs-emacs /usr/bin:/bin -----BEGIN PRIVATE KEY-----"
    assert strike_out(text) == text
    assert strike_out(pem) == STRUCK_OUT
