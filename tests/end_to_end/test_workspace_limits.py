"""A limit in the workspace: the agents' own windows meet it, change places, and come back."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.conftest import World
from tests.end_to_end.test_workspace import SESSION, Workspace

pytestmark = [pytest.mark.real_agents, pytest.mark.timeout(600)]

SCENARIO = """
[[turn]]
when = "^Your part"
step = [{ say = "I am ready." }]

[[turn]]
role = "worker"
when = "^Iteration"
step = [{ run = "echo x > x" }, { fault = { status = 429, resets_in_s = 12 } }, { say = "I am back too early." }]

[[turn]]
when = "^Iteration"
step = [{ run = "echo y > y" }, { say = "<promise>DONE</promise>" }]

[[turn]]
when = "^Review round"
step = [{ say = "<review>PASS</review>" }]

[[turn]]
when = "^Draft"
step = [{ say = "none" }]
"""


@pytest.fixture
def workspace(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    scenario = world.base / "limits.toml"
    scenario.write_text(SCENARIO)
    (world.project / "TASK.md").write_text("Make x and y.\n")
    with world.play_real(scenario, worker="claude"):
        made = Workspace(world, tmp_path_factory.mktemp("tmux"))
        yield made
        made.tmux("kill-server")
        made.drawn.close()
        world.wait_until_empty()


def test_codex_takes_over_in_its_window_and_claudes_window_takes_the_review_after_its_limit(workspace: Workspace):
    words = ("--tmux", "--exit", "--agent", "claude", "--at-limit", "swap", "-p", "TASK.md")
    loop = workspace.world.run(*words)
    assert (loop.process.returncode, loop.lines) == (0, [f"[loop] tmux attach -t {SESSION}"])
    workspace.tmux("resize-window", "-t", SESSION, "-x", "240", "-y", "240")
    workspace.shows("console", "codex takes the work over")
    workspace.shows("right", 'You take this work over from "claude"')
    workspace.shows("left", "Review round 1")
    workspace.wait_for_the_end()
    assert workspace.world.manifest()["state"] == "completed", workspace.whole()
    reviews = {
        line["reviewer"]: line["status"] for line in workspace.world.transcript() if line.get("kind") == "review"
    }
    assert reviews == {"codex": "pass", "claude": "pass"}
