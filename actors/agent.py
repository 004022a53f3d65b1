"""AgentActor: an agent's session, and the jobs of its working tree. One class for worker and reviewer.

Runs in the actor's own process: the mailbox in a Pykka thread, the session in another (actors/session), each job in
one of its own (actors/runners). It carries messages between them and the run, and decides nothing: the RunActor does.
What the session reports goes its own way (agent_reports). No turn begins before the run has reported that nothing holds
it.

A turn or job that is requested twice runs once, so the run may issue it again at any time. Unfinished work of a killed
incarnation is in the session's ledger, or is issued again.
"""

from __future__ import annotations

import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from actors import runners
from actors.actor_process import ActorContext, ProcessActor, Sender
from actors.adapters import find_adapter
from actors.adapters.base import Agent as AgentAdapter
from actors.adapters.base import AgentSettings, EventSink
from actors.agent_reports import SessionReports
from actors.edges import files, tree
from actors.edges.worktree import there_again
from actors.errors import LoopError, PermanentError
from actors.leaving import Leaving, SessionIdle, WorkAtHome
from actors.machines import continuations, turn
from actors.messages import (
    CommandLost,
    DeliverMail,
    InterruptTurnRequest,
    KeepJobs,
    LeavePlace,
    Message,
    PauseTurns,
    PlaceLeft,
    SayToAgent,
    SessionParcel,
    SessionTakenIn,
    StartJob,
    StartTurnRequest,
    TreeParcel,
    TreeTakenIn,
    TurnGranted,
    TurnOutcome,
    TurnSettledReport,
)
from actors.runners import session_courier
from actors.runners.away_agent import away_as
from actors.runners.base import Runner, place_of
from actors.runners.courier import AwayCourier
from actors.runners.crew import Crew, JobOver
from actors.runners.with_tree import WithTree
from actors.session import AgentSession, SessionOptions
from actors.starts import StartAgent
from actors.stream import EventStream

CLOSE_PATIENCE_S = 2.5  # an adapter's close takes 2 s at most
PLACE_LOCK = "place.lock"  # in the run's directory: both agents' actors may want to make the working directory again


