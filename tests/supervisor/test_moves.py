"""What the supervisor does about a move, in every state, without a process."""

from __future__ import annotations

import pytest

from actors.messages import LeavePlace, Message, PlaceLeft, Ready, StopActor
from supervisor import children
from supervisor.run_tree import CHILDREN, DRIVER, STOP_LEVELS
from supervisor.spawning import StartFailed
from supervisor.tree_protocol import (
    AnswerChange,
    ChildSaid,
    KeepMove,
    KillChild,
    MoveAsked,
    PlaceChild,
    PlaceGivenUp,
    RestartDue,
    StartChild,
    TellChild,
    Tick,
)
from tests.supervisor.tree_rig import Rig, asked_to_stop, only, spec, started


def up(**places: str) -> Rig:
    rig = Rig()
    rig.leases = {"big": 30.0}
    rig.tree = children.plant(spec(), STOP_LEVELS, DRIVER, places)
    return rig.begun().ready()


def move(rig: Rig, name: str, place: str, *, now: bool = False) -> AnswerChange:
    (answer,) = only(AnswerChange, rig.feed(MoveAsked(name, place, now)))
    return answer


def told(rig: Rig) -> list[tuple[str, Message]]:
    return [(each.child, each.message) for each in only(TellChild, rig.last)]


def placed(rig: Rig) -> list[tuple[str, str]]:
    return [(each.child, each.place) for each in only(PlaceChild, rig.all)]


def on_its_way(place: str = "big", **places: str) -> Rig:
    """The reviewer is asked to leave."""
    rig = up(**places)
    assert not move(rig, "reviewer", place).refused
    return rig


def moved() -> Rig:
    """The reviewer has left, and is started at `big`."""
    rig = on_its_way()
    rig.say("reviewer", PlaceLeft())
    rig.stopped("reviewer")
    return rig


def test_an_actor_leaves_its_place_first_and_then_starts_at_the_new_one_as_the_next_incarnation():
    rig = on_its_way()
    assert told(rig) == [("reviewer", LeavePlace(incarnation=1, leaves=True))]
    assert rig.phase("reviewer") == "ready"  # its turn goes to its end
    assert placed(rig) == []
    assert asked_to_stop(rig.say("reviewer", PlaceLeft())) == ["reviewer"]
    assert [message.reason for _, message in told(rig) if isinstance(message, StopActor)] == ["it moves to big"]
    rig.stopped("reviewer")
    assert [type(each) for each in rig.last if isinstance(each, PlaceChild | StartChild)] == [PlaceChild, StartChild]
    assert placed(rig) == [("reviewer", "big")]
    assert (rig.incarnation("reviewer"), rig.tree.children["reviewer"].restarts, rig.tree.history) == (2, 0, ())


@pytest.mark.parametrize("end", [{"signal": 9}, {"code": 70}, {}])
def test_an_actor_that_ends_while_it_leaves_is_started_again_at_the_new_place(end: dict[str, int]):
    rig = on_its_way()
    rig.exits("reviewer", **end)
    assert placed(rig) == [("reviewer", "big")]
    assert started(rig.wake(RestartDue)) == ["reviewer"]


def test_a_late_word_of_the_incarnation_that_has_left_changes_nothing():
    rig = moved()
    assert rig.feed(ChildSaid("reviewer", 1, PlaceLeft())) == []


def test_an_actor_that_is_down_is_placed_at_once_and_starts_there_when_its_back_off_is_over():
    rig = up()
    rig.killed("reviewer")
    assert move(rig, "reviewer", "big").text == "reviewer is down: it will be started at big"
    assert placed(rig) == [("reviewer", "big")]
    assert started(rig.wake(RestartDue)) == ["reviewer"]


def test_an_actor_that_is_starting_is_asked_to_leave_when_it_is_ready():
    rig = Rig().begun()
    assert "is starting" in move(rig, "reviewer", "big").text
    rig.ready("reviewer")
    assert ("reviewer", LeavePlace(incarnation=1, leaves=True)) in told(rig)


def test_an_actor_that_the_user_has_stopped_stays_down_at_its_new_place():
    rig = on_its_way()
    rig.change("kill", "reviewer")
    rig.stopped("reviewer")
    assert (placed(rig), started(rig.last)) == ([("reviewer", "big")], [])
    rig.change("start", "reviewer")
    assert started(rig.last) == ["reviewer"]


def test_a_move_at_once_cuts_the_turn_also_where_the_move_is_under_way_already():
    rig = on_its_way()
    assert move(rig, "reviewer", "big", now=True).text == (
        "reviewer moves to big now: the turn that it is in continues there"
    )
    assert told(rig) == [("reviewer", LeavePlace(incarnation=1, leaves=True, now=True))]
    assert move(rig, "reviewer", "big", now=True).refused
    rig.exits("reviewer", signal=9)
    assert placed(rig) == [("reviewer", "big")]


def kept(rig: Rig) -> list[KeepMove]:
    return only(KeepMove, rig.all)


def test_a_move_is_written_down_until_the_actor_is_ready_at_its_new_place():
    rig = on_its_way()
    assert kept(rig) == [KeepMove("reviewer", "big")]
    move(rig, "reviewer", "big", now=True)
    rig.say("reviewer", PlaceLeft())
    rig.stopped("reviewer")
    assert kept(rig)[1:] == [KeepMove("reviewer", "big", now=True), KeepMove("reviewer", "big")]
    rig.ready("reviewer")
    assert kept(rig)[3:] == [KeepMove("reviewer", None)]


