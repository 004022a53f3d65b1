"""The whole matrix exit class x restart type x strategy, then what must hold for any history."""

from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.policy import (
    ChildExit,
    ExitClass,
    GiveUp,
    Leave,
    PastRestart,
    RestartChildren,
    ShutDown,
    classify,
    decide,
    restarts_within,
    wait_s,
)
from supervisor.spec import BackOff, ChildSpec, Intensity, Restart, Strategy, SupervisorSpec

CHILDREN = ("persistence", "bridge", "worker", "reviewer")
NOW_MS = 1_000_000
MATRIX = list(product(get_args(ExitClass), get_args(Restart), get_args(Strategy)))


def tree(strategy="one_for_one", *, restart="permanent", significant=False, intensity=None, back_off=None):
    """Four children; `bridge`, the second, is the one with the settings."""
    return SupervisorSpec(
        children=tuple(
            ChildSpec(id=name, entry="actors.actor_process:main", restart=restart, significant=significant)
            if name == "bridge"
            else ChildSpec(id=name, entry="actors.actor_process:main")
            for name in CHILDREN
        ),
        strategy=strategy,
        intensity=intensity or Intensity(),
        back_off=back_off or BackOff(),
    )


def ended(exit_class="crash", *, child="bridge", healthy_s=0.0):
    return ChildExit(child=child, exit_class=exit_class, healthy_s=healthy_s)


def decision_on(spec, end, history=(), *, alive=CHILDREN, held=(), has_operator=False, now_ms=NOW_MS, jitter=0.0):
    return decide(
        spec,
        end,
        history,
        alive=[child for child in alive if child != end.child],
        held=held,
        has_operator=has_operator,
        now_ms=now_ms,
        jitter=jitter,
    )


STOPPED = {
    "one_for_one": (),
    "rest_for_one": ("reviewer", "worker"),
    "one_for_all": ("reviewer", "worker", "persistence"),
}
STARTED = {
    "one_for_one": ("bridge",),
    "rest_for_one": ("bridge", "worker", "reviewer"),
    "one_for_all": CHILDREN,
}
RESTARTED_AFTER = {
    "permanent": set(get_args(ExitClass)) - {"permanent"},
    "transient": {"crash", "hang", "lost", "start-failed"},
    "temporary": set(),
}


@pytest.mark.parametrize(("exit_class", "restart", "strategy"), MATRIX)
def test_the_restart_type_says_whether_and_the_strategy_says_who(exit_class, restart, strategy):
    decision, history = decision_on(tree(strategy, restart=restart), ended(exit_class))
    if exit_class in RESTARTED_AFTER[restart]:
        assert isinstance(decision, RestartChildren)
        assert decision.stop == STOPPED[strategy]
        assert decision.start == STARTED[strategy]
        assert len(history) == 1
        assert exit_class in decision.why
    elif exit_class == "permanent" and restart != "temporary":
        assert isinstance(decision, GiveUp)
        assert history == ()
    else:
        assert isinstance(decision, Leave)
        assert history == ()
        assert exit_class in decision.why


@pytest.mark.parametrize(("exit_class", "restart"), list(product(get_args(ExitClass), ("transient", "temporary"))))
def test_a_significant_child_that_ends_for_good_shuts_the_supervisor_down(exit_class, restart):
    decision, _ = decision_on(tree(restart=restart, significant=True), ended(exit_class))
    if exit_class in RESTARTED_AFTER[restart]:
        assert isinstance(decision, RestartChildren)
    elif exit_class == "permanent" and restart != "temporary":
        assert isinstance(decision, GiveUp)
        assert decision.stop == ("reviewer", "worker", "persistence")
    else:
        assert isinstance(decision, ShutDown)
        assert decision.stop == ("reviewer", "worker", "persistence")


@pytest.mark.parametrize("has_operator", [True, False])
@pytest.mark.parametrize(("restart", "strategy"), list(product(("permanent", "transient"), get_args(Strategy))))
def test_a_start_failure_that_cannot_change_is_not_restarted_but_told_with_its_cause(restart, strategy, has_operator):
    end = ChildExit(child="bridge", exit_class="permanent", detail="x.toml: it is a directory")
    decision, history = decision_on(tree(strategy, restart=restart), end, has_operator=has_operator)
    assert decision == GiveUp(
        stop=("reviewer", "worker", "persistence"),
        why="bridge cannot start: x.toml: it is a directory",
        ask=has_operator,
        permanent=True,
    )
    assert history == ()


@pytest.mark.parametrize(("exit_class", "restart", "strategy"), MATRIX)
def test_a_child_stopped_by_hand_stays_down(exit_class, restart, strategy):
    decision, history = decision_on(tree(strategy, restart=restart), ended(exit_class), held={"bridge"})
    assert isinstance(decision, Leave)
    assert "stopped by hand" in decision.why
    assert history == ()


def test_a_significant_child_stopped_by_hand_shuts_nothing_down():
    decision, _ = decision_on(tree(restart="transient", significant=True), ended("normal"), held={"bridge"})
    assert isinstance(decision, Leave)


