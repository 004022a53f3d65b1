"""AgentActor: an agent's session, and the jobs of the working tree that the agent works in. Worker and reviewer alike.

Runs in the actor's own process: the mailbox in a Pykka thread, the session in another (actors/session), each job in
one of its own (actors/runners). It carries messages between them and the run, and decides nothing: the RunActor says
what is to be done, and what follows. No turn begins before the run has said that nothing holds it.

The same turn or job twice is one turn or job, so the run may give it out again at any time. What a killed incarnation
has not finished is in the session's ledger, or is given out again.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from actors import runners
from actors.actor_process import ActorContext, ProcessActor, Sender
from actors.adapters import find_adapter
from actors.adapters.base import Agent as AgentAdapter
from actors.adapters.base import AgentEvent, AgentSettings, EventSink
from actors.edges import files, processes
from actors.edges.worktree import there_again
from actors.errors import LoopError
from actors.machines import turn
from actors.messages import (
    AgentStatus,
    ControlRun,
    DeliverMail,
    HoldTurns,
    HumanHeard,
    InterruptTurnRequest,
    KeepJobs,
    MailAcceptedReport,
    MailFailedReport,
    MailHandledReport,
    MailSeenReport,
    Message,
    Note,
    OtherWorkDone,
    PeerWrote,
    ProgressKind,
    Purpose,
    SayToAgent,
    SessionOpened,
    StartJob,
    StartTurnRequest,
    TurnOutcome,
    TurnSettledReport,
    UsageReport,
)
from actors.runners.crew import Crew, JobOver
from actors.session import AgentSession, SessionOptions, SessionStatus
from actors.starts import StartAgent
from actors.stream import EventStream

CLOSE_PATIENCE_S = 2.5  # an adapter's close takes 2 s at most
TREES = "trees"  # folder in the run's directory: what git made to compare trees
PLACE_LOCK = "place.lock"  # in the run's directory: both agents' actors may want to make the working directory again


class AgentActor(ProcessActor[StartAgent]):
    """One agent. It answers the turns of the run with `TurnSettledReport`, its jobs with `JobEnded`."""

    start_type = StartAgent

    def __init__(self, context: ActorContext[StartAgent]) -> None:
        super().__init__(context)
        start = context.start
        self.role = start.role
        self._session_id = ""  # in the session's thread only
        self._crew = Crew(self.tell_self)
        self._place = runners.Place(
            cwd=start.cwd,
            environment=start.environment,
            store=start.directory / TREES,
            created_at=start.created_at,
            tell=self.tell_people,
        )

    def on_start(self) -> None:
        """Starts the session; the actor is ready before the agent's program is."""
        start = self.context.start
        self.session = AgentSession(
            SessionOptions(
                make_agent=self._make_agent,
                stream=EventStream(
                    self.context.ref("persistence"), f"turns/{self.role}", self.context.incarnation, turn.EVENTS
                ),
                listener=self,
                first_session_id=start.first_session_id,
                retry_ms=start.retry_ms,
                max_wait_ms=start.max_wait_ms,
                is_held=True,
            )
        )
        self.session.start()
        if start.role_prompt is not None:
            self.session.want(start.role_prompt)

    def on_stop(self) -> None:
        """Ends the jobs and the agent's program; what was not finished is taken up by the next incarnation."""
        self._crew.close()
        self.session.close(CLOSE_PATIENCE_S)

    def receive(self, message: Message, sender: Sender) -> Message | None:  # noqa: ARG002 - all are served alike
        """What the run, the bridge and consoles want of the agent, and what the run wants done in its tree."""
        match message:
            case StartTurnRequest():
                self._want(message)
            case InterruptTurnRequest():
                self.session.break_off(message.turn_id, message.reason)
            case HoldTurns():
                self.session.hold(held=message.held, finishing=message.finishing)
            case DeliverMail():
                self.session.deliver(message.mail_id, message.text)
            case SayToAgent():
                self.session.say(message.message_id, message.text)
            case StartJob():
                self._make_place()  # without it the job says what is wrong
                self._crew.start(message.job_id, lambda: runners.runner_for(message, self._place))
            case KeepJobs():
                self._crew.keep(message.job_ids)
            case JobOver():
                if self._crew.take(message):
                    self.context.ref("run").tell(runners.report(message.job_id, message.answer))
            case _:
                pass  # notices that this actor has no use for
        return None

    def _want(self, order: StartTurnRequest) -> None:
        """A turn cannot begin in a directory that is gone for good."""
        if gone := self._make_place():
            self._report(order.turn_id, order.purpose, TurnOutcome(status="failed", error=gone))
        else:
            self.session.want(order)

    def _make_place(self) -> str:
        """An agent may have removed the run's directory. Why it is gone for good; "" = it is there."""
        start = self.context.start
        if start.cwd.is_dir():
            return ""
        try:
            with _alone(start.directory / PLACE_LOCK):
                for note in there_again(start.cwd, start.repository, start.run_id):
                    self.tell_people("error", note)
        except (LoopError, OSError) as error:
            return str(error)
        return ""

    # --- SessionListener: called in the session's thread ---

    def session_opened(self, session_id: str) -> None:
        """Into the manifest, for the resume hint; and to the bridge, before the agent can call it again."""
        self._session_id = session_id
        opened = SessionOpened(role=self.role, agent=self.context.start.agent, session_id=session_id)
        self.context.ref("persistence").tell(opened)
        if self.context.start.bridge is not None:
            self.context.ref("bridge").tell(opened)
        self._say("session", session_id)

    def turn_settled(self, turn_id: str, purpose: Purpose, outcome: TurnOutcome) -> None:
        """To the run, which does not wait for its agents to know their parts; and the bridge counts its hops anew."""
        if purpose != "brief":
            self._report(turn_id, purpose, outcome)
        if self.context.start.bridge is not None:
            finished_in = self._session_id if outcome.status == "finished" else ""
            self.context.ref("bridge").tell(OtherWorkDone(what=f"{purpose} turn ended", finished_in=finished_in))

    def usage_grew(self, cost: turn.Cost) -> None:
        """To the run, which keeps count of what is spent."""
        self.context.ref("run").tell(
            UsageReport(
                role=self.role,
                turn_id=cost.turn_id,
                purpose=cost.purpose,
                model=cost.model or self.context.start.model,
                usage=cost.usage,
            )
        )

    def mail_changed(self, mail_id: str, state: str, reason: str = "") -> None:
        """To the bridge, which keeps the mail; and the run does not repeat what the peer has said."""
        receipts: dict[str, Message] = {
            "accepted": MailAcceptedReport(mail_id=mail_id),
            "seen": MailSeenReport(mail_id=mail_id),
            "handled": MailHandledReport(mail_id=mail_id),
            "failed": MailFailedReport(mail_id=mail_id, reason=reason),
        }
        self.context.ref("bridge").tell(receipts[state])
        if state == "seen":
            self.context.ref("run").tell(PeerWrote())

    def human_heard(self, message_id: str, how: Literal["steered", "turn", "waits", "settled"], detail: str) -> None:
        """To the console that it came from; and the bridge counts its hops anew."""
        self.context.ref("console").tell(HumanHeard(message_id=message_id, how=how, detail=detail))
        if how == "settled" and detail:
            self._say("error", f"your message's turn ended: {detail}")
        if how == "settled" and self.context.start.bridge is not None:
            self.context.ref("bridge").tell(OtherWorkDone(what="a person's message was dealt with"))

    def session_changed(self, status: SessionStatus) -> None:
        """To the consoles."""
        start = self.context.start
        known = msgspec.structs.asdict(status)
        self.context.ref("console").tell(AgentStatus(role=self.role, agent=start.agent, label=start.label, **known))

    def agent_event(self, event: AgentEvent) -> None:
        """For people; and the agent's processes are recorded, so that nothing of a killed actor stays behind."""
        if event.kind == "process":
            processes.record(self.context.start.records, event.pid)
        elif event.kind == "typed":
            self._typed(event.text)
        elif event.kind == "cut":
            self._say("note", "broken off in its own window: the run pauses; resume goes on")
            self.context.ref("run").tell(ControlRun(action="pause-now", reason="broken off in the agent's own window"))
        elif self.context.start.raw_output:
            if event.raw:
                self._say("raw", event.raw)
        elif event.kind != "raw" and event.text:
            self._say(event.kind, event.text)

    def session_crashed(self, error: BaseException) -> None:
        """Crash-only: the supervisor starts a new incarnation, which takes everything up from the journal."""
        self.context.crash("agent session", error)

    # --- any thread ---

    def _say(self, kind: ProgressKind, text: str) -> None:
        """A line of the agent."""
        self.tell_people(kind, text, agent=self.context.start.label)

    def _report(self, turn_id: str, purpose: Purpose, outcome: TurnOutcome) -> None:
        self.context.ref("run").tell(TurnSettledReport(turn_id=turn_id, purpose=purpose, outcome=outcome))

    def _typed(self, text: str) -> None:
        """What a person says to the agent in its own TUI stands in the run's transcript like any other message."""
        now_ms = self.context.clock()
        self.context.ref("persistence").tell(
            Note(sender="human", recipient=self.context.start.label, text=text, at_ms=now_ms)
        )
        self._say("typed", text)

    def _make_agent(self, sink: EventSink) -> AgentAdapter:
        start = self.context.start
        entry = find_adapter(start.agent, {start.agent.lower(): start.program} if start.program else {})
        return entry.factory(
            AgentSettings(
                name=start.agent,
                cwd=start.cwd,
                environment=start.environment,
                model=start.model,
                bridge=start.bridge,
                options={"role": self.role},
                pane=start.pane,
            ),
            sink,
        )


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Within it no other process has this lock. It waits for the one that has it."""
    descriptor = files.open_own(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
