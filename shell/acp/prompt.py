"""The text of a prompt: what the user typed, and the files that the client put into it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from acp.schema import EmbeddedResourceContentBlock, ResourceContentBlock, TextContentBlock, TextResourceContents

from actors import values
from actors.errors import UserError


def text_of(blocks: Iterable[Any]) -> str:
    """The task in these blocks. Raises `UserError` for one that is empty, too long, or of a kind that no agent of ours
    gets.
    """
    parts = [_text(block) for block in blocks]
    text = "".join(parts).strip()
    if not text:
        raise UserError("the prompt is empty: say what is to be done")
    return values.text("the prompt", text, most_bytes=values.MOST_TASK_BYTES)


def _text(block: Any) -> str:
    match block:
        case TextContentBlock():
            return block.text
        case ResourceContentBlock():
            return f" {block.uri.removeprefix('file://')} "
        case EmbeddedResourceContentBlock(resource=TextResourceContents() as resource):
            return f"\n\n{resource.uri.removeprefix('file://')}:\n```\n{resource.text}\n```\n"
        case _:
            raise UserError(f"a prompt takes text and files, not {block.type}: describe it in words")