def test_a_change_of_mind_and_a_return_are_written_down_as_well():
    rig = on_its_way()
    move(rig, "reviewer", "")
    assert kept(rig)[1:] == [KeepMove("reviewer", None)]
    rig = moved()
    rig.exits("reviewer", code=70)  # it cannot work there
    assert (placed(rig)[1:], kept(rig)[-1]) == ([("reviewer", "")], KeepMove("reviewer", None))


def test_a_move_that_no_user_asked_for_is_not_written_down():
    rig = up(reviewer="big")
    rig.feed(PlaceGivenUp("big"))
    assert kept(rig) == []


def test_the_present_place_is_a_change_of_mind():
    rig = on_its_way()
    assert move(rig, "reviewer", "").text == "reviewer stays at home"
    assert told(rig) == [("reviewer", LeavePlace(incarnation=1, leaves=False))]
    assert asked_to_stop(rig.say("reviewer", PlaceLeft())) == []


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("reviewer", "", "reviewer is at home already"),
        ("worker", "big", "worker is at big already"),
        ("nobody", "big", "no actor 'nobody': there are persistence"),
    ],
)
def test_a_move_that_is_none_is_refused(name: str, place: str, words: str):
    rig = up(worker="big")
    answer = move(rig, name, place)
    assert (answer.refused, words in answer.text, len(rig.last)) == (True, True, 1)


def test_a_move_that_is_under_way_is_not_begun_again_but_may_go_elsewhere():
    rig = on_its_way()
    assert move(rig, "reviewer", "big").refused
    assert not move(rig, "reviewer", "other").refused
    rig.say("reviewer", PlaceLeft())
    rig.stopped("reviewer")
    assert placed(rig) == [("reviewer", "other")]


def test_an_actor_that_does_not_become_ready_at_its_new_place_goes_back():
    rig = moved()
    rig.feed(StartFailed(child="r/1/reviewer", incarnation=2, reason="the link has just ended", permanent=True))
    assert placed(rig) == [("reviewer", "big"), ("reviewer", "")]
    assert (started(rig.last), rig.tree.phase) == (["reviewer"], "running")


def test_an_actor_that_finds_no_agent_at_its_new_place_goes_back_and_the_run_continues():
    rig = moved()
    rig.say("reviewer", Ready(pid=8))
    rig.cannot_start("reviewer", "claude is not installed there")
    assert placed(rig)[-1] == ("reviewer", "")
    assert (started(rig.last), rig.tree.phase) == (["reviewer"], "running")


def test_only_the_first_incarnation_at_a_new_place_goes_back():
    rig = moved().ready("reviewer")
    rig.killed("reviewer")
    rig.wake(RestartDue)
    rig.cannot_start("reviewer", "its journal cannot be read")
    assert placed(rig) == [("reviewer", "big")]
    assert rig.tree.phase == "ending"


def test_a_place_that_is_given_up_is_left_for_home_with_the_next_end():
    rig = up(worker="big", reviewer="far")
    assert rig.feed(PlaceGivenUp("big")) == []
    rig.exits("worker")
    assert placed(rig) == [("worker", "")]
    assert started(rig.wake(RestartDue)) == ["worker"]
    assert rig.tree.children["reviewer"].place == "far"


def test_a_silent_link_is_no_hang_of_the_actors_behind_it_as_long_as_the_lease_runs():
    rig = up(worker="big")
    for name in CHILDREN:
        rig.beat(name)
    killed = [each.child for each in only(KillChild, rig.feed(Tick(), after_ms=39_000))]
    assert sorted(killed) == sorted(name for name in CHILDREN if name != "worker")
    assert [each.child for each in only(KillChild, rig.feed(Tick(), after_ms=2_000))] == ["worker"]
    assert rig.shown("worker") == ("stuck", "no sign of life for 40 s")


def test_an_actor_that_comes_home_is_as_prompt_as_the_others():
    rig = up(reviewer="big")
    move(rig, "reviewer", "")
    rig.say("reviewer", PlaceLeft())
    rig.stopped("reviewer")
    rig.say("reviewer", Ready(pid=8))
    assert "reviewer" in [each.child for each in only(KillChild, rig.feed(Tick(), after_ms=10_001))]


def test_an_actor_that_is_down_when_its_place_is_given_up_starts_at_home():
    rig = up(worker="big")
    rig.killed("worker")
    rig.feed(PlaceGivenUp("big"))
    assert placed(rig) == [("worker", "")]


def test_an_actor_on_its_way_to_a_place_that_is_given_up_stays():
    rig = on_its_way()
    rig.feed(PlaceGivenUp("big"))
    assert told(rig) == [("reviewer", LeavePlace(incarnation=1, leaves=False))]
    rig.killed("reviewer")
    assert placed(rig) == []


def test_an_actor_on_its_way_from_a_place_that_is_given_up_goes_where_it_wants_to():
    rig = on_its_way("other", reviewer="big")
    rig.feed(PlaceGivenUp("big"))
    rig.exits("reviewer")
    assert placed(rig) == [("reviewer", "other")]


def test_a_run_that_is_ending_moves_nobody():
    rig = on_its_way()
    rig.run_ended()
    assert move(rig, "reviewer", "other").refused
    rig.stopped("run", "worker", "reviewer")
    assert (placed(rig), started(rig.last)) == ([], [])
