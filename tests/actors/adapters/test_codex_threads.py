"""Whether the notifications of an app-server say that Codex's own TUI has left the run's thread."""

from __future__ import annotations

from typing import Any

from actors.adapters.codex_threads import Move, OtherThreads

OURS, OTHER = "thread-ours", "thread-other"
CONVERSATION = {"ephemeral": False, "parentThreadId": None, "source": "vscode"}


def started(thread_id: str, **changed: Any) -> tuple[str, dict[str, Any]]:
    return "thread/started", {"thread": {"id": thread_id, **CONVERSATION, **changed}}


def became(thread_id: str, status: str) -> tuple[str, dict[str, Any]]:
    return "thread/status/changed", {"threadId": thread_id, "status": {"type": status}}


def moves(*notifications: tuple[str, dict[str, Any]]) -> list[Move | None]:
    threads = OtherThreads()
    return [threads.take(method, params, ours=OURS) for method, params in notifications]


def test_the_runs_own_thread_is_no_move() -> None:
    assert moves(started(OURS), became(OURS, "idle"), became(OURS, "active")) == [None, None, None]


def test_a_new_conversation_is_a_move_and_a_subagents_thread_is_none() -> None:
    assert moves(started(OTHER)) == [Move(OTHER, is_certain=True)]
    assert moves(started(OTHER, parentThreadId=OURS), started("title", ephemeral=True)) == [None, None]


def test_a_thread_of_which_only_a_status_is_known_may_be_a_conversation() -> None:
    assert moves(became(OTHER, "idle")) == [Move(OTHER, is_certain=False)]


def test_a_known_thread_is_looked_at_each_time_it_starts_to_work() -> None:
    looked_at = Move(OTHER, is_certain=False)
    told = moves(
        started(OTHER, parentThreadId=OURS),
        became(OTHER, "active"),
        became(OTHER, "active"),
        became(OTHER, "idle"),
        became(OTHER, "active"),
    )
    assert told == [None, looked_at, None, None, looked_at]