def test_a_child_stopped_by_hand_is_not_started_by_its_sibling():
    decision, _ = decision_on(tree("one_for_all"), ended(), alive=("persistence", "reviewer"), held={"worker"})
    assert decision.stop == ("reviewer", "persistence")
    assert decision.start == ("persistence", "bridge", "reviewer")


def test_a_temporary_child_is_stopped_with_its_siblings_but_not_started_again():
    decision, _ = decision_on(tree("one_for_all", restart="temporary"), ended(child="persistence"))
    assert decision.stop == ("reviewer", "worker", "bridge")
    assert decision.start == ("persistence", "worker", "reviewer")


def test_a_child_that_is_down_is_not_stopped_again_but_comes_back_with_its_siblings():
    decision, _ = decision_on(tree("rest_for_one"), ended(), alive=("persistence", "reviewer"))
    assert decision.stop == ("reviewer",)
    assert decision.start == ("bridge", "worker", "reviewer")


def test_the_restart_after_one_too_many_is_a_surrender_that_stops_the_others():
    spec = tree(intensity=Intensity(max_restarts=2, period_s=10))
    history = ()
    for _ in range(2):
        decision, history = decision_on(spec, ended(healthy_s=60), history)
        assert isinstance(decision, RestartChildren)
    decision, after = decision_on(spec, ended(healthy_s=60), history)
    assert isinstance(decision, GiveUp)
    assert decision.stop == ("reviewer", "worker", "persistence")
    assert "no more than 2 restarts in 10 s" in decision.why
    assert after == history


@pytest.mark.parametrize("has_operator", [True, False])
def test_a_surrender_is_a_question_when_there_is_somebody_to_ask(has_operator):
    decision, _ = decision_on(tree(intensity=Intensity(max_restarts=0)), ended(), has_operator=has_operator)
    assert isinstance(decision, GiveUp)
    assert decision.ask is has_operator


def test_restarts_of_all_children_count_together():
    spec = tree(intensity=Intensity(max_restarts=1, period_s=10))
    _, history = decision_on(spec, ended(child="worker"))
    decision, _ = decision_on(spec, ended(child="reviewer"), history)
    assert isinstance(decision, GiveUp)


def test_a_restart_older_than_the_period_does_not_count():
    spec = tree(intensity=Intensity(max_restarts=1, period_s=10))
    _, history = decision_on(spec, ended(healthy_s=60))
    decision, _ = decision_on(spec, ended(healthy_s=60), history, now_ms=NOW_MS + 9_999)
    assert isinstance(decision, GiveUp)
    decision, _ = decision_on(spec, ended(healthy_s=60), history, now_ms=NOW_MS + 10_000)
    assert isinstance(decision, RestartChildren)


def test_without_any_restart_allowed_the_first_crash_is_the_end():
    decision, _ = decision_on(tree(intensity=Intensity(max_restarts=0)), ended())
    assert isinstance(decision, GiveUp)


def test_the_one_restart_of_a_group_counts_once():
    _, history = decision_on(tree("one_for_all"), ended())
    assert restarts_within(history, 60, NOW_MS) == 1


def test_waits_grow_within_a_series_and_the_first_is_immediate():
    spec = tree(back_off=BackOff(first_s=0.5, factor=2, max_s=3), intensity=Intensity(max_restarts=9))
    history, waits = (), []
    for _ in range(6):
        decision, history = decision_on(spec, ended("start-failed"), history)
        waits.append(decision.after_s)
    assert waits == [0, 0.5, 1, 2, 3, 3]


def test_after_a_healthy_while_a_new_series_begins():
    spec = tree(back_off=BackOff(healthy_after_s=10))
    history = (PastRestart(child="bridge", due_ms=NOW_MS - 50_000, number=4),)
    sick, _ = decision_on(spec, ended(healthy_s=9.9), history)
    healthy, later = decision_on(spec, ended(healthy_s=10), history)
    assert sick.after_s > 0
    assert healthy.after_s == 0
    assert later[-1].number == 1


def test_each_child_has_a_series_of_its_own():
    spec = tree()
    _, history = decision_on(spec, ended(child="worker"))
    decision, _ = decision_on(spec, ended(child="reviewer"), history)
    assert decision.after_s == 0


@pytest.mark.parametrize("start_takes_s", [0, 0.2, 1])
def test_with_the_defaults_a_child_that_dies_at_every_start_is_given_up(start_takes_s):
    history, now_ms = (), NOW_MS
    for _ in range(20):
        decision, history = decision_on(tree(), ended("start-failed"), history, now_ms=now_ms, jitter=0.5)
        if isinstance(decision, GiveUp):
            break
        now_ms += round(1000 * (decision.after_s + start_takes_s))
    assert isinstance(decision, GiveUp)
    assert now_ms - NOW_MS < 60_000


