"""What the user is notified of: one notification per change of a run's state, and none for what the user did."""

from __future__ import annotations

import json

from msgspec.structs import replace

from actors.machines import run
from actors.machines.notifications import Notified, next_of, notable, notification
from actors.machines.run.state import Hold
from actors.messages import Notable, TurnOutcome, Usage, Window
from tests.actors.machines.test_run import DONE, PASS, Run, failed, finished, limited


def events(story: Run) -> list[str]:
    """The events of the notifications for the journal of this run, each state told twice, as after a restart."""
    known, state, found = Notified(), run.initial(), []
    for event in story.journal:
        state, _ = run.decide(state, event, story.now_ms)
        for _ in range(2):
            known, new = next_of(known, notable(state))
            found += [new.event] if new is not None else []
    return found


def test_a_completed_run_notifies_once() -> None:
    story = Run()
    story.settle(finished(DONE))
    story.reviews(PASS, PASS)
    story.settle(finished("none"))
    assert story.state.phase is run.Phase.COMPLETED
    assert events(story) == ["completed"]


def test_each_task_of_an_open_ended_run_notifies_of_its_end() -> None:
    story = Run(open_ended=True, interactive=True)
    for _ in range(2):
        story.settle(finished(DONE))
        story.reviews(PASS, PASS)
        story.settle(finished("none"))
        story.happens(run.QuestionAnswered(text="More."))
        story.settle(finished())
        story.reads("the plan")
        story.settle(finished(), "reviewer")
        story.reads("the plan")
    assert events(story) == ["completed", "completed"]


def test_a_run_that_fails_says_why() -> None:
    story = Run(needs_plan=True)
    story.settle(failed("boom"))
    assert events(story) == ["failed"]
    new = notable(story.state)
    assert new is not None
    assert "boom" in new.detail


def test_a_run_out_of_iterations_needs_a_person_whether_or_not_one_can_be_asked() -> None:
    for interactive in (True, False):
        story = Run(max_iterations=1, interactive=interactive)
        story.settle(finished())
        assert events(story) == ["input-required"]


def test_what_the_user_did_is_no_news() -> None:
    story = Run()
    story.happens(run.PauseRequested(now=True))
    story.settle(finished())
    story.happens(run.ResumeRequested())
    story.happens(run.StopRequested(reason="enough"))
    assert events(story) == []


def test_a_hold_of_a_rule_needs_a_person_once_nothing_runs() -> None:
    story = Run(interactive=True)
    hold = Hold(kind="pause", by="verdicts", why="no verdict can be read")
    assert notable(replace(story.state, hold=hold)) is None
    held = replace(story.state, hold=hold, jobs=())
    assert notable(held) == Notable(event="input-required", detail="no verdict can be read", key="held:verdicts")


def test_a_budget_has_an_event_of_its_own_once_also_when_its_run_has_nobody_to_ask() -> None:
    spent = TurnOutcome(status="finished", usage=Usage(input_tokens=2_000, output_tokens=10))
    for interactive in (True, False):
        story = Run(max_tokens=1_000, interactive=interactive, cooldown_ms=0)
        story.settle(spent)
        assert events(story) == ["budget"]
        new = notable(story.state)
        assert new is not None
        assert "token" in new.detail


def test_a_look_at_a_limit_that_makes_a_turn_wait_is_a_limit() -> None:
    story = Run(looks_at_limits=True, at_limit="wait", cooldown_ms=0)
    story.timed = True
    window = Window(used_percent=97, resets_at_ms=story.now_ms + 600_000)
    story.settle(TurnOutcome(status="finished", window=window))
    assert events(story) == ["limited"]


def test_an_outage_is_waited_for_without_a_notification() -> None:
    story = Run()
    story.settle(TurnOutcome(status="failed", error="away", cause="transient"))
    assert story.all(run.StartCooldown)
    assert events(story) == []


def test_a_row_of_waits_for_one_limit_notifies_once_and_the_next_limit_again() -> None:
    story = Run()
    story.timed = True
    for _ in range(3):
        story.settle(limited(story.now_ms + 60_000))
        story.wait()
    assert events(story) == ["limited"]
    story.now_ms += 3_600_000
    story.settle(finished())
    story.wait()
    story.settle(limited(story.now_ms + 60_000))
    assert events(story) == ["limited", "limited"]


def test_a_state_that_has_nothing_to_tell_makes_the_same_change_news_again() -> None:
    held = Notable(event="input-required", detail="x", key="held:failures")
    known, first = next_of(Notified(), held)
    known, repeated = next_of(known, held)
    known, nothing = next_of(known, None)
    known, second = next_of(known, held)
    assert (first, repeated, nothing, second) == (held, None, None, held)
    assert known.number == 2


def test_a_notification_is_json_and_variables_and_its_detail_is_bounded() -> None:
    new = Notable(event="failed", detail="x\0y\udcff" + "z" * 5_000, key="failed")
    sent = notification(Notified(number=3), new, run="7", directory="/d", at="now", resume="loop --run-id 7")
    content = json.loads(sent.as_json())
    assert (content["id"], content["event"], content["run"], content["directory"]) == ("7/3", "failed", "7", "/d")
    assert content["resume"] == "loop --run-id 7"
    assert len(content["detail"]) < 2_010
    assert "\0" not in sent.variables()["LOOP_DETAIL"]
    assert sent.title == "loop 7 failed"
