import pytest

from actors import setting_values
from actors.errors import UserError
from actors.machines.joining import answer, not_joined, refused

KEY = b"k" * 32
ALLOWED = {KEY: "the-key-as-text"}


def request(key: bytes = KEY, mechanism: bytes = b"CURVE", version: bytes = b"1.0") -> list[bytes]:
    return [version, b"7", b"loop", b"10.0.0.2", b"", mechanism, key]


def test_a_key_of_the_list_is_let_in_and_named():
    assert answer(request(), ALLOWED) == [b"1.0", b"7", b"200", b"OK", b"the-key-as-text", b""]


@pytest.mark.parametrize(
    "asked",
    [
        request(key=b"x" * 32),
        request(mechanism=b"NULL"),
        request(mechanism=b"PLAIN"),
        request(version=b"2.0"),
        request()[:6],
        [*request(), b"more"],
        [],
    ],
)
def test_anything_else_is_refused_for_good(asked: list[bytes]):
    reply = answer(asked, ALLOWED)
    assert (reply[2], reply[4]) == (b"400", b"")  # 300 would make the sends of the other side block


@pytest.mark.parametrize(
    ("event", "value", "words", "lasting"),
    [
        ("HANDSHAKE_FAILED_AUTH", 400, "wrong key: tcp://home:7777 does not allow the key in big.key", True),
        ("HANDSHAKE_FAILED_NO_DETAIL", 32, "wrong key, or no loop at tcp://home:7777", False),
        ("HANDSHAKE_FAILED_PROTOCOL", 1, "the one that made big.key", False),
        ("DISCONNECTED", 13, "nobody answers at tcp://home:7777", False),
        ("CONNECT_RETRIED", 500, "nobody answers at tcp://home:7777", False),
    ],
)
def test_a_wrong_key_is_told_from_a_dead_network(event: str, value: int, words: str, lasting: bool):
    failure = not_joined(event, value, "tcp://home:7777", "big.key")
    assert failure is not None
    assert (words in failure.text, failure.lasting) == (True, lasting)


def test_what_needs_no_words_has_none():
    assert [not_joined(event, 0, "e", "k") for event in ("CONNECTED", "HANDSHAKE_SUCCEEDED")] == [None, None]
    assert [refused(event, 0) for event in ("ACCEPTED", "HANDSHAKE_SUCCEEDED", "DISCONNECTED")] == ["", "", ""]


@pytest.mark.parametrize(
    ("event", "value", "words"),
    [("HANDSHAKE_FAILED_AUTH", 400, "is not allowed here"), ("HANDSHAKE_FAILED_PROTOCOL", 285212673, "another home")],
)
def test_home_says_wrong_key_as_well(event: str, value: int, words: str):
    assert refused(event, value).startswith("wrong key: ")
    assert words in refused(event, value)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("home.example:7777", "home.example:7777"),
        (" tcp://10.0.0.1:1 ", "10.0.0.1:1"),
        ("[fd00::1]:7777", "[fd00::1]:7777"),
    ],
)
def test_an_endpoint_is_a_host_and_a_port(typed: str, meant: str):
    assert setting_values.dialled("ENDPOINT", typed) == meant


@pytest.mark.parametrize(
    "typed", ["home", "home:", ":7777", "home:0", "home:65536", "a b:1", "ipc:///x:1", "fd00::1:7", ""]
)
def test_what_is_no_endpoint_is_refused(typed: str):
    with pytest.raises(UserError):
        setting_values.dialled("ENDPOINT", typed)


def test_a_port_alone_is_of_loopback():
    assert setting_values.listened("listen", "7777") == "127.0.0.1:7777"
    assert setting_values.listened("listen", "0.0.0.0:7777") == "0.0.0.0:7777"
