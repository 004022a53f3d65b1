import msgspec
import pytest

from actors.messages import AgentStatus, BudgetUse, CheckStatus, Finding, MailboxItem, RunStatus, Spent, Usage
from shell import tables
from supervisor.control.protocol import ActorReport, DeadLetterReport, HostReport, MailboxReport, Report, Traced

NOW = 10_000_000


def status(**changes) -> RunStatus:
    values = {
        "at_ms": NOW,
        "state": "working",
        "phase": "working",
        "line": "iteration 2 of 20: waits for codex",
        "iteration": 2,
        "max_iterations": 20,
        "hold": "none",
        "waits_for": "codex",
        "open_turns": [],
        "question": "",
        "detail": "",
        "task": "\nGreet people.\n\nPolitely.",
    }
    return RunStatus(**(values | changes))


def agent(label: str = "codex", **changes) -> AgentStatus:
    values = {
        "role": "worker",
        "agent": label,
        "label": label,
        "session_id": "s",
        "can_steer": True,
        "turn_id": "",
        "purpose": "",
        "since_ms": 0,
        "waiting": 0,
        "turns": 2,
        "usage": Usage(input_tokens=12_000, output_tokens=345, cost_usd=0.125),
    }
    return AgentStatus(**(values | changes))


def report(**changes) -> Report:
    values = {
        "at_ms": NOW,
        "run_id": "3",
        "key": "repo/3",
        "directory": "/home/me/.loop/runs/repo/3",
        "cwd": "/repo",
        "root_pid": 77,
        "started_at_ms": NOW - 65_000,
        "status": status(),
        "actors": [],
        "agents": [],
        "dead_letters": 0,
        "consoles": 0,
    }
    return Report(**(values | changes))


def shown(**changes) -> str:
    return "\n".join(tables.report_lines(report(**changes), now_ms=NOW, state="working"))


@pytest.mark.parametrize(
    ("ms", "text"),
    [(-5, "0 ms"), (340, "340 ms"), (59_999, "59 s"), (65_000, "1 m 5 s"), (11_520_000, "3 h 12 m")],
)
def test_durations_are_for_people(ms: int, text: str):
    assert tables.duration(ms) == text


def test_a_report_says_how_the_run_stands_in_its_first_line():
    lines = shown(consoles=2).splitlines()
    assert lines[0] == "run 3  working  iteration 2 of 20: waits for codex"
    assert " ".join(lines[1].split()) == "task Greet people."
    assert "process 77 for 1 m 5 s, 2 attached" in lines[-1]
    over = shown(status=status(state="failed", line="failed: no plan")).splitlines()
    assert over[0] == "run 3  failed: no plan"


def test_a_report_shows_the_question_and_dead_letters_when_there_are_some():
    text = shown(status=status(question="What next?"), dead_letters=4)
    assert "question      What next?" in text
    assert "dead letters  4: mailbox ACTOR shows them" in text


def test_a_report_shows_what_the_run_lives_with():
    assert "note   claude has not contacted the bridge" in shown(problems=["claude has not contacted the bridge"])


def test_a_report_shows_each_host_with_its_actors_and_its_link():
    big = HostReport(name="big", actors=["worker", "reviewer"], state="connected", since_ms=NOW - 60_000)
    far = HostReport(name="far", actors=["reviewer"], state="away", since_ms=NOW - 5_000, why="it does not answer")
    text = shown(hosts=[big, far])
    assert "host   big: worker, reviewer, connected for 1 m" in text
    assert "host   far: reviewer, not connected for 5 s: it does not answer" in text


def test_a_run_that_is_not_running_is_said_not_to_be():
    assert shown(root_pid=0).splitlines()[0].endswith("(not running)")
    assert shown(root_pid=0, status=None).splitlines()[0] == "run 3  working (not running)"


