from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import cloudpickle
import pytest

from actors.edges import processes
from actors.errors import OperationalError, ProtocolError, RecipientEndedError, UserError
from actors.messages import (
    Ack,
    ActorDown,
    ActorUp,
    Applied,
    Apply,
    CannotStart,
    Heartbeat,
    Load,
    Loaded,
    Note,
    Peek,
    Peeked,
    Progress,
    Ready,
    ShowMailRequest,
    StopActor,
)
from tests.actors.conftest import RUN
from tests.patience import PATIENCE_S

STOP = StopActor(reason="the test is over", grace_s=PATIENCE_S)


# --- start --------------------------------------------------------------------------------------------------------


def test_an_actor_reports_ready_with_its_pid_and_detail(world) -> None:
    child = world.launch("worker")
    ready = world.supervisor_inbox.next(Ready)
    assert (ready.pid, ready.detail) == (child.process.pid, "at your service")


def test_a_user_error_in_on_start_is_one_line_for_the_log_and_for_people(world) -> None:
    child = world.launch("worker", on_start="user error")
    progress = world.console_inbox.next(Progress)
    assert world.supervisor_inbox.next(CannotStart).reason == "the moon is not there: look up"
    assert child.exit_code() == 125
    assert (progress.kind, progress.text) == ("error", "worker could not start: the moon is not there: look up")
    assert "the moon is not there: look up" in child.log()
    assert "Traceback" not in child.log()


@pytest.mark.parametrize("how", ["bug", "exit"])
def test_any_other_failure_of_on_start_is_exit_71_with_its_traceback(world, how: str) -> None:
    child = world.launch("worker", on_start=how)
    assert child.exit_code() == 71
    assert "worker could not start" in child.log()
    assert "sample_actors" in child.log().split("Traceback")[1]


@pytest.mark.parametrize("actor", ["sample_actors:NoActor", "sample_actors:Nothing", "no_such_module:Actor"])
def test_an_actor_that_cannot_be_loaded_is_exit_71(world, actor: str) -> None:
    child = world.launch("worker", actor=actor)
    assert child.exit_code() == 71
    assert "worker could not start" in child.log()


def test_mail_that_comes_during_on_start_is_handled_after_it(world) -> None:
    world.tell("worker", "relay console early")
    world.start("worker")
    assert world.said() == "early"


# --- handlers -----------------------------------------------------------------------------------------------------


def test_a_request_is_answered_with_what_the_handler_returns(world) -> None:
    world.start("worker")
    answer = world.console.ref("worker").ask(Load(stream="run", epoch=1), timeout_s=PATIENCE_S)
    assert isinstance(answer, Loaded)
    assert (answer.stream, answer.records[0].body) == ("run", "1")


def test_a_handler_with_nothing_to_say_answers_a_request_with_ack(world) -> None:
    world.start("worker")
    assert isinstance(world.console.ref("worker").ask(Load(stream="nothing", epoch=1), timeout_s=PATIENCE_S), Ack)


def test_an_error_of_ours_refuses_the_request_and_the_actor_lives_on(world) -> None:
    world.start("worker")
    with pytest.raises(OperationalError, match="epoch 1 is fenced") as caught:
        world.console.ref("worker").ask(Load(stream="conflict", epoch=1), timeout_s=PATIENCE_S)
    assert type(caught.value).__name__ == "JournalConflictError"
    assert world.console.ref("worker").ask(Load(stream="run", epoch=1), timeout_s=PATIENCE_S)


@pytest.mark.parametrize("order", ["crash 1", "exit", "conflict"])
def test_whatever_a_handler_of_a_tell_raises_is_exit_70_with_its_traceback(world, order: str) -> None:
    child = world.start("worker")
    world.tell("worker", order)
    assert child.exit_code() == 70
    assert "handler of Note from console#1 failed" in child.log()
    assert "in obey" in child.log()


def test_a_bug_in_the_handler_of_a_request_is_exit_70_too(world) -> None:
    child = world.start("worker")
    world.console.channel.tell("worker", Note(sender="", recipient="", text="self", at_ms=0))
    with pytest.raises(OperationalError, match=r"no answer from worker to Load within 0.5 s"):
        world.console.ref("worker").ask(Load(stream="bug", epoch=1), timeout_s=0.5)
    assert child.exit_code() == 70


def test_a_thread_that_fails_is_exit_70(world) -> None:
    child = world.start("worker")
    world.tell("worker", "thread")
    assert child.exit_code() == 70
    assert "thread failing failed: RuntimeError('in a thread')" in child.log()


def test_a_message_that_the_actor_does_not_take_is_refused_and_it_lives_on(world) -> None:
    child = world.start("worker")
    ref = world.console.ref("worker")
    ref.tell(Ready(pid=1))
    with pytest.raises(ProtocolError, match="Sample does not take Ready"):
        ref.ask(Ready(pid=1), timeout_s=PATIENCE_S)
    assert "Ready from console#1 refused: Sample does not take Ready" in child.log()


def test_a_message_to_itself_needs_no_catalogue_and_no_router(world) -> None:
    world.start("worker")
    world.tell("worker", "self relay console from myself")
    assert world.said() == "from myself"


