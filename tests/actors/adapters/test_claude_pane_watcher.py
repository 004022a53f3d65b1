"""What comes over the socket of Claude Code's hooks."""

from __future__ import annotations

import asyncio

import pytest

from actors.adapters.claude_pane_watcher import whole
from actors.text import ForeignJsonError


def test_a_call_of_a_hook_is_read_to_its_end_and_is_bounded_in_bytes_and_time() -> None:
    async def read(data: bytes, *, ends: bool) -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        if ends:
            reader.feed_eof()
        return await whole(reader, most_bytes=4, within_s=0.01)

    assert asyncio.run(read(b"1234", ends=True)) == b"1234"
    with pytest.raises(ForeignJsonError):
        asyncio.run(read(b"12345", ends=False))
    with pytest.raises(TimeoutError):
        asyncio.run(read(b"1234", ends=False))
