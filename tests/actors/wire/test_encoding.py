import msgspec
import pytest

from actors.machines import turn
from actors.messages import Note, Progress, TurnOutcome, TurnSettledReport
from actors.wire import envelope
from actors.wire.encoding import to_json, to_msgpack
from supervisor.control import protocol

HALF = "cut \ud83d off"
MENDED = "cut \ufffd off"


@pytest.mark.parametrize(
    "message",
    [
        Note(sender="codex", recipient="claude", text=HALF, at_ms=5),
        Progress(at_ms=1, source="worker", agent="claude", kind="say", text=HALF),
        TurnSettledReport(turn_id="t", purpose="work", outcome=TurnOutcome(status="finished", text=HALF)),
    ],
)
def test_a_message_with_half_a_pair_arrives_with_a_replacement(message: Note | Progress | TurnSettledReport) -> None:
    kind = type(message).__name__
    arrived = envelope.decode_body(kind, envelope.encode_body(message))
    assert msgspec.to_builtins(arrived) == msgspec.json.decode(to_json(message))
    assert MENDED in to_json(arrived)


def test_an_event_with_half_a_pair_is_journalled_with_a_replacement() -> None:
    event = turn.SessionTurnSettled(turn_id="t", outcome=TurnOutcome(status="finished", text=HALF))
    body = to_json(event)
    assert msgspec.json.decode(body, type=turn.SessionTurnSettled).outcome.text == MENDED


def test_a_request_and_news_of_a_console_with_half_a_pair_arrive() -> None:
    _, request = protocol.decode_request(
        protocol.encode_request(1, protocol.Say(message_id="m", agent="claude", text=HALF))
    )
    assert isinstance(request, protocol.Say)
    assert request.text == MENDED
    progress = Progress(at_ms=1, source="worker", agent="", kind="say", text=HALF)
    news = protocol.decode_answer(protocol.encode_answer(0, protocol.Shown(progress=progress)))
    assert isinstance(news.body, protocol.Shown)
    assert news.body.progress.text == MENDED


def test_bytes_stay_bytes_beside_half_a_pair() -> None:
    assert msgspec.msgpack.decode(to_msgpack({"a": b"\xff", "b": HALF})) == {"a": b"\xff", "b": MENDED}