def test_tracebacks_and_logs_do_not_show_secrets(world) -> None:
    child = world.start("worker")
    world.tell("worker", "crash 1 sk-very-secret-0123")
    assert child.exit_code() == 70
    assert "RuntimeError" in child.log()
    assert "sk-very-secret-0123" not in child.log()


# --- apply --------------------------------------------------------------------------------------------------------


def test_the_root_runs_a_function_on_the_actor(world) -> None:
    world.start("worker", answer=41)
    function = cloudpickle.dumps(lambda actor: actor.context.start.answer + 1)
    assert world.console.ref("worker").ask(Apply(function=function), timeout_s=PATIENCE_S) == Applied(text="42")


def test_a_slip_in_an_applied_function_is_told_to_its_author_and_the_actor_lives_on(world) -> None:
    world.start("worker")
    ref = world.console.ref("worker")
    with pytest.raises(UserError, match="ZeroDivisionError: division by zero"):
        ref.ask(Apply(function=cloudpickle.dumps(lambda _actor: 1 / 0)), timeout_s=PATIENCE_S)
    assert ref.ask(Apply(function=cloudpickle.dumps(lambda _actor: "alive")), timeout_s=PATIENCE_S) == Applied(
        text="'alive'"
    )


def exits(_actor):
    sys.exit(3)


def interrupts(_actor):
    raise KeyboardInterrupt


def recurses(actor):
    return recurses(actor)


def runs_out_of_memory(_actor):
    raise MemoryError


def fails_at_its_own_text(_actor):
    class MuteError(Exception):
        def __str__(self):
            raise SystemExit(9)

    raise MuteError


@pytest.mark.parametrize("slip", [exits, interrupts, recurses, runs_out_of_memory, fails_at_its_own_text])
def test_whatever_an_applied_function_raises_is_its_answer(world, slip) -> None:
    world.start("worker")
    ref = world.console.ref("worker")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.raises(UserError, match=r"SystemExit: 3|KeyboardInterrupt|RecursionError|MemoryError|Mute"):
        ref.ask(Apply(function=cloudpickle.dumps(slip)), timeout_s=PATIENCE_S)
    assert ref.ask(Apply(function=cloudpickle.dumps(lambda _actor: "alive")), timeout_s=PATIENCE_S) == Applied(
        text="'alive'"
    )


def test_a_question_that_only_looks_and_fails_is_answered_and_the_actor_lives_on(world) -> None:
    child = world.start("worker")
    ref = world.console.ref("worker")
    with pytest.raises(OperationalError, match="worker failed at ShowMailRequest: SystemExit: 3"):
        ref.ask(ShowMailRequest(mail_id="exit"), timeout_s=PATIENCE_S)
    assert isinstance(ref.ask(Load(stream="run", epoch=1), timeout_s=PATIENCE_S), Loaded)
    assert "in receive" in child.log()


