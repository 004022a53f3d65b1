import pytest

from shell.dashboard import view
from shell.dashboard.view import Around, Seen, SessionFile
from supervisor.control.protocol import ActorReport
from tests.shell.dashboard.made import NOW, agent, live, report, run, status

KEY = "greeting-0123456789ab/3"


def file(session: str, at_ms: int = NOW - 60_000, agent: str = "claude") -> SessionFile:
    return SessionFile(agent=agent, session_id=session, cwd="/elsewhere", last_event="say: hi", last_event_at_ms=at_ms)


@pytest.mark.parametrize(
    ("run", "word"),
    [
        (live(), "working"),
        (run(), "completed"),
        (run(state="submitted"), "queued"),
        (run(state="working"), "down"),
        (run(state="input-required"), "down"),
    ],
)
def test_a_state_that_nobody_keeps_up_is_not_shown_as_if_it_held(run, word: str):
    assert run.stands == word


def test_what_a_run_is_at_is_its_trouble_its_question_its_status_or_its_end():
    assert live(trouble="silent").line == "silent"
    assert live(report=report(status=status(question="What next?"))).line == "asks: What next?"
    assert live().line == "iteration 2 of 20: waits for codex"
    ended = report(status=status(state="completed", detail="review approved"))
    assert run(report=ended).line == "review approved"
    assert run(state="working", report=report()).line == "completed review approved"  # the last event


def test_a_report_brings_state_sessions_and_the_newest_event():
    told = view.with_report(live(state="submitted", last_event_at_ms=0, report=None), report())
    assert (told.state, told.last_event) == ("working", "tool: pytest -q")
    assert told.sessions == {"worker": "codex-session", "reviewer": "claude-session"}
    assert (told.tokens, told.cost_usd) == (24_690, 0.25)


def test_the_journal_does_not_overrule_the_manifest_of_an_ended_run():
    assert view.with_report(run(state="stopped"), report()).state == "stopped"


def test_running_runs_come_first_then_the_newest():
    runs = [run(1), run(2), live(30), live(20)]
    assert [each.run_id for each in view.in_order(runs)] == ["20", "30", "1", "2"]


@pytest.mark.parametrize(("age_ms", "state"), [(0, "active"), (15_000, "active"), (15_001, "idle")])
def test_a_process_is_active_for_15_seconds_after_its_last_event(age_ms: int, state: str):
    around = Around(seen=[Seen(pid=5, agent="claude", session_id="s")], files=[file("s", NOW - age_ms)])
    (found,) = view.processes([], around, NOW)
    assert found.state == state


def test_a_process_without_any_event_is_idle():
    (found,) = view.processes([], Around(seen=[Seen(pid=5, agent="codex")]), NOW)
    assert (found.state, found.last_event_at_ms) == ("idle", 0)


def test_a_process_that_loop_has_recorded_is_its_runs_agent():
    around = Around(seen=[Seen(pid=5, agent="python3", cwd="/somewhere")], owners={5: (KEY, "worker")})
    (found,) = view.processes([live(sessions={"worker": "w"})], around, NOW)
    assert (found.agent, found.run, found.role, found.session_id) == ("codex", KEY, "worker", "w")
    assert (found.last_event, found.state) == ("tool: pytest -q", "active")


def test_loops_own_actors_are_no_agents():
    actor = report().actors[0].pid
    around = Around(seen=[Seen(pid=actor, agent="python3")], owners={actor: (KEY, "worker")})
    assert view.processes([live()], around, NOW) == []
    assert view.processes([live(report=None)], around, NOW) == []  # its root has not said yet which they are


def test_a_process_that_is_not_loops_is_known_by_its_session():
    around = Around(seen=[Seen(pid=5, agent="codex", session_id="w-3")])
    (found,) = view.processes([live()], around, NOW)
    assert (found.run, found.role) == (KEY, "worker")


def test_what_the_agent_wrote_later_is_its_last_event():
    around = Around(
        seen=[Seen(pid=5, agent="codex")], owners={5: (KEY, "worker")}, files=[file("w-3", NOW - 1_000, "codex")]
    )
    (found,) = view.processes([live()], around, NOW)
    assert found.last_event == "say: hi"


def test_finished_sessions_are_of_ended_runs_of_transcripts_and_of_processes_that_ended_before_our_eyes():
    gone = view.ProcessView(agent="claude", pid=9, active=True, session_id="g", last_event_at_ms=NOW)
    around = Around(files=[file("f"), file("w-3", NOW - 500)], gone=[gone])
    found = view.finished([run(3), live(4)], around, [])
    assert [(each.session_id, each.pid, each.state) for each in found] == [
        ("g", 9, "ended"),
        ("w-3", 0, "ended"),
        ("r-3", 0, "ended"),
        ("f", 0, "ended"),
    ]
    assert (found[1].run, found[1].role, found[1].agent, found[1].cwd) == (KEY, "worker", "codex", "/elsewhere")


def test_a_session_in_which_somebody_works_is_not_finished():
    living = [view.ProcessView(agent="claude", pid=5, session_id="f")]
    assert view.finished([], Around(files=[file("f")]), living) == []


def test_finished_sessions_are_the_newest_20():
    files = [file(f"s{number}", NOW - number) for number in range(50)]
    found = view.finished([], Around(files=files), [])
    assert [each.session_id for each in found] == [f"s{number}" for number in range(20)]


@pytest.mark.parametrize(
    ("text", "ms"), [("2026-01-31T12:00:00.123Z", 1_769_860_800_123), ("", 0), ("yesterday", 0), (None, 0)]
)
def test_times_of_a_manifest(text: object, ms: int):
    assert view.since_ms(text) == ms


def test_the_hash_of_a_repository_is_not_shown():
    assert view.repository_name("my-repo-0123456789ab") == "my-repo"
    assert view.repository_name("my-repo") == "my-repo"


def test_an_agent_without_a_session_does_not_take_away_what_the_manifest_knows():
    silent = report(agents=[agent(session_id="")], actors=[ActorReport(name="worker", state="starting")])
    assert view.with_report(live(), silent).sessions["worker"] == "w-3"
