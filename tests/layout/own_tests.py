"""The tests themselves: they wait for events, and never for a time; nothing is patched, nothing skipped in silence."""

import ast

from tests.layout.house import TESTS, at, called, calls, nodes, source

CLOCKS = {
    f"{module}{clock}{unit}"
    for module in ("", "time.")
    for clock in ("monotonic", "time", "perf_counter", "process_time")
    for unit in ("", "_ns")
} | {"wall_ms"}

# What tells for how long something has gone on: `monotonic() - began`. A deadline has it the other way round.
STOP_WATCHES = {clock for clock in CLOCKS if "monotonic" in clock or "perf_counter" in clock}


def test_no_test_measures_time():
    """That something took less than a time is said by an event, or with a clock that comes in; a promise of so many
    seconds by scripts/bench. What waits has a limit that raises.
    """
    measuring = [
        at(name, node)
        for name in TESTS
        for node in nodes(name, ast.BinOp)
        if isinstance(node.op, ast.Sub) and isinstance(node.left, ast.Call) and called(node.left) in STOP_WATCHES
    ]
    asserting = [
        at(name, statement)
        for name in TESTS
        for statement in nodes(name, ast.Assert)
        for node in ast.walk(statement.test)
        if isinstance(node, ast.Call) and called(node) in STOP_WATCHES
    ]
    assert measuring + asserting == []


WAITS = {"wait", "wait_for", "join", "result", "timeout", "settimeout", "wait_ended", "acquire", "communicate"}
BRIEF_S, LONG_S = 3, 60


def test_a_wait_is_patient_or_brief():
    """What must come is waited for with `tests.patience.PATIENCE_S`: a busy machine needs more than some seconds. Brief
    is what must not come, and a limit that is tested itself.
    """
    between = [
        at(name, call)
        for name in TESTS
        if not name.startswith(
            ("tests.end_to_end.", "tests.lab.")
        )  # programs start there, which have times of their own
        for call in calls(name)
        for value in (
            *(each.value for each in call.keywords if each.arg in ("timeout", "timeout_s")),
            *(call.args if called(call).rpartition(".")[2] in WAITS else ()),
        )
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float) and BRIEF_S < value.value < LONG_S
    ]
    own = [
        at(name, node)
        for name in TESTS
        if not name.startswith(("tests.end_to_end.", "tests.lab.", "tests.patience"))
        for node in nodes(name, ast.Assign)
        if [ast.unparse(target) for target in node.targets] == ["PATIENCE_S"]
    ]
    assert between + own == []


# `asyncio.sleep(0)` only lets others run. The list shrinks; nothing is added.
SLEEP = {
    "tests.contract.rigs": "looks at a transcript again, which tells nobody that it changes",
    "tests.actors.adapters.test_claude_pane": "looks at a screen again, which tells nobody that it changes",
    "tests.actors.adapters.test_codex_tui": "looks at a screen again, which tells nobody that it changes",
    "tests.end_to_end.test_workspace": "looks at a screen again, which tells nobody that it changes",
    "tests.supervisor.launched": "is the process that is to be killed",
}


def test_no_test_sleeps():
    sleeping = {
        name
        for name in TESTS
        for call in calls(name)
        if called(call).rpartition(".")[2] == "sleep" and [ast.unparse(each) for each in call.args] != ["0"]
    }
    assert sleeping == SLEEP.keys()  # what sleeps no more leaves the list


# Where in its arguments a wait has its limit.
LIMITS = {"wait": 0, "join": 0, "wait_until_empty": 0, "wait_for": 1, "wait_until": 1, "wait_ended": 1}


def limits(call: ast.Call) -> list[ast.expr]:
    place = LIMITS.get(called(call).rpartition(".")[2], len(call.args))
    named = [each.value for each in call.keywords if each.arg in ("timeout", "timeout_s", "patience_s")]
    return [*call.args[place : place + 1], *named]


def test_a_wait_of_a_whole_run_has_the_labs_patience_and_no_limit_of_its_own():
    """`tests.lab.world.PATIENCE_S`: a machine with several times the load breaks every other one. A look of less than a
    second is repeated. What tests a time limit says so: `within_s`.
    """
    of_its_own = [
        at(name, call)
        for name in TESTS
        if name.startswith(("tests.end_to_end.", "tests.lab."))
        for call in calls(name)
        for each in limits(call)
        if isinstance(each, ast.Constant) and isinstance(each.value, int | float) and each.value >= 1
    ]
    assert of_its_own == []


def test_nothing_is_patched():
    patching = [
        at(name, node)
        for name in TESTS
        for node in (*nodes(name, ast.arg), *nodes(name, ast.Import), *nodes(name, ast.ImportFrom))
        if (isinstance(node, ast.arg) and node.arg in ("monkeypatch", "mocker"))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("unittest"))
        or (isinstance(node, ast.Import) and any(alias.name.startswith("unittest") for alias in node.names))
    ]
    assert patching == []


# Tests that are never run. The list shrinks; nothing is added.
NEVER_RUN = {"tests.supervisor.test_launchers"}  # macOS has no PR_SET_PDEATHSIG


def test_what_is_skipped_says_why():
    skips = [
        call
        for name in TESTS
        for call in calls(name)
        if called(call) in ("pytest.mark.skip", "pytest.mark.skipif", "pytest.skip")
    ]
    assert [ast.unparse(call) for call in skips if not (call.keywords or called(call) == "pytest.skip")] == []
    never = {name for name in TESTS if "xfail(run=False" in source(name) and name != "tests.layout.own_tests"}
    assert never - NEVER_RUN == set()
