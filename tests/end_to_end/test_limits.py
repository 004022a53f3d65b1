"""A provider's limit is waited out, also when both reviewers meet theirs at once; no iteration is spent on it."""

from tests.lab.world import World

SCENARIO = """
[[turn]]
when = "^Iteration"
[[turn.step]]
say = "<promise>DONE</promise>"

[[turn]]
when = "^Review round"
[[turn.step]]
fault = { status = 429, resets_in_s = 1 }
[[turn.step]]
say = "<review>PASS</review>"

[[turn]]
when = "^Draft"
[[turn.step]]
say = "none"
"""


def test_two_limited_reviewers_wait_side_by_side_and_then_review(world: World):
    scenario = world.base / "limits.toml"
    scenario.write_text(SCENARIO)
    world.play_embedded(scenario)
    (world.project / "PLAN.md").write_text("a plan")
    loop = world.run("--agent", "embedded", "--proof", "none")
    assert loop.process.returncode == 0, loop.output
    reviews = sorted((line["reviewer"], line["status"]) for line in world.transcript() if line.get("kind") == "review")
    assert reviews == [("embedded", "pass"), ("embedded-reviewer", "pass")]
    assert "iteration 2" not in loop.output
