from __future__ import annotations

import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from actors.errors import ProtocolError, UndeliverableError, UserError
from actors.machines.reliable_delivery import WINDOW
from actors.messages import ControlRun, Load, Loaded, Message, Note, Peek, Progress, Ready
from tests.patience import PATIENCE_S

ECHO = Load(stream="run", epoch=1)


def in_thread(call) -> Future:
    """Runs `call` beside the test; its outcome is the future's."""
    future: Future = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run).start()
    return future


def incarnation_that_answered(answer: Message) -> int:
    assert isinstance(answer, Loaded)
    return int(answer.records[0].body)


def test_ten_thousand_messages_arrive_once_and_in_order(world, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    world.start("worker", seen=str(seen))
    for number in range(10_000):
        world.tell("worker", f"n {number}")
    world.tell("worker", "relay console done")
    assert world.said() == "done"
    assert seen.read_text().splitlines()[:10_000] == [f"1 console#1 n {number}" for number in range(10_000)]


def test_actors_ask_and_tell_each_other(world) -> None:
    world.start("persistence")
    world.start("worker")
    world.tell("worker", "ask persistence run")
    assert world.said() == "answered 1"
    world.tell("worker", "relay persistence relay console by way of persistence")
    assert world.said() == "by way of persistence"


def test_an_actor_reaches_itself_by_its_name(world) -> None:
    world.start("worker")
    world.tell("worker", "relay worker relay console round trip")
    assert world.said() == "round trip"


def test_the_root_answers_what_an_actor_asks_it(world) -> None:
    world.supervisor_inbox.answer = lambda message: (
        Loaded(stream=message.stream, records=[]) if isinstance(message, Load) else None
    )
    world.start("worker")
    world.tell("worker", "ask supervisor run")
    assert world.supervisor_inbox.next(Load) == ECHO


def test_mail_for_an_actor_that_is_down_waits_for_its_next_incarnation(world, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    first = world.start("worker", seen=str(seen))
    first.process.kill()
    world.bury(first)
    asked = in_thread(lambda: world.console.ref("worker").ask(ECHO, timeout_s=PATIENCE_S))
    for number in range(3):
        world.tell("worker", f"n {number}")
    world.start("worker", 2, seen=str(seen))
    assert incarnation_that_answered(asked.result(PATIENCE_S)) == 2
    world.tell("worker", "relay console done")
    assert world.said() == "done"
    assert seen.read_text().splitlines()[:3] == ["2 console#1 n 0", "2 console#1 n 1", "2 console#1 n 2"]


def test_a_crash_with_mail_and_a_request_in_flight_loses_and_repeats_nothing(world, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    first = world.start("worker", seen=str(seen))
    world.tell("worker", "n before")
    world.tell("worker", "crash 1")
    for number in range(300):
        world.tell("worker", f"n {number}")
    asked = in_thread(lambda: world.console.ref("worker").ask(ECHO, timeout_s=PATIENCE_S))
    assert world.bury(first) == 70
    world.start("worker", 2, seen=str(seen))
    assert incarnation_that_answered(asked.result(PATIENCE_S)) == 2
    world.tell("worker", "relay console done")
    assert world.said() == "done"
    lines = [line for line in seen.read_text().splitlines() if " n " in line]
    assert lines.pop(0) == "1 console#1 n before"
    if lines[0] == "2 console#1 n before":  # its acknowledgement died with the first incarnation
        lines.pop(0)
    assert lines == [f"2 console#1 n {number}" for number in range(300)]


def test_kill_after_kill_loses_nothing_and_disorders_nothing(world, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    worker = world.start("worker", seen=str(seen))
    for number in range(3_000):
        world.tell("worker", f"n {number}" if number % 500 else f"relay console {number}")
    told = -1
    for incarnation, mark in enumerate(range(0, 2_500, 500), start=2):
        if told < mark:  # a mark may have died with the one that told it: then a later one comes
            told = int(world.console_inbox.next(Note, lambda note, mark=mark: int(note.text) >= mark).text)
        worker.process.kill()
        world.bury(worker)
        worker = world.start("worker", incarnation, seen=str(seen))
    world.tell("worker", "relay console done")
    world.console_inbox.next(Note, lambda note: note.text == "done")
    handled: dict[str, list[int]] = {}
    for line in seen.read_text().splitlines():
        incarnation_that_handled, _sender, order, *number = line.split()
        if order == "n":
            handled.setdefault(incarnation_that_handled, []).append(int(number[0]))
    assert {number for numbers in handled.values() for number in numbers} == {n for n in range(3_000) if n % 500}
    for numbers in handled.values():
        assert numbers == sorted(set(numbers))


def test_a_request_whose_handler_crashed_is_answered_by_the_next_incarnation(world) -> None:
    first = world.start("worker")
    crash = Load(stream="crash once", epoch=1)
    asked = in_thread(lambda: world.console.ref("worker").ask(crash, timeout_s=PATIENCE_S))
    assert world.bury(first) == 70
    world.start("worker", 2)
    assert incarnation_that_answered(asked.result(PATIENCE_S)) == 2


def test_a_request_between_actors_outlives_the_death_of_its_recipient(world) -> None:
    persistence = world.start("persistence")
    world.start("worker")
    world.tell("worker", "ask persistence crash once")
    assert world.bury(persistence) == 70
    world.start("persistence", 2)
    assert world.said() == "answered 2"


def test_what_a_killed_sender_had_handed_over_is_handled_once(world, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    sender = world.start("worker")
    world.start("reviewer", seen=str(seen))
    world.tell("worker", "relay reviewer n first")
    world.tell("worker", "relay reviewer relay console got it")
    assert world.said() == "got it"
    sender.process.kill()
    world.bury(sender)
    world.start("worker", 2)
    world.tell("worker", "relay reviewer n second")
    world.tell("worker", "relay reviewer relay console got that")
    said = world.said()
    if said == "got it":  # the acknowledgement died with the first incarnation, so the next one was told it as well
        said = world.said()
    assert said == "got that"
    assert [line for line in seen.read_text().splitlines() if " n " in line] == [
        "1 worker#1 n first",
        "1 worker#2 n second",
    ]


def test_two_actors_that_ask_each_other_do_not_block_each_others_answers(world) -> None:
    """An answer passes a full lane of mail that its recipient cannot handle, as it waits for that answer."""
    world.start("persistence")
    world.start("worker")
    world.tell("worker", "relay console ready")
    world.said()
    for _ in range(600):
        world.tell("persistence", "relay worker n filler")
    for _ in range(20):
        world.tell("worker", "ask persistence run")
    assert [world.said() for _ in range(20)] == ["answered 1"] * 20


def test_a_message_that_need_not_arrive_comes_back_as_undeliverable(world) -> None:
    world.start("worker")
    world.tell("worker", "say nobody")
    assert world.said() == "undeliverable Progress for nobody: nobody is unknown"
    world.start("bridge").process.kill()
    world.bury(world.children[-1])
    world.tell("worker", "say bridge")
    assert world.said() == "undeliverable Progress for bridge: bridge is down"


def test_a_request_that_nobody_answers_in_time_says_who_and_why(world) -> None:
    with pytest.raises(UndeliverableError, match=r"no answer from bridge to Load within 3 s \(bridge is unknown\)"):
        world.console.ref("bridge").ask(ECHO, timeout_s=3)  # long enough for the router's word


def test_a_request_to_a_stuck_actor_ends_with_its_time(world) -> None:
    world.start("worker")
    world.tell("worker", "stick")
    assert world.said() == "stuck"
    with pytest.raises(UndeliverableError, match=r"no answer from worker to Load within 0.3 s$"):
        world.console.ref("worker").ask(ECHO, timeout_s=0.3)


def test_an_order_passes_more_mail_than_may_be_on_the_wire(world) -> None:
    world.start("worker")
    world.tell("worker", "stick")
    assert world.said() == "stuck"
    for _ in range(WINDOW + 50):
        world.tell("worker", "n")
    world.console.ref("worker").tell(ControlRun(action="stop"))
    seen = world.console.ref("worker").ask(Peek(limit=2), timeout_s=PATIENCE_S)
    assert [item.kind for item in seen.waiting] == ["ControlRun", "Note"]


def test_asking_in_the_io_thread_is_refused_instead_of_hanging(world) -> None:
    caught: Future[str] = Future()

    def ask_back(message: Message) -> None:
        if isinstance(message, Progress):
            try:
                world.console.ref("worker").ask(ECHO, timeout_s=PATIENCE_S)
            except RuntimeError as error:
                caught.set_result(str(error))

    world.console_inbox.answer = ask_back
    world.start("worker")
    world.tell("worker", "say console")
    assert "in the I/O thread would wait for ever" in caught.result(PATIENCE_S)


def test_a_refusal_by_the_root_is_raised_as_the_class_it_names(world) -> None:
    def refuse(_message: Message) -> None:
        raise UserError("not here")

    world.supervisor_inbox.answer = refuse
    with pytest.raises(UserError, match="not here"):
        world.console.ref("supervisor").ask(ECHO, timeout_s=PATIENCE_S)


class Unlisted(Message, frozen=True, kw_only=True):
    """Not in the catalogue."""


def test_what_cannot_be_sent_is_refused_where_it_is_said(world) -> None:
    ref = world.console.ref("worker")
    with pytest.raises(ProtocolError, match="Unlisted"):
        ref.tell(Unlisted())
    with pytest.raises(ProtocolError, match="Load cannot be encoded"):
        ref.ask(Load(stream="run", epoch=2**80), timeout_s=1)
    with pytest.raises(ProtocolError, match="actor name 'a/b' is not"):
        world.console.ref("a/b").tell(Ready(pid=1))


def test_whoever_waits_when_the_run_is_forgotten_or_asks_later_waits_no_longer(world) -> None:
    asked = in_thread(lambda: world.console.ref("bridge").ask(ECHO, timeout_s=PATIENCE_S))
    world.router.forget_run(world.console.address.run)
    with pytest.raises(UndeliverableError, match="is over"):
        asked.result(PATIENCE_S)
    with pytest.raises(UndeliverableError, match="is over"):
        world.console.ref("bridge").ask(ECHO, timeout_s=60)
