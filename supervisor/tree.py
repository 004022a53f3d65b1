"""Decides about a supervisor's children: which to start, stop or kill, and when the tree is over. Pure.

`decide(tree, event, at)` gives the tree after the event, and in order the commands that carry the decision out.
`supervisor.policy` decides about one child's end, supervisor/by_hand and supervisor/moves about what the user changes;
this module decides about the tree:

    running ──a child ended too often, and a user is there──> suspending ──all down──> suspended
       │                                                          │                        │
       │ <──────────────── the user starts them again ────────────┴────────────────────────┘
       └──(or from any of them) the run is over, or must be──> ending ──all down──> ended

A tree is stopped level by level: the next level is asked when the previous one is down. The rules:

- One incarnation of a child runs at a time: the next one starts when the end of the previous one is known.
- An event of an incarnation that is not the present one changes nothing; neither does a timer that came too late.
- A graceful stop goes through the driver, the child that leads the run and reports how it ended. A second stop that is
  not graceful, a driver that is down, or one that is too slow end the tree without it. It has less time while another
  child is down for good.
- Each change that the user asks for is answered once, with its outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from actors.messages import (
    CannotStart,
    ControlRun,
    Heartbeat,
    Message,
    PlaceLeft,
    Ready,
    RunEnded,
)
from supervisor import by_hand, children, moves, policy, spawning
from supervisor.children import Child, Tree
from supervisor.spawning import Exited, Started, StartFailed
from supervisor.tree_protocol import (
    Announce,
    AskUser,
    ChangeAsked,
    ChildSaid,
    Command,
    Event,
    FinishRun,
    GraceOver,
    KeepMove,
    KillDue,
    MoveAsked,
    Note,
    PlaceGivenUp,
    ReadyOverdue,
    ReportDown,
    ReportUp,
    RestartDue,
    RunResult,
    StopAsked,
    SupervisorFailed,
    TellChild,
    Tick,
    TreeBegun,
    Wake,
)
from supervisor.tree_step import Moment, TreeStep

TICK_MS = 1_000
# A graceful stop first lets the driver interrupt its turns and say how the run ended.
GRACE_MS = 15_000
# The same while an actor is down for good: the end of its turn would never be reported.
GRACE_ALONE_MS = 3_000


def decide(tree: Tree, event: Event, at: Moment) -> tuple[Tree, list[Command]]:
    """The tree after the event, and the commands to carry out now, in order. Raises nothing."""
    step = _Step(tree, at)
    step.take(event)
    return step.tree, [*step.commands, *_kept(tree, step.tree)]


def _kept(before: Tree, after: Tree) -> Iterator[KeepMove]:
    """What is to be written down of moves."""
    for name, child in after.children.items():
        if (move := moves.kept(child)) != moves.kept(before.children[name]):
            yield KeepMove(name, *(move or (None,)))


class _Step(TreeStep):
    """What follows from an event."""

    def take(self, event: Event) -> None:
        match event:
            case TreeBegun():
                for name in self.tree.children:  # in parallel: the router keeps mail for each
                    self.start(name)
                self.do(Wake(TICK_MS, Tick()))
            case Started() | Exited() | StartFailed():
                self._from_launcher(event)
            case ChildSaid():
                child = self.tree.children.get(event.child)
                if child is not None and child.incarnation == event.incarnation:
                    self._said(child, event.message)
            case ReadyOverdue() | KillDue() | RestartDue() | GraceOver() | Tick():
                self._due(event)
            case StopAsked():
                self._stop_asked(event)
            case ChangeAsked():
                self.do(by_hand.change(self, event))
            case MoveAsked():
                self.do(moves.move(self, event))
            case PlaceGivenUp():
                moves.give_up(self, event.place)
            case SupervisorFailed():
                self._end(RunResult("failed", f"the supervisor failed: {event.error}"))

    # --- what children say ---

    def _said(self, child: Child, message: Message) -> None:
        name, at = child.spec.id, self.at
        match message:
            case Ready() if child.phase == "starting":
                self.update(name, phase="ready", since_ms=at.now_ms, ready_at_ms=at.unix_ms, was_ready=True)
                self.update(name, heard_ms=at.now_ms, heard_at_ms=at.unix_ms)
                self.do(Note(f"{name}#{child.incarnation} is ready: pid {message.pid}"))
                self.do(ReportUp(name, child.incarnation))
                if child.moves_to is not None:
                    moves.ask_to_leave(self, name, leaves=True)
                if all(each.phase == "ready" for each in self.tree.children.values()):
                    self.do(Announce("ready", f"{', '.join(self.tree.children)} are ready"))
            case CannotStart():
                self.update(name, cannot_start=message.reason)
            case Heartbeat():
                self.update(name, heartbeat=message, heard_ms=at.now_ms, heard_at_ms=at.unix_ms)
                self._kill_if_it_hangs(name)
            case PlaceLeft() if child.phase == "ready" and child.moves_to is not None:
                self.ask_to_stop(name, f"it moves to {moves.named(child.moves_to)}")
            case RunEnded() if name == self.tree.driver:
                self._end(RunResult(message.state, message.detail, message.resume))
            case _:
                pass

    def _kill_if_it_hangs(self, name: str) -> None:
        child = self.tree.children[name]
        if child.phase == "ready" and not child.stuck:
            stuck = children.hang(child, self.at.now_ms)
            if stuck:
                self._kill_as_stuck(child, stuck)

    def _kill_as_stuck(self, child: Child, stuck: str) -> None:
        self.update(child.spec.id, stuck=stuck)
        self.kill(child)

    # --- starting and ending ---

    def _from_launcher(self, event: Started | Exited | StartFailed) -> None:
        name = event.child.rpartition("/")[2]
        child = self.tree.children.get(name)
        if child is None or event.incarnation != child.incarnation or child.phase == "down":
            return
        match event:
            case Started():
                self.update(name, pid=event.pid)
            case StartFailed():
                self._gone(child, "permanent" if event.permanent else "start-failed", event.reason)
            case Exited():
                exit_class = policy.classify(
                    code=event.code,
                    signal=event.signal,
                    ready=child.phase != "starting",
                    asked_to_stop=child.phase == "stopping",
                    stuck=bool(child.stuck),
                )
                self._gone(child, exit_class, child.stuck or child.cannot_start or spawning.describe(event))

    def _gone(self, child: Child, exit_class: policy.ExitClass, detail: str) -> None:
        name, at = child.spec.id, self.at
        why_down = f"{exit_class} ({detail})"
        self.update(name, phase="down", since_ms=at.now_ms, why_down=why_down)
        self.do(ReportDown(name, child.incarnation, why_down))
        placed = moves.after_end(child, exit_class)
        self.update(name, came_from=None)
        if placed is not None and self.tree.result is None:
            moves.place(self, name, placed, detail)
        if self.tree.phase != "running":
            self._stop_level()
            return
        if placed is not None and placed.starts and not child.held:
            self.start(name)
            return
        if child.restart_wanted:
            self.start(name, again=True)
            return
        if child.restart_due:  # stopped for a sibling's restart, which starts it again
            return
        decision, history = policy.decide(
            self.tree.spec,
            policy.ChildExit(
                child=name,
                exit_class=exit_class,
                detail=detail,
                healthy_s=(at.now_ms - child.since_ms) / 1000 if child.phase == "ready" else 0.0,
            ),
            self.tree.history,
            alive=[other.spec.id for other in self.tree.children.values() if other.phase != "down"],
            held=[other.spec.id for other in self.tree.children.values() if other.held],
            has_operator=at.has_operator and not self.tree.asked_to_end,
            now_ms=at.now_ms,
            jitter=at.jitter,
        )
        self.tree = replace(self.tree, history=history)
        self._follow(name, decision)

    def _follow(self, name: str, decision: policy.Decision) -> None:
        self.do(Note(decision.why))
        is_last_word = isinstance(decision, policy.GiveUp) and decision.permanent and not decision.ask
        if not is_last_word:  # which is the run's result
            self.do(Announce("note", decision.why))
        match decision:
            case policy.RestartChildren():
                for other in decision.stop:
                    self.ask_to_stop(other, "a sibling is restarted")
                for each in decision.start:
                    self.update(each, restart_due=True)
                due = RestartDue(tuple((each, self.tree.children[each].incarnation) for each in decision.start))
                self.do(Wake(round(decision.after_s * 1000), due))
            case policy.GiveUp(ask=True):
                self.update(name, given_up=True)
                self._down(phase="suspending", question=f"restart {name}, or stop? {decision.why}.")
            case policy.GiveUp():
                self.update(name, given_up=True)
                self._end(RunResult("failed", decision.why + ("" if decision.permanent else ": giving up")))
            case policy.ShutDown():
                self._end(RunResult("failed", decision.why))
            case policy.Leave():
                pass

    # --- timers ---

    def _due(self, due: ReadyOverdue | KillDue | RestartDue | GraceOver | Tick) -> None:
        match due:
            case Tick() if self.tree.phase != "ended":
                for name in self.tree.children:
                    self._kill_if_it_hangs(name)
                self.do(Wake(TICK_MS, due))
            case GraceOver():
                why = "a turn did not end in time; it continues when the run is resumed"
                self._end(RunResult("stopped", why))
            case RestartDue():
                for name, incarnation in due.children:
                    self._restart_due(name, incarnation)
            case ReadyOverdue():
                child = self.tree.children[due.child]
                if child.incarnation == due.incarnation and child.phase == "starting":
                    self._kill_as_stuck(child, f"not ready within {child.spec.ready_within_s:g} s")
            case KillDue():
                child = self.tree.children[due.child]
                if child.incarnation == due.incarnation and child.phase == "stopping":
                    self.kill(child)
            case _:
                pass

    def _restart_due(self, name: str, incarnation: int) -> None:
        child = self.tree.children[name]
        if child.incarnation != incarnation or not child.restart_due or self.tree.phase != "running":
            return
        if child.phase == "down":
            self.start(name, again=True)
        else:  # a sibling that is restarted with another one is still on its way out
            self.update(name, restart_due=False, restart_wanted=True)

    # --- stopping ---

    def _stop_asked(self, stop: StopAsked) -> None:
        tree = self.tree
        driver = tree.children[tree.driver]
        if stop.now or tree.question:
            self._end(RunResult("stopped", stop.reason))
        elif driver.phase == "down" and not driver.restart_due:
            self._end(RunResult("stopped", f"{stop.reason}; {tree.driver} was down"))
        elif not tree.asked_to_end:
            self.tree = replace(tree, asked_to_end=True)
            self.do(TellChild(tree.driver, ControlRun(action="stop", reason=stop.reason)))
            is_one_down = any(child.phase == "down" and not child.restart_due for child in tree.children.values())
            self.do(Wake(GRACE_ALONE_MS if is_one_down else GRACE_MS, GraceOver()))

    def _end(self, result: RunResult) -> None:
        """Ends the run, for whatever reason: stops the tree level by level, then reports the result."""
        if self.tree.result is None:
            self._down(phase="ending", result=result)

    def _down(self, **changes: Any) -> None:
        """Stops the tree; no child is started from now on."""
        self.tree = replace(self.tree, **changes)
        for name in self.tree.children:
            self.update(name, restart_due=False, restart_wanted=False)
        self._stop_level()

    def _stop_level(self) -> None:
        for level in self.tree.stop_levels:
            alive = [name for name in level if self.is_up(name)]
            for name in alive:
                self.ask_to_stop(name, "the run is over")
            if alive:
                return
        result = self.tree.result
        match self.tree.phase:
            case "ending" if result is not None:
                self.tree = replace(self.tree, phase="ended")
                self.do(FinishRun(result))
            case "suspending" if self.tree.answered:
                self.resume()
            case "suspending":
                self.tree = replace(self.tree, phase="suspended")
                self.do(AskUser(self.tree.question))
            case _:
                pass
