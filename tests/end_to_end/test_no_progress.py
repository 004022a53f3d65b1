"""A run without progress and an agent that falls silent: what the user sees of it, and how it ends."""

import pytest

from tests.end_to_end.conftest import APPROVED, World

both = pytest.mark.parametrize("agent", ["codex", "claude"])


def play(world: World, scenario: str, agent: str, *words: str) -> str:
    """The output of a whole run of the scenario, without planning. It ends by itself."""
    path = world.base / "scenario.toml"
    path.write_text(scenario)
    (world.project / "TASK.md").write_text("Make app.")
    command = ("--agent", agent, "-p", "TASK.md", *words)
    if agent == "embedded":
        world.play_embedded(path)
        return world.run(*command).output
    with world.play_real(path, worker=agent):
        return world.run(*command, "--review", agent).output


NO_OP = """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "git status --short"
[[turn.step]]
say = "I will do it next time."

[[turn]]
when = "^Diagnosis"
[[turn.step]]
say = "The port is taken, and only you can free it."
"""


@pytest.mark.real_agents
@both
def test_turns_without_effect_lead_to_one_diagnosis_and_then_to_a_person(world: World, agent: str) -> None:
    output = play(world, NO_OP, agent, "--max-stalled", "2")
    assert output.count("the worker is asked for a diagnosis") == 1, output
    assert "diagnosis: The port is taken, and only you can free it." in output
    assert "iteration 4" not in output
    assert world.manifest()["state"] == "stopped"
    details = [line["detail"] for line in world.transcript() if line.get("kind") == "status"]
    assert details[-1].startswith("no progress: 2 iterations in a row left the files as they had been before")
    assert details[-1].endswith("diagnosis: The port is taken, and only you can free it")


# Its tool is silent for longer than an agent may be. Codex itself waits ten seconds for a command; Claude reports the
# command once more after three.
SILENT = """
[[turn]]
when = "^Iteration"
[[turn.step]]
fault = { hang = true }
[[turn.step]]
run = "python3 -c 'import time; time.sleep(9)'; echo x > app"
[[turn.step]]
say = "<promise>DONE</promise>"
"""


@pytest.mark.real_agents
@both
def test_a_silent_agent_is_interrupted_and_completes_but_its_silent_tool_is_left_alone(
    world: World, agent: str
) -> None:
    output = play(world, SILENT + APPROVED, agent, "--silence", "4s")
    assert "nothing was heard from it for 4 s: the work turn is interrupted" in output
    assert "without any output for 4 s:" in output
    assert "iteration 2" not in output
    assert world.manifest()["state"] == "completed"
    assert (world.project / "app").read_text() == "x\n"


def test_an_agent_that_stays_silent_ends_the_run_with_the_cause_in_its_last_line(world: World) -> None:
    hangs = SILENT.replace("hang = true", "hang = true, times = 9")
    output = play(world, hangs, "embedded", "--silence", "1s")
    assert "the session is silent: a new one takes the turn over" in output
    assert world.manifest()["state"] == "failed"
    details = [line["detail"] for line in world.transcript() if line.get("kind") == "status"]
    assert "the agent is silent: nothing was heard from it for 1 s" in details[-1]


BACKGROUND = """
[[turn]]
when = "^Iteration"
[[turn.step]]
tool = {name = "Bash", input = {command = "echo x > app; mkfifo word; cat word", run_in_background = true}}
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Background tasks"
aside = true
[[turn.step]]
say = "I need it."
"""


@pytest.mark.real_agents
def test_a_background_task_is_waited_for_and_asked_about_and_ended_when_its_time_is_up(world: World) -> None:
    output = play(world, BACKGROUND + APPROVED, "claude", "--silence", "4s", "--tool-timeout", "8s")
    assert "waits for background tasks: " in output
    assert "I need it." in output
    assert "it is ended: " in output
    assert "iteration 2" not in output
    assert world.manifest()["state"] == "completed"


SLOW_REVIEW = """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "echo x > app"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Review round 1: verdict"
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
when = "^Review round"
role = "worker"
[[turn.step]]
run = "sleep 600"
"""


def test_a_reviewer_that_takes_too_long_is_asked_for_its_verdict(world: World) -> None:
    output = play(world, SLOW_REVIEW + APPROVED, "embedded", "--review-patience", "3s")
    assert "verdict is asked for now: the review turn took longer than 3 s, and was interrupted" in output
    assert world.manifest()["state"] == "completed"


OSCILLATES = """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "echo x >> app"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Diagnosis"
[[turn.step]]
say = "I cannot see what is wrong."

[[turn]]
when = "^Review round 1\\\\b"
[[turn.step]]
say = "FINDING blocking | app:1 | it is wrong | cat app\\n<review>FAIL</review>"

[[turn]]
when = "^Review round"
[[turn.step]]
say = "STAYS f1\\n<review>FAIL</review>"
"""


def test_a_finding_that_stays_and_stays_ends_in_a_question_to_the_user(world: World) -> None:
    output = play(world, OSCILLATES, "embedded")
    assert output.count("the worker is asked for a diagnosis") == 1, output
    assert "iteration 5" not in output
    assert world.manifest()["state"] == "stopped"
    details = [line["detail"] for line in world.transcript() if line.get("kind") == "status"]
    assert details[-1].startswith("no progress: a reviewer said more than once that this is not fixed: f1: ")
    assert details[-1].endswith("diagnosis: I cannot see what is wrong")
