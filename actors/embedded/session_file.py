"""A session of the embedded agent on disk, and the session updates that its lines are. Runs in the agent's process.

Every line is on disk before the agent acts on it, so a killed agent continues where it was. It never drops a line but
a torn one.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from actors.embedded.rpc import NOT_FOUND, Json, RpcError
from actors.embedded.scenario import Answer, Entry, Prompt, Result
from actors.wire.acp_extension import TURN_ENDED, TURN_ID


class Transcript:
    """One session's append-only file: one JSON object per line, each flushed and synced before `append` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[Json] = []

    @classmethod
    def create(cls, folder: Path, session_id: str, cwd: str) -> Transcript:
        """A new session's file, with its first line."""
        folder.mkdir(parents=True, exist_ok=True)
        transcript = cls(folder / f"{session_id}.jsonl")
        transcript.append("session", id=session_id, cwd=cwd)
        return transcript

    @classmethod
    def load(cls, folder: Path, session_id: str) -> Transcript:
        """The stored session. Drops a last line that a kill has torn: it had no effect yet."""
        path = folder / f"{session_id}.jsonl"
        if "/" in session_id or not path.is_file():
            raise RpcError(NOT_FOUND, f"no session {session_id!r} in {folder}")
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        transcript = cls(path)
        transcript.lines = [json.loads(line) for line in whole.splitlines()]
        return transcript

    def append(self, kind: str, **fields: object) -> Json:
        """Writes the line and returns it; it is on disk afterwards."""
        line: Json = {"kind": kind, "at_ms": time.time_ns() // 1_000_000, **fields}
        with self.path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.lines.append(line)
        return line

    def conversation(self) -> Iterator[Entry]:
        """The conversation for the scenario: an interrupted or failed turn has no answer."""
        said = ""
        for line in self.lines:
            match line["kind"]:
                case "prompt":
                    yield Prompt(line["text"])
                case "say":
                    said = line["text"]
                case "result":
                    yield Result(line["text"])
                case "end" if line.get("stop_reason") == "end_turn":
                    yield Answer(said)

    def spent(self, everywhere: frozenset[str] = frozenset()) -> dict[str, int]:
        """How often each fault has struck: in this session; those of `everywhere` in all sessions of the folder."""
        spent = Counter(line["key"] for line in self.lines if line["kind"] == "fault")
        if everywhere:
            others = (path for path in self.path.parent.glob("*.jsonl") if path != self.path)
            spent.update(key for path in others for key in _struck(path) if key in everywhere)
        return dict(spent)


def _struck(path: Path) -> Iterator[str]:
    """The faults of another session; its agent may be writing."""
    content = path.read_bytes()
    for text in content[: content.rfind(b"\n") + 1].splitlines():
        line = json.loads(text)
        if line["kind"] == "fault":
            yield line["key"]


def updates(line: Json, index: int) -> Iterator[Json]:
    """The protocol's session updates for a transcript line, live or replayed."""
    match line["kind"]:
        case "prompt":
            yield _chunk("user_message_chunk", line["text"], index, {TURN_ID: line["id"]})
        case "say":
            yield _chunk("agent_message_chunk", line["text"], index)
        case "call":
            yield {
                "sessionUpdate": "tool_call",
                "toolCallId": line["id"],
                "title": line["text"],
                "kind": line.get("of", "execute"),
                "status": "in_progress",
            }
        case "result":
            yield {
                "sessionUpdate": "tool_call_update",
                "toolCallId": line["id"],
                "status": "completed" if line["ok"] else "failed",
                "content": [{"type": "content", "content": {"type": "text", "text": line["text"]}}],
            }
        case "end":
            ended = {"turnId": line["id"], "stopReason": line.get("stop_reason"), "error": line.get("error")}
            yield {
                "sessionUpdate": "session_info_update",
                "_meta": {TURN_ENDED: {name: value for name, value in ended.items() if value is not None}},
            }


def _chunk(kind: str, text: str, index: int, meta: Json | None = None) -> Json:
    update: Json = {
        "sessionUpdate": kind,
        "messageId": f"line-{index}",
        "content": {"type": "text", "text": text},
    }
    return update if meta is None else {**update, "_meta": meta}
