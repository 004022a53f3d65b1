"""RunActor: drives one run (machines/run). Runs in the run's process, which is always on the root's machine.

Each event goes to the machine first, then into the journal; then its commands are carried out. The RunActor issues
turns and jobs, and owns neither an agent nor a program: those belong to the AgentActors (actors/agent.py). A wait is
the only job that it runs itself.

A new incarnation folds the journal and issues again what is outstanding, under the same ids. A restarted AgentActor
gets its part of that again. An id that comes twice is one turn or job. The RunActor first reports which jobs are still
wanted (`KeepJobs`): a job may have been withdrawn while an AgentActor was down.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec
from loguru import logger

from actors import runners
from actors.actor_process import ActorContext, ProcessActor, Sender
from actors.edges.trust import Watch
from actors.errors import IllegalEventError, JournalUnusableError
from actors.machines import run, run_messages
from actors.machines.run.jobs.base import Where
from actors.machines.run_status import counted_down, run_status
from actors.messages import (
    ActorPlaced,
    ActorUp,
    AgentContact,
    CommandBegun,
    CommandLost,
    FetchSession,
    FetchTree,
    GrantRequest,
    InterruptTurnRequest,
    JobEnded,
    KeepJobs,
    Message,
    PauseTurns,
    PeerWrote,
    QuestionAsked,
    RunEnded,
    RunningUsageReport,
    RunStatus,
    SessionParcel,
    TreeParcel,
    TurnGranted,
    TurnSettledReport,
    UsageReport,
)
from actors.runners import home
from actors.runners.base import place_of
from actors.runners.courier import HomeCourier
from actors.runners.crew import Crew, JobOver
from actors.runners.stopwatch import ClockTicked, Stopwatch
from actors.settings import Role
from actors.starts import StartRun
from actors.stream import EventStream

ROLES: tuple[Role, ...] = ("worker", "reviewer")
LEAST_TIME_MS = 1_000  # shorter times are journalled with a later event
_QUIET = (run.UsageGrew, run.UsageSeen, run.TurnWanted, run.TimePassed, run.ContactChanged, run.AgentPlaced)


class RunActor(ProcessActor[StartRun]):
    """One run. Each root that opens it resumes it once; a crash of this process does not count."""

    start_type = StartRun

    def __init__(self, context: ActorContext[StartRun]) -> None:
        super().__init__(context)
        self._crew = Crew(self.tell_self)
        self._happening: deque[run.Event] = deque()
        self._busy = False
        self._seen: dict[Role, run.UsageSeen] = {}  # of the turns that run, as it was reported last
        self._stopwatch = Stopwatch(self.tell_self)
        self._commands: dict[str, str] = {}  # what agents that are away run, for the case that their hosts are lost
        self._places = dict(context.start.places)
        self._courier = self._make_courier() if self._places else None
        # For the short jobs of an actor that is away.
        self._home_tree = place_of(context.start, tell=self.show_progress, report=context.ref("console").tell)
        self._watch = Watch(context.start.tree, context.start.tree_sha256)

    def on_start(self) -> None:
        """Resumes the run from the journal, or starts it."""
        self._stream: EventStream[run.Event] = EventStream(
            self.context.ref("persistence"), "run", self.context.incarnation, run.EVENTS
        )
        events = self._stream.load()
        self._state = run.fold(events)
        settings, generation = self.context.start.settings, self.context.start.generation
        opened = [event for event in events if isinstance(event, run.RunStarted | run.RunResumed)]
        if not opened:
            if settings is None:
                raise JournalUnusableError("the run's journal is gone, and its task with it: start a new run")
            self._happen(run.RunStarted(settings=settings, generation=generation))
            self._see_places(moved=False)
            self._tell_hold()
            return
        if opened[-1].generation != generation:
            resumed = self._record(run.RunResumed(settings=settings, generation=generation))
            self._carry_out([command for command in resumed if isinstance(command, run.Notice)])
        else:
            self._tell_status()
        self._see_places(moved=opened[-1].generation == generation)
        self._stopwatch.set(run.next_tick_ms(self._state))
        self._tell_hold()
        self._tell_kept_jobs(*ROLES)
        self._carry_out(run.outstanding(self._state, self.context.clock()))

    def on_stop(self) -> None:
        """Stops the jobs beside the mailbox. The next incarnation issues them again."""
        self._crew.close()
        self._stopwatch.close()

    def receive(self, message: Message, sender: Sender) -> Message | None:
        """Handles what happens to the run. Answers users' requests with RunStatus."""
        asked = run_messages.asked(message, self.context.clock())
        if asked is not None:
            self._happen(asked)
            return self._status()
        match message:
            case TurnSettledReport():
                self._commands.pop(sender.name, None)
                self._forget_usage(message.turn_id)
                self._happen(
                    run.TurnSettled(turn_id=message.turn_id, outcome=message.outcome, at_ms=self.context.clock())
                )
            case JobEnded():
                self._happen(runners.answer_in(message))
            case JobOver():
                if self._crew.take(message):
                    self._happen(message.answer)
            case RunningUsageReport():
                self._see_usage(message)
            case UsageReport():
                self._forget_usage(message.turn_id)
                self._happen(run.UsageGrew(**msgspec.structs.asdict(message)))
            case GrantRequest():
                self._see_claim(message)
            case ClockTicked():
                self._happen_in_time()
            case AgentContact():
                self._happen(run.ContactChanged(role=message.role, comes=not message.problem))
            case PeerWrote():
                if sender.name == self._state.author:
                    self._happen(run.MailReachedWorker(sender=self.context.start.peer))
            case FetchTree() | TreeParcel() | FetchSession() | SessionParcel() if self._courier is not None:
                self._courier.take(sender.name, message)
            case ActorPlaced():
                self._placed(message)
            case CommandBegun():
                self._commands.pop(sender.name, None)
                if message.text:
                    self._commands[sender.name] = message.text
            case ActorUp(name="worker" | "reviewer" as role):
                self._issue_again_to(role)
            case _:
                pass  # notices that this actor has no use for
        return None

    def _tell_status(self) -> None:
        self.context.ref("console").tell(self._status())

    def _status(self) -> RunStatus:
        seen = self._state
        if seen.phase not in {run.Phase.NEW, *run.FINAL_PHASES}:
            for event in self._seen.values():
                seen = run.usage_seen(seen, event)
        return run_status(seen, self.context.clock())

    # --- budgets ---

    def _see_usage(self, message: RunningUsageReport) -> None:
        """The usage of a running turn is shown. It is journalled only where it reaches a budget: there it decides."""
        event = run.UsageSeen(**msgspec.structs.asdict(message))
        others = [each for role, each in self._seen.items() if role != message.role]
        state = self._state
        for each in others:
            state = run.usage_seen(state, each)
        if state.phase is run.Phase.NEW:
            return
        self._seen[message.role] = event
        if run.usage_matters(state, event):
            for each in (*others, event):
                self._happen(each)
        else:
            self._tell_status()

    def _see_claim(self, message: GrantRequest) -> None:
        """A turn may begin once all that is known of the running ones is counted. Each claim gets its grant."""
        if not run.grants_are_needed(self._state):
            return  # the session has been told, or is being told
        for each in list(self._seen.values()):
            self._happen(each)
        had = run.grants_of(self._state, message.role, message.turn_id)
        self._happen(run.TurnWanted(**msgspec.structs.asdict(message)))
        self._carry_out(had)

    def _forget_usage(self, turn_id: str) -> None:
        self._seen = {role: each for role, each in self._seen.items() if each.turn_id != turn_id}

    # --- decide, journal, do ---

    def _happen(self, event: run.Event) -> None:
        """Decides, journals and carries out the event and what immediately follows from it, in order."""
        passed_ms = self._stopwatch.take(at_least_ms=LEAST_TIME_MS)
        self._happening += [run.TimePassed(ms=passed_ms), event] if passed_ms else [event]
        self._carry_on()

    def _happen_in_time(self) -> None:
        if passed_ms := self._stopwatch.take():
            self._happening.append(run.TimePassed(ms=passed_ms))
        self._carry_on()
        self._stopwatch.set(run.next_tick_ms(self._state))

    def _carry_on(self) -> None:
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
            self.show_progress("note", str(error))
            return []
        # A late answer changes nothing and is not journalled. A RunResumed is journalled even so: else a pause under
        # this root would be lifted at the next restart.
        if after == self._state and not commands and not isinstance(event, run.RunResumed):
            return []
        self._stream.append([event])
        hold = self._hold
        self._state = after
        self._stopwatch.set(run.next_tick_ms(after))
        if hold != self._hold:
            self._tell_hold()
        is_quiet = isinstance(event, _QUIET) and hold == self._hold and not after.asking
        if not (run.waits_for_tree_alone(after) or is_quiet):
            self.show_progress("status", counted_down(self._status(), now_ms).line)
        self._tell_status()
        return commands

    def _carry_out(self, commands: Sequence[run.Command]) -> None:
        for command in commands:
            self._do(command)

    def _do(self, command: run.Command) -> None:
        match command:
            case run.StartTurn():
                request = run_messages.start_turn(command, run.left_usd(self._state))
                self.context.ref(command.where).tell(request)
            case run.InterruptTurn():
                self.context.ref(command.where).tell(
                    InterruptTurnRequest(turn_id=command.turn_id, reason=command.reason)
                )
            case run.StartCooldown():
                make = runners.HOME[type(command)]
                self._crew.start(run.job_id(command), lambda: make(command))
            case run.GrantTurn():
                self.context.ref(command.where).tell(TurnGranted(turn_id=command.turn_id))
            case run.InterruptChecks() | run.InterruptHook():
                self._tell_kept_jobs(command.where)
            case run.AskQuestion():
                self.context.ref("console").tell(QuestionAsked(question=command.question))
            case run.EndRun():
                if command.state == "completed" and self._state.kept and self._state.run.checks:
                    run_id = self.context.run.rpartition("/")[2]
                    self.show_progress("note", f"to repeat the checks: loop verify {run_id}")
                self._watch_configuration()
                self.context.ref("supervisor").tell(
                    RunEnded(state=command.state, detail=command.detail, resume=command.resume)
                )
            case run.Notice():
                if self._state.phase is not run.Phase.FAILED or command.text != self._state.detail:
                    self.show_progress("error" if command.error else "note", command.text)  # else its end has said it
                if command.resume_hint:
                    here = "to try again, type resume; " if self._state.stuck and self._state.run.interactive else ""
                    self.show_progress("note", f"{here}to resume this run later: {self.context.start.resume}")
            case run.ProbePullRequest() if self._state.author in self._places:
                self._crew.start(run.job_id(command), lambda: runners.PublishingRunner(command, self._home_tree))
            case run.TakeTree() | run.ReadPlan() | run.ProbePullRequest() if command.where in self._places:
                # What an agent has done away has come home before its turn has settled.
                job = runners.start_job(command)
                self._crew.start(job.job_id, lambda: runners.runner_for(job, self._home_tree))
            case _:
                if isinstance(command, run.RunChecks):
                    self._watch_configuration()
                self.context.ref(command.where).tell(runners.start_job(command))

    def _watch_configuration(self) -> None:
        """Warns when an agent has changed `.loop.toml`: the change does not count as allowed by the user."""
        if line := self._watch.look():
            self.show_progress("note", line)

    # --- the agents' actors ---

    def _make_courier(self) -> HomeCourier:
        def tell(role: str, message: Message) -> None:
            self.context.ref(role).tell(message)

        return home.courier(self.context.start, tell=tell, say=self.show_progress)

    def _placed(self, message: ActorPlaced) -> None:
        """Its jobs of the tree are done here while it is away, and there when it is at home."""
        self._places.pop(message.role, None)
        if message.host:
            self._places[message.role] = message.host
            self._courier = self._courier or self._make_courier()
        self._see_places(moved=True, why=message.why)

    def _see_places(self, *, moved: bool, why: str = "") -> None:
        """Journals where the agents are, if the journal does not have it: a start may know of a move that was cut."""
        known = dict(self._state.places)
        for role in ROLES:
            host = self._places.get(role, "")
            if host != known.get(role, ""):
                self._happen(run.AgentPlaced(role=role, host=host, moved=moved, why=why))

    @property
    def _hold(self) -> PauseTurns:
        return run_messages.hold(self._state)

    def _tell_hold(self, roles: tuple[Role, ...] = ROLES) -> None:
        for role in roles:
            self.context.ref(role).tell(self._hold)

    def _tell_kept_jobs(self, *places: Where) -> None:
        """Names the jobs that are still wanted; any other job there was withdrawn."""
        wanted = run.outstanding(self._state, self.context.clock())
        for place in places:
            job_ids = tuple(run.job_id(each) for each in wanted if type(each) in runners.TREE and each.where == place)
            self.context.ref(place).tell(KeepJobs(job_ids=job_ids))

    def _issue_again_to(self, role: Role) -> None:
        """Issues again what an AgentActor's new incarnation lacks: its ledger is durable, lost messages are not."""
        if (lost := self._commands.get(role)) is not None:
            self.context.ref(role).tell(CommandLost(text=lost))  # before the hold, which may let a turn begin
        self._tell_hold((role,))
        self._carry_out([each for each in run.outstanding(self._state, self.context.clock()) if each.where == role])
