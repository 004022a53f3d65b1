import pytest

from shell.dashboard.agent_words import event_of, folder_of


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"type": "user", "message": {"content": "do\nit"}}, "prompt: do it"),
        ({"type": "assistant", "message": {"content": [{"type": "text", "text": "done"}]}}, "say: done"),
        (
            {"type": "assistant", "message": {"content": [{"type": "tool_use", "name": "Bash", "input": {"a": "ls"}}]}},
            "tool: Bash ls",
        ),
        ({"type": "user", "message": {"content": [{"type": "tool_result", "content": "x"}]}}, "tool-result"),
        ({"type": "assistant", "message": {"content": [{"type": "thinking", "thinking": "hm"}]}}, "thinking"),
        ({"type": "system", "subtype": "init"}, ""),
        ({"type": "assistant", "message": {"content": None}}, ""),
        ({"type": "user", "message": "torn"}, ""),
    ],
)  # fmt: skip
def test_claudes_entries(entry: dict, words: str):
    assert event_of("claude", entry) == words


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("event_msg", {"type": "agent_message", "message": "done"}, "say: done"),
        ("event_msg", {"type": "user_message", "message": "do it"}, "prompt: do it"),
        ("event_msg", {"type": "token_count"}, ""),
        ("event_msg", {"type": "turn_aborted"}, "interrupted"),
        ("response_item", {"type": "message", "role": "assistant", "content": [{"text": "hi"}]}, "say: hi"),
        ("response_item", {"type": "message", "role": "user", "content": [{"text": "hi"}]}, ""),
        ("response_item", {"type": "function_call", "name": "shell", "arguments": "{}"}, "tool: shell {}"),
        ("response_item", {"type": "function_call_output"}, "tool-result"),
        ("response_item", {"type": "reasoning"}, "thinking"),
        ("session_meta", {"cwd": "/x"}, ""),
        ("event_msg", None, ""),
    ],
)
def test_codexs_entries(kind: str, payload: object, words: str):
    assert event_of("codex", {"type": kind, "payload": payload}) == words


def test_a_long_event_is_cut():
    assert len(event_of("claude", {"type": "user", "message": {"content": "x" * 5_000}})) == 200


def test_where_a_session_works_stands_in_its_entries():
    assert folder_of("claude", {"cwd": "/x"}) == "/x"
    assert folder_of("codex", {"payload": {"cwd": "/y"}}) == "/y"
    assert folder_of("codex", {}) == ""
