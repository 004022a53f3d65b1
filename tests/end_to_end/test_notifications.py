"""Notifications of whole runs: each change of state once, also when the root is killed in between."""

import json
import signal
from pathlib import Path

from tests.end_to_end.conftest import APPROVED, play_brief
from tests.lab.webhook import Webhook
from tests.lab.world import World

LIMITED = (
    """
[[turn]]
when = "^Iteration"
[[turn.step]]
fault = { status = 429, resets_in_s = 5 }
[[turn.step]]
say = "<promise>DONE</promise>"
"""
    + APPROVED
)


def configure(world: World, text: str) -> Path:
    """Writes the user's configuration; its command appends each notification to the file that is returned."""
    got = world.base / "got.jsonl"
    folder = world.home / ".loop"
    folder.mkdir(mode=0o700, exist_ok=True)
    command = f"""printf '%s\\n' "$(cat)" >> {got}"""  # a line in one piece, or nothing: it may be killed
    (folder / "config.toml").write_text(f"[notify]\ncommand = '''{command}'''\n{text}\n")
    return got


def said(got: Path) -> list[tuple[str, str]]:
    return [(each["id"], each["event"]) for each in map(json.loads, got.read_text().splitlines())]


def test_each_change_is_told_once_by_command_and_webhook_also_over_a_kill_of_the_root(world: World):
    (world.base / "limits.toml").write_text(LIMITED)
    world.play_embedded(world.base / "limits.toml")
    (world.project / "PLAN.md").write_text("a plan")
    with Webhook() as hook:
        got = configure(world, f'webhook = "{hook.url}"')
        loop = world.start("--agent", "embedded", "--proof", "none")
        hook.wait_for(1)
        loop.signal(signal.SIGKILL)
        loop.wait()
        loop = world.run("--run-id", "1")
        assert loop.process.returncode == 0, loop.output
        assert [(each["id"], each["event"]) for each in hook.bodies] == [("1/1", "limited"), ("1/2", "completed")]
        assert {each["directory"] for each in hook.bodies} == {str(world.project)}
        assert set(said(got)) <= {("1/1", "limited"), ("1/2", "completed")}
        assert said(got).count(("1/2", "completed")) == 1


def test_a_queued_run_tells_each_change_once_also_over_a_kill_of_its_server(world: World):
    (world.base / "limits.toml").write_text(LIMITED)
    world.play_embedded(world.base / "limits.toml")
    (world.project / "TASK.md").write_text("Make x.")
    with Webhook() as hook:
        configure(world, f'webhook = "{hook.url}"')
        assert world.run("submit", "--agent", "embedded", "-p", "TASK.md").process.returncode == 0
        serve = world.start("serve")
        hook.wait_for(1)
        serve.signal(signal.SIGKILL)
        serve.wait()
        serve = world.start("serve")
        hook.wait_for(2)
        serve.wait_for("over: completed")
        serve.signal(signal.SIGTERM)
        assert serve.wait() == 0, serve.output
        assert [(each["id"], each["event"]) for each in hook.bodies] == [("1/1", "limited"), ("1/2", "completed")]


def test_a_notification_that_does_not_arrive_costs_a_line_of_the_log_and_is_shown_by_doctor(world: World):
    play_brief(world, "true")
    with Webhook(answers=(500,)) as hook:
        configure(world, f'webhook = "{hook.url}"')
        loop = world.run("--agent", "embedded", "-p", "TASK.md")
        assert loop.process.returncode == 0, loop.output
        assert "did not arrive: webhook: it answered with HTTP 500" in (world.run_directory() / "log").read_text()
        assert "did not arrive: webhook: it answered with HTTP 500" in world.run("doctor").output
        trial = world.run("notify", "test")
    assert trial.process.returncode == 1
    assert trial.output.splitlines() == ["command: sent", "webhook: did not arrive: it answered with HTTP 500"]


def test_a_repository_sends_nothing_before_it_is_trusted(world: World):
    play_brief(world, "true")
    got = world.base / "got"
    (world.project / ".loop.toml").write_text(f"[notify]\ncommand = 'cat > {got}'\n")
    refused = world.run("--agent", "embedded", "-p", "TASK.md")
    assert refused.process.returncode == 2
    assert "notify.command" in refused.output
    assert not got.exists()
    allowed = world.run("--agent", "embedded", "--trust", "-p", "TASK.md")
    assert allowed.process.returncode == 0, allowed.output
    assert json.loads(got.read_text())["event"] == "completed"
