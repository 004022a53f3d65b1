"""The reports of an agent's session, as messages to the run, the bridge, the journal's keeper and the consoles.

Everything here runs in the session's thread, once an event is durable. It decides who gets which report, and nothing
else: it starts no turn, and reads nothing that comes in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec.structs import asdict, replace

from actors.actor_process import ActorContext
from actors.adapters.base import AgentEvent
from actors.edges import processes
from actors.errors import PermanentError
from actors.machines import turn
from actors.messages import (
    ROLE_PROMPT,
    AgentStatus,
    CommandBegun,
    ControlRun,
    GrantRequest,
    HumanHeard,
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
    Receipt,
    RunningUsageReport,
    SessionOpened,
    TurnOutcome,
    TurnSettledReport,
    UsageReport,
)
from actors.remote import RemoteRef
from actors.session import SessionStatus
from actors.starts import StartAgent

LONGEST_COMMAND = 300  # characters


class SessionReports:
    """See `SessionListener`. `say` shows a line of the agent. `is_away`: its host may be lost."""

    def __init__(
        self,
        context: ActorContext[StartAgent],
        say: Callable[[ProgressKind, str], None],
        *,
        bridge: RemoteRef,
        persistence: RemoteRef,
        is_away: bool,
    ) -> None:
        self._context = context
        self._say = say
        self._bridge = bridge
        self._persistence = persistence
        self._is_away = is_away
        self._role = context.start.role
        self._session_id = ""
        self._noted_command = ""

    def session_opened(self, session_id: str) -> None:
        """Reports it to the manifest, for the resume hint, and to the bridge, before the agent can call it again."""
        self._session_id = session_id
        opened = SessionOpened(role=self._role, agent=self._context.start.agent, session_id=session_id)
        self._persistence.tell(opened)
        if self._context.start.bridge is not None:
            self._bridge.tell(opened)
        self._say("session", session_id)

    def turn_settled(self, turn_id: str, purpose: Purpose, outcome: TurnOutcome) -> None:
        """Reports it to the run, except for role prompts; the bridge then counts hops from 0."""
        if purpose != ROLE_PROMPT:
            self._context.ref("run").tell(TurnSettledReport(turn_id=turn_id, purpose=purpose, outcome=outcome))
        if self._context.start.bridge is not None:
            finished_in = self._session_id if outcome.status == "finished" else ""
            self._bridge.tell(OtherWorkDone(what=f"{purpose} turn ended", finished_in=finished_in))

    def usage_grew(self, cost: turn.Cost) -> None:
        """Reports it to the run, which counts the cost."""
        self._context.ref("run").tell(UsageReport(role=self._role, **asdict(self._named(cost))))

    def usage_seen(self, cost: turn.Cost) -> None:
        """Reports it to the run, which shows it, and interrupts the turn when it costs too much."""
        self._context.ref("run").tell(RunningUsageReport(role=self._role, **asdict(self._named(cost))))

    def turn_wanted(self, turn_id: str, purpose: Purpose | Literal[""], after: str) -> None:
        """Asks the run for its grant, after all reports on ended turns."""
        self._context.ref("run").tell(GrantRequest(role=self._role, turn_id=turn_id, purpose=purpose, after=after))

    def _named(self, cost: turn.Cost) -> turn.Cost:
        return replace(cost, model=cost.model or self._context.start.model)

    def mail_receipt(self, mail_id: str, receipt: Receipt, reason: str = "") -> None:
        """Reports it to the bridge, which keeps the mail, and to the run, which does not repeat the peer's notes."""
        receipts: dict[Receipt, Message] = {
            "accepted": MailAcceptedReport(mail_id=mail_id),
            "seen": MailSeenReport(mail_id=mail_id),
            "handled": MailHandledReport(mail_id=mail_id),
            "failed": MailFailedReport(mail_id=mail_id, reason=reason),
        }
        self._bridge.tell(receipts[receipt])
        if receipt == "seen":
            self._context.ref("run").tell(PeerWrote())

    def human_heard(self, message_id: str, how: Literal["steered", "turn", "waits", "settled"], detail: str) -> None:
        """Reports it to the console that sent it; the bridge then counts hops from 0."""
        self._context.ref("console").tell(HumanHeard(message_id=message_id, how=how, detail=detail))
        if how == "settled" and detail:
            self._say("error", f"your message's turn ended: {detail}")
        if how == "settled" and self._context.start.bridge is not None:
            self._bridge.tell(OtherWorkDone(what="a message from the user was handled"))

    def session_changed(self, status: SessionStatus) -> None:
        """To the consoles."""
        start = self._context.start
        if not status.turn_id:
            self._note_command("")
        known = msgspec.structs.asdict(status)
        self._context.ref("console").tell(AgentStatus(role=self._role, agent=start.agent, label=start.label, **known))

    def agent_event(self, event: AgentEvent) -> None:
        """Shows it to the user, and records the agent's processes: a killed actor leaves none behind."""
        if event.kind == "tool" and event.text and self._is_away:
            self._note_command(event.text[:LONGEST_COMMAND])
        if event.kind == "process":
            processes.record(self._context.start.records, event.pid)
        elif event.kind == "typed":
            self._typed(event.text)
        elif event.kind == "spent":
            pass  # the session has taken it
        elif event.kind == "cut":
            self._say("note", "interrupted in its own window: the run pauses; to continue: resume")
            why = "interrupted in the agent's own window"
            self._context.ref("run").tell(ControlRun(action="pause-now", reason=why))
        elif self._context.start.raw_output:
            if event.raw:
                self._say("raw", event.raw)
        elif event.kind != "raw" and event.text:
            self._say(event.kind, event.text)

    def _note_command(self, text: str) -> None:
        """For the agent's next incarnation, if this host is lost; "" = no turn runs."""
        if text != self._noted_command:
            self._noted_command = text
            self._context.ref("run").tell(CommandBegun(text=text))

    def session_crashed(self, error: BaseException) -> None:
        """Crash-only: a new incarnation resumes from the journal, unless that cannot help."""
        if isinstance(error, PermanentError):
            self._context.start_failed(error)
            self._context.ended()
        else:
            self._context.crash("agent session", error)

    def _typed(self, text: str) -> None:
        """Adds what the user types in the agent's own TUI to the run's transcript."""
        now_ms = self._context.clock()
        self._persistence.tell(Note(sender="human", recipient=self._context.start.label, text=text, at_ms=now_ms))
        self._say("typed", text)
