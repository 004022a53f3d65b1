"""Findings of the reviews, from a reviewer to the pull request; and a reviewer that cannot work."""

import json

import pytest

from tests.end_to_end.conftest import UNPUBLISHED, World

CHANGES = {
    "verdict": "changes",
    "summary": "Nearly.",
    "findings": [
        {"place": "app.py:12", "severity": "blocking", "description": "it divides by zero", "command": "pytest -k zero"}
    ],
    "earlier": [],
}
SETTLES = {"verdict": "pass", "summary": "Agreed.", "findings": [], "earlier": [{"id": "f1", "became": "accepted"}]}

SCENARIO = (
    """
[[turn]]
when = "^Iteration 1"
[[turn.step]]
run = "echo x > x"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Iteration 2"
[[turn.step]]
SECOND

[[turn]]
role = "worker"
when = "^Review round"
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
role = "reviewer"
when = "^Review round 1"
[[turn.step]]
FIRST

[[turn]]
role = "reviewer"
when = "^Review round 2"
[[turn.step]]
say = '''LAST'''
"""
    + UNPUBLISHED
)
REFUSES = 'say = "REFUSED f1: the caller checks it\\n<promise>DONE</promise>"'


def play(world: World, first: str, second: str = REFUSES, last: str = "<review>PASS</review>") -> None:
    text = SCENARIO.replace("FIRST", first).replace("SECOND", second).replace("LAST", last)
    (world.base / "findings.toml").write_text(text)
    (world.project / "TASK.md").write_text("Make x.")


@pytest.mark.real_agents
@pytest.mark.parametrize(("worker", "reviewer"), [("codex", "claude"), ("claude", "codex")])
def test_a_typed_finding_is_refused_goes_back_and_is_settled(world: World, worker: str, reviewer: str):
    """Both are bound to the form in their reviews, and in no other turn. The worker's last line counts without it."""
    play(world, f"say = '''{json.dumps(CHANGES)}'''", last=json.dumps(SETTLES))
    with world.play_real(world.base / "findings.toml", worker=worker) as server:
        loop = world.run("--agent", worker, "-p", "TASK.md")
        assert loop.process.returncode == 0, loop.output
        prompts = {(request.role, request.prompt.partition("\n")[0]): request for request in server.requests}
    bound = {header for (_, header), request in prompts.items() if request.schema}
    assert bound == {"Review round 1", "Review round 2"}
    assert {role for (role, _), request in prompts.items() if request.schema} == {"worker", "reviewer"}
    assert "- [blocking] app.py:12: it divides by zero (shown by: pytest -k zero)" in loop.output
    assert '"verdict"' not in loop.output
    assert f"{worker} refuses f1: the caller checks it" in loop.output
    told = prompts["worker", "Iteration 2"].prompt
    assert "f1 [blocking] app.py:12: it divides by zero (shown by: pytest -k zero) (raised)" in told
    asked = prompts["reviewer", "Review round 2"].prompt
    assert "(refused: the caller checks it)" in asked
    settled = "(refused, and settled: the caller checks it)"
    assert settled in prompts["worker", "Draft pull request"].prompt
    [line] = [each for each in world.transcript() if each.get("kind") == "review" and each["status"] == "fail"]
    assert line["reason"].startswith("Nearly.\n- [blocking] app.py:12")
    [found] = json.loads(world.run("findings", "1", "--json").output)["findings"]
    assert (found["id"], found["state"], found["settled"]) == ("f1", "refused", True)
    shown = world.run("findings", "1").output
    assert "f1  refused, and settled: the caller checks it" in shown
    assert f"{reviewer}  round 1  [blocking] app.py:12: it divides by zero" in shown
    assert "0 open of 1" in world.run("status", "1").output


def test_a_finding_is_waived_from_another_terminal_and_an_unknown_one_is_one_line(world: World):
    play(world, 'say = "FINDING app.py:12 | it divides by zero\\n<review>FAIL</review>"', "fault = { hang = true }")
    world.play_embedded(world.base / "findings.toml")
    loop = world.start("--agent", "embedded", "-p", "TASK.md")
    loop.wait_for("iteration 2 of 20")
    unknown = world.run("waive", "1", "f7", "not now")
    assert unknown.process.returncode == 2
    assert unknown.output.strip().endswith("run 1 has no finding 'f7': it has f1")
    assert "f1 is waived" in world.run("waive", "1", "f1", "not now").output
    loop.wait_for("waived: f1")
    assert "f1  waived: not now" in world.run("findings", "1").output
    world.run("stop", "1", "--now")
    loop.wait()
    assert "f1  waived: not now" in world.run("findings", "1").output
    refused = world.run("waive", "1", "f1")
    assert refused.process.returncode == 1
    assert "run 1 is not running (stopped), and only a run that is can keep it; to resume it: " in refused.output
    assert refused.output.endswith("then loop waive 1 f1")


