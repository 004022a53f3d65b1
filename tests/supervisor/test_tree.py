"""What a supervisor does about its children, in every state, without a process."""

from __future__ import annotations

from itertools import product

import pytest
from msgspec.structs import replace

from actors.messages import ControlRun, Ready, RunEnded
from supervisor.run_tree import CHILDREN, DRIVER, STOP_LEVELS
from supervisor.spawning import Exited, StartFailed
from supervisor.spec import BackOff
from supervisor.tree_protocol import (
    Announce,
    AnswerChange,
    AskUser,
    ChildSaid,
    FinishRun,
    GraceOver,
    KillChild,
    KillDue,
    Note,
    ReadyOverdue,
    ReportDown,
    ReportUp,
    RestartDue,
    RunResult,
    StartChild,
    SupervisorFailed,
    TellChild,
    Tick,
    Wake,
)
from tests.supervisor.tree_rig import NO_BACK_OFF, ONE_RESTART, START_ORDER, Rig, asked_to_stop, only, spec, started


@pytest.fixture
def up() -> Rig:
    """All four are ready; nobody is there to be asked."""
    return Rig().begun().ready()


def suspended(name: str = "bridge") -> Rig:
    """`name` ended too often, and the user is asked."""
    rig = Rig(spec(intensity=ONE_RESTART, back_off=NO_BACK_OFF), has_operator=True).begun().ready()
    rig.too_often(name)
    for level in STOP_LEVELS:
        rig.stopped(*(each for each in level if each != name))
    assert rig.tree.phase == "suspended"
    return rig


# --- starting ---------------------------------------------------------------------------------------------------------


def test_children_are_started_in_order_and_none_waits_for_the_one_before():
    rig = Rig().begun()
    assert started(rig.last) == list(START_ORDER)
    assert only(Wake, rig.last)[:5] == [Wake(30_000, ReadyOverdue(name, 1)) for name in START_ORDER]


def test_everybody_hears_of_each_child_that_is_ready_and_the_user_when_all_are():
    rig = Rig().begun().ready("persistence", "bridge", "run", "worker")
    assert only(Announce, rig.all) == []
    assert rig.say("reviewer", Ready(pid=9)) == [
        Note("reviewer#1 is ready: pid 9"),
        ReportUp("reviewer", 1),
        Announce("ready", "persistence, bridge, run, worker, reviewer are ready"),
    ]


def test_a_child_that_is_not_ready_in_time_is_killed_and_started_again():
    rig = Rig().begun().ready("persistence", "bridge", "run", "worker")
    assert rig.wake(ReadyOverdue) == [KillChild("reviewer", 1)]
    assert rig.shown("reviewer") == ("stuck", "not ready within 30 s")
    rig.killed("reviewer")
    assert started(rig.wake(RestartDue)) == ["reviewer"]


def test_a_child_that_was_ready_in_time_is_not_killed(up: Rig):
    assert up.feed(ReadyOverdue("worker", 1)) == []


def test_a_process_that_could_not_be_made_is_tried_again():
    rig = Rig().begun()
    down, *_ = rig.feed(StartFailed(child="r/1/bridge", incarnation=1, reason="no memory"))
    assert down == ReportDown("bridge", 1, "start-failed (no memory)")
    assert started(rig.wake(RestartDue)) == ["bridge"]


def test_a_process_that_can_never_be_made_is_not_tried_again():
    rig = Rig().begun()
    rig.feed(StartFailed(child="r/1/bridge", incarnation=1, reason="no such host", permanent=True))
    assert rig.tree.phase != "running"


def test_a_pid_is_known_from_the_start_until_the_end(up: Rig):
    up.started("worker")
    assert up.tree.children["worker"].pid == 7
    up.killed("worker")
    up.wake(RestartDue)
    assert up.tree.children["worker"].pid == 0


# --- ends and restarts ------------------------------------------------------------------------------------------------

ENDS = {
    "crash": {"code": 70},
    "killed": {"signal": 9},
    "lost": {},
    "normal": {"code": 0},
}


