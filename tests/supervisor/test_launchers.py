"""Both launchers, with real processes: what is started runs alone, and ends with all that it has started."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import textwrap
from itertools import chain
from pathlib import Path

import psutil
import pytest

from actors.edges import processes
from actors.errors import ProtocolError
from supervisor.forkserver_launcher import start_early
from supervisor.launchers import (
    Exited,
    ForkserverLauncher,
    PortableLauncher,
    SpawnRequest,
    Started,
    StartFailed,
    make_launcher,
)
from supervisor.stale_processes import records_directory
from tests.patience import PATIENCE_S

HERE = str(Path(__file__).parent)
NEEDS_LINUX = [] if processes.HAS_SUBREAPER else [pytest.mark.xfail(run=False, reason="only Linux has a subreaper")]
ON_LINUX = pytest.param(False, id="forkserver", marks=NEEDS_LINUX)
FORKED = pytest.param("early", id="forked off", marks=NEEDS_LINUX)
STARTED = pytest.param("started", id="started before its launcher", marks=NEEDS_LINUX)


class Stage:
    """A launcher, its events, and a socket at which the started processes tell about themselves."""

    def __init__(self, launcher, events, ear, records, others):
        self.launcher, self.events, self._ear, self.records = launcher, events, ear, records
        self.others = others  # what other tests have below this process
        self.address = ear.getsockname()
        self._seen = {}
        self._links = {}  # of each pid
        self._unheard = []  # others have told more than they were asked

    def start(self, entry, child="run/worker", incarnation=1, *, arguments=None, **settings):
        told = {"ear": self.address, "records": str(self.records(child)), **(arguments or {})}
        request = SpawnRequest(
            child=child,
            incarnation=incarnation,
            entry=f"launched:{entry}",
            arguments=json.dumps(told).encode(),
            **settings,
        )
        self.launcher.start(request)

    def hear(self, pid=None, *, is_spare=False):
        """What the next process tells, or this one; what a spare process tells is heard only when it is asked for.

        Processes tell in any order.
        """

        def fits(facts):
            return facts.get("spare", False) is is_spare and pid in (None, facts["pid"])

        while not (found := [facts for facts in self._unheard if fits(facts)]):
            self._unheard.append(self._accept())
        self._unheard.remove(found[0])
        return found[0]

    def _accept(self):
        link, _ = self._ear.accept()
        facts = json.loads(link.makefile().readline())
        self._links.setdefault(facts["pid"], []).append(link)
        self.watch([facts["pid"], *facts.get("below", {}).values()])
        return facts

    def answer(self, pid, word):
        """To this process, where it has told something last."""
        self._links[pid][-1].sendall(word)

    def watch(self, pids):
        self._seen.update((pid, processes.start_time(pid)) for pid in pids)

    def next(self, kind):
        event = self.events.get(timeout=PATIENCE_S)
        assert isinstance(event, kind), event
        return event

    def started(self, *args, **settings):
        """Starts one and returns what it tells, when it has told it."""
        self.start(*args, **settings)
        event = self.next(Started)
        return self.hear(event.pid)

    def clean(self):
        self.launcher.close()
        for link in chain(*self._links.values()):
            link.close()
        self._ear.close()
        for pid, born in self._seen.items():
            if born:
                processes.end_stale(pid, born)


@pytest.fixture
def make_stage(tmp_path):
    stages = []
    modules = [HERE, str(tmp_path)]
    sys.path.extend(modules)  # the started processes see what this one sees
    runtime_dir = tmp_path / "r"

    def make(portable, **settings):
        events = queue.Queue()
        ear = socket.socket(socket.AF_UNIX)
        ear.bind(f"{tmp_path}/ear{len(stages)}")
        ear.listen()
        ear.settimeout(PATIENCE_S)
        others = processes.tree(os.getpid())
        launcher = make_launcher(events.put, runtime_dir=runtime_dir, portable=portable, **settings)
        stages.append(Stage(launcher, events, ear, lambda child: records_directory(runtime_dir, child), others))
        return stages[-1]

    yield make
    for stage in stages:
        stage.clean()
    for directory in modules:
        sys.path.remove(directory)


@pytest.fixture(params=[ON_LINUX, pytest.param(True, id="portable")])
def stage(request, make_stage):
    return make_stage(request.param, preload=())


@pytest.fixture(params=[ON_LINUX])
def forkserver_stage(request, make_stage):
    return make_stage(request.param, preload=())


def all_gone(pids):
    return all(processes.wait_ended(pid, PATIENCE_S) for pid in pids)


def forkserver_pid(stage):
    return stage.launcher._forkserver._pid


# --- what is started ---------------------------------------------------------------------------------------------


def test_a_process_is_alone_in_its_session_with_its_lifelines_and_its_socket(stage):
    stage.started("tree", child="run/other")
    stage.started("serve_one", child="run/bridge", listens=True, arguments={"deaf": True})
    facts = stage.started("describe", child="run/worker", listens=True)
    assert facts["session"] == facts["pid"] != os.getsid(0)
    assert facts["fds"] == sorted([0, 1, 2, *facts["mine"]])
    assert facts["inheritable"] == []
    assert facts["stdin"] == ""
    assert facts["threads"] == 1


def test_a_process_has_no_trace_of_the_forkserver_in_its_signals_and_environment(stage):
    facts = stage.started("describe")
    assert facts["handlers"][:2] == [str(signal.SIG_DFL)] * 2
    assert "default_int_handler" in facts["handlers"][2]
    assert facts["blocked"] == []
    assert set(facts["environment"]) - set(os.environ) <= {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"}
    assert facts["path"] == [entry or str(Path.cwd()) for entry in sys.path]


def test_without_a_wish_for_a_socket_there_is_none(stage):
    *lifelines, listen_fd = stage.started("describe")["mine"]
    assert all(fd > 2 for fd in lifelines)
    assert listen_fd is None


def test_arguments_may_be_larger_than_any_pipe(stage):
    facts = stage.started("describe", arguments={"padding": "x" * 3_000_000})
    assert facts["length"] > 3_000_000


def test_output_is_appended_to_the_log_over_incarnations(stage, tmp_path):
    for incarnation in (1, 2):
        stage.start(
            "leave", incarnation=incarnation, arguments={"say": f"line {incarnation}"}, log_path=tmp_path / "log"
        )
        stage.next(Started)
        stage.next(Exited)
    assert (tmp_path / "log").read_text() == "line 1\nline 2\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_many_are_started_at_once_and_each_has_its_own_events(stage):
    names = [f"run/child {number}" for number in range(6)]
    for name in names:
        stage.start("leave", child=name, arguments={"code": 3})
    seen = {name: [] for name in names}
    for _ in range(2 * len(names)):
        event = stage.events.get(timeout=PATIENCE_S)
        seen[event.child].append(type(event))
    assert all(kinds == [Started, Exited] for kinds in seen.values())


# --- how it ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "code", "number"),
    [
        ({"code": 0}, 0, None),
        ({"code": 70}, 70, None),
        ({"signal": signal.SIGSEGV}, None, signal.SIGSEGV),
        ({"say": "done"}, 0, None),
        ({"error": "expected in this test"}, 1, None),
    ],
)
def test_an_exit_is_reported_with_its_code_or_signal(stage, tmp_path, how, code, number):
    stage.start("leave", incarnation=7, arguments=how, log_path=tmp_path / "log")
    pid = stage.next(Started).pid
    assert stage.next(Exited) == Exited(child="run/worker", incarnation=7, code=code, signal=number)
    assert processes.start_time(pid) is None


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("launched:nothing_of_this_name", "AttributeError: module 'launched' has no attribute 'nothing_of_this_name'"),
        ("no_such_module:main", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("exits_on_import:main", "SystemExit: at import"),
        ("dies_on_import:main", "ended before it ran: code None, signal 9"),
    ],
)
def test_an_entry_that_cannot_be_called_is_a_failed_start(stage, tmp_path, entry, words):
    (tmp_path / "exits_on_import.py").write_text("raise SystemExit('at import')")
    (tmp_path / "dies_on_import.py").write_text("import os; os.kill(os.getpid(), 9)")
    request = SpawnRequest(child="run/worker", incarnation=2, entry=entry, arguments=b"", log_path=tmp_path / "log")
    stage.launcher.start(request)
    assert stage.next(StartFailed) == StartFailed(child="run/worker", incarnation=2, reason=words)


def test_a_log_that_cannot_be_opened_is_a_failed_start(stage, tmp_path):
    stage.start("describe", log_path=tmp_path / "no" / "such" / "directory")
    assert "FileNotFoundError" in stage.next(StartFailed).reason


def test_a_signal_reaches_the_process_and_not_its_children(stage):
    facts = stage.started("leave_on_terminate")
    stage.launcher.kill("run/worker", 1, signal.SIGTERM)
    assert stage.next(Exited) == Exited(child="run/worker", incarnation=1, code=5, signal=None)
    assert not processes.is_running(facts["below"]["plain"])  # it went with the process, not by the signal


def test_a_kill_may_follow_the_start_at_once(stage):
    stage.start("tree")
    stage.launcher.kill("run/worker", 1)
    event = stage.next((Started, StartFailed))
    if isinstance(event, Started):
        assert stage.next(Exited).signal == signal.SIGKILL


def test_a_signal_to_an_incarnation_that_is_gone_does_nothing(stage):
    stage.start("leave", arguments={"code": 0})
    stage.next(Started)
    stage.next(Exited)
    facts = stage.started("describe", incarnation=2)
    stage.launcher.kill("run/worker", 1)
    stage.launcher.kill("run/nobody", 1)
    stage.launcher.kill("run/worker", 2)
    assert stage.next(Exited).incarnation == 2
    assert not processes.is_running(facts["pid"])


# --- nothing stays behind ----------------------------------------------------------------------------------------


def test_when_a_killed_actor_is_reported_its_whole_tree_is_gone_without_any_record(stage):
    facts = stage.started("tree", arguments={"records": ""})
    stage.launcher.kill("run/worker", 1)
    assert stage.next(Exited).signal == signal.SIGKILL
    if not processes.HAS_SUBREAPER:  # then a daemon is found by its record only
        del facts["below"]["daemon"]
    assert not any(map(processes.is_running, facts["below"].values()))


def test_an_actor_killed_by_somebody_else_leaves_nothing_either(stage):
    facts = stage.started("tree")
    os.kill(facts["pid"], signal.SIGKILL)
    assert stage.next(Exited).signal == signal.SIGKILL
    assert not any(map(processes.is_running, facts["below"].values()))
    assert not list(stage.records("run/worker").iterdir())


def test_a_forkserver_needs_no_records_to_find_what_an_actor_left(forkserver_stage):
    facts = forkserver_stage.started("tree", arguments={"records": ""})
    os.kill(facts["pid"], signal.SIGKILL)
    assert forkserver_stage.next(Exited).signal == signal.SIGKILL
    assert not any(map(processes.is_running, facts["below"].values()))


def test_the_end_of_one_actor_touches_no_other(stage):
    other = stage.started("tree", child="run/reviewer")
    facts = stage.started("tree")
    stage.launcher.kill("run/worker", 1)
    stage.next(Exited)
    assert not processes.is_running(facts["below"]["daemon"])
    assert all(map(processes.is_running, [other["pid"], *other["below"].values()]))


def test_closing_ends_everything_and_no_event_comes_after_that(stage):
    facts = [stage.started("tree", child=f"run/{number}") for number in range(3)]
    stage.launcher.close()
    assert not any(processes.is_running(pid) for one in facts for pid in [one["pid"], *one["below"].values()])
    stage.launcher.close()
    assert stage.events.empty()
    with pytest.raises(ProtocolError, match="run/worker#1 requested from a closed launcher"):
        stage.start("tree")


def test_closing_ends_what_is_only_just_being_started(stage):
    for number in range(4):
        stage.start("tree", child=f"run/{number}")
    stage.launcher.close()
    assert stage.events.empty() or all(isinstance(event, Started) for event in stage.events.queue)
    assert processes.tree(os.getpid()) - stage.others - {os.getpid()} == set()


def test_closing_ends_stopped_actors_as_well(stage):
    facts = stage.started("tree")
    os.kill(facts["pid"], signal.SIGSTOP)
    stage.launcher.close()
    assert not any(map(processes.is_running, [facts["pid"], *facts["below"].values()]))


def test_closing_ends_a_stopped_forkserver(forkserver_stage):
    facts = forkserver_stage.started("tree")
    forkserver = forkserver_pid(forkserver_stage)
    os.kill(forkserver, signal.SIGSTOP)
    forkserver_stage.launcher.close()
    assert not any(map(processes.is_running, [forkserver, facts["pid"], *facts["below"].values()]))


ROOT = """
import json, os, queue, sys
from pathlib import Path
from supervisor.forkserver_launcher import fork_early, start_early
from supervisor.launchers import Started, SpawnRequest, make_launcher