@pytest.mark.real_agents
def test_the_peer_reviews_in_place_of_a_real_reviewer_without_credit_and_the_last_line_says_so(world: World):
    play(world, "fault = { refuses = 'billing', times = 2 }")
    with world.play_real(world.base / "findings.toml"):
        loop = world.run("--review", "claude", "--on-unavailable", "other", "-p", "TASK.md")
    assert loop.process.returncode == 0, loop.output
    assert "codex reviews in place of claude, which is its own work: that review is not independent" in loop.output
    assert "review approved without claude (not independent: codex reviewed its own work)" in loop.output
    assert "iteration 2" not in loop.output


@pytest.mark.parametrize(
    "said", ["Looks good to me.", "FINDING app.py:12 | it divides by zero\\n<review>PASS</review>"]
)
def test_a_verdict_that_is_garbage_or_mixed_approves_nothing_and_costs_no_iteration(world: World, said: str):
    play(world, f'say = "{said}"', last="Still good.")
    world.play_embedded(world.base / "findings.toml")
    loop = world.run("--agent", "embedded", "-p", "TASK.md")
    assert loop.process.returncode == 1, loop.output
    assert loop.output.count("verdict is asked for once more") == 2
    assert "no verdict can be read: embedded-reviewer broke the form in two review rounds" in loop.output
    assert "iteration 2" not in loop.output
    assert world.manifest()["state"] == "failed"
    assert world.gh_calls() == []


@pytest.mark.real_agents
def test_a_claude_that_gives_neither_form_nor_last_line_is_asked_once_more_in_its_session(world: World):
    play(world, 'say = "Looks good to me."', last="Still good.")
    with world.play_real(world.base / "findings.toml", worker="codex") as server:
        loop = world.run("--agent", "codex", "-p", "TASK.md")
        assert loop.process.returncode == 1, loop.output
        reviews = [request for request in server.requests if request.role == "reviewer"]
    assert "no verdict can be read: claude broke the form in two review rounds" in loop.output
    assert [request.schema for request in reviews] == [True, False, True, False]
    heads = [request.prompt.partition("\n")[0] for request in reviews]
    assert [*reviews[-1].earlier, heads[-1]] == heads
    assert server.asked_for_form == 2  # by Claude itself


OSCILLATES = """
[[turn]]
when = "^Iteration"
[[turn.step]]
run = "date +%s%N >> x"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
role = "worker"
when = "^Review round"
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
when = "^Review round [13579]"
[[turn.step]]
say = "FIXED f2\\nFINDING app.py:12 | it divides by zero\\n<review>FAIL</review>"

[[turn]]
when = "^Review round"
[[turn.step]]
say = "FIXED f1\\nFINDING app.py:20 | it is too slow\\n<review>FAIL</review>"

[[turn]]
when = "^Diagnosis"
[[turn.step]]
say = "Each of the two findings undoes the other: decide which one counts."
"""


def test_findings_that_come_and_go_end_in_a_diagnosis_and_not_in_a_review_without_end(world: World):
    (world.base / "findings.toml").write_text(OSCILLATES)
    (world.project / "TASK.md").write_text("Make x.")
    world.play_embedded(world.base / "findings.toml")
    loop = world.run("--agent", "embedded", "-m", "12", "-p", "TASK.md")
    assert loop.process.returncode == 1, loop.output
    assert "Each of the two findings undoes the other" in loop.output
    assert "iteration 12" not in loop.output
    last = [line for line in world.transcript() if line.get("kind") == "result"][-1]
    assert "a reviewer said more than once that this is not fixed: f" in last["detail"]
    found = json.loads(world.run("findings", "1", "--json").output)["findings"]
    assert min((each["id"], each["times_raised"]) for each in found) == ("f1", 3)
