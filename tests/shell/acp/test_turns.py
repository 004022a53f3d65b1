from msgspec.structs import replace

from actors.messages import RunStatus
from shell.acp import turns
from supervisor.control.protocol import ActorReport, AnswerQuestion, ChangeActor, Control, Report, Say, SubmitVerdict

STATUS = RunStatus(
    at_ms=1,
    state="working",
    phase="working",
    line="iteration 1 of 20: waits for codex",
    iteration=1,
    max_iterations=20,
    hold="none",
    waits_for="codex",
    open_turns=[],
    question="",
    detail="",
    task="Fix it",
)
REPORT = Report(
    at_ms=1,
    run_id="7",
    key="x/7",
    directory="/x/7",
    cwd="/x",
    root_pid=1,
    started_at_ms=1,
    status=STATUS,
    actors=[ActorReport(name="run", state="running"), ActorReport(name="worker", state="dead")],
    agents=[],
    dead_letters=0,
    consoles=1,
)


def report(**changes: object) -> Report:
    return replace(REPORT, status=replace(STATUS, **changes))


def test_a_run_that_works_is_followed():
    assert turns.next_step(REPORT) is None
    assert turns.next_step(replace(REPORT, status=None)) is None


def test_a_run_out_of_iterations_asks_for_a_verdict():
    step = turns.next_step(report(state="input-required", phase="follow-up", question="What next?"))
    assert isinstance(step, turns.Question)
    assert [(each.kind, each.request) for each in step.choices] == [
        ("allow_once", SubmitVerdict(approved=True)),
        ("reject_once", None),
        ("reject_always", AnswerQuestion(text="")),
    ]


def test_no_permission_lifts_a_limit():
    """A client that allows everything is common."""
    asked = turns.next_step(report(state="input-required", phase="cooldown", question="The budget is spent. More?"))
    assert asked == turns.Rest("The budget is spent. More?")


def test_a_paused_run_rests_with_its_line():
    assert turns.next_step(report(state="input-required", hold="pause", line="paused")) == turns.Rest("paused")


def test_an_actor_that_ends_too_often_is_restarted_with_permission():
    step = turns.next_step(replace(REPORT, question="restart worker, or stop?"))
    assert isinstance(step, turns.Question)
    assert [each.request for each in step.choices] == [
        ChangeActor(action="restart", actor="worker"),
        Control(action="stop"),
    ]


def test_a_text_answers_a_question_resumes_a_pause_and_is_said_to_a_run_that_works():
    said = Say(message_id="m", agent="worker", text="tabs")
    assert turns.hand_over(report(question="What next?"), "tabs", "m") == [AnswerQuestion(text="tabs")]
    assert turns.hand_over(REPORT, "tabs", "m") == [said]
    assert turns.hand_over(report(hold="pause"), "tabs", "m") == [said, Control(action="resume")]