def test_an_actor_says_what_it_is_busy_with_and_for_how_long_or_why_it_is_down():
    actors = [
        ActorReport(name="worker", state="busy", pid=5, doing="work turn", doing_since_ms=NOW - 192_000,
                    last_event="tool: pytest -q\nmore", last_event_at_ms=NOW - 4_000),
        ActorReport(name="reviewer", state="restarting", why="2 of 10 in 60 s: crash (signal 9)", restarts=2),
        ActorReport(name="bridge", state="stopped", why="by hand"),
        ActorReport(name="persistence", state="running", pid=6, mailbox=3),
    ]  # fmt: skip
    assert tables.actor_lines(actors, now_ms=NOW) == [
        "worker       busy        pid 5  work turn for 3 m 12 s; 4 s ago: tool: pytest -q",
        "reviewer     restarting         2 restarts; 2 of 10 in 60 s: crash (signal 9)",
        "bridge       stopped            by hand",
        "persistence  running     pid 6  3 waiting",
    ]


def test_cost_is_added_up():
    lines = tables.cost_lines([agent("codex"), agent("claude", role="reviewer", turns=1)])
    assert lines == [
        "codex   2 turns  12,000 tokens in  345 out  $0.12",
        "claude  1 turn   12,000 tokens in  345 out  $0.12",
        "total   3 turns  24,000 tokens in  690 out  $0.25",
    ]
    assert tables.cost_lines([]) == []


def test_a_mailbox_shows_what_waits_is_handled_was_handled_and_died():
    item = MailboxItem(id="a", kind="StartTurnRequest", sender="worker#1", age_ms=1_500)
    letter = DeadLetterReport(
        at_ms=NOW - 3_000, id="b", sender="worker#1", recipient="reviewer", kind="StartTurnRequest",
        reason="reviewer is down", attempts=2,
    )  # fmt: skip
    kept = msgspec.structs.replace(letter, kind="Note", kept=True)
    full = MailboxReport(
        actor="reviewer", state="busy", waiting=[item, item], handling=item, handled=[item],
        dead_letters=[letter, kept], stacks="thread main:\n  here",
    )  # fmt: skip
    text = "\n".join(tables.mailbox_lines(full, now_ms=NOW, stacks=True))
    assert "waiting: 2\n    1 s ago  StartTurnRequest  from worker#1" in text
    assert "handling: 1\n    for 1 s  StartTurnRequest" in text
    assert "dead letters: 2\n    3 s ago  StartTurnRequest  worker#1 -> reviewer  reviewer is down\n" in text
    assert "Note              worker#1 -> reviewer  reviewer is down; retried" in text
    assert text.endswith("stacks:\n    thread main:\n      here")
    assert "stacks" not in "\n".join(tables.mailbox_lines(full, now_ms=NOW))


def test_a_traced_message_is_one_line():
    traced = Traced(
        at_ms=NOW, kind="StartTurnRequest", sender="worker#1", recipient="reviewer", size=512, latency_ms=2, attempt=2,
        answers=False, lost="reviewer is down", body='{"a": 1}',
    )  # fmt: skip
    assert tables.trace_line(traced) == (
        'worker#1 -> reviewer StartTurnRequest (512 bytes, 2 ms, attempt 2, not delivered: reviewer is down, {"a": 1})'
    )


def test_the_toolbar_has_two_lines_also_before_anything_is_known():
    assert tables.toolbar(None, now_ms=NOW, width=80).count("\n") == 1
    actors = [
        ActorReport(name="persistence", state="running"),
        ActorReport(name="worker", state="busy", doing="work turn", doing_since_ms=NOW - 12_000),
    ]
    assert tables.toolbar(report(actors=actors, agents=[agent()]), now_ms=NOW, width=80).splitlines() == [
        " run 3 | working: iteration 2 of 20: waits for codex",
        " worker busy 12 s | persistence running | 12,345 tokens $0.12",
    ]
    assert "starting" in tables.toolbar(report(status=None), now_ms=NOW, width=80)


def test_the_toolbar_says_once_that_a_run_is_over():
    over = report(status=status(state="completed", line="completed: review approved"))
    assert tables.toolbar(over, now_ms=NOW, width=80).splitlines()[0] == " run 3 | completed: review approved"


