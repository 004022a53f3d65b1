"""The agents' actor without processes."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from actors import runners
from actors.agent import AgentActor
from actors.machines import run
from actors.messages import Progress, StartTurnRequest, TurnSettledReport
from actors.wire.envelope import Address
from tests.actors.post import Post, context_of, start_agent
from tests.patience import PATIENCE_S


@pytest.mark.parametrize("role", ["worker", "reviewer"])
def test_a_turn_in_a_directory_that_is_gone_for_good_fails_in_either_role(role: str, tmp_path: Path):
    post = Post(role, [])
    actor = AgentActor(context_of(post, start_agent(tmp_path / "gone", role=role)))
    actor.receive(StartTurnRequest(turn_id="t", purpose="review", prompt="Review round 1"), Address("r/1", "run", 1))
    (ended,) = post.told("run", TurnSettledReport)
    assert (ended.turn_id, ended.purpose, ended.outcome.status) == ("t", "review", "failed")
    assert "gone no longer exists" in ended.outcome.error


def test_a_directory_that_two_actors_make_again_at_the_same_time_is_made_once(tmp_path: Path):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    posts = [Post(name, []) for name in ("worker", "reviewer")]
    actors = [AgentActor(context_of(post, start_agent(tmp_path / "sub" / "work"))) for post in posts]
    meet = threading.Barrier(2)

    def order(actor: AgentActor) -> None:
        meet.wait(PATIENCE_S)
        actor.receive(runners.start_job(run.ReadPlan(read_id="j", ahead=True)), Address("r/1", "run", 1))

    (tmp_path / "sub").mkdir()
    threads = [threading.Thread(target=order, args=[actor]) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    lines = texts(post.told("console", Progress) for post in posts)
    assert len([line for line in lines if "has been created again" in line]) == 1


def texts(told: Iterable[list[Progress]]) -> list[str]:
    return [line.text for lines in told for line in lines]
