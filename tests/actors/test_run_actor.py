"""The run's actor without processes: a channel that keeps what is sent, a journal in memory."""

from __future__ import annotations

import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest

from actors import runners
from actors.errors import ProtocolError
from actors.machines import run
from actors.messages import (
    ActorUp,
    AgentContact,
    CheckStatus,
    ControlRun,
    GrantRequest,
    InterruptTurnRequest,
    JobEnded,
    KeepJobs,
    Message,
    Patience,
    PauseTurns,
    PeerWrote,
    Progress,
    Record,
    RunEnded,
    RunningUsageReport,
    RunStatus,
    StartJob,
    StartTurnRequest,
    TurnGranted,
    TurnOutcome,
    TurnSettledReport,
    Usage,
    UsageReport,
)
from actors.run import RunActor
from actors.runners.crew import Crew, JobOver
from actors.settings import RunSettings
from actors.starts import StartRun
from actors.wire.envelope import Address
from tests.actors.post import Post, context_of
from tests.patience import PATIENCE_S

DONE = TurnOutcome(status="finished", text="<promise>DONE</promise>")
M = TypeVar("M", bound=Message)


class Driver:
    """A RunActor; `again` is its next incarnation."""

    def __init__(self, records: list[Record] | None = None, generation: int = 1, **changes: Any) -> None:
        plain: dict[str, Any] = {
            "run_uid": "0e9f3a34-8c28-4a34-9d6b-1f4e3f0d8a11",
            "task": "Fix it.",
            "needs_plan": False,
            "worker": "codex",
            "reviewer": "claude",
            "checks": ("true",),
        }
        start = StartRun(
            settings=RunSettings(**{**plain, **changes}),
            generation=generation,
            peer="claude",
            resume="loop --run-id 1",
            tree=Path("/nowhere"),
            tree_sha256="",
        )
        self.post = Post("run", [] if records is None else records)
        self.actor = RunActor(context_of(self.post, start))
        self.actor.on_start()

    def again(self, generation: int = 1) -> Driver:
        return Driver(self.post.records, generation)

    def hears(self, message: Message, sender: str = "worker") -> None:
        self.actor.receive(message, Address("r/1", sender, 1))

    def turn(self, role: str = "worker") -> StartTurnRequest:
        return self.post.told(role, StartTurnRequest)[-1]

    def checks(self) -> StartJob:
        """Brings the run to where its checks run."""
        self.hears(TurnSettledReport(turn_id=self.turn().turn_id, purpose="work", outcome=DONE))
        return self.post.told("worker", StartJob)[-1]

    def kinds(self) -> list[str]:
        return [record.kind for record in self.post.records]


def test_a_run_that_begins_gives_out_its_turn_and_says_that_nothing_holds_its_agents():
    driver = Driver()
    assert [turn.purpose for turn in driver.post.told("worker", StartTurnRequest)] == ["work"]
    for role in ("worker", "reviewer"):
        assert driver.post.told(role, PauseTurns)[-1] == PauseTurns(held=False)
    assert driver.kinds() == ["RunStarted"]
    assert {line.source for line in driver.post.told("console", Progress)} == {"run"}
    assert driver.post.told("console", RunStatus)[-1].state == "working"


def test_a_run_that_starts_again_gives_out_the_same_turn_under_the_same_id_and_journals_nothing():
    driver = Driver()
    again = driver.again()
    assert again.turn() == driver.turn()
    assert again.kinds() == ["RunStarted"]


def test_a_run_that_starts_again_says_what_is_still_wanted_before_it_gives_out_anything():
    driver = Driver()
    checks = driver.checks()
    told = [message for name, message in driver.again().post.sent if name == "worker"]
    assert told == [PauseTurns(held=False), KeepJobs(job_ids=(checks.job_id,)), checks]


