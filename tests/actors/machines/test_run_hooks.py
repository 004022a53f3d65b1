"""Hooks of the user: what waits for them, what they are told, and how one of them stops a run."""

from __future__ import annotations

import hashlib

from msgspec.structs import replace

from actors.machines import run
from actors.machines.run import Phase
from actors.machines.run.hooks import RULE
from tests.actors.machines.test_run import DONE, FAIL, PASS, Run, failed, finished, limited


class Hooked(Run):
    """A run in which the hook of each named moment is `make MOMENT`."""

    def __init__(self, *moments: str, **changes: object) -> None:
        super().__init__(hooks={moment: f"make {moment}" for moment in moments}, **changes)

    def hook(self) -> run.RunHook:
        [found] = [each for each in run.outstanding(self.state, self.now_ms) if isinstance(each, run.RunHook)]
        return found

    def ends(self, moment: str, exit_code: int = 0, words: str = "", error: str = "") -> run.RunHook:
        hook = self.hook()
        assert hook.moment == moment
        assert hook.command == f"make {moment}"
        self.happens(run.HookEnded(hook_id=hook.hook_id, exit_code=exit_code, words=words, error=error))
        return hook

    def told(self) -> str:
        return " ".join(each.text for each in self.all(run.Notice))


def test_a_turn_starts_when_its_hook_has_ended_and_the_hook_is_told_of_it() -> None:
    story = Hooked("before_turn")
    assert story.state.open_turns == ()
    hook = story.ends("before_turn")
    turn = story.open()
    facts = hook.facts
    assert (facts.role, facts.agent, facts.purpose, facts.turn) == ("worker", "codex", "work", turn.turn_id)
    assert facts.prompt_sha256 == hashlib.sha256(turn.prompt.encode()).hexdigest()
    assert (hook.iteration, hook.timeout_s) == (1, 0)


def test_the_answer_of_a_turn_waits_for_its_hook_and_its_cost_counts_at_once_and_once() -> None:
    story = Hooked("after_turn")
    story.settle(finished(DONE))
    assert story.state.phase is Phase.WORKING
    assert story.hook().facts.outcome == "finished"
    story.ends("after_turn")
    assert story.state.phase is Phase.REVIEWING
    both = Hooked("after_turn")
    both.settle(failed("boom"))
    assert (both.hook().facts.outcome, both.hook().facts.error) == ("failed", "boom")


def test_each_moment_of_a_run_has_its_hook_in_order() -> None:
    moments = [f"{when}_{what}" for what in ("turn", "check", "review", "done") for when in ("before", "after")]
    story = Hooked(*moments, checks=("pytest",))
    seen = []
    while story.state.phase not in run.FINAL_PHASES:
        hooks = [each for each in run.outstanding(story.state, story.now_ms) if isinstance(each, run.RunHook)]
        if hooks:
            seen.append(hooks[0].moment)
            story.happens(run.HookEnded(hook_id=hooks[0].hook_id, exit_code=0))
        elif story.state.phase is Phase.CHECKING:
            story.checks(0)
        else:
            turn = story.state.open_turns[0]
            text = PASS if turn.purpose == "review" else DONE
            story.happens(run.TurnSettled(turn_id=turn.id, outcome=finished(text)))
    assert story.state.phase is Phase.COMPLETED
    assert seen == [
        *("before_turn", "after_turn", "before_check", "after_check", "before_review"),
        *("before_turn", "before_turn", "after_turn", "after_turn", "after_review"),
        *("before_done", "before_turn", "after_turn", "after_done"),
    ]


def test_a_round_tells_its_hook_the_verdicts() -> None:
    story = Hooked("after_review")
    story.settle(finished(DONE))
    story.reviews(PASS, f"It is wrong.\n{FAIL}")
    facts = story.ends("after_review").facts
    assert facts.outcome == "changes"
    assert [(agent, verdict) for agent, verdict, _ in facts.verdicts] == [("codex", "pass"), ("claude", "changes")]
    assert story.state.phase is Phase.COOLDOWN


