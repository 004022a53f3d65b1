"""What the worker and the reviewer have in common: an actor that owns one agent's session.

Runs in the actor's own process: the mailbox in a Pykka thread, the session in another (actors/session). It carries
messages between the two and decides nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from actors.access import BridgeAccess
from actors.adapters import find_adapter
from actors.adapters.base import Agent as AgentAdapter
from actors.adapters.base import AgentEvent, AgentSettings, EventSink
from actors.edges import processes
from actors.host import ActorContext, ProcessActor, Sender
from actors.machines import turn
from actors.messages import (
    AgentStatus,
    BreakOffTurn,
    ControlRun,
    DeliverMail,
    HoldTurns,
    HumanHeard,
    MailAccepted,
    MailAnswered,
    MailFailed,
    MailSeen,
    Message,
    Note,
    OtherWorkDone,
    Progress,
    Purpose,
    SayToAgent,
    SessionOpened,
    TurnEnded,
    TurnOutcome,
    UsageReported,
)
from actors.session import AgentSession, SessionOptions, SessionStatus
from actors.settings import Role
from actors.stream import EventStream

CLOSE_PATIENCE_S = 2.5  # an adapter's close takes 2 s at most


class AgentActor(ProcessActor):
    """Options: `role`, `agent` (name), `label` (what people call it), `cwd`, `environment`, `model`, `bridge`
    (BridgeAccess or None), `pane` (PaneAccess or None), `configured` (agents of the configuration),
    `first_session_id`, `retry_ms` and `max_wait_ms` (see AgentSession), `raw_output`, `records` (directory of process
    records, for reaping).
    """

    def __init__(self, context: ActorContext) -> None:
        super().__init__(context)
        self.role: Role = context.options["role"]
        self._session_id = ""  # in the session's thread only

    def on_start(self) -> None:
        """Starts the session; the actor is ready before the agent's program is."""
        self._raw: bool = self.context.options["raw_output"]
        self.session = AgentSession(
            SessionOptions(
                make_agent=self._make_agent,
                stream=EventStream(
                    self.context.ref("persistence"), f"turns/{self.role}", self.context.incarnation, turn.EVENTS
                ),
                listener=self,
                first_session_id=self.context.options["first_session_id"],
                retry_ms=self.context.options["retry_ms"],
                max_wait_ms=self.context.options["max_wait_ms"],
            )
        )
        self.session.start()

    def on_stop(self) -> None:
        """Ends the agent's program; what it had not finished is taken up by the next incarnation."""
        self.session.close(CLOSE_PATIENCE_S)

    def receive(self, message: Message, sender: Sender) -> Message | None:  # noqa: ARG002 - subclasses look at it
        """The messages that any session owner takes; subclasses take theirs first."""
        match message:
            case DeliverMail():
                self.session.deliver(message.mail_id, message.text)
            case SayToAgent():
                self.session.say(message.message_id, message.text)
            case BreakOffTurn():
                self.session.break_off(message.turn_id, message.reason)
            case HoldTurns():
                self.session.hold(held=message.held)
            case _:
                pass  # notices that this actor has no use for
        return None

    def tell_people(self, kind: str, text: str, *, agent: bool = False) -> None:
        """A line for whoever follows the run."""
        self.context.ref("console").tell(
            Progress(
                at_ms=self.context.clock(),
                source=self.role,
                agent=self.context.options["label"] if agent else "",
                kind=kind,
                text=text,
            )
        )

    # --- SessionListener: called in the session's thread ---

    def session_opened(self, session_id: str) -> None:
        """Into the manifest, for the resume hint; and to the bridge, before the agent can call it again."""
        self._session_id = session_id
        opened = SessionOpened(role=self.role, agent=self.context.options["agent"], session_id=session_id)
        self.context.ref("persistence").tell(opened)
        if self.context.options["bridge"] is not None:
            self.context.ref("bridge").tell(opened)
        self.tell_people("session", session_id, agent=True)

    def turn_ended(self, turn_id: str, purpose: Purpose, outcome: TurnOutcome) -> None:
        """To the worker, which drives the run; and the bridge counts its hops anew."""
        self.report(TurnEnded(turn_id=turn_id, purpose=purpose, outcome=outcome))
        if self.context.options["bridge"] is not None:
            finished_in = self._session_id if outcome.status == "finished" else ""
            self.context.ref("bridge").tell(OtherWorkDone(what=f"{purpose} turn ended", finished_in=finished_in))

    def usage_grew(self, cost: turn.Cost) -> None:
        """To the run, which keeps count of what is spent."""
        self.report_usage(
            UsageReported(
                role=self.role,
                turn_id=cost.turn_id,
                purpose=cost.purpose,
                model=cost.model or self.context.options["model"],
                usage=cost.usage,
            )
        )

    def report_usage(self, reported: UsageReported) -> None:
        """Sends it to the worker."""
        self.context.ref("worker").tell(reported)

    def report(self, ended: TurnEnded) -> None:
        """Sends the outcome to the worker."""
        self.context.ref("worker").tell(ended)

    def mail_changed(self, mail_id: str, state: str, reason: str = "") -> None:
        """To the bridge, which keeps the mail."""
        receipts: dict[str, Message] = {
            "accepted": MailAccepted(mail_id=mail_id),
            "seen": MailSeen(mail_id=mail_id),
            "answered": MailAnswered(mail_id=mail_id),
            "failed": MailFailed(mail_id=mail_id, reason=reason),
        }
        self.context.ref("bridge").tell(receipts[state])

    def human_heard(self, message_id: str, how: Literal["steered", "turn", "waits", "settled"], detail: str) -> None:
        """To the console that it came from; and the bridge counts its hops anew."""
        self.context.ref("console").tell(HumanHeard(message_id=message_id, how=how, detail=detail))
        if how == "settled" and detail:
            self.tell_people("error", f"your message's turn ended: {detail}", agent=True)
        if how == "settled" and self.context.options["bridge"] is not None:
            self.context.ref("bridge").tell(OtherWorkDone(what="a person's message was dealt with"))

    def session_changed(self, status: SessionStatus) -> None:
        """To the consoles."""
        options = self.context.options
        known = msgspec.structs.asdict(status)
        self.context.ref("console").tell(
            AgentStatus(role=self.role, agent=options["agent"], label=options["label"], **known)
        )

    def agent_event(self, event: AgentEvent) -> None:
        """For people; and the agent's processes are recorded, so that nothing of a killed actor stays behind."""
        if event.kind == "process":
            processes.record(Path(self.context.options["records"]), event.pid)
        elif event.kind == "typed":
            self._typed(event.text)
        elif event.kind == "cut":
            self.tell_people("note", "broken off in its own window: the run pauses; resume goes on", agent=True)
            self.control(ControlRun(action="pause-now", reason="broken off in the agent's own window"))
        elif self._raw:
            if event.raw:
                self.tell_people("raw", event.raw, agent=True)
        elif event.kind != "raw" and event.text:
            self.tell_people(event.kind, event.text, agent=True)

    def control(self, order: ControlRun) -> None:
        """A person's order that came by way of the agent, for whoever drives the run."""
        self.context.ref("worker").tell(order)

    def _typed(self, text: str) -> None:
        """What a person says to the agent in its own TUI stands in the run's transcript like any other message."""
        now_ms = self.context.clock()
        self.context.ref("persistence").tell(
            Note(sender="human", recipient=self.context.options["label"], text=text, at_ms=now_ms)
        )
        self.tell_people("typed", text, agent=True)

    def session_crashed(self, error: BaseException) -> None:
        """Crash-only: the supervisor starts a new incarnation, which takes everything up from the journal."""
        self.context.crash("agent session", error)

    def _make_agent(self, sink: EventSink) -> AgentAdapter:
        options = self.context.options
        entry = find_adapter(options["agent"], options["configured"])
        bridge: BridgeAccess | None = options["bridge"]
        return entry.factory(
            AgentSettings(
                name=options["agent"],
                cwd=Path(options["cwd"]),
                environment=options["environment"],
                model=options["model"],
                bridge=bridge,
                options={"role": self.role},
                pane=options["pane"],
            ),
            sink,
        )
