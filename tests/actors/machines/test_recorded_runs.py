"""Journals of real runs, written by the version of commit de6c834 with embedded agents: they fold to what they did.

`tests/recordings/runs/*/` holds each run's journal, manifest and transcript, and `folded.json`: what that version made
of the journal (status, outstanding commands, and both once the run is resumed). A version that changes a recorded
outcome breaks the runs that its users have on disk.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.edges.journal_reader import read_streams
from actors.machines import projection, run, turn
from actors.machines.run_status import run_status
from actors.machines.stored import by_stored_name
from actors.messages import Record, TurnOutcome

RECORDINGS = Path(__file__).parents[2] / "recordings" / "runs"
NAMES = ("finished", "middle", "paused")


@pytest.fixture
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return Path(shutil.copytree(RECORDINGS / str(request.param), tmp_path / "run"))


def events(records: list[Record], types: tuple[type[Any], ...]) -> list[Any]:
    by_name = by_stored_name(types)
    return [msgspec.json.decode(record.body, type=by_name[record.kind]) for record in records]


def run_events(directory: Path) -> list[Record]:
    return read_streams(directory, ("run",))["run"]


# Words for the user, which a version may say better.
REWORDED = {"a person to resume it": "the user to resume it"}


def told(recorded: Path) -> dict[str, Any]:
    text = (recorded / "folded.json").read_text()
    for before, now in REWORDED.items():
        text = text.replace(before, now)
    folded: dict[str, Any] = json.loads(text)
    return folded


def same(now: Any, before: Any) -> bool:
    """Whether everything that was said before is still said; there may be more now."""
    if isinstance(before, dict):
        return all(key in now and same(now[key], value) for key, value in before.items())
    if isinstance(before, list):
        return len(now) == len(before) and all(map(same, now, before))
    return bool(now == before)


def outstanding(state: run.RunState, now_ms: int) -> list[Any]:
    return [msgspec.to_builtins(command) for command in run.outstanding(state, now_ms)]


@pytest.mark.parametrize("recorded", NAMES, indirect=True)
def test_a_recorded_run_folds_to_what_it_came_to(recorded: Path) -> None:
    before = told(recorded)
    now_ms = before["now_ms"]
    state = run.fold(events(run_events(recorded), run.EVENTS))
    assert same(msgspec.to_builtins(run_status(state, now_ms)), before["status"])
    assert same(outstanding(state, now_ms), before["outstanding"])


@pytest.mark.parametrize("recorded", NAMES, indirect=True)
def test_a_recorded_run_has_the_transcript_that_it_had(recorded: Path) -> None:
    state, lines = run.initial(), []
    for record, event in zip(run_events(recorded), events(run_events(recorded), run.EVENTS), strict=True):
        before = state
        state, _ = run.decide(before, event, record.at_ms)
        lines += projection.project(before, event, state, "")
    written = [json.loads(line) for line in (recorded / "transcript.jsonl").read_text().splitlines()]
    assert [{**line, "at": ""} for line in written if "kind" in line] == lines


@pytest.mark.parametrize("recorded", NAMES, indirect=True)
def test_a_recorded_run_is_resumed_where_it_was(recorded: Path) -> None:
    before = told(recorded)
    state = run.fold(events(run_events(recorded), run.EVENTS))
    resumed, _ = run.decide(state, run.RunResumed(generation=99), before["now_ms"])
    assert run.describe(resumed) == before["resumed"]["line"]
    assert same(outstanding(resumed, before["now_ms"]), before["resumed"]["outstanding"])


@pytest.mark.parametrize("recorded", ["middle", "paused"], indirect=True)
def test_a_recorded_run_that_was_not_done_is_brought_to_its_end(recorded: Path) -> None:
    now_ms = told(recorded)["now_ms"]
    state = run.fold(events(run_events(recorded), run.EVENTS))
    state, _ = run.decide(state, run.RunResumed(generation=99), now_ms)
    says = {"work": state.run.done_signal, "review": "<review>PASS</review>"}
    while state.phase not in run.FINAL_PHASES:
        [*_, command] = run.outstanding(state, now_ms)
        match command:
            case run.StartTurn():
                outcome = TurnOutcome(status="finished", text=says.get(command.purpose, ""))
                event: run.Event = run.TurnSettled(turn_id=command.turn_id, outcome=outcome, at_ms=now_ms)
            case run.TakeTree():
                event = run.TreeTaken(take_id=command.take_id, tree=run.Tree(id=command.since or "other"))
            case run.ProbePullRequest():
                seen = run.PullRequestStatus(lacks="gh", reason="no gh")
                event = run.PullRequestProbed(look_id=command.look_id, status=seen)
            case _:
                raise AssertionError(command)
        state, _ = run.decide(state, event, now_ms)
    assert state.phase is run.Phase.COMPLETED


@pytest.mark.parametrize("recorded", NAMES, indirect=True)
@pytest.mark.parametrize("role", ["worker", "reviewer"])
def test_the_turns_of_a_recorded_run_stand_as_they_stood(recorded: Path, role: str) -> None:
    ledger = turn.Ledger()
    for event in events(read_streams(recorded, (f"turns/{role}",))[f"turns/{role}"], turn.EVENTS):
        ledger = turn.apply(ledger, event)
    awaited = {each["turn_id"] for each in told(recorded)["outstanding"] if each.get("role") == role}
    assert {turn_id for turn_id, entry in ledger.open.items() if entry.purpose not in turn.MESSAGES} == awaited
    assert ledger.session_id
