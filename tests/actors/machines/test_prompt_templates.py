"""A user's text in place of a built-in prompt: filled in, and checked for the parts that it must have."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from actors.machines import prompts, run
from actors.machines.prompt_templates import TEMPLATES, fault, filled
from actors.messages import TurnOutcome
from actors.setting_rows.prompts import WHAT
from tests.actors.machines.test_run import DONE, NOW, Run, failed, finished, limited

WORK = "House rules: no comments.\n\n{task}\n\n{notes}\n\n{findings}\n\nAt the end: {done_signal}"

every_prompt = pytest.mark.parametrize("name", TEMPLATES)


def test_every_prompt_has_a_row_of_settings() -> None:
    assert list(TEMPLATES) == list(WHAT)


@every_prompt
def test_a_built_in_prompt_passes_its_own_check_and_uses_only_its_placeholders(name: str) -> None:
    template = TEMPLATES[name]
    assert fault(name, template.text) is None
    left = filled(name, "", dict.fromkeys(template.placeholders, ""))
    assert "{" not in left


@every_prompt
def test_a_copy_of_a_built_in_prompt_says_the_same(name: str) -> None:
    parts = {place: f"<{place}>\n\nmore" for place in TEMPLATES[name].placeholders}
    assert filled(name, f"{TEMPLATES[name].text}\n", parts) == filled(name, "", parts)


def test_a_text_of_the_user_is_filled_in_below_the_first_line_that_names_the_kind() -> None:
    text = prompts.iteration(2, of=9, task="Fix it.", proof="", done_signal=DONE, template=WORK)
    assert text == f"Iteration 2\n\nHouse rules: no comments.\n\nThe task:\nFix it.\n\nAt the end: {DONE}"


def test_a_placeholder_in_the_task_stays_as_it_is_and_a_doubled_brace_is_a_brace() -> None:
    parts = {"task": "print {notes} and {{x}}", "notes": "n", "findings": "", "done_signal": DONE}
    text = filled("work", "{task} {{task}} ${HOME} { a: 1 } {notes}", parts)
    assert text == "print {notes} and {{x}} {task} ${HOME} { a: 1 } n"


def test_an_unknown_placeholder_is_named_with_its_line_and_what_was_meant() -> None:
    found = fault("work", f"{WORK}\n\n{{taks}}")
    assert found is not None
    assert found.line == 11
    assert "unknown placeholder {taks} (did you mean {task}?)" in found.why
    assert "{{taks}}" in found.why


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("work", WORK.replace("{task}", ""), "lacks {task}"),
        ("work", WORK.replace("{task}", "{{task}}"), "lacks {task}"),
        ("work", WORK.replace("{notes}", ""), "lacks {notes}"),
        ("work", WORK.replace("{done_signal}", "DONE"), "lacks {done_signal}: the line by which"),
        ("review", "{task} {findings} {pass}", "lacks {fail}"),
        ("plan", "{task} {refused}", "does not mention PLAN.md"),
        ("verdict", "Say {pass}.", "lacks {fail}"),
        ("verdict_now", "Say {pass}.", "lacks {fail}"),
        ("diagnosis", "Why? {task}", "lacks {why}"),
        ("continuation", "Carry on: {why}", "lacks {asked}"),
        ("hand_over", "{asked}\n\nCarry on.", "does not end with {asked}"),
        ("take_over", "What you were asked: {asked}", "has {asked} or the words"),
        ("continuation", "{asked} and {asked}", "has {asked} or the words"),
    ],
)
def test_a_text_without_a_part_that_a_run_needs_is_refused(name: str, text: str, said: str) -> None:
    found = fault(name, text)
    assert found is not None
    assert found.why.startswith(said)


def test_a_run_uses_the_texts_of_its_settings() -> None:
    story = Run(prompts={"work": WORK, "review": "Look. {task} {findings} {pass} {fail}"})
    assert "House rules" in story.open().prompt
    story.settle(finished(DONE))
    assert story.open("reviewer").prompt.startswith("Review round 1\n\nLook. The task:\nFix the parser.")


def test_a_resumed_run_keeps_its_texts_and_a_new_task_takes_those_of_now() -> None:
    story = Run(prompts={"work": WORK})
    story.happens(run.StopRequested(reason="enough"))
    story.settle(failed("interrupted"))
    now = replace(story.state.run, prompts={"work": WORK.replace("House", "New")}, given=(), only_given=True)
    story.happens(run.RunResumed(settings=now))
    assert story.state.run.prompts == {"work": WORK}
    story.happens(run.RunResumed(settings=replace(now, task="Another one.")))
    assert story.state.run.prompts == now.prompts


CONTINUES = {
    "continuation": "Go on ({why}). {asked}",
    "reminder": "Go on with it ({why}).",
    "take_over": "Yours now, {giver} rests.\n\n{said}\n\n{asked}",
}


def test_a_turn_that_continues_says_so_in_the_users_words_and_does_not_grow() -> None:
    story = Run(prompts=CONTINUES, max_wait_ms=None)
    for _ in range(3):
        story.settle(limited())
        story.wait()
    turn = story.open()
    assert turn.prompt.startswith("Iteration 1 (continued)\n\nGo on (the usage limit of your provider was reached")
    assert turn.prompt.count("Go on (") == turn.prompt.count("The task:") == 1
    assert turn.reminder.startswith("Iteration 1 (continued)\n\nGo on with it (")
    assert turn.texts == {name: CONTINUES[name] for name in ("continuation", "reminder")}


def test_the_other_agent_takes_over_in_the_users_words() -> None:
    story = Run(prompts=CONTINUES, at_limit="swap", looks_at_limits=True)
    story.timed = True
    story.settle(limited(NOW + 3_600_000))
    prompt = story.open("reviewer").prompt
    assert prompt.startswith("Iteration 1 (continued)\n\nYours now, codex rests.\n\nWhat you were asked:")
    assert "Fix the parser." in prompt


def test_a_review_that_takes_too_long_is_asked_for_its_verdict_in_the_users_words() -> None:
    story = Run(prompts={"verdict_now": "Now: {pass} or {fail}."}, on_unavailable="ask")
    story.settle(finished(DONE))
    story.settle(TurnOutcome(status="failed", cause="overdue", error="late"), "reviewer")
    assert story.open("reviewer").prompt.startswith("Review round 1: verdict\n\nNow: <review>PASS</review> or")


def test_a_diagnosis_is_asked_for_in_the_users_words() -> None:
    text = prompts.diagnosis("it stalls", task="Fix it.", template="Stuck: {why}\n\n{task}")
    assert text == "Diagnosis\n\nStuck: it stalls\n\nThe task:\nFix it."