@pytest.mark.parametrize(("name", "end"), [*product(START_ORDER, ENDS)])
def test_an_actor_that_ends_by_itself_is_started_again_and_no_other_one(name: str, end: str, up: Rig):
    down, *_ = up.exits(name, **ENDS[end])
    assert isinstance(down, ReportDown)
    assert (down.child, down.incarnation) == (name, 1)
    assert up.shown(name)[0] == "restarting"
    assert up.wake(RestartDue)[0] == StartChild(name, 2)
    assert set(up.phases().values()) == {"ready", "starting"}
    assert only(KillChild, up.all) == asked_to_stop(up.all) == []


def test_the_first_restart_is_at_once_and_the_next_ones_wait_longer_and_longer():
    rig = Rig(spec(back_off=BackOff(jitter=0))).begun().ready()
    waits = []
    for _ in range(4):
        rig.killed("worker")
        waits.append(only(Wake, rig.last)[-1].after_ms)
        rig.wake(RestartDue)
    assert waits == [0, 500, 1_000, 2_000]


def test_an_actor_that_was_ready_for_long_begins_a_new_series(up: Rig):
    up.killed("worker")
    up.wake(RestartDue)
    up.ready("worker")
    up.exits("worker", signal=9, after_ms=10_000)
    assert only(Wake, up.last)[-1].after_ms == 0


@pytest.mark.parametrize("restart", ["transient", "temporary"])
def test_a_child_that_is_not_to_come_back_after_a_normal_end_is_left(restart: str):
    rig = Rig(spec(children={"restart": restart})).begun().ready()
    rig.stopped("bridge")
    assert only(Wake, rig.last) == []
    assert rig.shown("bridge") == ("dead", "normal (exit code 0)")


def test_a_significant_child_that_ends_for_good_ends_the_tree():
    rig = Rig(spec(children={"restart": "transient", "significant": True})).begun().ready()
    assert asked_to_stop(rig.exits("bridge", code=0)) == ["run", "worker", "reviewer"]
    assert rig.tree.result is not None
    assert rig.tree.result.state == "failed"


@pytest.mark.parametrize(
    ("strategy", "comes_back"),
    [("rest_for_one", ["bridge", "run", "worker", "reviewer"]), ("one_for_all", list(START_ORDER))],
)
def test_siblings_are_stopped_first_and_started_with_it_in_order(strategy: str, comes_back: list[str]):
    rig = Rig(spec(strategy=strategy)).begun().ready()
    rig.killed("bridge")
    others = [name for name in reversed(comes_back) if name != "bridge"]
    assert asked_to_stop(rig.last) == others
    rig.stopped(*others)
    assert started(rig.all) == list(START_ORDER)
    assert started(rig.wake(RestartDue)) == comes_back
    assert len(rig.tree.history) == 1


def test_a_sibling_that_is_slow_to_stop_is_started_when_it_is_gone():
    rig = Rig(spec(strategy="rest_for_one")).begun().ready()
    rig.killed("worker")
    assert started(rig.wake(RestartDue)) == ["worker"]
    assert started(rig.stopped("reviewer")) == ["reviewer"]


def test_an_event_of_an_incarnation_that_is_gone_changes_nothing(up: Rig):
    up.killed("worker")
    up.wake(RestartDue)
    before = up.tree
    up.feed(Exited(child="r/1/worker", incarnation=1, code=None, signal=9))
    up.feed(StartFailed(child="r/1/worker", incarnation=1, reason="late"))
    up.feed(ChildSaid("worker", 1, Ready(pid=1)))
    up.feed(ChildSaid("nobody", 1, Ready(pid=1)))
    up.feed(RestartDue((("worker", 1),)))
    up.feed(ReadyOverdue("worker", 1))
    up.feed(KillDue("worker", 1))
    assert up.tree == before
    assert up.last == []


def test_an_end_that_is_told_twice_counts_once(up: Rig):
    up.killed("worker")
    before = up.tree
    assert up.killed("worker") == []
    assert up.tree == before


# --- hangs ------------------------------------------------------------------------------------------------------------


def test_an_actor_whose_handler_makes_no_progress_is_killed_once_and_started_again(up: Rig):
    assert up.beat("worker", age_ms=61_000) == [KillChild("worker", 1)]
    assert up.beat("worker", age_ms=62_000) == []
    assert up.shown("worker") == ("stuck", "stuck in StartTurnRequest for 61 s")
    up.killed("worker")
    assert up.tree.children["worker"].why_down == "hang (stuck in StartTurnRequest for 61 s)"
    assert started(up.wake(RestartDue)) == ["worker"]


