import queue
import threading

import pytest

from shell.backlog import MOST_BYTES, OF_EACH, Backlog, ThreadedWriter
from tests.patience import PATIENCE_S


def test_it_is_full_by_bytes_and_has_room_again_when_it_is_read() -> None:
    waiting: Backlog[str] = Backlog(len)
    big = "x" * (MOST_BYTES // 4)
    for _ in range(4):
        waiting.put_nowait(big)
    with pytest.raises(queue.Full):
        waiting.put_nowait("")
    assert waiting.get_nowait() == big
    waiting.put_nowait("y")
    assert [waiting.get_nowait() for _ in range(4)] == [big, big, big, "y"]
    assert waiting.empty()


def test_items_without_a_text_are_bounded_too() -> None:
    waiting: Backlog[str] = Backlog(len)
    for _ in range(MOST_BYTES // OF_EACH + 1):
        waiting.put_nowait("")
    with pytest.raises(queue.Full):
        waiting.put_nowait("")


def test_a_writer_tells_a_slow_reader_how_much_it_missed():
    began, read_on, wrote = threading.Event(), threading.Event(), []

    def write(item: str, missed: int) -> None:
        wrote.append((item[:5], missed))
        began.set()
        assert read_on.wait(PATIENCE_S)

    writer = ThreadedWriter(write, len, "writer")
    writer.put("first")
    assert began.wait(PATIENCE_S)
    writer.put("large" + "x" * (MOST_BYTES - OF_EACH))
    writer.put("missed")
    writer.put("missed, too")
    read_on.set()
    writer.close(20)
    assert wrote == [("first", 0), ("large", 2)]


def test_a_writer_whose_reader_is_gone_ends():
    def write(_item: str, _missed: int) -> None:
        raise BrokenPipeError

    writer = ThreadedWriter(write, len, "writer")
    writer.put("first")
    writer.close(20)
    writer.put("second")