directory, ear, kind, imports, *preload = sys.argv[1:]
sys.path.extend(os.environ["LAUNCHED"].split(os.pathsep))
early = fork_early(preload, ()) if kind == "early" else start_early(preload) if kind == "started" else None
events = queue.Queue()
launcher = make_launcher(
    events.put, runtime_dir=Path(directory), portable=kind == "True", preload=preload, early=early
)
for child in ("run/worker", "run/reviewer"):
    launcher.start(SpawnRequest(child=child, incarnation=1, entry="launched:tree",
                              arguments=json.dumps({"ear": ear}).encode(), imports=tuple(imports.split())))
    assert isinstance(events.get(), Started)
forkserver = getattr(launcher, "_forkserver", None)
print(json.dumps({"forkserver": forkserver._pid if forkserver else None}), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def make_root(make_stage, tmp_path):
    """A root in a process of its own, with two actors and their trees."""
    roots = []

    def make(kind, preload=(), imports=""):
        stage = make_stage(True)  # only to listen
        root = subprocess.Popen(
            [sys.executable, "-c", ROOT, str(tmp_path / "other root"), stage.address, str(kind), imports, *preload],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LAUNCHED": f"{HERE}{os.pathsep}{tmp_path}", "EAR": stage.address},
        )
        roots.append(root)
        facts = [stage.hear(), stage.hear()]
        forkserver = json.loads(root.stdout.readline())["forkserver"]
        stage.watch([forkserver] if forkserver else [])
        root.stage = stage
        return root, forkserver, facts

    yield make
    for root in roots:
        root.kill()
        root.wait()
        root.stdin.close()
        root.stdout.close()


@pytest.mark.parametrize("portable", [ON_LINUX, FORKED, STARTED, pytest.param(True, id="portable")])
def test_a_killed_root_takes_everything_with_it(make_root, portable):
    root, forkserver, facts = make_root(portable)
    root.kill()
    assert all_gone(pid for one in facts for pid in [one["pid"], *one["below"].values()])
    assert forkserver is None or all_gone([forkserver])


@pytest.mark.parametrize("portable", [ON_LINUX, FORKED, STARTED])
def test_a_killed_root_takes_actors_with_it_that_cannot_help(make_root, portable):
    root, _, facts = make_root(portable)
    for one in facts:
        os.kill(one["pid"], signal.SIGSTOP)
    root.kill()
    assert all_gone(pid for one in facts for pid in [one["pid"], *one["below"].values()])


@pytest.mark.parametrize("portable", [ON_LINUX, FORKED, STARTED])
def test_a_killed_root_takes_everything_with_it_though_its_forkserver_is_stopped(make_root, portable):
    root, forkserver, facts = make_root(portable)
    os.kill(forkserver, signal.SIGSTOP)
    root.kill()
    assert all_gone(pid for one in facts for pid in [one["pid"], *one["below"].values()])
    assert all_gone([forkserver])


@pytest.mark.parametrize("kind", [FORKED])
def test_no_request_waits_for_an_import_of_a_forkserver_that_was_forked_off(make_root, tmp_path, kind):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    (tmp_path / "held_back.py").write_text(f"open({str(gate)!r}).close()\n")
    _, forkserver, facts = make_root(kind, imports="held_back")  # returns when both are started
    assert {psutil.Process(one["pid"]).ppid() for one in facts} == {forkserver}
    gate.open("w").close()  # returns when it imports that, for the successors


@pytest.mark.parametrize("preload", [pytest.param(("actors.actor_process",), marks=NEEDS_LINUX)])
def test_a_forkserver_that_no_launcher_has_ends_when_it_is_closed(preload):
    early = start_early(preload)
    assert early is not None
    assert processes.is_running(early.pid)
    early.close()
    assert not processes.is_running(early.pid)
    early.close()


IDLE_ROOT = """
import os, sys
from pathlib import Path
from supervisor.launchers import make_launcher

launcher = make_launcher(print, runtime_dir=Path(sys.argv[1]), portable=False, preload=())
while launcher._forkserver._pid is None:
    os.sched_yield()
print(launcher._forkserver._pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("portable", [ON_LINUX])
def test_a_killed_root_takes_a_stopped_forkserver_with_it_that_has_nobody_to_wake_it(tmp_path, portable):
    root = subprocess.Popen(
        [sys.executable, "-c", IDLE_ROOT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    forkserver = int(root.stdout.readline())
    os.kill(forkserver, signal.SIGSTOP)  # most likely while it is still being started
    while psutil.Process(forkserver).status() != psutil.STATUS_STOPPED:
        os.sched_yield()
    root.kill()
    root.communicate()
    try:
        assert all_gone([forkserver])
    finally:
        processes.send(forkserver, signal.SIGKILL)


@pytest.mark.parametrize("portable", [ON_LINUX, pytest.param(True, id="portable")])
def test_a_new_root_ends_what_root_and_launcher_killed_together_left(make_root, make_stage, tmp_path, portable):
    root, forkserver, facts = make_root(portable)
    for one in facts:
        os.kill(one["pid"], signal.SIGSTOP)  # so that no lifeline helps
    for pid in filter(None, (forkserver, root.pid)):
        os.kill(pid, signal.SIGKILL)
    root.wait()
    assert all(processes.is_running(one["pid"]) for one in facts)
    manifest = tmp_path / "other root" / "manifest.json"
    manifest.write_text("{}")
    make_launcher(print, runtime_dir=manifest.parent, portable=True).close()
    assert manifest.exists()
    assert not any(processes.is_running(pid) for one in facts for pid in [one["pid"], *one["below"].values()])


# --- the spare process -------------------------------------------------------------------------------------------


@pytest.fixture
def spare_stage(make_stage, tmp_path):
    """A portable launcher whose spare process tells of itself when it is there."""
    os.environ["EAR"] = f"{tmp_path}/ear0"
    yield make_stage(True, preload=("launched_as_spare",))
    del os.environ["EAR"]


def test_an_actor_that_crashed_goes_on_in_the_spare_process_and_there_is_a_new_spare(spare_stage):
    spare_stage.started("describe")
    for incarnation in (2, 3):
        spare = spare_stage.hear(is_spare=True)["pid"]
        facts = spare_stage.started("describe", incarnation=incarnation, listens=True)
        assert facts["pid"] == facts["session"] == spare
        assert facts["inheritable"] == []


def test_a_spare_process_that_was_killed_is_not_used(spare_stage):
    spare_stage.started("describe")
    spare = spare_stage.hear(is_spare=True)["pid"]
    os.kill(spare, signal.SIGKILL)
    processes.wait_ended(spare)
    assert spare_stage.started("describe", incarnation=2)["pid"] != spare


def test_closing_ends_the_spare_process(spare_stage):
    spare_stage.started("describe")
    spare = spare_stage.hear(is_spare=True)["pid"]
    os.kill(spare, signal.SIGSTOP)
    spare_stage.launcher.close()
    assert processes.start_time(spare) is None


def test_a_killed_root_takes_the_spare_process_with_it(make_root):
    root, _, _ = make_root(True, preload=["launched_as_spare"])
    spare = root.stage.hear(is_spare=True)["pid"]
    root.kill()
    assert all_gone([spare])


def test_a_new_root_ends_a_spare_process_that_was_stopped_when_its_root_was_killed(make_root, tmp_path):
    root, _, _ = make_root(True, preload=["launched_as_spare"])
    spare = root.stage.hear(is_spare=True)["pid"]
    while not list((tmp_path / "other root" / "processes" / "spare").glob("*.process")):
        os.sched_yield()
    os.kill(spare, signal.SIGSTOP)
    root.kill()
    root.wait()
    assert processes.is_running(spare)
    make_launcher(print, runtime_dir=tmp_path / "other root", portable=True).close()
    assert not processes.is_running(spare)


# --- the forkserver itself ------------------------------------------------------------------------------------------


def test_a_killed_forkserver_is_reported_as_the_loss_of_its_actors_and_is_replaced(forkserver_stage):
    facts = [forkserver_stage.started("tree", child=f"run/{number}") for number in range(2)]
    os.kill(facts[0]["pid"], signal.SIGSTOP)  # this one cannot end itself
    os.kill(forkserver_pid(forkserver_stage), signal.SIGKILL)
    lost = [forkserver_stage.next(Exited) for _ in facts]
    assert [(one.child, one.code, one.signal) for one in lost] == [("run/0", None, None), ("run/1", None, None)]
    assert not any(processes.is_running(pid) for one in facts for pid in [one["pid"], *one["below"].values()])
    forkserver_stage.started("tree", child="run/0", incarnation=2)


def test_actors_of_a_killed_forkserver_are_let_end_by_themselves(forkserver_stage):
    """To kill a tree is to stop it first, and a root that is killed in between would leave it stopped for good."""
    facts = forkserver_stage.started("end_slowly")
    os.kill(forkserver_pid(forkserver_stage), signal.SIGKILL)
    assert forkserver_stage.hear()["pid"] == facts["pid"]
    assert not processes.wait_ended(facts["pid"], 0.5)
    forkserver_stage.answer(facts["pid"], b"end")
    assert forkserver_stage.next(Exited) == Exited(child="run/worker", incarnation=1, code=None, signal=None)


def test_an_actor_that_dies_with_its_forkserver_leaves_only_what_nobody_knew(forkserver_stage):
    facts = forkserver_stage.started("tree")
    os.kill(forkserver_pid(forkserver_stage), signal.SIGSTOP)
    os.kill(facts["pid"], signal.SIGKILL)
    os.kill(forkserver_pid(forkserver_stage), signal.SIGKILL)
    assert forkserver_stage.next(Exited) == Exited(child="run/worker", incarnation=1, code=None, signal=None)
    assert not any(map(processes.is_running, facts["below"].values()))  # here they were recorded


def test_a_forkserver_told_to_terminate_ends_all_that_it_has(forkserver_stage):
    facts = forkserver_stage.started("tree")
    os.kill(forkserver_pid(forkserver_stage), signal.SIGTERM)
    assert forkserver_stage.next(Exited).signal is None
    assert not any(map(processes.is_running, [facts["pid"], *facts["below"].values()]))


def test_an_order_that_meets_a_dying_forkserver_is_a_failed_start(make_stage, tmp_path):
    stage = make_stage(False, preload=("stops_while_it_loads",))
    (tmp_path / "stops_while_it_loads.py").write_text(
        f"import launched, os; launched.tell({stage.address!r}, pid=os.getpid()); launched.sleep()"
    )
    stage.start("describe")
    os.kill(stage.hear()["pid"], signal.SIGKILL)
    reason = "the forkserver ended: exit status -9"
    assert stage.next(StartFailed) == StartFailed(child="run/worker", incarnation=1, reason=reason)


def test_a_stopped_forkserver_is_woken_by_the_next_order(forkserver_stage):
    facts = forkserver_stage.started("tree")
    os.kill(forkserver_pid(forkserver_stage), signal.SIGSTOP)
    forkserver_stage.launcher.kill("run/worker", 1)
    forkserver_stage.next(Exited)
    os.kill(forkserver_pid(forkserver_stage), signal.SIGSTOP)
    assert forkserver_stage.started("describe", incarnation=2)["pid"] != facts["pid"]


def test_a_newborn_may_die_at_the_same_moment_as_another_actor(make_stage, tmp_path):
    teller = "import launched, os, select; link = launched.tell({ear!r}, pid=os.getpid()); "
    stage = make_stage(False, preload=("+waits_for_a_word",))
    (tmp_path / "waits_for_a_word.py").write_text(teller.format(ear=stage.address) + "link.recv(1)")
    (tmp_path / "never_ends.py").write_text(teller.format(ear=stage.address) + "link.recv(1)")
    actor = stage.started("describe", child="run/actor")
    stage.launcher.start(SpawnRequest(child="run/newborn", incarnation=1, entry="never_ends:main", arguments=b""))
    forkserver = stage.hear(forkserver_pid(stage))  # it is busy now: what happens meanwhile, it learns at once
    newborn = stage.hear()
    for pid in (actor["pid"], newborn["pid"]):  # in this order: the signal is there before the newborn's end is
        os.kill(pid, signal.SIGKILL)
        processes.wait_ended(pid)
    stage.answer(forkserver["pid"], b"go on")
    assert stage.next(Exited) == Exited(child="run/actor", incarnation=1, code=None, signal=signal.SIGKILL)
    reason = "ended before it ran: code None, signal 9"
    assert stage.next(StartFailed) == StartFailed(child="run/newborn", incarnation=1, reason=reason)


def test_a_forkserver_does_not_fork_with_threads(make_stage, tmp_path, capfd):
    module = "import threading, time; threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()"
    (tmp_path / "starts_a_thread.py").write_text(module)
    stage = make_stage(False, preload=("starts_a_thread",))
    stage.start("describe")
    assert stage.next(StartFailed).reason == "the forkserver ended: exit status 1"
    assert "starts a thread when it is imported" in capfd.readouterr().err


def test_a_forkserver_imports_what_an_actor_shares_before_it_forks_it_and_once(make_stage, tmp_path):
    stage = make_stage(False, preload=())
    stage.started("describe", child="run/first")  # needs none of it, and waits for none
    (tmp_path / "is_shared.py").write_text(f"import launched, os; launched.tell({stage.address!r}, pid=os.getpid())")
    for child in ("run/worker", "run/reviewer"):
        stage.start("describe", child=child, imports=("is_shared",))
    assert stage.hear()["pid"] == forkserver_pid(stage)  # the only import
    actors = {stage.next(Started).pid, stage.next(Started).pid}
    assert {stage.hear()["pid"], stage.hear()["pid"]} == actors


def test_a_module_that_cannot_be_preloaded_costs_only_the_actors_that_need_it(make_stage, capfd):
    stage = make_stage(False, preload=("no_such_module",))
    stage.started("describe")
    assert "no_such_module" in capfd.readouterr().err


# --- listening sockets -------------------------------------------------------------------------------------------


def test_a_call_made_while_the_child_is_down_is_served_by_the_next_incarnation(stage):
    facts = stage.started("serve_one", listens=True, arguments={"deaf": True})
    stage.launcher.kill("run/worker", 1)
    stage.next(Exited)
    host, port = facts["address"]
    assert host == "127.0.0.1"
    with socket.create_connection((host, port), timeout=PATIENCE_S) as call:
        again = stage.started("serve_one", incarnation=2, listens=True)
        assert again["address"] == facts["address"]
        assert call.recv(100).decode() == f"hello from {again['pid']}"


def test_each_child_has_a_socket_of_its_own_until_it_is_forgotten(stage):
    addresses = []
    for child in ("run/a", "run/b"):
        facts = stage.started("serve_one", child=child, listens=True, arguments={"deaf": True})
        addresses.append(tuple(facts["address"]))
        stage.launcher.kill(child, 1)
        stage.next(Exited)
    assert len(set(addresses)) == 2
    stage.launcher.forget("run/a")
    stage.launcher.forget("run/a")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(addresses[0], timeout=PATIENCE_S)
    socket.create_connection(addresses[1], timeout=PATIENCE_S).close()


# --- which launcher ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "portable"), [("1", True), ("0", not processes.HAS_SUBREAPER)])
def test_the_environment_can_ask_for_the_portable_launcher(tmp_path, value, portable):
    program = """
        import sys
        from pathlib import Path
        from supervisor.launchers import make_launcher
        launcher = make_launcher(print, runtime_dir=Path(sys.argv[1]))
        print(type(launcher).__name__)
        launcher.close()
        """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        env={**os.environ, "LOOP_PORTABLE": value},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == (PortableLauncher if portable else ForkserverLauncher).__name__


@pytest.mark.xfail(not processes.HAS_SUBREAPER, run=False, reason="only Linux has a subreaper")
def test_an_early_forkserver_has_a_status_also_where_the_ends_of_children_are_ignored() -> None:
    script = """
import os, signal
from supervisor.launchers import fork_early
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as what starts the program may have set it
early = fork_early((), ())
early.link.close()
early.held_end.close()
print(early.wait())
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.returncode) == ("0\n", 0), ended.stderr
