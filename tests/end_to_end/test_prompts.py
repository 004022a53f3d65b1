"""The user's own prompts reach the agents, and those of a repository only once they are allowed."""

import pytest

from tests.end_to_end.conftest import UNPUBLISHED, World

SCENARIO = (
    """
[[turn]]
when = "(?s)^Iteration 1\\n.*HOUSE RULES.*Make x"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "(?s)^Review round 1\\n.*HOUSE REVIEW.*Make x"
[[turn.step]]
say = "<review>PASS</review>"
"""
    + UNPUBLISHED
)
WORK = "HOUSE RULES\n\n{task}\n\n{notes}\n\n{findings}\n\n{done_signal}\n"
REVIEW = "HOUSE REVIEW\n\n{task}\n\n{findings}\n\n{pass} or {fail}\n"
KEYS = '[prompts]\nwork = "work.md"\nreview = "review.md"\n'


@pytest.mark.real_agents
@pytest.mark.parametrize("worker", ["codex", "claude"])
def test_the_users_prompts_reach_both_real_agents(world: World, worker: str):
    (world.base / "scenario.toml").write_text(SCENARIO)
    (world.project / "TASK.md").write_text("Make x.")
    with world.play_real(world.base / "scenario.toml", worker=worker):
        folder = world.home / ".loop"
        folder.mkdir(mode=0o700, exist_ok=True)
        (folder / "work.md").write_text(WORK)
        (folder / "review.md").write_text(REVIEW)
        (folder / "config.toml").write_text(KEYS)
        loop = world.run("--agent", worker, "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    reviews = [(line["reviewer"], line["status"]) for line in world.transcript() if line.get("kind") == "review"]
    assert sorted(reviews) == [("claude", "pass"), ("codex", "pass")]


def test_a_repositorys_prompts_count_once_they_are_allowed_as_they_are_now(world: World):
    (world.base / "scenario.toml").write_text(SCENARIO)
    world.play_embedded(world.base / "scenario.toml")
    (world.project / "TASK.md").write_text("Make x.")
    (world.project / ".loop.toml").write_text(KEYS)
    (world.project / "work.md").write_text(WORK)
    (world.project / "review.md").write_text("{task} {oops}")
    words = ("--agent", "embedded", "-p", "TASK.md")
    refused = world.run(*words)
    assert refused.process.returncode == 2
    assert "review.md:1: unknown placeholder {oops}" in refused.output
    (world.project / "review.md").write_text(REVIEW)
    refused = world.run(*words)
    assert refused.process.returncode == 2
    assert 'prompts.work = "work.md"' in refused.output
    assert not (world.home / ".loop" / "runs").exists()
    loop = world.run("--trust", *words)
    assert loop.process.returncode == 0, loop.output
