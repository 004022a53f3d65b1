"""A specification that cannot be meant is refused, with the value and what to do in the text."""

import pytest

from actors.errors import UserError
from supervisor.spec import BackOff, ChildSpec, Intensity, SupervisorSpec


def child(child_id="worker", **settings):
    return ChildSpec(**{"id": child_id, "entry": "actors.actor_process:main", **settings})


def test_a_child_needs_only_an_id_and_an_entry():
    spec = child()
    assert (spec.restart, spec.significant, spec.listens) == ("permanent", False, False)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"child_id": ""}, "needs an id"),
        ({"entry": "actors.actor_process"}, "'actors.actor_process' is not of the form"),
        ({"entry": "actors host:main"}, "'actors host:main' is not of the form"),
        ({"entry": ":main"}, "':main' is not of the form"),
        ({"restart": "always"}, "restart is 'always': choose one of permanent, transient, temporary"),
        ({"significant": True}, "make it transient or temporary"),
        ({"shutdown_s": -1}, "shutdown_s is -1: it must be at least 0"),
        ({"shutdown_s": float("nan")}, "shutdown_s is nan: give a finite number"),
        ({"ready_within_s": 0}, "ready_within_s is 0: it must be above 0"),
        ({"stuck_after_s": 0}, "stuck_after_s is 0: it must be above 0"),
    ],
)
def test_a_child_that_cannot_be_meant_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        child(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_restarts": -1}, "max_restarts is -1: it must be at least 0"),
        ({"period_s": 0}, "period_s is 0: it must be above 0"),
    ],
)
def test_an_intensity_that_cannot_be_meant_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        Intensity(**settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"first_s": -0.1}, "first_s is -0.1: it must be at least 0"),
        ({"factor": 0.5}, "factor is 0.5: it must be at least 1"),
        ({"factor": 11}, "factor is 11: it must be at most 10"),
        ({"first_s": 2, "max_s": 1}, "max_s is 1: it must be at least 2"),
        ({"jitter": 1.5}, "jitter is 1.5: it must be at most 1"),
        ({"healthy_after_s": -1}, "healthy_after_s is -1: it must be at least 0"),
    ],
)
def test_a_back_off_that_cannot_be_meant_is_refused(settings, words):
    with pytest.raises(UserError, match=words):
        BackOff(**settings)


def test_two_children_with_one_id_are_refused():
    with pytest.raises(UserError, match="two children have the id 'worker'"):
        SupervisorSpec(children=(child(), child()))


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UserError, match="strategy is 'some': choose one of one_for_one, rest_for_one, one_for_all"):
        SupervisorSpec(children=(child(),), strategy="some")


def test_a_child_is_found_by_its_id():
    spec = SupervisorSpec(children=(child("bridge"), child("worker")))
    assert spec.child("worker").id == "worker"
    with pytest.raises(UserError, match="no child 'reviewer': there are bridge, worker"):
        spec.child("reviewer")
