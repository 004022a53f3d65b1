"""Decides about a supervisor's children: which to start, stop or kill, and when the tree is over. Pure.

`decide(tree, event, at)` gives the tree after the event, and in order the commands that carry the decision out.
`supervisor.policy` decides about one child's end; this module decides about the tree:

    running ──a child ended too often, and a user is there──> suspending ──all down──> suspended
       │                                                          │                        │
       │ <──────────────── the user starts them again ────────────┴────────────────────────┘
       └──(or from any of them) the run is over, or must be──> ending ──all down──> ended

A tree is stopped level by level: the next level is asked when the previous one is down. The rules:

- One incarnation of a child runs at a time: the next one starts when the end of the previous one is known.
- An event of an incarnation that is not the present one changes nothing; neither does a timer that came too late.
- A child that was stopped by hand is *held*: only the user starts it.
- A graceful stop goes through the driver, the child that leads the run and reports how it ended. A second stop that is
  not graceful, a driver that is down, or one that is too slow end the tree without it. It has less time while another
  child is down for good.
- Each change that the user asks for is answered once, with its outcome.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from actors.messages import (
    CannotStart,
    ControlRun,
    Heartbeat,
    LeavePlace,
    Message,
    PlaceLeft,
    Ready,
    RunEnded,
    StopActor,
)
from supervisor import children, moves, policy, spawning
from supervisor.children import Child, Tree
from supervisor.spawning import Exited, Started, StartFailed
from supervisor.tree_protocol import (
    Action,
    Announce,
    AnswerChange,
    AskUser,
    ChangeAsked,
    ChildSaid,
    Command,
    Event,
    FinishRun,
    GraceOver,
    KillChild,
    KillDue,
    MoveAsked,
    Note,
    PlaceChild,
    PlaceGivenUp,
    ReadyOverdue,
    ReportDown,
    ReportUp,
    RestartDue,
    RunResult,
    StartChild,
    StopAsked,
    SupervisorFailed,
    TellChild,
    Tick,
    TreeBegun,
    Wake,
)

TICK_MS = 1_000
# By then the whole tree is gone: a Procfile manager gives the whole stop 5 s.
STOP_S = 3.0
# A graceful stop first lets the driver interrupt its turns and say how the run ended.
GRACE_MS = 15_000
# The same while an actor is down for good: the end of its turn would never be reported.
GRACE_ALONE_MS = 3_000


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The circumstances of an event: monotonic time, the user's clock, chance, and whether a user is attached."""

    now_ms: int  # monotonic
    unix_ms: int
    jitter: float = 0.0  # random, in [0, 1)
    has_operator: bool = False  # a user can be asked


def decide(tree: Tree, event: Event, at: Moment) -> tuple[Tree, list[Command]]:
    """The tree after the event, and the commands to carry out now, in order. Raises nothing."""
    step = _Step(tree, at)
    step.take(event)
    return step.tree, step.commands