def test_the_toolbar_takes_more_lines_where_it_is_narrow_and_loses_nothing():
    actors = [ActorReport(name=name, state="running") for name in ("persistence", "bridge", "worker", "reviewer")]
    assert tables.toolbar(report(actors=actors, agents=[agent()]), now_ms=NOW, width=40).splitlines() == [
        " run 3 | working: iteration 2 of 20:",
        " waits for codex",
        " reviewer running | worker running",
        " bridge running | persistence running",
        " 12,345 tokens $0.12",
    ]


def test_a_run_that_stands_still_says_so_and_what_can_be_done():
    asked = report(question="restart worker, or stop? worker ended: crash (signal 9)")
    assert tables.toolbar(asked, now_ms=NOW, width=80).startswith(" run 3 | input-required: restart worker, or stop?")
    lines = tables.report_lines(asked, now_ms=NOW, state="")
    assert any(line.split() == ["question", *asked.question.split()] for line in lines), lines
    unknown = report(status=None, question="restart worker, or stop?")
    assert tables.report_lines(unknown, now_ms=NOW, state="")[0] == "run 3  input-required"


def test_a_mailbox_says_what_runs_beside_it():
    busy = MailboxReport(
        actor="worker",
        state="busy",
        doing="work turn",
        doing_since_ms=NOW - 5_000,
        waiting=[],
        handling=None,
        handled=[],
        dead_letters=[],
    )
    assert tables.mailbox_lines(busy, now_ms=NOW)[0] == "worker (busy: work turn for 5 s)"


def test_the_check_that_runs_is_shown_with_its_time_and_its_last_line():
    check = CheckStatus(command="make test", number=2, of=3, since_ms=NOW - 130_000, line="12 of 90 passed\x1b[31m")
    shown = "\n".join(tables.report_lines(report(check=check), now_ms=NOW, state=""))
    assert "2 of 3: make test for 2 m 10 s: 12 of 90 passed" in shown
    assert "\x1b" not in shown
    assert "(2 of 3: make test for 2 m 10 s)" in tables.toolbar(report(check=check), now_ms=NOW, width=200)
    alone = msgspec.structs.replace(check, number=1, of=1, line="")
    assert tables.check_line(alone, now_ms=NOW) == "make test for 2 m 10 s"


def found(number: int, **changes) -> Finding:
    values = {"id": f"f{number}", "place": "app.py:12", "description": "wrong", "by": "worker", "review_round": 1}
    return Finding(**(values | changes))


def test_findings_are_told_with_their_reviewer_and_their_state():
    findings = (found(1, times_raised=2, last_round=3, command="pytest"), found(2, state="waived", reason="not now"))
    of = report(status=status(findings=findings), agents=[agent()])
    assert tables.finding_lines(of) == [
        "f1  raised 2 times   codex  round 3  [blocking] app.py:12: wrong (shown by: pytest)",
        "f2  waived: not now  codex  round 0  [blocking] app.py:12: wrong",
    ]
    assert "  findings  1 open of 2" in tables.report_lines(of, now_ms=NOW, state="")
    assert tables.finding_lines(report()) == []


def test_what_is_left_of_the_budget_is_shown_with_what_a_running_turn_has_used() -> None:
    used = (
        BudgetUse(kind="cost", used=1.25, limit=5.0, known=False),
        BudgetUse(kind="tokens", used=900, limit=1_000),
        BudgetUse(kind="time", used=3_600_000, limit=7_200_000),
    )
    running = (Spent(role="worker", model="", turns=0, usage=Usage(input_tokens=7, cost_usd=0.5, cost_known=False)),)
    now = status(budgets=used, running=running)
    left = "at most $3.75 of $5.00 left, 100 of 1,000 tokens left, 1h of 2h left"
    assert f"budget  {left}" in " ".join(shown(status=now).split(" ")).replace("   ", "  ")
    bar = tables.toolbar(report(status=now, agents=[agent()]), now_ms=NOW, width=250)
    assert bar.endswith("7 tokens $0.50+ | at most $3.75 of $5.00 left | 100 of 1,000 tokens left | 1h of 2h left")
