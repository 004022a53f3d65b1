"""WorkerActor: drives one run (machines/run) and owns the primary agent's session. Runs in the worker process.

Each thing that happens is first put to the machine, then journalled, then acted upon. A new incarnation folds the
journal and issues again what was outstanding, under the same ids; nobody does anything twice for it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from pathlib import Path

import msgspec
from loguru import logger

from actors.agent_actor import AgentActor
from actors.edges import files, tree
from actors.edges.checks import TIMEOUT_S, CheckProgress, CheckRun
from actors.edges.pull_request import PullRequestLook
from actors.edges.trust import Watch
from actors.edges.worktree import there_again
from actors.errors import BadFileError, IllegalEventError, JournalUnusableError, LoopError, MissingFileError
from actors.host import ActorContext, Sender
from actors.machines import run
from actors.machines.run_status import counted_down, run_status
from actors.messages import (
    ActorUp,
    AskHuman,
    BreakOffTurn,
    ControlRun,
    FollowUp,
    GiveVerdict,
    HoldTurns,
    Message,
    RequestReview,
    RunEnded,
    RunStatus,
    RunTurn,
    TurnEnded,
    TurnOutcome,
    UsageReported,
)
from actors.settings import RunSettings
from actors.stream import EventStream
from actors.values import MOST_TASK_BYTES

TREES = "trees"  # folder in the run's directory: what git made to compare trees


class CooldownOver(Message, frozen=True, kw_only=True):
    """Timer -> worker. Never leaves the process."""

    wait_id: str


class ChecksOver(Message, frozen=True, kw_only=True):
    """Check thread -> worker. Never leaves the process."""

    checks_id: str
    results: tuple[run.CheckResult, ...]


class LookOver(Message, frozen=True, kw_only=True):
    """Look thread -> worker. Never leaves the process."""

    answer: run.PullRequestLookedFor


class TreeOver(Message, frozen=True, kw_only=True):
    """Tree thread -> worker. Never leaves the process."""

    answer: run.TreeTaken


class PeerWrote(Message, frozen=True, kw_only=True):
    """Session -> worker: the primary agent has seen a mail of its peer. Never leaves the process."""


class WorkerActor(AgentActor):
    """Options beside the AgentActor's: `settings` (RunSettings, or None to go on with the journalled ones) and
    `generation` (of the root: each one that opens the run lets it go on once), `peer` (what people call the peer),
    `run_id`, `directory` (of the run), `repository` (whose worktree it has, or ""), `resume` (what resumes it, as it is
    typed), `tree` and `tree_sha256` (a working tree, and the digest of the `.loop.toml` in it).
    """

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        self._timers: dict[str, threading.Timer] = {}  # by wait id: two limited reviewers wait side by side
        self._checks: dict[str, CheckRun] = {}
        self._looks: dict[str, PullRequestLook] = {}
        self._happening: deque[run.Event] = deque()
        self._busy = False
        self._watch = Watch(Path(context.options["tree"]), context.options["tree_sha256"])

    def on_start(self) -> None:
        """Takes the run up where the journal says it is, or starts it."""
        super().on_start()
        self._stream: EventStream[run.Event] = EventStream(
            self.context.ref("persistence"), "run", self.context.incarnation, run.EVENTS
        )
        events = self._stream.load()
        self._state = run.fold(events)
        settings: RunSettings | None = self.context.options["settings"]
        generation: int = self.context.options["generation"]
        opened = [event for event in events if isinstance(event, run.RunStarted | run.RunResumed)]
        if not opened:
            if settings is None:
                raise JournalUnusableError("the run's journal is gone, and its task with it: start a new run")
            self._happen(run.RunStarted(settings=settings, generation=generation))
            return
        if opened[-1].generation != generation:
            resumed = self._record(run.RunResumed(settings=settings, generation=generation))
            self._carry_out([command for command in resumed if isinstance(command, run.Announce)])
        else:
            self._tell_status()
        self._hold_sessions()
        self._carry_out(run.outstanding(self._state, self.context.clock()))

    def on_stop(self) -> None:
        """Stops what runs beside the mailbox; nothing of it is lost, it is issued again."""
        for timer in self._timers.values():
            timer.cancel()
        for checks in self._checks.values():
            checks.break_off()
        for look in self._looks.values():
            look.break_off()
        super().on_stop()

    def receive(self, message: Message, sender: Sender) -> Message | None:
        """What happens to the run; then what any session owner takes. What people ask is answered with RunStatus."""
        match message:
            case FollowUp() | ControlRun() | GiveVerdict() | RequestReview():
                self._happen(_asked(message))
                return self._status()
            case TurnEnded():
                self._happen(
                    run.TurnSettled(turn_id=message.turn_id, outcome=message.outcome, at_ms=self.context.clock())
                )
            case CooldownOver():
                self._timers.pop(message.wait_id, None)
                self._happen(run.CooldownEnded(wait_id=message.wait_id))
            case ChecksOver():
                self._checks.pop(message.checks_id, None)
                self._happen(run.ChecksEnded(checks_id=message.checks_id, results=message.results))
            case LookOver():
                self._looks.pop(message.answer.look_id, None)
                self._happen(message.answer)
            case TreeOver():
                self._happen(message.answer)
            case UsageReported():
                self._happen(run.UsageGrew(**msgspec.structs.asdict(message)))
            case PeerWrote():
                self._happen(run.MailReachedWorker(sender=self.context.options["peer"]))
            case ActorUp() if message.name == "reviewer":
                self._reissue_to_reviewer()
            case _:
                return super().receive(message, sender)
        return None

    def report(self, ended: TurnEnded) -> None:
        """The worker's own turns need no way over the wire."""
        self.tell_self(ended)

    def report_usage(self, reported: UsageReported) -> None:
        """Nor does what they cost."""
        self.tell_self(reported)

    def control(self, order: ControlRun) -> None:
        """Neither does what a person does to the worker's own agent."""
        self.tell_self(order)

    def mail_changed(self, mail_id: str, state: str, reason: str = "") -> None:
        """Also for the run: what the peer said over the bridge is not repeated in the next prompt."""
        super().mail_changed(mail_id, state, reason)
        if state == "seen":
            self.tell_self(PeerWrote())

    def _tell_status(self) -> None:
        self.context.ref("console").tell(self._status())

    def _status(self) -> RunStatus:
        return run_status(self._state, self.context.clock())

    # --- decide, journal, do ---

    def _happen(self, event: run.Event) -> None:
        """Takes the event in, and whatever follows from it at once, in order."""
        self._happening.append(event)
        if self._busy:
            return
        self._busy = True
        try:
            while self._happening:
                self._carry_out(self._record(self._happening.popleft()))
        finally:
            self._busy = False

    def _record(self, event: run.Event) -> list[run.Command]:
        now_ms = self.context.clock()
        try:
            after, commands = run.decide(self._state, event, now_ms)
        except IllegalEventError as error:
            logger.warning("not journalled: {}", error)
            self.tell_people("note", str(error))
            return []
        if after == self._state and not commands:
            return []  # an answer that nobody waits for any more
        self._stream.append([event])
        held = self._held
        self._state = after
        if held is not self._held:
            self._hold_sessions()
        if not (run.waits_for_tree_alone(after) or isinstance(event, run.UsageGrew)):
            self.tell_people("status", counted_down(self._status(), now_ms).line)
        self._tell_status()
        return commands

    def _carry_out(self, commands: list[run.Command]) -> None:
        for command in commands:
            self._do(command)

    def _do(self, command: run.Command) -> None:
        gone = self._make_place() if command.in_directory else ""
        if gone and isinstance(command, run.StartTurn):
            outcome = TurnOutcome(status="failed", error=gone)
            self._happen(run.TurnSettled(turn_id=command.turn_id, outcome=outcome, at_ms=self.context.clock()))
            return
        match command:
            case run.StartTurn():
                order = RunTurn(
                    turn_id=command.turn_id,
                    purpose=command.purpose,
                    prompt=command.prompt,
                    model=command.model,
                    continues=command.continues,
                    reminder=command.reminder,
                )
                if command.role == "worker":
                    self.session.want(order)
                else:
                    self.context.ref("reviewer").tell(order)
            case run.BreakOffTurn():
                if command.role == "worker":
                    self.session.break_off(command.turn_id, command.reason)
                else:
                    self.context.ref("reviewer").tell(BreakOffTurn(turn_id=command.turn_id, reason=command.reason))
            case run.ReadPlan():
                self._happen(self._read_plan(command))
            case run.RunChecks():
                self._watch_configuration()
                self._start_checks(command)
            case run.BreakOffChecks():
                checks = self._checks.pop(command.checks_id, None)
                if checks is not None:
                    checks.break_off()
            case run.TakeTree():
                self._start_tree(command)
            case run.LookForPullRequest():
                self._start_look(command)
            case run.StartCooldown():
                self._start_timer(command)
            case run.AskFollowUp():
                self.context.ref("console").tell(AskHuman(question=command.question))
            case run.EndRun():
                self._watch_configuration()
                self.context.ref("supervisor").tell(RunEnded(state=command.state, detail=command.detail))
            case run.Announce():
                self.tell_people("error" if command.error else "note", command.text)
                if command.resume_hint:
                    self.tell_people("note", f"to resume this run later: {self.context.options['resume']}")

    def _watch_configuration(self) -> None:
        """An agent may have written it: nobody takes that for what the user has allowed."""
        if line := self._watch.look():
            self.tell_people("note", line)

    def _make_place(self) -> str:
        """An agent may have removed the run's directory. Why it is gone for good: no turn can begin in it then."""
        options = self.context.options
        top = Path(options["repository"]) if options["repository"] else None
        try:
            for note in there_again(Path(options["cwd"]), top, options["run_id"]):
                self.tell_people("error", note)
        except LoopError as error:
            return str(error)
        return ""

    def _read_plan(self, command: run.ReadPlan) -> run.PlanRead:
        path = Path(self.context.options["cwd"]) / "PLAN.md"
        try:
            content = files.read_bytes(path, MOST_TASK_BYTES)
        except MissingFileError:
            return run.PlanRead(read_id=command.read_id, text=None)
        except BadFileError as error:
            return run.PlanRead(read_id=command.read_id, text=None, error=f"PLAN.md: {error.reason}")
        digest = hashlib.sha256(content).hexdigest()
        if command.ahead:
            return run.PlanRead(read_id=command.read_id, text=None, digest=digest)
        try:
            return run.PlanRead(read_id=command.read_id, text=files.decoded(path, content), digest=digest)
        except BadFileError as error:
            reason = f"PLAN.md: {error.reason}"
            return run.PlanRead(read_id=command.read_id, text=None, error=reason, digest=digest)

    def _start_checks(self, command: run.RunChecks) -> None:
        checks = CheckRun(
            command.commands,
            Path(self.context.options["cwd"]),
            self.context.options["environment"],
            timeout_s=command.timeout_s or TIMEOUT_S,
        )
        self._checks[command.checks_id] = checks

        def tell(progress: CheckProgress) -> None:
            if progress.seconds:
                line = f": {progress.line}" if progress.line else ""
                self.tell_people("note", f"{progress.command} still runs after {progress.seconds:.0f} s{line}")
            else:
                self.tell_people("check", progress.command)

        def work() -> None:
            results = checks.run(tell)
            if results is not None:
                self.tell_self(ChecksOver(checks_id=command.checks_id, results=tuple(results)))

        threading.Thread(target=work, name="checks", daemon=True).start()

    def _start_tree(self, command: run.TakeTree) -> None:
        """Takes a moment, and changes nothing: nobody breaks it off."""
        cwd = Path(self.context.options["cwd"])
        store = Path(self.context.options["directory"]) / TREES

        def work() -> None:
            taken = tree.take(cwd, store, apart=command.apart)
            answer = run.TreeTaken(
                take_id=command.take_id,
                tree=taken,
                changed=tree.changed(cwd, store, command.since, taken.id),
                uncommitted=tree.uncommitted(cwd, store, taken),
            )
            self.tell_self(TreeOver(answer=answer))

        threading.Thread(target=work, name="tree", daemon=True).start()

    def _start_look(self, command: run.LookForPullRequest) -> None:
        options = self.context.options
        look = PullRequestLook(Path(options["cwd"]), options["environment"], since=options["created_at"])
        self._looks[command.look_id] = look

        def work() -> None:
            sight = look.ahead() if command.ahead else look.now()
            self.tell_self(LookOver(answer=run.PullRequestLookedFor(look_id=command.look_id, sight=sight)))

        threading.Thread(target=work, name="pull-request", daemon=True).start()

    def _start_timer(self, command: run.StartCooldown) -> None:
        timer = threading.Timer(command.ms / 1000, lambda: self.tell_self(CooldownOver(wait_id=command.wait_id)))
        timer.daemon = True
        self._timers[command.wait_id] = timer
        timer.start()

    def _reissue_to_reviewer(self) -> None:
        """A new reviewer has its ledger, but not the orders that were lost with the old one."""
        self.context.ref("reviewer").tell(HoldTurns(held=self._held))
        for command in run.outstanding(self._state, self.context.clock()):
            if isinstance(command, run.StartTurn | run.BreakOffTurn) and command.role == "reviewer":
                self._do(command)

    @property
    def _held(self) -> bool:
        """What waits for its turn in a session is not begun when the run is held, nor when it is over."""
        return self._state.hold is not None or self._state.phase in run.FINAL_PHASES

    def _hold_sessions(self) -> None:
        self.session.hold(held=self._held)
        self.context.ref("reviewer").tell(HoldTurns(held=self._held))


def _asked(message: FollowUp | ControlRun | GiveVerdict | RequestReview) -> run.Event:
    """What people ask, as what happens to the run."""
    match message:
        case FollowUp():
            return run.FollowUpGiven(text=message.text)
        case GiveVerdict():
            return run.HumanVerdictGiven(approved=message.approved, notes=message.notes)
        case RequestReview():
            return run.ReviewRequested()
        case ControlRun(action="stop"):
            return run.StopRequested(reason=message.reason)
        case ControlRun(action="resume"):
            return run.ResumeRequested()
        case ControlRun():
            return run.PauseRequested(now=message.action == "pause-now")