def test_an_actor_that_says_nothing_is_killed_at_a_tick_and_the_ticks_go_on(up: Rig):
    for name in CHILDREN[1:]:
        up.beat(name, after_ms=3_000)
    assert up.feed(Tick()) == [KillChild(CHILDREN[0], 1), Wake(1_000, Tick())]
    up.feed(Tick())
    assert only(KillChild, up.last) == []


def test_an_actor_that_is_starting_or_stopping_does_not_hang():
    rig = Rig().begun().ready("worker")
    rig.change("kill", "worker")
    assert only(KillChild, rig.feed(Tick(), after_ms=60_000)) == []


# --- giving up --------------------------------------------------------------------------------------------------------


def test_without_a_user_an_actor_that_ends_too_often_fails_the_run(up: Rig):
    up.too_often("bridge")
    assert asked_to_stop(up.last) == ["run", "worker", "reviewer"]
    up.stopped("run", "worker", "reviewer")
    (finish,) = only(FinishRun, up.stopped("persistence"))
    assert finish.result.state == "failed"
    assert finish.result.detail == (
        "bridge ended: crash (signal 9); no more than 10 restarts in 60 s are allowed: giving up"
    )


def test_restarts_of_all_children_count_together(up: Rig):
    for name in (CHILDREN * 3)[:10]:
        up.killed(name)
        up.wake(RestartDue)
        up.ready(name)
    up.killed("worker")
    assert up.tree.phase == "ending"


def test_restarts_of_a_minute_ago_count_no_more(up: Rig):
    for name in (CHILDREN * 3)[:10]:
        up.killed(name)
        up.wake(RestartDue)
        up.ready(name)
    up.exits("worker", signal=9, after_ms=60_001)
    assert up.tree.phase == "running"


@pytest.mark.parametrize("name", START_ORDER)
def test_an_actor_that_can_never_start_is_not_tried_again(name: str):
    rig = Rig().begun().ready(*(each for each in START_ORDER if each != name))
    rig.cannot_start(name, "no program 'codex'")
    assert only(Announce, rig.last) == []  # it is the run's result, and shown as that
    assert rig.tree.result == RunResult("failed", f"{name} cannot start: no program 'codex'")


def test_with_a_user_an_actor_that_can_never_start_is_a_question():
    rig = Rig(has_operator=True).begun().ready("persistence", "bridge", "run", "reviewer")
    rig.cannot_start("worker", "no program 'codex'")
    assert rig.tree.question == ("restart worker, or stop? worker cannot start: no program 'codex'.")


def test_with_a_user_nothing_is_restarted_and_the_question_comes_when_all_are_down():
    rig = Rig(spec(intensity=ONE_RESTART, back_off=NO_BACK_OFF), has_operator=True).begun().ready()
    rig.too_often("bridge")
    assert rig.tree.phase == "suspending"
    assert only(AskUser, rig.stopped("run", "worker", "reviewer")) == []
    (asked,) = only(AskUser, rig.stopped("persistence"))
    assert asked.question == (
        "restart bridge, or stop? bridge ended: crash (signal 9); no more than 1 restarts in 60 s are allowed."
    )
    assert rig.shown("bridge") == ("dead", "crash (signal 9); not restarted again")
    assert rig.shown("worker") == ("stopped", "until it is tried again")
    assert only(FinishRun, rig.all) == []


def test_a_restart_that_was_due_is_dropped_when_the_tree_is_suspended():
    rig = Rig(spec(intensity=ONE_RESTART), has_operator=True).begun().ready()
    rig.killed("reviewer")
    due = only(Wake, rig.last)[-1].event
    rig.killed("worker")
    assert rig.tree.phase == "suspending"
    assert rig.feed(due) == []
    assert rig.phase("reviewer") == "down"


