"""What consoles are told without anybody being asked."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from actors.errors import OperationalError, UserError
from actors.messages import AgentContact, AgentStatus, CheckStatus, Notable, Progress, RunStatus, Usage
from supervisor.control.protocol import ActorReport
from supervisor.control.standing import SILENT_MS, RunStanding

NOW_MS = 1_000_000
STATUS = AgentStatus(
    role="worker",
    agent="codex",
    label="codex",
    session_id="s",
    can_steer=True,
    turn_id="t",
    purpose="work",
    since_ms=5,
    waiting=0,
    turns=3,
    usage=Usage(),
)
WORKING = RunStatus(
    at_ms=1,
    state="working",
    phase="working",
    line="iteration 1 of 20: waits for codex",
    iteration=1,
    max_iterations=20,
    hold="none",
    waits_for="codex",
    open_turns=[],
    question="",
    detail="",
    task="",
)


def worker(incarnation: int = 1) -> ActorReport:
    return ActorReport(name="worker", state="running", incarnation=incarnation)


@pytest.fixture
def standing() -> RunStanding:
    """A run whose worker is in a turn."""
    standing = RunStanding(checks_in="worker")
    standing.children([worker()])
    standing.note(WORKING)
    standing.note(STATUS)
    return standing


def shown(standing: RunStanding) -> tuple[str, str]:
    return standing.actor("worker", NOW_MS).state, standing.agents()[0].turn_id


def run(standing: RunStanding) -> tuple[str, str, str]:
    status = standing.status(NOW_MS)
    assert status is not None
    return status.state, status.line, status.question


def test_an_agent_that_does_not_come_to_the_bridge_is_a_problem_until_it_comes(standing: RunStanding) -> None:
    problems = []
    for problem in ("claude has not contacted the bridge", ""):
        standing.note(AgentContact(role="reviewer", problem=problem))
        problems.append(standing.problems())
    assert problems == [["claude has not contacted the bridge"], []]


def test_a_turn_ends_with_the_process_that_it_ran_in(standing: RunStanding) -> None:
    standing.children([worker()])
    assert shown(standing) == ("busy", "t")
    standing.children([worker(2)])
    assert shown(standing) == ("running", "")


def test_the_check_that_runs_is_shown_until_it_ends_or_its_process_does(standing: RunStanding) -> None:
    running = CheckStatus(command="make test", number=1, of=1, since_ms=5)
    standing.note(running)
    assert standing.check == running
    standing.note(CheckStatus())
    assert standing.check is None
    standing.note(running)
    standing.children([ActorReport(name="worker", state="restarting", incarnation=2)])
    assert standing.check is None


def test_a_run_whose_agent_waits_for_the_user_in_its_window_says_so_until_it_is_answered(standing: RunStanding) -> None:
    asked = "claude waits for your permission in its pane: Bash: make"
    standing.note(replace(STATUS, asks=asked))
    assert run(standing) == ("input-required", f"iteration 1 of 20: {asked}", "")
    standing.note(STATUS)
    assert run(standing) == ("working", WORKING.line, "")
    standing.note(replace(STATUS, asks=asked))
    standing.children([worker(2)])
    assert run(standing) == ("working", WORKING.line, "")


def test_a_user_who_is_not_there_is_told_what_waits_for_one(standing: RunStanding) -> None:
    assert not RunStanding(checks_in="worker").is_known
    assert standing.is_known
    assert standing.notable() is None
    limited = Notable(event="limited", detail="waits", key="limited:1")
    standing.note(replace(WORKING, notable=limited))
    assert standing.notable() == limited
    asked = "claude waits for your permission in its pane: Bash: make"
    standing.note(replace(STATUS, asks=asked))
    assert standing.notable() == Notable(event="input-required", detail=asked, key=f"asks:{asked}")
    standing.asks("restart worker, or stop?")
    assert standing.notable() == Notable(event="input-required", detail="restart worker, or stop?", key="suspended")
    standing.asks("")
    assert standing.notable() == limited


def test_no_turn_runs_in_a_run_that_is_suspended(standing: RunStanding) -> None:
    standing.asks("restart worker, or stop?")
    assert shown(standing) == ("running", "")
    assert run(standing) == ("input-required", "iteration 1 of 20: suspended", "restart worker, or stop?")
    standing.asks("")
    assert run(standing) == ("working", WORKING.line, "")


def test_an_actor_without_a_sign_of_life_is_shown_as_stuck(standing: RunStanding) -> None:
    heard_at_ms = NOW_MS - SILENT_MS
    standing.children([replace(worker(), heard_at_ms=heard_at_ms)])
    assert standing.actor("worker", NOW_MS).state == "busy"
    stuck = standing.actor("worker", NOW_MS + 1)
    assert (stuck.state, stuck.why) == ("stuck", "no sign of life for 3 s; it is killed after 10 s")


def test_the_last_event_of_an_actor_is_shown_with_it(standing: RunStanding) -> None:
    standing.said(Progress(at_ms=7, source="worker", agent="codex", kind="say", text="x" * 300))
    actor = standing.actor("worker", NOW_MS)
    assert (actor.last_event, actor.last_event_at_ms) == (f"say: {'x' * 195}", 7)


def test_the_running_turns_are_those_of_the_given_roles_in_their_order(standing: RunStanding) -> None:
    standing.note(replace(STATUS, role="reviewer", turn_id="r"))
    assert [agent.turn_id for agent in standing.running(["reviewer", "worker"])] == ["r", "t"]
    assert [agent.turn_id for agent in standing.running(["worker"])] == ["t"]


def test_an_actor_that_is_unknown_or_down_is_named(standing: RunStanding) -> None:
    standing.children([worker(), ActorReport(name="run", state="dead", incarnation=1, why="killed by hand")])
    with pytest.raises(UserError, match="no actor 'bridge': there are worker, run"):
        standing.actor("bridge", NOW_MS)
    with pytest.raises(OperationalError, match=r"run is dead \(killed by hand\): start run first"):
        standing.up("run", NOW_MS)
