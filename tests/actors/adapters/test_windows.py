"""What the agents say of the provider's windows."""

from typing import Any

import pytest

from actors.adapters.claude_turn import Conversation
from actors.adapters.codex_protocol import TurnProgress
from actors.adapters.windows import decisive, of_claude, of_codex
from actors.messages import Window


@pytest.mark.parametrize(
    ("used", "expected"),
    [
        ([], None),
        ([(10, 1), (60, 2)], (60, 2)),
        ([(97, 9), (60, 20)], (97, 9)),
        ([(97, 9), (99, 5)], (97, 9)),  # both must be reset before work can go on
        ([(100, None), (98, 5)], (98, 5)),
    ],
)
def test_the_window_that_matters_is_the_fullest_and_of_the_full_ones_the_last_to_be_reset(
    used: list[tuple[float, int | None]], expected: tuple[float, int | None] | None
) -> None:
    found = decisive(Window(used_percent=percent, resets_at_ms=resets) for percent, resets in used)
    assert (None if found is None else (found.used_percent, found.resets_at_ms)) == expected


WINDOWS = {"five_hour": {"utilization": 0.5, "resetsAt": 10}, "seven_day": {"utilization": 0.96, "resetsAt": 20}}


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({}, None),
        ({"status": "allowed", "unifiedWindows": WINDOWS}, (96, 20_000, "seven-day limit")),
        (
            {"status": "allowed_warning", "utilization": 0.9, "rateLimitType": "five_hour"},
            (90, None, "five-hour limit"),
        ),
        ({"status": "rejected", "resetsAt": 7, "rateLimitType": "five_hour"}, (100, 7_000, "five-hour limit")),
        ({"status": "rejected", "resetsAt": 7, "unifiedWindows": WINDOWS}, (100, 7_000, "limit")),
        ({"status": "rejected", "resetsAt": 7, "overageStatus": "allowed"}, None),
        ({"status": "allowed", "isUsingOverage": True, "unifiedWindows": WINDOWS}, None),
        (
            {"status": "allowed", "unifiedWindows": {"five_hour": "much", "x": {"utilization": "all"}}},
            (0, None, "x limit"),
        ),
    ],
)
def test_claude_says_it_in_an_event(info: dict[str, Any], expected: tuple[float, int | None, str] | None) -> None:
    found = of_claude(info)
    assert (None if found is None else (found.used_percent, found.resets_at_ms, found.name)) == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, None),
        ({"primary": None, "secondary": None, "credits": None}, None),
        (
            {
                "primary": {"usedPercent": 12, "resetsAt": 5, "windowDurationMins": 300},
                "secondary": {"usedPercent": 96, "resetsAt": 9, "windowDurationMins": 10_080},
            },
            (96, 9_000, "168-hour limit"),
        ),
        ({"primary": {"usedPercent": 99}, "credits": {"hasCredits": True, "unlimited": False}}, None),
        ({"primary": {"usedPercent": "all", "resetsAt": -3}}, (0, None, "limit")),
    ],
)
def test_codex_says_it_in_a_snapshot(limits: dict[str, Any], expected: tuple[float, int | None, str] | None) -> None:
    found = of_codex(limits)
    assert (None if found is None else (found.used_percent, found.resets_at_ms, found.name)) == expected


@pytest.mark.parametrize("odd", [None, [], "much", 7, {"unifiedWindows": [1]}, {"credits": "many"}, {"primary": 3}])
def test_a_report_of_unknown_shape_says_nothing(odd: object) -> None:
    assert of_claude(odd) is None
    assert of_codex(odd) is None
    conversation = Conversation()
    conversation.begin("1")
    conversation.take({"type": "rate_limit_event", "rate_limit_info": odd})
    assert conversation.window is None
    progress = TurnProgress()
    progress.turn_id = "1"
    progress.take("account/rateLimits/updated", {"rateLimits": odd})
    progress.take("turn/completed", {"turn": {"id": "1", "status": "completed"}})
    assert progress.outcome is not None