class _Step:
    """One decision in the making: the tree so far, and the commands so far."""

    def __init__(self, tree: Tree, at: Moment) -> None:
        self.tree = tree
        self.commands: list[Command] = []
        self._at = at

    def take(self, event: Event) -> None:
        match event:
            case TreeBegun():
                for name in self.tree.children:  # in parallel: the router keeps mail for each
                    self._start(name)
                self._do(Wake(TICK_MS, Tick()))
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
                self._do(self._change(event))
            case MoveAsked():
                self._do(self._move(event))
            case PlaceGivenUp():
                self._give_up(event.place)
            case SupervisorFailed():
                self._end(RunResult("failed", f"the supervisor failed: {event.error}"))

    # --- what children say ---

    def _said(self, child: Child, message: Message) -> None:
        name, at = child.spec.id, self._at
        match message:
            case Ready() if child.phase == "starting":
                self._set(name, phase="ready", since_ms=at.now_ms, ready_at_ms=at.unix_ms, was_ready=True)
                self._set(name, heard_ms=at.now_ms, heard_at_ms=at.unix_ms)
                self._do(Note(f"{name}#{child.incarnation} is ready: pid {message.pid}"))
                self._do(ReportUp(name, child.incarnation))
                if child.moves_to is not None:
                    self._ask_to_leave(name, leaves=True)
                if all(each.phase == "ready" for each in self.tree.children.values()):
                    self._do(Announce("ready", f"{', '.join(self.tree.children)} are ready"))
            case CannotStart():
                self._set(name, cannot_start=message.reason)
            case Heartbeat():
                self._set(name, heartbeat=message, heard_ms=at.now_ms, heard_at_ms=at.unix_ms)
                self._kill_if_it_hangs(name)
            case PlaceLeft() if child.phase == "ready" and child.moves_to is not None:
                self._ask_to_stop(name, f"it moves to {moves.named(child.moves_to)}")
            case RunEnded() if name == self.tree.driver:
                self._end(RunResult(message.state, message.detail, message.resume))
            case _:
                pass

    def _kill_if_it_hangs(self, name: str) -> None:
        child = self.tree.children[name]
        if child.phase == "ready" and not child.stuck:
            stuck = children.hang(child, self._at.now_ms)
            if stuck:
                self._kill_as_stuck(child, stuck)

    def _kill_as_stuck(self, child: Child, stuck: str) -> None:
        self._set(child.spec.id, stuck=stuck)
        self._kill(child)

    # --- starting and ending ---

    def _start(self, name: str, *, again: bool = False) -> None:
        child = self.tree.children[name]
        assert child.phase == "down", f"{name} is {child.phase}: it cannot be started"
        incarnation = child.incarnation + 1
        self.tree = replace(
            self.tree,
            children={
                **self.tree.children,
                name: Child(
                    spec=child.spec,
                    phase="starting",
                    since_ms=self._at.now_ms,
                    incarnation=incarnation,
                    restarts=child.restarts + again,
                    was_ready=child.was_ready,
                    why_down=child.why_down,
                    heard_at_ms=child.heard_at_ms,
                    place=child.place,
                    came_from=child.came_from,
                ),
            },
        )
        self._do(StartChild(name, incarnation))
        self._do(Wake(round(child.spec.ready_within_s * 1000), ReadyOverdue(name, incarnation)))

    def _from_launcher(self, event: Started | Exited | StartFailed) -> None:
        name = event.child.rpartition("/")[2]
        child = self.tree.children.get(name)
        if child is None or event.incarnation != child.incarnation or child.phase == "down":
            return
        match event:
            case Started():
                self._set(name, pid=event.pid)
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
        name, at = child.spec.id, self._at
        why_down = f"{exit_class} ({detail})"
        self._set(name, phase="down", since_ms=at.now_ms, why_down=why_down)
        self._do(ReportDown(name, child.incarnation, why_down))
        placed = moves.after_end(child, exit_class)
        self._set(name, came_from=None)
        if placed is not None and self.tree.result is None:
            self._place(name, placed, detail)
        if self.tree.phase != "running":
            self._stop_level()
            return
        if placed is not None and placed.starts and not child.held:
            self._start(name)
            return
        if child.restart_wanted:
            self._start(name, again=True)
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
        self._do(Note(decision.why))
        is_last_word = isinstance(decision, policy.GiveUp) and decision.permanent and not decision.ask
        if not is_last_word:  # which is the run's result
            self._do(Announce("note", decision.why))
        match decision:
            case policy.RestartChildren():
                for other in decision.stop:
                    self._ask_to_stop(other, "a sibling is restarted")
                for each in decision.start:
                    self._set(each, restart_due=True)
                due = RestartDue(tuple((each, self.tree.children[each].incarnation) for each in decision.start))
                self._do(Wake(round(decision.after_s * 1000), due))
            case policy.GiveUp(ask=True):
                self._set(name, given_up=True)
                self._down(phase="suspending", question=f"restart {name}, or stop? {decision.why}.")
            case policy.GiveUp():
                self._set(name, given_up=True)
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
                self._do(Wake(TICK_MS, due))
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
                    self._kill(child)
            case _:
                pass

    def _restart_due(self, name: str, incarnation: int) -> None:
        child = self.tree.children[name]
        if child.incarnation != incarnation or not child.restart_due or self.tree.phase != "running":
            return
        if child.phase == "down":
            self._start(name, again=True)
        else:  # a sibling that is restarted with another one is still on its way out
            self._set(name, restart_due=False, restart_wanted=True)

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
            self._do(TellChild(tree.driver, ControlRun(action="stop", reason=stop.reason)))
            is_one_down = any(child.phase == "down" and not child.restart_due for child in tree.children.values())
            self._do(Wake(GRACE_ALONE_MS if is_one_down else GRACE_MS, GraceOver()))

    def _end(self, result: RunResult) -> None:
        """Ends the run, for whatever reason: stops the tree level by level, then reports the result."""
        if self.tree.result is None:
            self._down(phase="ending", result=result)

    def _down(self, **changes: Any) -> None:
        """Stops the tree; no child is started from now on."""
        self.tree = replace(self.tree, **changes)
        for name in self.tree.children:
            self._set(name, restart_due=False, restart_wanted=False)
        self._stop_level()

    def _stop_level(self) -> None:
        for level in self.tree.stop_levels:
            alive = [name for name in level if self._is_up(name)]
            for name in alive:
                self._ask_to_stop(name, "the run is over")
            if alive:
                return
        result = self.tree.result
        match self.tree.phase:
            case "ending" if result is not None:
                self.tree = replace(self.tree, phase="ended")
                self._do(FinishRun(result))
            case "suspending" if self.tree.answered:
                self._resume()
            case "suspending":
                self.tree = replace(self.tree, phase="suspended")
                self._do(AskUser(self.tree.question))
            case _:
                pass

    def _resume(self) -> None:
        """Starts all children again, except those that the user keeps down."""
        self.tree = replace(self.tree, phase="running", question="", answered=False, history=())
        self._do(AskUser(""))
        for name, child in self.tree.children.items():
            self._set(name, given_up=False)
            if not child.held:
                self._start(name, again=child.was_ready)

    def _ask_to_stop(self, name: str, reason: str) -> None:
        child = self.tree.children[name]
        if child.phase not in ("starting", "ready"):
            return
        self._set(name, phase="stopping", since_ms=self._at.now_ms)
        if child.phase == "starting":  # it reads no messages yet
            self._kill(child)
            return
        self._do(TellChild(name, StopActor(reason=reason, grace_s=child.spec.shutdown_s)))
        self._do(Wake(round(min(child.spec.shutdown_s, STOP_S) * 1000), KillDue(name, child.incarnation)))

    # --- changes by hand ---

    def _change(self, change: ChangeAsked) -> AnswerChange:
        name = change.child
        child = self.tree.children.get(name)
        if child is None:
            return AnswerChange(f"no actor {name!r}: there are {', '.join(self.tree.children)}", refused=True)
        if self.tree.result is not None:
            return AnswerChange("the run is ending: its actors can no longer be changed", refused=True)
        if self.tree.question:
            return self._answer(change.action, name)
        up = self._is_up(name)
        match change.action:
            case "kill" if not up and not child.restart_due:
                self._set(name, held=True)
                return AnswerChange(f"{name} is already down, and stays down until you type: start {name}")
            case "kill":
                self._set(name, held=True, restart_due=False, restart_wanted=False)
                self._ask_to_stop(name, "the user asks for it")
                return AnswerChange(f"{name} is being stopped, and stays down until you type: start {name}")
            case "start" if up:
                return AnswerChange(f"{name} is already up; restart {name} replaces it", refused=True)
            case "restart" if up:
                self._set(name, held=False, restart_wanted=True)
                self._ask_to_stop(name, "the user asks for it")
                return AnswerChange(f"{name} is being restarted")
            case _:
                self._set(name, held=False)
                self._start(name, again=child.was_ready)
                return AnswerChange(f"{name} is being started")

    # --- moves ---

    def _move(self, asked: MoveAsked) -> AnswerChange:
        name, answer = asked.child, moves.asked(self.tree, asked.child, asked.place)
        match answer.what:
            case "refuse":
                return AnswerChange(answer.text, refused=True)
            case "place":
                self._place(name, moves.Placed(asked.place), "")
            case "stay":
                self._set(name, moves_to=None)
                self._ask_to_leave(name, leaves=False)
            case "leave" | "later":
                self._set(name, moves_to=asked.place, moves_why="")
                if answer.what == "leave":
                    self._ask_to_leave(name, leaves=True)
        return AnswerChange(answer.text)

    def _ask_to_leave(self, name: str, *, leaves: bool) -> None:
        child = self.tree.children[name]
        if child.phase == "ready":
            self._do(TellChild(name, LeavePlace(incarnation=child.incarnation, leaves=leaves)))

    def _place(self, name: str, placed: moves.Placed, detail: str) -> None:
        """The child is down."""
        before = self.tree.children[name].place
        came_from = None if placed.back or placed.why else before
        self._set(name, place=placed.place, moves_to=None, moves_why="", came_from=came_from)
        self._do(PlaceChild(name, placed.place, placed.why))
        self._do(Announce("error" if placed.back else "note", moves.told(name, before, placed, detail)))

    def _give_up(self, place: str) -> None:
        for name, child in self.tree.children.items():
            to, why = moves.after_loss(child, place), f"{place} is given up"
            if child.came_from == place:
                self._set(name, came_from=None)
            if to is not None and child.phase == "down":
                self._place(name, moves.Placed(to, why), "")
            elif to != child.moves_to:
                self._set(name, moves_to=to, moves_why=why)
                if to is None:
                    self._ask_to_leave(name, leaves=False)

    def _answer(self, action: Action, name: str) -> AnswerChange:
        """Carries out a change by hand. While the tree is suspended, the change concerns all children."""
        if action == "kill":
            self._set(name, held=True)
            return AnswerChange(f"{name} stays down when the others are started, until you type: start {name}")
        self._set(name, held=False)
        self.tree = replace(self.tree, answered=True)
        if self.tree.phase == "suspended":
            self._resume()
        return AnswerChange(f"{name} is being started, and the others with it")

    # --- small things ---

    def _do(self, command: Command) -> None:
        self.commands.append(command)

    def _kill(self, child: Child) -> None:
        self._do(KillChild(child.spec.id, child.incarnation))

    def _is_up(self, name: str) -> bool:
        return name in self.tree.children and self.tree.children[name].phase != "down"

    def _set(self, name: str, **changes: Any) -> None:
        changed = replace(self.tree.children[name], **changes)
        self.tree = replace(self.tree, children={**self.tree.children, name: changed})