@pytest.mark.parametrize(
    ("code", "signal", "flags", "exit_class"),
    [
        (0, None, set(), "normal"),
        (0, None, {"ready"}, "normal"),
        (70, None, {"ready"}, "crash"),
        (None, 9, {"ready"}, "crash"),
        (1, None, set(), "start-failed"),
        (71, None, set(), "start-failed"),
        (125, None, set(), "permanent"),
        (125, None, {"ready"}, "permanent"),
        (125, None, {"asked_to_stop"}, "shutdown"),
        (125, None, {"stuck"}, "hang"),
        (None, 11, set(), "start-failed"),
        (None, None, {"ready"}, "lost"),
        (None, None, set(), "lost"),
        (None, 9, {"ready", "stuck"}, "hang"),
        (None, None, {"ready", "stuck"}, "lost"),  # with its host
        (0, None, {"ready", "asked_to_stop"}, "shutdown"),
        (None, 9, {"ready", "asked_to_stop", "stuck"}, "shutdown"),
    ],
)
def test_an_end_has_one_class(code, signal, flags, exit_class):
    known = {flag: flag in flags for flag in ("ready", "asked_to_stop", "stuck")}
    assert classify(code=code, signal=signal, **known) == exit_class


# --- for any history ---------------------------------------------------------------------------------------------

ENDS = st.lists(
    st.tuples(
        st.sampled_from(CHILDREN),
        st.sampled_from(get_args(ExitClass)),
        st.sampled_from([0.0, 1.0, 30.0]),  # healthy_s
        st.integers(min_value=0, max_value=8_000),  # ms since the one before
        st.floats(min_value=0, max_value=1, exclude_max=True),
    ),
    max_size=40,
)
SPECS = st.builds(
    tree,
    st.sampled_from(get_args(Strategy)),
    restart=st.sampled_from(get_args(Restart)),
    intensity=st.builds(
        Intensity, max_restarts=st.integers(min_value=0, max_value=6), period_s=st.sampled_from([0.5, 5.0, 30.0])
    ),
    back_off=st.builds(BackOff, first_s=st.sampled_from([0.0, 0.1, 1.0]), max_s=st.sampled_from([1.0, 5.0])),
)


def play(spec, ends):
    """All decisions of one life, each with when it fell."""
    history, now_ms = (), NOW_MS
    for child, exit_class, healthy_s, pause_ms, jitter in ends:
        now_ms += pause_ms
        decision, history = decision_on(
            spec, ended(exit_class, child=child, healthy_s=healthy_s), history, now_ms=now_ms, jitter=jitter
        )
        yield now_ms, decision, history


@given(SPECS, ENDS)
def test_never_more_than_the_allowed_restarts_fall_into_one_period(spec, ends):
    decided, due = [], []
    for now_ms, decision, _ in play(spec, ends):
        if isinstance(decision, RestartChildren):
            decided.append(now_ms)
            due.append(now_ms + round(decision.after_s * 1000))
    for times in (decided, due):
        for end_ms in times:
            window = [at_ms for at_ms in times if end_ms - spec.intensity.period_s * 1000 < at_ms <= end_ms]
            assert len(window) <= spec.intensity.max_restarts


@given(SPECS, ENDS)
def test_the_same_history_and_time_give_the_same_count_and_the_same_decisions(spec, ends):
    first, second = list(play(spec, ends)), list(play(spec, ends))
    assert first == second
    for now_ms, _, history in first:
        count = restarts_within(history, spec.intensity.period_s, now_ms)
        assert count == restarts_within(history, spec.intensity.period_s, now_ms)
        assert 0 <= count <= min(len(history), spec.intensity.max_restarts)
        assert restarts_within(history, spec.intensity.period_s, now_ms + 10**9) == 0


@given(SPECS, ENDS)
def test_children_are_started_in_start_order_and_stopped_in_the_reverse(spec, ends):
    for _, decision, _ in play(spec, ends):
        start = getattr(decision, "start", ())
        stop = getattr(decision, "stop", ())
        assert list(start) == sorted(start, key=CHILDREN.index)
        assert list(stop) == sorted(stop, key=CHILDREN.index, reverse=True)


@given(SPECS, ENDS)
def test_history_keeps_only_the_window_and_the_last_of_each_child(spec, ends):
    for now_ms, _, history in play(spec, ends):
        assert len(history) <= spec.intensity.max_restarts + len(CHILDREN)
        assert restarts_within(history, spec.intensity.period_s, now_ms) <= spec.intensity.max_restarts


@given(
    st.integers(min_value=1, max_value=10_000),
    st.floats(min_value=0, max_value=1, exclude_max=True),
    st.sampled_from([1.0, 2.0, 10.0]),
)
def test_a_wait_is_never_beyond_the_longest_nor_far_below_its_place_in_the_series(number, jitter, factor):
    back_off = BackOff(first_s=0.5, factor=factor, max_s=5.0, jitter=0.2)
    wait, full = wait_s(back_off, number, jitter), wait_s(back_off, number, 0.0)
    assert 0 <= wait <= full <= back_off.max_s
    assert wait >= full * (1 - back_off.jitter)
    assert full <= wait_s(back_off, number + 1, 0.0)
