"""What is approved is what was checked: an agent that breaks the work after that does not get it approved."""

import subprocess

import pytest

from tests.end_to_end.conftest import APPROVED, World, play_task

CHECK = "grep -q good app"
# `once NAME` is true the first time; its mark is outside the repository.
ONCE = "mkdir ../once-{name} 2>/dev/null && echo bad > app"
SCENARIO = """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "echo good > app"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Review round"
role = "{role}"
[[turn.step]]
run = "{in_review}"
[[turn.step]]
say = "It is fine.\\n\\n<review>PASS</review>"

[[turn]]
when = "^Review round"
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
when = "^Draft pull request"
[[turn.step]]
run = "{in_publication}; git add -A && git commit -q -m work; git push -q origin HEAD; gh pr create --draft"
[[turn.step]]
say = "It is published."
"""


def scenario(world: World, *, role: str = "reviewer", in_review: str = "true", in_publication: str = "true") -> None:
    text = SCENARIO.format(role=role, in_review=in_review, in_publication=in_publication)
    play_task(world, text, "Make app good.")


def assert_proved_after_all(world: World, output: str, when: str) -> None:
    """The tree that is delivered passes its check, and the run says when it did not."""
    assert f"the tree was changed {when}: app; what was approved before does not count" in output
    details = [line["detail"] for line in world.transcript() if line.get("kind") == "status"]
    assert "checks failed" in details
    assert "checks of iteration 2" in details
    committed = subprocess.run(
        ["git", "show", "HEAD:app"], cwd=world.project, capture_output=True, text=True, check=True
    ).stdout
    assert committed == "good\n"
    assert ", tree " in str(details[-1])


def test_a_turn_that_breaks_the_work_while_it_publishes_it_is_not_the_end(world: World):
    scenario(world, in_publication=ONCE.format(name="publication"))
    loop = world.run("--agent", "embedded", "--check", CHECK, "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    assert_proved_after_all(world, loop.output, "while it was published")


ANSWERS = """
import os, socket, subprocess, sys
place = os.path.abspath("../answers")
def ask():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(place)
        return client.recv(100)
if sys.argv[1:] == ["serve"]:
    answer = open("app", "rb").read()  # as it is when the server starts
    if os.path.exists(place):
        os.unlink(place)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(place)
        server.listen()
        print("listens", flush=True)
        while True:
            client, _ = server.accept()
            client.send(answer)
            client.close()
try:
    found = ask()
except OSError:
    command = [sys.executable, __file__, "serve"]
    subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE).stdout.readline()
    found = ask()
sys.exit(found.strip() != b"good")
"""


def test_a_server_that_an_earlier_check_has_left_does_not_answer_for_a_tree_that_is_broken_by_now(world: World):
    (world.project / "answers.py").write_text(ANSWERS)
    subprocess.run(["git", "add", "answers.py"], cwd=world.project, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "answers"], cwd=world.project, check=True)
    scenario(world, in_review=ONCE.format(name="review"))
    loop = world.run("--agent", "embedded", "--check", "python3 answers.py", "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    assert_proved_after_all(world, loop.output, "after the checks, before the last reviewer was through")


def test_a_reviewer_that_breaks_the_work_each_time_it_passes_it_is_never_approved(world: World):
    scenario(world, in_review="echo bad $(date +%N) > app")
    loop = world.run("--agent", "embedded", "--check", CHECK, "-m", "2", "-p", "TASK.md")
    assert loop.process.returncode == 1, loop.output
    assert world.manifest()["state"] == "stopped"
    assert [line for line in world.transcript() if line.get("detail") == "draft pull request"] == []


@pytest.mark.real_agents
@pytest.mark.parametrize("role", ["worker", "reviewer"])
def test_neither_codex_nor_claude_gets_broken_work_approved(world: World, role: str):
    scenario(world, role=role, in_review=ONCE.format(name="review"))
    with world.play_real(world.base / "scenario.toml"):
        loop = world.run("--check", CHECK, "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    assert_proved_after_all(world, loop.output, "after the checks, before the last reviewer was through")


REMOVED = (
    """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "git -C {project} worktree remove --force $PWD"
[[turn.step]]
say = "<promise>DONE</promise>"
"""
    + APPROVED
)


def test_a_worktree_that_its_agent_has_removed_is_made_again_before_anything_runs_in_it(world: World):
    play_task(world, REMOVED.format(project=world.project), "Tidy up.")
    loop = world.run("--agent", "embedded", "--worktree", "--check", "test -e greeting.py", "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    place = world.base / "project-loop-1"
    assert f"the run's directory {place} was missing, and has been created again" in loop.output
    assert (place / "greeting.py").exists()


ELSEWHERE = (
    """
[[turn]]
when = "^Iteration 1"
[[turn.step]]
run = "git switch -q -c aside; echo good > app; git add app; git commit -q -m work; git switch -q main"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Iteration 2"
[[turn.step]]
run = "git switch -q --detach aside"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Iteration 3"
[[turn.step]]
run = "git switch -q main; git merge -q aside"
[[turn.step]]
say = "<promise>DONE</promise>"
"""
    + APPROVED
)


def test_work_on_another_branch_is_sent_back_before_anything_is_checked_or_reviewed(world: World):
    play_task(world, ELSEWHERE, "Make app good.")
    loop = world.run("--agent", "embedded", "--check", CHECK, "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    assert "is as it was before the run began, but there are new commits on aside" in loop.output
    assert "is on no branch: HEAD is detached; the run's branch is main" in loop.output
    details = [str(line["detail"]) for line in world.transcript() if line.get("kind") == "status"]
    assert [each for each in details if each.startswith("review round")] == ["review round 1"]
    assert loop.output.count("check $") == 1
