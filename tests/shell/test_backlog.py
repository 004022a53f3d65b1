import queue

import pytest

from shell.backlog import MOST_BYTES, OF_EACH, Backlog


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
