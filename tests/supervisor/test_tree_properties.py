"""What holds for a supervisor's tree whatever happens: any actor may end, hang or refuse to stop at any time."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from actors.errors import EXIT_PERMANENT
from actors.messages import Heartbeat, Ready, RunEnded
from supervisor import children, tree
from supervisor.run_tree import CHILDREN, DRIVER, STOP_LEVELS
from supervisor.spawning import Exited, StartFailed
from supervisor.spec import BackOff, Intensity
from supervisor.tree_protocol import (
    AnswerChange,
    AskUser,
    ChangeAsked,
    ChildSaid,
    Event,
    FinishRun,
    KillChild,
    ReportDown,
    StartChild,
    StopAsked,
    SupervisorFailed,
    Tick,
    TreeBegun,
    Wake,
)
from supervisor.tree_step import Moment
from tests.supervisor.tree_rig import spec

NAMES = st.sampled_from(CHILDREN)


class World(RuleBasedStateMachine):
    """A launcher that obeys, and actors that do not. `running`: the incarnation of each process that there is."""

    @initialize(
        strategy=st.sampled_from(["one_for_one", "rest_for_one", "one_for_all"]),
        restart=st.sampled_from(["permanent", "transient"]),
        has_operator=st.booleans(),
    )
    def begin(self, strategy: str, restart: str, has_operator: bool) -> None:
        supervisor = spec(
            strategy=strategy,
            children={"restart": restart},
            intensity=Intensity(max_restarts=2),
            back_off=BackOff(first_s=0.5),
        )
        self.tree = children.plant(supervisor, STOP_LEVELS, DRIVER)
        self.has_operator = has_operator
        self.now_ms = 1_000_000
        self.running: dict[str, int] = {}
        self.shot: set[str] = set()
        self.timers: list[tuple[int, Event]] = []
        self.finished = 0
        self.feed(TreeBegun())

    def feed(self, event: Event) -> None:
        asked = isinstance(event, ChangeAsked)
        at = Moment(now_ms=self.now_ms, unix_ms=self.now_ms, jitter=0.5, has_operator=self.has_operator)
        self.tree, commands = tree.decide(self.tree, event, at)
        assert sum(isinstance(each, AnswerChange) for each in commands) == asked
        for command in commands:
            assert not self.finished or isinstance(command, AnswerChange), f"{command} after the end"
            match command:
                case StartChild():
                    assert command.child not in self.running, "it runs already"
                    assert not self.tree.question
                    assert self.tree.result is None
                    self.running[command.child] = command.incarnation
                case KillChild():
                    assert self.running[command.child] == command.incarnation
                    self.shot.add(command.child)
                case ReportDown():
                    assert command.child not in self.running
                case Wake():
                    self.timers.append((self.now_ms + command.after_ms, command.event))
                case AskUser():
                    assert self.running == {}
                case FinishRun():
                    assert self.running == {}
                    self.finished += 1
                case _:
                    pass

    def gone(self, name: str) -> int:
        self.shot.discard(name)
        return self.running.pop(name)

    @rule(name=NAMES)
    def becomes_ready(self, name: str) -> None:
        self.feed(ChildSaid(name, self.running.get(name, 0), Ready(pid=7)))

    @rule(name=NAMES, code=st.sampled_from([0, 70, EXIT_PERMANENT, None]))
    def ends(self, name: str, code: int | None) -> None:
        if name in self.running:
            self.feed(Exited(child=f"r/{name}", incarnation=self.gone(name), code=code, signal=None))

    @rule(name=NAMES)
    def could_not_be_made(self, name: str) -> None:
        if self.tree.children[name].phase == "starting":
            self.feed(StartFailed(child=f"r/{name}", incarnation=self.gone(name), reason="no memory"))

    @rule(name=NAMES, age_ms=st.sampled_from([0, 70_000]))
    def says_how_it_is(self, name: str, age_ms: int) -> None:
        beat = Heartbeat(handler_age_ms=age_ms, handling="StartTurnRequest", mailbox=0, handled=0)
        self.feed(ChildSaid(name, self.running.get(name, 0), beat))

    @precondition(lambda self: self.shot)
    @rule(data=st.data())
    def a_killed_one_is_gone(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.shot)))
        self.feed(Exited(child=f"r/{name}", incarnation=self.gone(name), code=None, signal=9))

    @precondition(lambda self: self.timers)
    @rule(late_ms=st.sampled_from([0, 0, 20_000]))
    def time_passes(self, late_ms: int) -> None:
        self.timers.sort(key=lambda timer: timer[0])
        due_ms, event = self.timers.pop(0)
        self.now_ms = max(self.now_ms, due_ms) + late_ms
        self.feed(event)

    @rule(action=st.sampled_from(["kill", "restart", "start"]), name=st.one_of(NAMES, st.just("nobody")))
    def a_user_changes(self, action: str, name: str) -> None:
        self.feed(ChangeAsked(action, name))

    @rule()
    def the_run_ends(self) -> None:
        self.feed(ChildSaid(DRIVER, self.running.get(DRIVER, 0), RunEnded(state="completed", detail="")))

    @rule(now=st.booleans())
    def somebody_stops_it(self, now: bool) -> None:
        self.feed(StopAsked("enough", now))

    @rule()
    def a_command_fails(self) -> None:
        self.feed(SupervisorFailed("OSError"))

    @invariant()
    def the_tree_knows_what_runs(self) -> None:
        known = {name: each.incarnation for name, each in self.tree.children.items() if each.phase != "down"}
        assert known == self.running
        assert self.finished == (self.tree.phase == "ended")
        if self.tree.phase in ("suspended", "ended"):
            assert self.running == {}

    @invariant()
    def nothing_waits_for_ever(self) -> None:
        """A child that is to be restarted has its timer, and a tree that has not ended ticks."""
        if self.tree.phase == "running":
            for name, child in self.tree.children.items():
                if child.phase == "down" and not child.held:
                    due = [
                        event for _, event in self.timers if (name, child.incarnation) in getattr(event, "children", ())
                    ]
                    assert bool(due) or not child.restart_due
        if self.tree.phase != "ended":
            assert any(isinstance(event, Tick) for _, event in self.timers)

    def teardown(self) -> None:
        """Whatever it came to: a stop ends it, though no actor stops by itself."""
        self.feed(StopAsked("enough", True))
        while not self.finished:
            if self.shot:
                name = min(self.shot)
                self.feed(Exited(child=f"r/{name}", incarnation=self.gone(name), code=None, signal=9))
            else:
                self.time_passes(0)
        assert self.running == {}


TestTree = World.TestCase
TestTree.settings = settings(max_examples=150, stateful_step_count=40)
