from __future__ import annotations

from contextlib import suppress

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from actors.errors import ProtocolError
from actors.messages import KINDS, WIRE_VERSION, Load, Loaded, Message, Note, Record
from actors.wire import envelope as wire
from actors.wire.envelope import Address, Envelope, Frames


def header(**fields: object) -> Envelope:
    return Envelope(
        **{"id": "m1", "run": "repo/1", "sender": "worker#3", "recipient": "reviewer", "kind": "Note", **fields}
    )


NOTE = Note(sender="codex", recipient="claude", text="läuft ✓", at_ms=5)


def test_a_message_survives_the_wire() -> None:
    sent = header(seq=7, after=6, attempt=2, wants_answer=True, reply_to="m0", sent_at_ms=1)
    frames = wire.encode(sent, wire.encode_body(NOTE))
    assert frames.recipient == b"repo/1/reviewer"
    assert wire.decode_header(frames.header) == sent
    assert wire.decode_body("Note", frames.body) == NOTE


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_the_catalogue_has_a_decoder_that_refuses_garbage(kind: str) -> None:
    with pytest.raises(ProtocolError, match=rf"bad body of {kind} .*\\xc1"):
        wire.decode_body(kind, b"\xc1")


def test_a_nested_body_survives() -> None:
    message = Loaded(stream="run", records=[Record(event_id="e", at_ms=1, kind="RunStarted", body="{}")])
    assert wire.decode_body("Loaded", wire.encode_body(message)) == message


def test_an_unknown_kind_is_named() -> None:
    with pytest.raises(ProtocolError, match="unknown message kind 'Gossip'"):
        wire.decode_body("Gossip", b"\x80")


def test_a_wrong_type_inside_a_body_is_named() -> None:
    body = msgspec.msgpack.encode({"stream": "run", "epoch": "three"})
    with pytest.raises(ProtocolError, match=r"bad body of Load \(Expected `int`, got `str` - at `\$.epoch`\)"):
        wire.decode_body("Load", body)


@pytest.mark.parametrize("frame", [b"", b"\xc1", b"hello", b"\x93\x01\x02\x03", b"\x80", b"\x90"])
def test_a_header_of_bad_bytes_is_refused_and_shown(frame: bytes) -> None:
    with pytest.raises(ProtocolError, match="bad header"):
        wire.decode_header(frame)


@pytest.mark.parametrize(
    "frame",
    [
        wire.encode(header(version=WIRE_VERSION + 1), b"").header,
        msgspec.msgpack.encode([WIRE_VERSION + 1, "quite", "another", "shape"]),
    ],
    ids=["same shape", "other shape"],
)
def test_another_version_is_named_whatever_else_its_header_holds(frame: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"wire version {WIRE_VERSION + 1} is not {WIRE_VERSION}"):
        wire.decode_header(frame)


@given(st.binary(max_size=60))
def test_no_bytes_do_worse_than_a_protocol_error(frame: bytes) -> None:
    for decode in (wire.decode_header, lambda frame: wire.decode_body("Loaded", frame)):
        with suppress(ProtocolError):
            decode(frame)


DEEP = b"\x91" * 1_000_000


@pytest.mark.parametrize("frame", [DEEP, DEEP[:2_000], b"\x81\xa1a" * 500_000], ids=["a million", "2,000", "maps"])
def test_what_is_nested_too_deep_is_a_protocol_error_too(frame: bytes) -> None:
    for decode in (wire.decode_header, lambda frame: wire.decode_body("Loaded", frame)):
        with pytest.raises(ProtocolError, match=r"bad (header|body of Loaded)"):
            decode(frame)


@pytest.mark.parametrize("message", [{"limit": 2**64 - 1}, {"limit": -1}])
def test_a_number_beyond_all_use_is_refused_by_its_range(message: dict[str, int]) -> None:
    with pytest.raises(ProtocolError, match=r"Expected `int` [<>]= "):
        wire.decode_body("Peek", msgspec.msgpack.encode(message))


class Stranger(Message, frozen=True, kw_only=True):
    """Defined after the catalogue was made."""


def test_a_message_outside_the_catalogue_is_refused_by_the_sender() -> None:
    with pytest.raises(ProtocolError, match="message kind 'Stranger' is not in"):
        wire.kind_of(Stranger())


def test_a_body_too_long_for_the_wire_is_refused_by_the_sender() -> None:
    text = "x" * wire.MAX_FRAME_BYTES
    with pytest.raises(ProtocolError, match=f"Note of [0-9]+ bytes exceeds {wire.MAX_FRAME_BYTES}"):
        wire.encode_body(Note(sender="a", recipient="b", text=text, at_ms=0))


def test_a_body_that_msgpack_cannot_hold_is_refused_by_the_sender() -> None:
    with pytest.raises(ProtocolError, match="Load cannot be encoded"):
        wire.encode_body(Load(stream="run", epoch=2**70))


def test_an_address_is_read_back_from_its_text_even_when_the_run_has_slashes() -> None:
    address = Address("repo-1a2b/7", "worker", 3)
    assert str(address) == "repo-1a2b/7/worker#3"
    assert address.local == "worker#3"
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "worker#3",
        "run/worker",
        "run/#3",
        "run/worker#",
        "run/worker#x",
        "run/worker#-1",
        "run/worker#" + "9" * 5_000,
    ],
)
def test_a_text_that_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError, match="not of the form"):
        Address.parse(text)


def test_frames_are_three() -> None:
    assert Frames._fields == ("recipient", "header", "body")