@pytest.mark.parametrize(("action", "name"), [*product(["restart", "start"], START_ORDER)])
def test_any_child_that_is_started_by_the_user_starts_all_of_them(action, name: str):
    rig = suspended()
    assert rig.change(action, name) == AnswerChange(f"{name} is being started, and the others with it")
    assert rig.last[0] == AskUser("")
    assert started(rig.last) == list(START_ORDER)
    assert (rig.tree.phase, rig.tree.question, rig.tree.history) == ("running", "", ())


def test_a_child_that_the_user_kills_while_all_are_down_stays_down_when_the_others_are_started():
    rig = suspended()
    assert rig.change("kill", "reviewer") == AnswerChange(
        "reviewer stays down when the others are started, until you type: start reviewer"
    )
    rig.change("restart", "bridge")
    assert started(rig.last) == ["persistence", "bridge", "run", "worker"]
    assert rig.shown("reviewer") == ("stopped", "by hand")
    rig.change("start", "reviewer")
    assert started(rig.last) == ["reviewer"]


def test_an_answer_before_all_are_down_counts_when_they_are():
    rig = Rig(spec(intensity=ONE_RESTART, back_off=NO_BACK_OFF), has_operator=True).begun().ready()
    rig.too_often("bridge")
    rig.change("restart", "bridge")
    assert started(rig.last) == []
    rig.stopped("run", "worker", "reviewer", "persistence")
    assert started(rig.last) == list(START_ORDER)
    assert only(AskUser, rig.all) == [AskUser("")]


def test_after_the_answer_a_child_may_end_as_often_as_before():
    rig = suspended()
    rig.change("restart", "bridge")
    rig.ready()
    rig.killed("bridge")
    assert started(rig.wake(RestartDue)) == ["bridge"]


def test_a_stop_is_an_answer_too():
    rig = suspended()
    assert rig.stop() == [FinishRun(RunResult("stopped", "you said so"))]


def test_a_stop_before_all_are_down_ends_the_run_without_a_question():
    rig = Rig(spec(intensity=ONE_RESTART, back_off=NO_BACK_OFF), has_operator=True).begun().ready()
    rig.too_often("bridge")
    rig.stop()
    rig.stopped("run", "worker", "reviewer")
    assert only(FinishRun, rig.stopped("persistence")) == [FinishRun(RunResult("stopped", "you said so"))]
    assert only(AskUser, rig.all) == []


# --- changes by hand --------------------------------------------------------------------------------------------------


def starting() -> Rig:
    return Rig().begun()


def running() -> Rig:
    return Rig().begun().ready()


def stopping() -> Rig:
    rig = running()
    rig.change("kill", "bridge")
    return rig


def restarting() -> Rig:
    rig = running()
    rig.change("restart", "bridge")
    return rig


def held() -> Rig:
    rig = stopping()
    rig.stopped("bridge")
    return rig


def waiting() -> Rig:
    """It waits for its back-off."""
    rig = running()
    rig.killed("bridge")
    return rig


def left() -> Rig:
    rig = Rig(spec(children={"restart": "temporary"})).begun().ready()
    rig.killed("bridge")
    return rig


STOPS = "bridge is being stopped, and stays down until you type: start bridge"
IS_UP = "bridge is already up; restart bridge replaces it"
RESTARTS = "bridge is being restarted"
STARTS = "bridge is being started"
STAYS_DOWN = "bridge is already down, and stays down until you type: start bridge"


@pytest.mark.parametrize(
    ("state", "action", "answer", "does"),
    [
        (starting, "kill", STOPS, KillChild),
        (running, "kill", STOPS, TellChild),
        (stopping, "kill", STOPS, None),
        (restarting, "kill", STOPS, None),
        (held, "kill", STAYS_DOWN, None),
        (waiting, "kill", STOPS, None),
        (left, "kill", STAYS_DOWN, None),
        (starting, "restart", RESTARTS, KillChild),
        (running, "restart", RESTARTS, TellChild),
        (stopping, "restart", RESTARTS, None),
        (restarting, "restart", RESTARTS, None),
        (held, "restart", STARTS, StartChild),
        (waiting, "restart", STARTS, StartChild),
        (left, "restart", STARTS, StartChild),
        (starting, "start", IS_UP, None),
        (running, "start", IS_UP, None),
        (stopping, "start", IS_UP, None),
        (restarting, "start", IS_UP, None),
        (held, "start", STARTS, StartChild),
        (waiting, "start", STARTS, StartChild),
        (left, "start", STARTS, StartChild),
    ],
)
def test_each_change_by_hand_in_each_state_is_answered_and_done(state, action, answer: str, does):
    rig = state()
    assert rig.change(action, "bridge") == AnswerChange(answer, refused=answer == IS_UP)
    done = [type(each) for each in rig.last if not isinstance(each, AnswerChange | Wake)]
    assert done == ([does] if does else [])
    if rig.phase("bridge") == "stopping":
        rig.stopped("bridge")
    if action == "kill" or (action, state) == ("start", stopping):
        assert rig.shown("bridge") == ("stopped", "by hand")
    else:
        assert rig.phase("bridge") == ("ready" if (action, state) == ("start", running) else "starting")


