import pytest
from msgspec.structs import replace

from actors.messages import Heartbeat
from supervisor import children
from supervisor.children import Child
from supervisor.spec import ChildSpec, Intensity

SPEC = ChildSpec(id="worker", entry="actors.actor_process:main", stuck_after_s=60)


def beat(age_ms: int) -> Heartbeat:
    return Heartbeat(handler_age_ms=age_ms, handling="StartTurnRequest" if age_ms else "", mailbox=3, handled=9)


def ready(age_ms: int = 0, heard_ms: int = 100_000) -> Child:
    return Child(
        spec=SPEC, phase="ready", incarnation=1, pid=7, heartbeat=beat(age_ms), heard_ms=heard_ms, heard_at_ms=5_000
    )


def report(child: Child, tree_down: str = "", **changes: object) -> tuple[str, str]:
    shown = children.report(replace(child, **changes), restarts_now=2, intensity=Intensity(), tree_down=tree_down)
    return shown.state, shown.why


def test_a_child_that_is_heard_and_makes_progress_does_not_hang():
    assert children.hang(ready(59_000), 105_000) == ""


def test_a_handler_without_end_is_a_hang():
    assert children.hang(ready(61_000), 100_000) == "stuck in StartTurnRequest for 61 s"


def test_silence_is_a_hang():
    assert children.hang(ready(), 110_000) == ""
    assert children.hang(ready(), 110_001) == "no sign of life for 10 s"


@pytest.mark.parametrize(
    ("child", "state"),
    [
        (ready(), "running"),
        (ready(2_000), "busy"),
        (Child(spec=SPEC, phase="ready", incarnation=1, stuck="no sign of life for 10 s"), "stuck"),
        (Child(spec=SPEC, phase="starting", incarnation=1), "starting"),
        (Child(spec=SPEC, phase="starting", incarnation=2), "restarting"),
        (Child(spec=SPEC, phase="stopping", incarnation=1), "stopping"),
        (Child(spec=SPEC, phase="stopping", incarnation=1, restart_wanted=True), "restarting"),
        (Child(spec=SPEC), "starting"),
        (Child(spec=SPEC, incarnation=1, restart_due=True), "restarting"),
        (Child(spec=SPEC, incarnation=1, why_down="crash (signal 9)"), "dead"),
    ],
)
def test_each_child_is_called_what_it_is(child: Child, state: str):
    assert report(child)[0] == state


def test_a_child_that_is_down_says_why():
    dead = Child(spec=SPEC, incarnation=1, why_down="crash (signal 9)")
    assert report(dead) == ("dead", "crash (signal 9)")
    assert report(dead, held=True) == ("stopped", "by hand")
    assert report(dead, tree_down="the run is over") == ("stopped", "the run is over")


def test_of_a_suspended_run_the_child_that_ended_too_often_is_told_from_those_that_were_stopped():
    child = Child(spec=SPEC, incarnation=1, why_down="crash (signal 9)", given_up=True)
    assert report(child, tree_down="until it is tried again") == ("dead", "crash (signal 9); not restarted again")
    assert report(child, given_up=False, tree_down="until it is tried again") == ("stopped", "until it is tried again")


def test_a_child_that_is_down_does_nothing_any_more():
    child = replace(ready(2_000), phase="down")
    shown = children.report(child, restarts_now=0, intensity=Intensity(), tree_down="")
    assert (shown.pid, shown.mailbox, shown.doing) == (0, 0, "")


def test_a_child_that_comes_back_says_how_often_that_may_be():
    again = Child(spec=SPEC, incarnation=1, restart_due=True, why_down="crash (signal 9)")
    assert report(again) == ("restarting", "2 of 10 in 60 s: crash (signal 9)")


def test_a_slow_handler_is_named_with_its_beginning():
    shown = children.report(ready(2_000), restarts_now=0, intensity=Intensity(), tree_down="")
    assert (shown.doing, shown.doing_since_ms, shown.mailbox, shown.pid) == ("StartTurnRequest", 3_000, 3, 7)