@pytest.mark.parametrize(("role", "turns"), [("worker", 1), ("reviewer", 0)])
def test_a_new_incarnation_of_an_agents_actor_gets_what_is_outstanding_for_it_alone(role: str, turns: int):
    driver = Driver()
    before = driver.turn()
    driver.post.forget()
    driver.hears(ActorUp(name=role, incarnation=2), "supervisor")
    assert driver.post.told(role, PauseTurns) == [PauseTurns(held=False)]
    assert driver.post.told(role, StartTurnRequest) == [before] * turns
    assert {name for name, _ in driver.post.sent} == {role}


def test_a_new_incarnation_of_the_owner_of_the_tree_gets_its_jobs_and_the_reviewers_does_not():
    driver = Driver()
    checks = driver.checks()
    driver.post.forget()
    driver.hears(ActorUp(name="reviewer", incarnation=2), "supervisor")
    assert driver.post.told("reviewer", StartJob) == []
    driver.hears(ActorUp(name="worker", incarnation=2), "supervisor")
    assert driver.post.told("worker", StartJob) == [checks]


def test_both_sessions_are_told_how_long_they_wait_for_their_agents_and_a_review_has_its_own_time():
    driver = Driver(silence_ms=1, tool_timeout_ms=2, turn_timeout_ms=3, review_patience_ms=4, checks=())
    waits = PauseTurns(held=False, patience=Patience(silence_ms=1, tool_ms=2, turn_ms=3))
    assert [driver.post.told(role, PauseTurns)[-1] for role in ("worker", "reviewer")] == [waits, waits]
    assert driver.turn().within_ms == 0
    driver.hears(TurnSettledReport(turn_id=driver.turn().turn_id, purpose="work", outcome=DONE))
    assert driver.turn("reviewer").within_ms == 4


def test_a_run_that_pauses_has_the_turn_that_it_waits_for_taken_up_and_nothing_once_it_is_paused():
    driver = Driver()
    driver.hears(ControlRun(action="pause"), "console")
    assert driver.post.told("worker", PauseTurns)[-1] == PauseTurns(held=True, finishing=True)
    driver.hears(TurnSettledReport(turn_id=driver.turn().turn_id, purpose="work", outcome=DONE))
    assert driver.post.told("worker", PauseTurns)[-1] == PauseTurns(held=True)


def test_a_turn_that_was_interrupted_is_interrupted_in_the_new_incarnation_too():
    driver = Driver()
    driver.hears(ControlRun(action="pause-now"), "console")
    (order,) = driver.post.told("worker", InterruptTurnRequest)
    driver.post.forget()
    driver.hears(ActorUp(name="worker", incarnation=2), "supervisor")
    assert [type(message) for _, message in driver.post.sent] == [PauseTurns, StartTurnRequest, InterruptTurnRequest]
    assert driver.post.told("worker", PauseTurns) == [PauseTurns(held=True)]
    assert driver.post.told("worker", InterruptTurnRequest) == [order]


def test_checks_that_nobody_waits_for_any_more_are_not_among_those_that_are_kept():
    driver = Driver()
    driver.checks()
    driver.hears(ControlRun(action="stop"), "console")
    assert driver.post.told("worker", KeepJobs)[-1] == KeepJobs(job_ids=())
    assert driver.post.told("supervisor", RunEnded)[-1].state == "stopped"


def test_a_run_that_was_killed_before_it_withdrew_its_checks_withdraws_them_when_it_is_back():
    driver = Driver()
    driver.checks()
    driver.hears(ControlRun(action="pause"), "console")
    driver.hears(ControlRun(action="pause-now"), "console")
    again = driver.again()
    kept = {each for order in again.post.told("worker", KeepJobs) for each in order.job_ids}
    assert {order.job_id for order in again.post.told("worker", StartJob)} == kept


def test_the_answer_to_a_job_comes_as_a_message_and_one_that_comes_twice_is_journalled_once():
    driver = Driver()
    checks = driver.checks()
    answer = run.ChecksEnded(checks_id=checks.job_id, results=(run.CheckResult(command="true", exit_code=0),))
    for _ in range(2):
        driver.hears(runners.report(checks.job_id, answer))
    assert driver.kinds().count("ChecksEnded") == 1
    assert [turn.purpose for turn in driver.post.told("reviewer", StartTurnRequest)] == ["review"]