def test_checks_tell_their_hook_how_each_ended() -> None:
    story = Hooked("after_check", checks=("pytest", "ruff"))
    story.settle(finished(DONE))
    story.checks(0, 1)
    facts = story.ends("after_check").facts
    assert (facts.outcome, [each.exit_code for each in facts.checks]) == ("failed", [0, 1])
    assert story.state.phase is Phase.COOLDOWN


def test_exit_status_2_asks_a_person_with_the_words_of_the_hook_and_a_resume_asks_the_hook_again() -> None:
    story = Hooked("before_turn", interactive=True)
    first = story.ends("before_turn", 2, "line 1\n\nno deploy\n  on fridays \n")
    assert story.state.paused
    assert "the hook before_turn stops the run: line 1; no deploy; on fridays" in story.told()
    assert story.state.hold is not None
    assert story.state.hold.by == RULE
    story.happens(run.ResumeRequested())
    assert story.hook().hook_id != first.hook_id
    story.ends("before_turn")
    assert story.open().purpose == "work"


def test_exit_status_2_fails_a_run_that_has_nobody_to_ask() -> None:
    story = Hooked("after_turn")
    story.settle(finished(DONE))
    story.ends("after_turn", 2, "not today")
    assert (story.state.phase, story.state.detail) == (
        Phase.FAILED,
        "the hook after_turn stops the run: not today",
    )
    story.happens(run.RunResumed())
    story.ends("after_turn")
    assert story.state.phase is Phase.REVIEWING


def test_any_other_fault_of_a_hook_is_a_warning() -> None:
    story = Hooked("before_turn")
    story.ends("before_turn", 1, "no network")
    assert "hook before_turn: exit status 1: no network" in story.told()
    assert story.open().purpose == "work"
    late = Hooked("before_turn")
    late.ends("before_turn", 124, error="was ended after 600 s, unfinished (hooks.timeout)")
    assert "was ended after 600 s" in late.told()
    assert late.open()


def test_a_hook_that_was_killed_with_the_root_runs_again_and_one_that_ended_does_not() -> None:
    story = Hooked("before_turn", "after_turn")
    hook = story.hook()
    assert run.outstanding(run.fold(story.journal), story.now_ms) == [hook]
    story.ends("before_turn")
    turn = story.open()
    assert run.outstanding(run.fold(story.journal), story.now_ms) == [turn]


def test_a_stop_ends_a_hook_and_a_resumed_run_runs_it_from_its_start() -> None:
    story = Hooked("before_turn")
    hook = story.hook()
    story.happens(run.StopRequested(reason="enough"))
    assert story.state.phase is Phase.STOPPED
    assert story.one(run.InterruptHook).hook_id == hook.hook_id
    story.happens(run.RunResumed())
    assert story.ends("before_turn").hook_id != hook.hook_id
    assert story.open()


def test_a_turn_that_waits_for_its_provider_is_not_over() -> None:
    story = Hooked("after_turn")
    story.settle(limited(story.now_ms + 60_000))
    assert story.all(run.RunHook) == []
    story.wait()
    story.settle(finished(DONE))
    story.ends("after_turn")
    assert story.state.phase is Phase.REVIEWING


def test_a_turn_that_was_interrupted_has_no_hook_and_its_continuation_has() -> None:
    story = Hooked("after_turn")
    story.happens(run.PauseRequested(now=True))
    story.settle(failed("interrupted"))
    story.happens(run.ResumeRequested())
    story.settle(finished(DONE))
    story.ends("after_turn")
    assert story.state.phase is Phase.REVIEWING


def test_a_hook_that_the_configuration_has_no_more_does_nothing_at_a_resume() -> None:
    story = Hooked("before_turn")
    story.happens(run.StopRequested(reason="enough"))
    settings = replace(story.state.run, hooks={}, given=("hooks",), only_given=True)
    story.happens(run.RunResumed(settings=settings))
    assert story.hook().command == ":"