@pytest.mark.parametrize("action", ["kill", "restart", "start"])
def test_a_child_that_is_not_there_is_named_and_so_are_those_that_are(action, up: Rig):
    assert up.change(action, "nobody") == AnswerChange(
        "no actor 'nobody': there are persistence, bridge, run, worker, reviewer", refused=True
    )


@pytest.mark.parametrize("action", ["kill", "restart", "start"])
def test_while_the_run_ends_nothing_is_changed_any_more(action, up: Rig):
    up.stop(now=True)
    before = up.tree
    assert up.change(action, "bridge").refused
    assert up.tree == before


def test_a_child_that_was_killed_by_hand_is_not_restarted_whatever_happens():
    rig = Rig(spec(strategy="one_for_all")).begun().ready()
    rig.change("kill", "reviewer")
    rig.stopped("reviewer")
    rig.killed("bridge")
    rig.stopped("run", "worker", "persistence")
    rig.wake(RestartDue)
    assert rig.phases() == {
        "persistence": "starting", "bridge": "starting", "run": "starting", "worker": "starting", "reviewer": "down"
    }  # fmt: skip


def test_a_restart_that_was_due_is_not_done_twice_when_the_user_was_faster():
    rig = waiting()
    due = [each.event for each in only(Wake, rig.all) if isinstance(each.event, RestartDue)][-1]
    rig.change("restart", "bridge")
    assert rig.feed(due) == []
    assert rig.incarnation("bridge") == 2


def test_a_change_by_hand_is_no_restart_that_counts_against_the_policy(up: Rig):
    for _ in range(20):
        up.change("restart", "bridge")
        up.stopped("bridge")
        up.ready("bridge")
    assert up.tree.history == ()
    assert up.tree.children["bridge"].restarts == 20


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_a_stop_in_order_goes_through_the_driver_who_says_how_the_run_ended(up: Rig):
    assert up.stop() == [
        TellChild(DRIVER, ControlRun(action="stop", reason="you said so")),
        Wake(15_000, GraceOver()),
    ]
    up.run_ended("stopped", "you said so")
    assert asked_to_stop(up.last) == ["run", "worker", "reviewer"]
    assert asked_to_stop(up.stopped("run", "worker")) == []
    assert asked_to_stop(up.stopped("reviewer")) == ["bridge"]
    assert asked_to_stop(up.stopped("bridge")) == ["persistence"]
    assert only(FinishRun, up.stopped("persistence")) == [FinishRun(RunResult("stopped", "you said so"))]
    assert up.tree.phase == "ended"


def test_a_driver_that_does_not_stop_in_time_is_stopped_with_the_others(up: Rig):
    up.stop()
    assert asked_to_stop(up.wake(GraceOver)) == ["run", "worker", "reviewer"]
    assert up.tree.result == RunResult("stopped", "a turn did not end in time; it continues when the run is resumed")


def test_a_driver_has_less_time_while_an_actor_is_down_whose_turn_may_be_open(up: Rig):
    up.change("kill", "worker")
    up.stopped("worker")
    assert up.stop()[-1] == Wake(3_000, GraceOver())


def test_a_driver_has_all_its_time_while_an_actor_is_down_that_comes_back(up: Rig):
    up.killed("worker")
    assert up.stop()[-1] == Wake(15_000, GraceOver())


def test_a_second_stop_that_is_not_graceful_does_not_wait_for_the_driver(up: Rig):
    up.stop()
    assert up.stop() == []
    assert asked_to_stop(up.stop(now=True)) == ["run", "worker", "reviewer"]
    assert up.stop(now=True) == []


