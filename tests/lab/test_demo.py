import os
import subprocess
from pathlib import Path

import pytest

from actors.embedded.scenario import Answer, BridgeCall, Entry, Prompt, Result, Run, Say, is_call
from actors.embedded.scenario_file import SHIPPED, load_scenario
from actors.machines import continuations, prompts
from actors.machines.verdict import read_verdict, says_done
from actors.settings import Role
from tests.lab.demo_repo import DEMO_TASK, make_demo_repository
from tests.lab.world import PATIENCE_S

DEMO = load_scenario(SHIPPED / "demo.toml")
DONE = "<promise>DONE</promise>"

PLAN = prompts.plan(DEMO_TASK, proof="")
PLAN_REVIEW = prompts.plan_review(DEMO_TASK)
PULL_REQUEST = prompts.pull_request(DEMO_TASK)


def iteration(number: int) -> str:
    return prompts.iteration(number, of=20, task=DEMO_TASK, proof="", done_signal=DONE, peer="claude")


def review(number: int) -> str:
    return prompts.review(number, task=DEMO_TASK, proof="", done_signal=DONE, send_notes_to="codex")


class Player:
    """Plays one role's side of the demo in a real repository, as an agent would."""

    def __init__(self, role: Role, folder: Path) -> None:
        self.role = role
        self.folder = folder
        self.sent: list[BridgeCall] = []
        self._conversation: list[Entry] = []

    def turn(self, prompt: str) -> str:
        """The answer to `prompt`, once all its commands have run."""
        self._conversation.append(Prompt(prompt))
        while is_call((steps := DEMO.reply(self.role, self._conversation))[-1]):
            self._conversation.append(Result(self._result(steps[-1].action)))
        answer = "\n".join(step.action.text for step in steps if isinstance(step.action, Say))
        self._conversation.append(Answer(answer))
        return answer

    def _result(self, action: object) -> str:
        if isinstance(action, BridgeCall):
            self.sent.append(action)
            return "accepted"
        assert isinstance(action, Run)
        ended = subprocess.run(
            ["sh", "-c", action.command],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            env=os.environ | {"PATH": f"{self.folder.parent}:{os.environ['PATH']}"},
        )
        return ended.stdout + ended.stderr


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    make_demo_repository(tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def worker(repository: Path) -> Player:
    return Player("worker", repository)


@pytest.fixture
def reviewer(repository: Path) -> Player:
    return Player("reviewer", repository)


def run_unittest(repository: Path) -> str:
    command = ["python3", "-m", "unittest"]
    ended = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return ended.stderr.splitlines()[-1]


def fake_gh(folder: Path, answer: str) -> None:
    program = folder / "gh"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)


def test_the_demo_goes_from_a_failing_test_to_an_approved_change(
    repository: Path, worker: Player, reviewer: Player
) -> None:
    assert run_unittest(repository).startswith("FAILED")
    worker.turn(PLAN)
    assert "Hello, Ada!" in (repository / "PLAN.md").read_text()
    assert "fits the task" in reviewer.turn(PLAN_REVIEW)

    assert says_done(worker.turn(iteration(1)), DONE)
    assert run_unittest(repository) == "OK"
    assert read_verdict(worker.turn(review(1))).approves
    verdict = read_verdict(reviewer.turn(review(1)))
    assert (verdict.kind, "empty name" in verdict.reason) == ("changes", True)
    assert [call.arguments["target"] for call in reviewer.sent] == ["worker"]
    mail = prompts.mail("claude", reviewer.sent[0].arguments["message"])
    assert worker.turn(mail).startswith("Understood")

    assert says_done(worker.turn(iteration(2)), DONE)
    assert run_unittest(repository) == "OK"
    assert "no name" in (repository / "test_greeting.py").read_text().replace("_", " ")
    assert read_verdict(worker.turn(review(2))).approves
    assert read_verdict(reviewer.turn(review(2))).approves


@pytest.mark.parametrize(
    ("gh", "answer"),
    [
        ("echo https://example.invalid/demo/pull/1", "The draft pull request is open"),
        ("echo see https://example.invalid/login >&2; exit 1", "There is no pull request"),
    ],
)
def test_the_worker_says_whether_gh_opened_a_pull_request(
    repository: Path, worker: Player, gh: str, answer: str
) -> None:
    fake_gh(repository.parent, gh)
    for prompt in (PLAN, iteration(1), iteration(2)):
        worker.turn(prompt)
    assert worker.turn(PULL_REQUEST).startswith(answer)
    log = subprocess.run(
        ["git", "log", "--oneline", "greet-politely"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Greet people politely" in log.stdout


def test_mail_in_the_middle_of_a_review_leaves_the_verdict_last() -> None:
    mail = Prompt(prompts.mail("claude", "look at the empty name"))
    steps = DEMO.reply("worker", [Prompt(review(1)), Result("OK"), mail])
    texts = [step.action.text for step in steps if isinstance(step.action, Say)]
    assert len(texts) == 2
    assert read_verdict("\n".join(texts)).approves


@pytest.mark.parametrize("prompt", [PLAN, PLAN_REVIEW, iteration(1), iteration(3), review(1), PULL_REQUEST])
def test_a_continued_prompt_plays_the_same_rule(prompt: str) -> None:
    again = continuations.continuation(prompt, why="the agent was killed")
    assert DEMO.reply(None, [Prompt(again)]) == DEMO.reply(None, [Prompt(prompt)])