class AgentActor(ProcessActor[StartAgent]):
    """One agent. It answers the turns of the run with `TurnSettledReport`, its jobs with `JobEnded`."""

    start_type = StartAgent

    def __init__(self, context: ActorContext[StartAgent]) -> None:
        super().__init__(context)
        start = context.start
        self.role = start.role
        self._lost_command = ""  # what ran last on a host that is lost
        self._crew = Crew(self.tell_self)
        run_ref = context.ref("run")
        self._courier = (
            AwayCourier(
                *(start.cwd, start.directory, run_ref.tell), prepare=start.prepare, environment=start.environment
            )
            if start.place
            else None
        )
        say = partial(self.show_progress, agent=start.label)
        self._reports = SessionReports(
            context,
            say,
            bridge=context.ref("bridge"),
            persistence=context.ref("persistence"),
            is_away=self._courier is not None,
        )
        self._leaving = Leaving(
            is_busy=lambda: self._crew.is_busy,
            take_home=self._take_home,
            left=lambda: context.ref("supervisor").tell(PlaceLeft()),
        )
        self._place = place_of(start, tell=self.show_progress, report=context.ref("console").tell)

    def on_start(self) -> None:
        """Starts the session; the actor is ready before the agent's program is."""
        start = self.context.start
        if self._courier is None and (start.directory / session_courier.FOLDER / start.role).is_dir():
            self._take_up_sessions()
        self.session = AgentSession(
            SessionOptions(
                make_agent=self._make_agent,
                stream=EventStream(
                    self.context.ref("persistence"), f"turns/{self.role}", self.context.incarnation, turn.EVENTS
                ),
                listener=self._reports,
                first_session_id=start.first_session_id,
                first_session_is_named=start.first_session_is_named,
                retry_ms=start.retry_ms,
                max_wait_ms=start.max_wait_ms,
                is_held=True,
                left_usd=start.left_usd,
                tree_facts=self._tree_facts,
                last_command=self._take_lost_command,
                accounts=max(len(start.program.accounts), 1) if start.program else 1,
            )
        )
        self.session.start()
        if start.role_prompt is not None:
            self.session.start_turn(start.role_prompt)

    def _take_up_sessions(self) -> None:
        """Has the agent find the sessions that have come home from another host."""
        start = self.context.start
        accounts = session_courier.environments(start.environment, start.program)
        try:
            session_courier.put_where_agents_look(start.directory, start.role, start.agent.lower(), accounts, start.cwd)
        except OSError as error:
            self.show_progress("error", f"the session of another host cannot be resumed: {error}")

    def on_stop(self) -> None:
        """Ends the jobs and the agent's program; the next incarnation resumes what is unfinished."""
        self._crew.close()
        self.session.close(CLOSE_PATIENCE_S)

    def receive(self, message: Message, sender: Sender) -> Message | None:  # noqa: ARG002 - all are served alike
        """Handles requests of the run, the bridge and consoles to the agent, and the run's jobs in its tree."""
        match message:
            case LeavePlace():
                if message.incarnation == self.context.incarnation:
                    self._leave(leaves=message.leaves, now=message.now)
            case SessionIdle():
                self._leaving.idle()
            case WorkAtHome():
                self._leaving.at_home()
            case StartTurnRequest() if self._leaving.wanted:
                self._leaving.turns[message.turn_id] = message
            case StartJob() if self._leaving.wanted:
                self._leaving.jobs[message.job_id] = message
            case StartTurnRequest():
                self._start_turn(message)
            case InterruptTurnRequest():
                if (aside := self._leaving.turns.pop(message.turn_id, None)) is not None:
                    self.session.start_turn(aside)  # it never starts, and settles as interrupted
                self.session.interrupt(message.turn_id, message.reason)
            case PauseTurns():
                self.session.hold(
                    held=message.held,
                    finishing=message.finishing,
                    patience=message.patience,
                    by_grant=message.by_grant,
                )
            case TurnGranted():
                self.session.grant(message.turn_id)
            case DeliverMail():
                self.session.deliver(message.mail_id, message.text)
            case SayToAgent():
                self.session.say(message.message_id, message.text)
            case StartJob():
                self._make_place()  # without it the job reports what is wrong
                self._crew.start(message.job_id, lambda: self._runner(message))
            case TreeParcel() | TreeTakenIn() | SessionParcel() | SessionTakenIn() if self._courier is not None:
                self._courier.take(message)
            case CommandLost():
                self._lost_command = message.text
            case KeepJobs():
                self._crew.keep(message.job_ids)
                self._leaving.keep(message.job_ids)
            case JobOver():
                if self._crew.take(message):
                    self.context.ref("run").tell(runners.report(message.job_id, message.answer))
                self._leaving.look()
            case _:
                pass  # notices that this actor has no use for
        return None

    def _leave(self, *, leaves: bool, now: bool) -> None:
        self.session.leave((lambda: self.tell_self(SessionIdle())) if leaves else None, now=now)
        for message in self._leaving.ask(leaves=leaves):
            self.receive(message, self.context.channel.address)

    def _take_home(self) -> None:
        """Any thread. What a turn or a job has left behind, after its own work went home."""
        try:
            if self._courier is not None:
                self._courier.send()
        except (LoopError, OSError) as error:  # it goes home when the actor is here again
            self._say_there(f"what was done there has not come home: {error}")
        self.tell_self(WorkAtHome())

    def _runner(self, message: StartJob) -> Runner:
        runner = runners.runner_for(message, self._place)
        if self._courier is None:
            return runner
        return WithTree(runner, self._courier, say=self._say_there, unusable=self._unusable)

    def _say_there(self, text: str) -> None:
        """Any thread. A line of its host."""
        self.show_progress("error", f"{self.context.start.place}: {text}")

    def _unusable(self, error: PermanentError) -> None:
        """Any thread. A job cannot be done at this place, and would not be after a restart."""
        self.context.start_failed(PermanentError(f"{self.context.start.place}: {error}{self._advice}"))
        self.context.ended()

    @property
    def _advice(self) -> str:
        """What to do about a place that does not work."""
        return f"; mend that, or use another place: --place {self.context.start.role}=home"

    def _start_turn(self, request: StartTurnRequest) -> None:
        """Starts the turn, unless its directory is gone for good."""
        if gone := self._make_place():
            outcome = TurnOutcome(status="failed", error=gone)
            report = TurnSettledReport(turn_id=request.turn_id, purpose=request.purpose, outcome=outcome)
            self.context.ref("run").tell(report)
        else:
            self.session.start_turn(request)

    def _make_place(self) -> str:
        """Makes the run's directory again if an agent has removed it. Returns why it is gone for good; "" = it is
        there.
        """
        start = self.context.start
        if start.cwd.is_dir() or self._courier is not None:
            return ""
        try:
            with _alone(start.directory / PLACE_LOCK):
                for note in there_again(start.cwd, start.repository, start.run_id):
                    self.show_progress("error", note)
        except (LoopError, OSError) as error:
            return str(error)
        return ""

    # --- any thread ---

    def _take_lost_command(self) -> str:
        lost, self._lost_command = self._lost_command, ""
        return lost

    def _tree_facts(self) -> list[str]:
        with suppress(LoopError, OSError):
            found = tree.take(self._place.cwd, self._place.store)
            rest = tree.uncommitted(self._place.cwd, self._place.store, found)
            return continuations.tree_facts(found.commit, found.branch, uncommitted=rest)
        return []

    def _make_agent(self, sink: EventSink, account: int) -> AgentAdapter:
        start = self.context.start
        entry = find_adapter(start.agent, {start.agent.lower(): start.program} if start.program else {})
        agent = entry.factory(
            AgentSettings(
                name=start.agent,
                cwd=start.cwd,
                environment=start.environment,
                model=start.model,
                bridge=start.bridge,
                options={"role": self.role},
                pane=start.pane,
                account=account,
            ),
            sink,
        )
        if self._courier is None:
            return agent

        accounts = session_courier.environments(start.environment, start.program)
        sessions = session_courier.AwaySessions(
            start.agent.lower(),
            accounts[min(account, len(accounts) - 1)],
            start.cwd,
            ask=self._courier.ask,
            new_id=lambda: str(uuid.uuid4()),
            say=self._say_there,
        )
        return away_as(agent)(agent, self._courier, sessions, sink, self._say_there, advice=self._advice)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds the lock exclusively; waits for the process that holds it."""
    descriptor = files.open_own(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