@pytest.mark.parametrize(("reader", "journalled"), [("worker", 1), ("reviewer", 0)])
def test_only_what_the_primary_agent_has_read_of_its_peer_counts(reader: str, journalled: int):
    driver = Driver()
    driver.hears(TurnSettledReport(turn_id=driver.turn().turn_id, purpose="work", outcome=DONE))
    driver.hears(PeerWrote(), reader)
    assert driver.kinds().count("MailReachedWorker") == journalled


def test_an_agent_that_does_not_come_to_the_bridge_is_journalled_once_until_it_comes():
    driver = Driver()
    for problem in ("it has not come", "it has not come", ""):
        driver.hears(AgentContact(role="reviewer", problem=problem), "bridge")
    assert driver.kinds().count("ContactChanged") == 2


def test_what_users_ask_is_answered_with_how_the_run_stands():
    driver = Driver()
    answer = driver.actor.receive(ControlRun(action="pause"), Address("r/1", "console", 1))
    assert isinstance(answer, RunStatus)
    assert answer.hold == "pause"


def test_another_root_resumes_the_run_once_and_what_it_pauses_stays_paused_when_its_run_is_restarted():
    resumed = Driver().again(generation=2)
    resumed.hears(ControlRun(action="pause"), "console")
    again = resumed.again(generation=2)
    assert again.kinds() == ["RunStarted", "RunResumed", "PauseRequested"]
    assert again.post.told("console", RunStatus)[-1].hold == "pause"


# --- jobs -------------------------------------------------------------------------------------------------------------