def test_the_first_word_on_how_the_run_ended_counts(up: Rig):
    up.run_ended("completed")
    up.stop(now=True)
    up.wake(Tick)
    up.feed(GraceOver())
    up.feed(SupervisorFailed("late"))
    assert up.tree.result == RunResult("completed", "")


def test_only_the_driver_ends_the_run(up: Rig):
    assert up.say("reviewer", RunEnded(state="completed", detail="")) == []
    assert up.tree.phase == "running"


def test_a_run_whose_driver_is_down_is_stopped_without_it(up: Rig):
    up.change("kill", DRIVER)
    up.stopped(DRIVER)
    assert asked_to_stop(up.stop()) == ["worker", "reviewer"]
    assert up.tree.result == RunResult("stopped", "you said so; run was down")


def test_a_driver_that_comes_back_is_waited_for(up: Rig):
    up.killed(DRIVER)
    assert [type(each) for each in up.stop()] == [TellChild, Wake]


def test_who_asked_for_the_end_is_not_asked_anything():
    rig = Rig(spec(intensity=ONE_RESTART, back_off=NO_BACK_OFF), has_operator=True).begun().ready()
    rig.stop()
    rig.too_often("bridge")
    assert rig.tree.phase == "ending"


def test_a_child_that_does_not_stop_is_killed_when_its_time_is_over(up: Rig):
    up.stop(now=True)
    assert only(Wake, up.last) == [Wake(2_000, KillDue(name, 1)) for name in ("run", "worker", "reviewer")]
    up.stopped("run", "worker")
    assert up.feed(KillDue("worker", 1)) == []
    assert up.feed(KillDue("reviewer", 1)) == [KillChild("reviewer", 1)]
    assert asked_to_stop(up.killed("reviewer")) == ["bridge"]


def test_no_child_has_longer_than_the_whole_stop_may_take():
    rig = Rig(spec(children={"shutdown_s": 60})).begun().ready()
    rig.stop(now=True)
    assert {each.after_ms for each in only(Wake, rig.last)} == {3_000}


def test_a_child_that_is_starting_does_not_listen_and_is_killed_at_a_stop():
    rig = Rig().begun()
    rig.stop(now=True)
    assert only(KillChild, rig.last) == [KillChild(name, 1) for name in ("run", "worker", "reviewer")]
    assert asked_to_stop(rig.last) == []


def test_who_dies_while_the_tree_is_stopped_is_not_restarted(up: Rig):
    up.stop(now=True)
    up.killed("persistence")
    up.killed("run")
    up.killed("worker")
    up.killed("reviewer")
    up.killed("bridge")
    assert up.tree.phase == "ended"
    assert started(up.all) == list(START_ORDER)


@pytest.mark.parametrize("state", [starting, running, stopping, restarting, held, waiting, left, suspended])
def test_a_stop_ends_the_tree_from_every_state(state):
    rig = state()
    rig.stop(now=True)
    for name in CHILDREN:
        if rig.phase(name) != "down":
            rig.stopped(name)
    assert rig.tree.phase == "ended"
    assert only(FinishRun, rig.all) == [FinishRun(RunResult("stopped", "you said so"))]
    assert set(rig.phases().values()) == {"down"}


def test_an_ended_tree_ticks_no_more(up: Rig):
    up.stop(now=True)
    up.stopped(*CHILDREN)
    assert up.feed(Tick()) == []


def test_a_command_that_could_not_be_carried_out_fails_the_run(up: Rig):
    assert asked_to_stop(up.feed(SupervisorFailed("OSError: no"))) == ["run", "worker", "reviewer"]
    assert up.tree.result == RunResult("failed", "the supervisor failed: OSError: no")


def test_a_single_agent_has_no_bridge_and_is_stopped_the_same():
    four = spec()
    rig = (
        Rig(replace(four, children=tuple(each for each in four.children if each.id != "bridge")))
        .begun()
        .ready("persistence", "run", "worker", "reviewer")
    )
    rig.stop(now=True)
    assert asked_to_stop(rig.stopped("run", "worker", "reviewer")) == ["persistence"]
