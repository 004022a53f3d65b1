import json
from pathlib import Path
from typing import Any

from tests.lab.inspection import Prompt, told

SESSION = "141483d6-820a-4059-89ca-6cb70cf523c6"
ID = "11111111-1111-1111-1111-111111111111"
MARKED = f"Iteration 1\n\n(message {ID})"


def write(path: Path, *entries: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries) + '{"torn": ')


def test_what_copilot_was_told_stands_in_its_events_and_twice_when_it_was_told_twice(tmp_path: Path) -> None:
    message = {"type": "user.message", "data": {"content": MARKED, "transformedContent": f"<now/>{MARKED}"}}
    store = tmp_path / ".copilot" / "session-state" / SESSION / "events.jsonl"
    write(store, {"type": "session.start", "data": {}}, message, {"type": "assistant.turn_end", "data": {}}, message)
    assert list(told(tmp_path, SESSION)) == [Prompt(ID, "Iteration 1")] * 2


def user(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "type": "user", "content": [{"text": text}]}


def test_a_message_that_gemini_writes_again_counts_once_and_another_with_its_text_is_another(tmp_path: Path) -> None:
    chats = tmp_path / ".gemini" / "tmp" / "project" / "chats"
    context = user("a", "<session_context>\nToday is Monday.\n</session_context>")
    result = {"id": "c", "type": "user", "content": [{"functionResponse": {"name": "run_shell_command"}}]}
    write(
        chats / "session-2026-11-28T20-22-141483d6.jsonl",
        {"sessionId": SESSION, "kind": "main"},
        {"$set": {"messages": [context]}},
        user("b", MARKED),
        {"$set": {"lastUpdated": "2026-11-28T20:22:49.326Z"}},
        {"id": "d", "type": "gemini", "content": ""},
        result,
        user("b", MARKED),
        user("e", MARKED),
    )
    assert list(told(tmp_path, SESSION)) == [Prompt(ID, "Iteration 1")] * 2


def test_what_claude_was_told_over_acp_has_the_id_of_its_marker(tmp_path: Path) -> None:
    entry = {"type": "user", "uuid": "22222222-2222-2222-2222-222222222222", "message": {"content": MARKED}}
    write(tmp_path / ".claude" / "projects" / "-work" / f"{SESSION}.jsonl", entry)
    assert list(told(tmp_path, SESSION)) == [Prompt(ID, "Iteration 1")]


def test_what_vibe_was_told_stands_in_its_newest_snapshot_and_after_it_in_its_journal(tmp_path: Path) -> None:
    folder = tmp_path / ".vibe" / "logs" / "session" / "unified" / SESSION

    def turn(sequence: int, text: str) -> dict[str, Any]:
        params = {"message": [{"type": "text", "text": text}]}
        return {"sequence": sequence, "payload": {"method": "turn/start", "params": params}}

    later = MARKED.replace("1", "2")
    write(folder / "journal" / "07.jsonl", turn(7, MARKED), turn(8, later))
    said = [{"message": {"role": "user", "content": [{"text": MARKED}]}}, {"message": {"role": "assistant"}}, {}]
    manifest = {
        "checkpoint": {"chunks": ["c"]},
        "recovery_journal_segment": {"path": "journal/07.jsonl"},
        "snapshot_sequence": 7,
    }
    for name, content in (("CURRENT", {"generation": "7"}), ("generations/7/manifest.json", manifest)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    (folder / "chunks").mkdir()
    (folder / "chunks" / "c.json").write_text(json.dumps(said))
    assert list(told(tmp_path, SESSION)) == [
        Prompt(ID, "Iteration 1"),
        Prompt(ID.replace("1", "2"), "Iteration 2"),
    ]
