"""Who is told what an agent's session reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.adapters.base import AgentEvent
from actors.agent_reports import SessionReports
from actors.machines import turn
from actors.messages import (
    ROLE_PROMPT,
    CommandBegun,
    ControlRun,
    HumanHeard,
    Note,
    OtherWorkDone,
    PeerWrote,
    ProgressKind,
    Receipt,
    SessionOpened,
    TurnOutcome,
    TurnSettledReport,
    Usage,
    UsageReport,
)
from tests.actors.post import Post, context_of, start_agent

BRIDGE = {"url": "http://127.0.0.1:1", "token": "t"}
FINISHED = TurnOutcome(status="finished")


class Bench:
    """The reports of one session, what they send and what they show."""

    def __init__(self, folder: Path, *, is_away: bool = False, **changes: Any) -> None:
        self.post = Post("reviewer", [])
        self.lines: list[tuple[ProgressKind, str]] = []
        context = context_of(self.post, start_agent(folder / "work", **changes))
        self.reports = SessionReports(
            context,
            lambda kind, text: self.lines.append((kind, text)),
            bridge=context.ref("bridge"),
            persistence=context.ref("persistence"),
            is_away=is_away,
        )

    def told(self) -> list[tuple[str, str]]:
        return [(recipient, type(message).__name__) for recipient, message in self.post.sent]


def test_the_end_of_a_turn_is_told_to_the_run_and_the_bridge(tmp_path: Path) -> None:
    bench = Bench(tmp_path, bridge=BRIDGE)
    bench.reports.session_opened("s")
    bench.reports.turn_settled("t", "review", FINISHED)
    assert bench.post.told("run", TurnSettledReport)[-1].turn_id == "t"
    assert bench.post.told("bridge", OtherWorkDone) == [OtherWorkDone(what="review turn ended", finished_in="s")]


def test_the_run_hears_nothing_of_a_role_prompt(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reports.turn_settled("t", ROLE_PROMPT, FINISHED)
    assert bench.told() == []


def test_without_a_bridge_a_session_is_told_to_the_manifest_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reports.session_opened("s")
    opened = SessionOpened(role="reviewer", agent="embedded", session_id="s")
    assert bench.post.sent == [("persistence", opened)]
    assert bench.lines == [("session", "s")]


@pytest.mark.parametrize(
    ("receipt", "told"),
    [
        ("accepted", [("bridge", "MailAcceptedReport")]),
        ("seen", [("bridge", "MailSeenReport"), ("run", "PeerWrote")]),
        ("handled", [("bridge", "MailHandledReport")]),
        ("failed", [("bridge", "MailFailedReport")]),
    ],
)
def test_a_receipt_goes_to_the_bridge_and_the_run_hears_of_mail_that_was_seen(
    receipt: Receipt, told: list[tuple[str, str]], tmp_path: Path
) -> None:
    bench = Bench(tmp_path)
    bench.reports.mail_receipt("m", receipt)
    assert bench.told() == told
    assert len(bench.post.told("run", PeerWrote)) == (receipt == "seen")


def test_a_cost_without_a_model_is_of_the_model_that_the_agent_was_started_with(tmp_path: Path) -> None:
    bench = Bench(tmp_path, model="big")
    for model in ("", "small"):
        bench.reports.usage_grew(turn.Cost(turn_id="t", purpose="mail", model=model, usage=Usage(cost_usd=1.0)))
    assert [report.model for report in bench.post.told("run", UsageReport)] == ["big", "small"]


def test_a_user_is_told_how_the_turn_of_a_message_has_ended(tmp_path: Path) -> None:
    bench = Bench(tmp_path, bridge=BRIDGE)
    bench.reports.human_heard("h", "steered", "")
    bench.reports.human_heard("h", "settled", "it broke")
    assert [heard.how for heard in bench.post.told("console", HumanHeard)] == ["steered", "settled"]
    assert bench.lines == [("error", "your message's turn ended: it broke")]
    assert len(bench.post.told("bridge", OtherWorkDone)) == 1


def test_what_a_user_types_in_the_agents_own_window_is_in_the_transcript(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reports.agent_event(AgentEvent(kind="typed", text="hello"))
    note = Note(sender="human", recipient="embedded-reviewer", text="hello", at_ms=1_000)
    assert bench.post.told("persistence", Note) == [note]


def test_a_turn_that_is_interrupted_in_the_agents_own_window_pauses_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.reports.agent_event(AgentEvent(kind="cut"))
    assert [control.action for control in bench.post.told("run", ControlRun)] == ["pause-now"]


@pytest.mark.parametrize("is_away", [True, False])
def test_only_the_commands_of_an_agent_that_is_away_are_told_in_advance(*, is_away: bool, tmp_path: Path) -> None:
    bench = Bench(tmp_path, is_away=is_away)
    for _ in range(2):
        bench.reports.agent_event(AgentEvent(kind="tool", text="make"))
    assert [begun.text for begun in bench.post.told("run", CommandBegun)] == (["make"] if is_away else [])


@pytest.mark.parametrize(("raw_output", "shown"), [(False, [("say", "hi")]), (True, [("raw", "{}")])])
def test_raw_output_is_shown_in_place_of_what_it_says(
    *, raw_output: bool, shown: list[tuple[str, str]], tmp_path: Path
) -> None:
    bench = Bench(tmp_path, raw_output=raw_output)
    for event in (AgentEvent(kind="say", text="hi"), AgentEvent(kind="raw", raw="{}")):
        bench.reports.agent_event(event)
    assert bench.lines == shown