class Work:
    """A runner that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = 0
        self.go = threading.Event()
        self.broken_off = threading.Event()

    def run(self) -> run.Event | None:
        self.begun += 1
        self.go.wait(PATIENCE_S)
        return None if self.broken_off.is_set() else run.PlanRead(read_id="j", text="it")

    def cancel(self) -> None:
        self.broken_off.set()
        self.go.set()


class Team:
    """A crew whose actor is the test."""

    def __init__(self) -> None:
        self.said: list[JobOver] = []
        self.over = threading.Semaphore(0)
        self.crew = Crew(self._over)

    def _over(self, over: JobOver) -> None:
        self.said.append(over)
        self.over.release()

    def answer(self) -> JobOver:
        assert self.over.acquire(timeout=PATIENCE_S)
        return self.said[-1]


def test_a_job_that_is_ordered_twice_is_done_once_even_when_it_is_over():
    team, work = Team(), Work()
    for _ in range(2):
        team.crew.start("j", lambda: work)
    work.go.set()
    assert team.crew.take(team.answer())
    team.crew.start("j", lambda: work)
    assert work.begun == 1


def test_a_job_that_is_not_kept_is_broken_off_and_its_late_answer_is_not_taken():
    team, work = Team(), Work()
    team.crew.start("j", lambda: work)
    work.go.set()
    over = team.answer()
    team.crew.keep(["another"])
    assert work.broken_off.is_set()
    assert not team.crew.take(over)


def test_a_job_that_is_kept_is_left_alone():
    team, work = Team(), Work()
    team.crew.start("j", lambda: work)
    team.crew.keep(["j"])
    assert not work.broken_off.is_set()
    team.crew.close()
    assert work.broken_off.is_set()


COMMANDS: list[run.Command] = [
    run.ReadPlan(read_id="j", ahead=True),
    run.RunChecks(checks_id="j", iteration=1, commands=("true",)),
    run.TakeTree(take_id="j", apart=("a",)),
    run.ProbePullRequest(look_id="j", ahead=True),
    run.RunHook(
        hook_id="j", moment="before_turn", command="true", timeout_s=0, iteration=1, tree="", facts=run.HookFacts()
    ),
]


def place(cwd: Path) -> runners.Place:
    return runners.Place(
        cwd=cwd,
        run_id="7",
        environment={"PATH": "/usr/bin:/bin"},
        store=cwd / "trees",
        outputs=cwd / "checks",
        created_at="",
        tell=lambda _kind, _text: None,
        report=lambda _status: None,
    )


def test_every_job_of_a_working_tree_is_tried_here():
    assert {type(command) for command in COMMANDS} == set(runners.TREE)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_a_job_travels_to_the_tree_and_its_answer_back(command: run.Command, tmp_path: Path):
    order = runners.start_job(command)
    answer = runners.runner_for(order, place(tmp_path)).run()
    assert answer is not None
    report = runners.report(order.job_id, answer)
    assert report.job_id == "j"
    assert runners.answer_in(report) == answer


def test_the_check_that_runs_is_reported_and_that_none_runs_any_more(tmp_path: Path):
    seen: list[CheckStatus] = []
    here = replace(place(tmp_path), report=seen.append)
    order = runners.start_job(run.RunChecks(checks_id="checks-1", iteration=1, commands=("true", "echo x; false")))
    answer = runners.runner_for(order, here).run()
    assert [(each.number, each.of, each.command) for each in seen] == [
        *((1, 2, "true"), (2, 2, "echo x; false"), (0, 0, "")),
    ]
    assert isinstance(answer, run.ChecksEnded)
    assert answer.at_ms >= seen[1].since_ms > 0
    assert Path(answer.results[1].output).read_text() == "x\n"


def test_a_look_at_the_tree_keeps_it_or_says_why_not(tmp_path: Path):
    keep = run.Keep(run_uid="u", number=3, about="iteration 3")
    order = runners.start_job(run.TakeTree(take_id="j", keep=keep))
    top = tmp_path / "tool"
    top.mkdir()
    answers = [runners.runner_for(order, replace(place(top), store=tmp_path / "trees")).run()]
    subprocess.run(["git", "init", "-q"], cwd=top, check=True)
    answers.append(runners.runner_for(order, replace(place(top), store=tmp_path / "trees")).run())
    plain, kept = answers
    assert isinstance(plain, run.TreeTaken)
    assert isinstance(kept, run.TreeTaken)
    assert (plain.kept, plain.unkept) == ("", f"{top} is not in a git repository")
    refs = subprocess.run(
        ["git", "for-each-ref", "--format=%(refname) %(objectname)"],
        cwd=top,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert refs == f"refs/loop/7/3 {kept.kept}\n"


@pytest.mark.parametrize("kind", ["Dig", "StartTurn", "ReadPlan"])
def test_a_job_that_is_unknown_or_damaged_is_refused(kind: str, tmp_path: Path):
    with pytest.raises(ProtocolError, match=kind):
        runners.runner_for(StartJob(job_id="j", kind=kind, body='{"read_id": 1}'), place(tmp_path))


@pytest.mark.parametrize("kind", ["Dug", "PlanRead"])
def test_an_answer_that_is_unknown_or_damaged_is_refused(kind: str):
    with pytest.raises(ProtocolError, match=kind):
        runners.answer_in(JobEnded(job_id="j", kind=kind, body="{}"))


def test_a_wait_that_is_broken_off_has_no_answer():
    wait = runners.HOME[run.StartCooldown](
        run.StartCooldown(wait_id="w", iteration=1, ms=10**6, until_ms=10**15, reason="cooldown")
    )
    wait.cancel()
    assert wait.run() is None


# --- budgets ---


def running(driver: Driver, tokens: int) -> RunningUsageReport:
    usage = Usage(input_tokens=tokens)
    return RunningUsageReport(role="worker", turn_id=driver.turn().turn_id, purpose="work", model="", usage=usage)


def test_what_a_running_turn_uses_is_shown_at_once_and_journalled_only_where_it_reaches_a_budget():
    driver = Driver(max_tokens=100)
    before = driver.kinds()
    driver.hears(running(driver, 40))
    status = driver.post.told("console", RunStatus)[-1]
    assert ([each.used for each in status.budgets], driver.kinds()) == ([40], before)
    driver.hears(running(driver, 110))
    assert driver.kinds() == [*before, "UsageSeen"]
    assert driver.post.told("worker", InterruptTurnRequest)
    done = TurnOutcome(status="interrupted", usage=Usage(input_tokens=112))
    driver.hears(TurnSettledReport(turn_id=driver.turn().turn_id, purpose="work", outcome=done))
    assert [each.used for each in driver.post.told("console", RunStatus)[-1].budgets] == [112]
    assert driver.post.told("supervisor", RunEnded)[-1].resume == "--max-tokens 200"


@pytest.mark.parametrize("interactive", [True, False])
def test_a_user_who_is_there_is_told_how_to_try_again_at_once(interactive: bool):
    driver = Driver(interactive=interactive, on_unavailable="ask")
    silent = TurnOutcome(status="failed", error="it is silent", cause="silent")
    driver.hears(TurnSettledReport(turn_id=driver.turn().turn_id, purpose="work", outcome=silent))
    said = [each.text for each in driver.post.told("console", Progress) if "to resume this run later" in each.text]
    later = "to resume this run later: loop --run-id 1"
    assert said == [f"to try again, type resume; {later}" if interactive else later]


def test_no_mail_starts_a_turn_once_the_budget_is_used_up_although_the_checks_run():
    driver = Driver(max_tokens=100)
    done = TurnOutcome(status="finished", text=DONE.text, usage=Usage(input_tokens=100))
    driver.hears(TurnSettledReport(turn_id=driver.turn().turn_id, purpose="work", outcome=done))
    assert driver.post.told("worker", StartJob)
    assert [driver.post.told(role, PauseTurns)[-1].held for role in ("worker", "reviewer")] == [True, True]


# --- grants ---


def wants(turn_id: str, role: Literal["worker", "reviewer"] = "worker", after: str = "") -> GrantRequest:
    return GrantRequest(role=role, turn_id=turn_id, purpose="work" if turn_id else "", after=after)


def test_with_a_budget_sessions_are_told_to_ask_and_each_request_is_answered():
    driver = Driver(max_tokens=100, grants_turns=True)
    assert driver.post.told("worker", PauseTurns)[-1].by_grant
    turn_id = driver.turn().turn_id
    driver.hears(wants(turn_id))
    assert driver.post.told("worker", TurnGranted) == [TurnGranted(turn_id=turn_id)]
    driver.hears(wants(turn_id))  # of its next incarnation
    assert driver.post.told("worker", TurnGranted) == [TurnGranted(turn_id=turn_id)] * 2
    assert driver.kinds().count("TurnWanted") == 1


def test_a_grant_outlives_the_run_s_process_and_is_given_again():
    driver = Driver(max_tokens=100, grants_turns=True)
    turn_id = driver.turn().turn_id
    driver.hears(wants(turn_id))
    assert driver.again().post.told("worker", TurnGranted) == [TurnGranted(turn_id=turn_id)]


def test_what_a_running_turn_has_used_is_counted_before_another_one_begins():
    driver = Driver(max_tokens=100, grants_turns=True)
    driver.hears(wants("mail-1", "reviewer"), "reviewer")
    usage = Usage(input_tokens=90)
    driver.hears(
        RunningUsageReport(role="reviewer", turn_id="mail-1", purpose="mail", model="", usage=usage), "reviewer"
    )
    assert "UsageSeen" not in driver.kinds()
    driver.hears(wants(driver.turn().turn_id))
    assert driver.kinds()[-2:] == ["UsageSeen", "TurnWanted"]
    assert driver.post.told("worker", TurnGranted) == []
    driver.hears(UsageReport(role="reviewer", turn_id="mail-1", purpose="mail", model="", usage=usage), "reviewer")
    driver.hears(wants("", "reviewer"), "reviewer")
    assert len(driver.post.told("worker", TurnGranted)) == 1


def test_without_a_budget_no_request_is_journalled():
    driver = Driver(grants_turns=True)
    assert not driver.post.told("worker", PauseTurns)[-1].by_grant
    driver.hears(wants(driver.turn().turn_id))
    assert "TurnWanted" not in driver.kinds()