def test_a_request_that_ends_its_actor_is_not_given_to_the_next_one(world) -> None:
    child = world.start("worker")
    ref = world.console.ref("worker")
    asked: Future[object] = Future()

    def ask() -> None:
        try:
            function = cloudpickle.dumps(lambda _actor: os._exit(3))
            asked.set_result(ref.ask(Apply(function=function), timeout_s=PATIENCE_S, once=True))
        except BaseException as error:
            asked.set_exception(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert child.exit_code() == 3
    world.router.set_dead(RUN, "worker", 1)
    world.router.broadcast(RUN, ActorDown(name="worker", incarnation=1, reason="crash"))
    with pytest.raises(RecipientEndedError, match="worker ended while it served this"):
        asked.result(PATIENCE_S)
    thread.join()
    second = world.start("worker", 2)
    world.router.broadcast(RUN, ActorUp(name="worker", incarnation=2))
    assert isinstance(ref.ask(Load(stream="run", epoch=1), timeout_s=PATIENCE_S), Loaded)
    assert second.process.poll() is None


def test_code_from_another_actor_is_refused_unread(world) -> None:
    world.start("worker")
    world.start("reviewer")
    world.tell("reviewer", "apply worker")
    assert world.said() == "refused Apply from 'reviewer' refused: code is only taken from supervisor and console"


# --- inspection ---------------------------------------------------------------------------------------------------


def test_a_stuck_handler_can_be_looked_at(world) -> None:
    world.start("worker")
    world.tell("worker", "first")
    world.tell("worker", "stick")
    assert world.said() == "stuck"
    world.tell("worker", "behind")
    seen = world.console.ref("worker").ask(Peek(), timeout_s=PATIENCE_S)
    assert isinstance(seen, Peeked)
    assert seen.handling is not None
    assert (seen.handling.kind, seen.handling.sender) == ("Note", "console#1")
    assert [item.kind for item in seen.handled] == ["Note"]
    assert "in obey" in seen.stacks
    beat = world.heartbeat(lambda beat: beat.mailbox == 1)
    assert (beat.handling, beat.handled) == ("Note", 1)
    assert beat.handler_age_ms > 0


def test_heartbeats_of_an_idle_actor_say_so_and_carry_its_note(world) -> None:
    world.start("worker")
    world.console.ref("worker").ask(
        Apply(function=cloudpickle.dumps(lambda actor: setattr(actor.context, "note", "turn work-1"))),
        timeout_s=PATIENCE_S,
    )
    beat = world.heartbeat(lambda beat: beat.note == "turn work-1" and not beat.handling)  # one may come in between
    assert beat == Heartbeat(handler_age_ms=0, handling="", mailbox=0, handled=1, note="turn work-1")


def test_sigusr2_dumps_the_stacks(world) -> None:
    child = world.start("worker")
    world.tell("worker", "stick")
    world.said()
    child.process.send_signal(signal.SIGUSR2)
    world.console.ref("worker").ask(Peek(), timeout_s=PATIENCE_S)
    child.process.send_signal(signal.SIGTERM)
    child.exit_code()
    assert "sample_actors.py" in child.log().split("Thread 0x", 1)[1]


# --- end ----------------------------------------------------------------------------------------------------------


def test_a_stop_runs_on_stop_delivers_its_last_words_and_is_exit_0(world) -> None:
    child = world.start("worker", on_stop="farewell")
    world.supervisor.ref("worker").tell(STOP)
    assert world.said() == "farewell"
    assert child.exit_code() == 0
    assert "stopping: the test is over" in child.log()


def test_sigterm_is_a_stop_and_sigint_is_nothing(world) -> None:
    child = world.start("worker", on_stop="farewell")
    child.process.send_signal(signal.SIGINT)
    world.tell("worker", "relay console still here")
    assert world.said() == "still here"
    child.process.send_signal(signal.SIGTERM)
    assert world.said() == "farewell"
    assert child.exit_code() == 0


def test_an_actor_may_stop_itself(world) -> None:
    child = world.start("worker", on_stop="farewell")
    world.tell("worker", "stop")
    assert world.said() == "farewell"
    assert child.exit_code() == 0


def test_a_stop_does_not_wait_behind_the_backlog(world, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    child = world.start("worker", seen=str(seen))
    world.tell("worker", "relay console begun")
    for _ in range(200):
        world.tell("worker", "pause 20")  # 4 s of work
    assert world.said() == "begun"
    world.supervisor.ref("worker").tell(STOP)
    assert child.exit_code() == 0
    assert len(seen.read_text().splitlines()) < 200


def test_a_stuck_actor_is_ended_when_the_grace_is_over(world) -> None:
    child = world.start("worker")
    world.tell("worker", "stick")
    world.said()
    world.supervisor.ref("worker").tell(StopActor(reason="test", grace_s=0.2))
    assert child.exit_code() == 70
    assert "did not stop in time" in child.log()


def test_an_on_stop_that_fails_is_exit_70(world) -> None:
    child = world.start("worker", on_stop="bug")
    world.supervisor.ref("worker").tell(STOP)
    assert child.exit_code() == 70
    assert "on_stop failed: KeyError('sun')" in child.log()


# Where there is no child subreaper, a daemon leaves the tree for good.
@pytest.mark.parametrize("how", ["child", "daemon"] if sys.platform == "linux" else ["child"])
@pytest.mark.parametrize("end", ["lifeline", "stop", "crash"])
def test_however_it_ends_the_processes_below_it_end_with_it(world, end: str, how: str) -> None:
    actor = world.start("worker")
    world.tell("worker", how)
    below = int(world.said().removeprefix("child "))
    assert os.getsid(below) == below
    if end == "lifeline":
        actor.cut_lifeline()
    elif end == "stop":
        world.supervisor.ref("worker").tell(STOP)
    else:
        world.tell("worker", "crash 1")
    assert actor.exit_code() == {"lifeline": 69, "stop": 0, "crash": 70}[end]
    assert processes.wait_ended(below, PATIENCE_S)


def test_a_stuck_actor_ends_with_its_lifeline(world) -> None:
    child = world.start("worker")
    world.tell("worker", "stick")
    world.said()
    child.cut_lifeline()
    assert child.exit_code() == 69


def test_notices_reach_the_actor_that_wants_them(world) -> None:
    world.start("worker", notices=True)
    bridge = world.start("bridge")
    assert world.said() == f"notice {ActorUp(name='bridge', incarnation=1)!r}"
    bridge.process.kill()
    world.bury(bridge)
    assert world.said() == f"notice {ActorDown(name='bridge', incarnation=1, reason='exit -9')!r}"


def test_a_notice_that_the_actor_does_not_take_leaves_no_complaint(world) -> None:
    child = world.start("worker")
    world.start("bridge")
    world.tell("worker", "relay console after the notice")
    world.said()
    assert "refused" not in child.log()


def test_notices_go_before_mail(world) -> None:
    world.start("worker")
    bridge = world.start("bridge")
    world.tell("worker", "stick")
    assert world.said() == "stuck"
    world.tell("worker", "behind")
    bridge.process.kill()
    world.bury(bridge)
    seen = world.console.ref("worker").ask(Peek(), timeout_s=PATIENCE_S)
    assert [item.kind for item in seen.waiting] == ["ActorDown", "Note"]
