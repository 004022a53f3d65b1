"""BridgeActor: mail between the two agents. Runs in the bridge process.

Serves the agents' tools (edges/mcp_endpoint), and decides with the mail machine. It makes each decision durable, and
only then answers the caller and orders the delivery from the recipient's session owner. It reports a mail as delivered
only after the recipient's side has confirmed it. It never reads an agent's transcript and never starts a turn.

Threads: the mailbox (all decisions), the endpoint's, one that opens the endpoint, and one for each tool call that is
being served; such a thread puts the call into the mailbox and waits for the answer. The endpoint is opened beside the
mailbox, as its library takes most of a second to import. Receipts and consoles do not wait for that; calls wait in the
socket. Where `waits` is set, it is opened at the first call.

What an agent sees when the bridge dies: a call made while there is no bridge waits for the next one, in the backlog of
the socket. A call in progress fails with the client's error for a broken connection. The agent cannot know whether the
mail was taken, and may call again. The machine recognises a repeated send_message, and returns again what
receive_messages may have lost (machines/mail).

An exception in a call is the answer to that call; the bridge survives it, unless a decision was half done: see
bridge_calls.
"""

from __future__ import annotations

import select
import socket
import threading
import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

import msgspec

from actors.access import bridge_url
from actors.actor_process import ActorContext, ProcessActor, Sender
from actors.bridge_calls import Calls, ToolCall
from actors.edges.imports import lean_models, uncollected
from actors.errors import ProtocolError
from actors.machines import mail, mail_news, mail_report, mail_view, prompts
from actors.messages import (
    ActorUp,
    AgentContact,
    ChangeMailRequest,
    DeliverMail,
    ListMailRequest,
    MailAcceptedReport,
    MailFailedReport,
    MailHandledReport,
    MailSeenReport,
    MailShown,
    Message,
    Note,
    OtherWorkDone,
    Receipt,
    SessionOpened,
    ShowMailRequest,
)
from actors.settings import Role, display_names
from actors.starts import StartBridge
from actors.stream import EventStream

if TYPE_CHECKING:
    from actors.edges.mcp_endpoint import McpEndpoint

# Endpoints of the root. The router rejects these sender names from any other process.
ROOT = ("console", "supervisor")

# More than can follow one another between a mail's event and the message that carries its transcript line.
RECENT_EVENTS = 50

# An agent that has worked a turn, and whose calls are served, has this long to make its first one.
COMING_S = 1.0


class AlarmRang(Message, frozen=True, kw_only=True):
    """Timer -> bridge: a delivery is due. Never leaves the process."""


class AgentCalled(Message, frozen=True, kw_only=True):
    """Endpoint -> bridge: the agent's first request to this process. Never leaves the process."""

    role: Role


class LookForAgents(Message, frozen=True, kw_only=True):
    """Endpoint or timer -> bridge: awaited agents have `COMING_S` to come, or had it. Never leaves the process."""

    role: Role | None = None  # None: calls are served from now on


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a send_message. `receipt`: the first report of the recipient's side, if a delivery was ordered."""

    text: str
    mail_id: str
    target: Role
    receipt: Future[Receipt] | None


class BridgeActor(ProcessActor[StartBridge]):
    """The mail of one run."""

    start_type = StartBridge

    def __init__(self, context: ActorContext[StartBridge]) -> None:
        super().__init__(context)
        agents = context.start.agents
        self._names = display_names(agents["worker"], agents["reviewer"])
        self._book = mail.Book()
        self._state = self._book.state
        self._receipts: dict[str, Future[Receipt]] = {}
        self._alarm: threading.Timer | None = None
        self._calls = Calls(self.tell_self)
        self._endpoint: McpEndpoint | None = None  # None until calls are served

    def on_start(self) -> None:
        """Loads the mail from the journal, then serves. Calls that arrive earlier wait."""
        context = self.context
        if context.listen_fd is None:
            raise ProtocolError("the bridge was started without a listening socket")
        self._stream: EventStream[mail.Event] = EventStream(
            context.ref("persistence"), "mail", context.incarnation, mail.EVENTS
        )
        events = self._stream.load()
        self._book = mail.Book(events)
        self._state = self._book.state
        for event in events[-RECENT_EVENTS:]:
            if isinstance(event, mail.MailQueued | mail.MailRequeued):
                self._note(event)  # the line may have been lost with the bridge that died; it is written once
        outstanding = mail.outstanding(self._state)
        self._happen(mail.restarted(self._state, context.clock()))
        self._carry_out(outstanding)
        for role, contact in self._state.contacts.items():
            if contact.is_absent:
                self._tell_contact(role, self._absent_text(role))
        with socket.socket(fileno=socket.dup(context.listen_fd)) as listening:
            context.detail = bridge_url(listening.getsockname()[1])
        threading.Thread(target=self._open_endpoint, args=[context.listen_fd], name="opens", daemon=True).start()

    def on_stop(self) -> None:
        """Stops serving. Undelivered mail is in the journal."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self._endpoint is not None:
            self._endpoint.stop()

    def receive(self, message: Message, sender: Sender) -> Message | None:
        """Handles receipts of session owners, notices, requests of consoles, and this actor's own messages."""
        if isinstance(message, ListMailRequest | ShowMailRequest | ChangeMailRequest):
            return self._serve_user(message, sender)
        now_ms = self.context.clock()
        match message:
            case ToolCall():
                self._calls.serve(message)
            case AlarmRang():
                self._happen([])
            case MailAcceptedReport(mail_id=mail_id):
                self._receipt("accepted", mail_id, mail.accepted(self._state, mail_id, now_ms))
            case MailSeenReport(mail_id=mail_id):
                self._receipt("seen", mail_id, mail.seen(self._state, mail_id, now_ms))
            case MailHandledReport(mail_id=mail_id):
                self._receipt("handled", mail_id, mail.handled(self._state, mail_id, now_ms))
            case MailFailedReport(mail_id=mail_id, reason=reason):
                self._receipt("failed", mail_id, mail.failed(self._state, mail_id, reason, now_ms))
            case OtherWorkDone(what=what, finished_in=session_id):
                self._happen(mail.other_work(self._state, what, now_ms))
                for role in mail.ROLES:
                    if role == sender.name:
                        self._worked(role, session_id, now_ms)
            case AgentCalled(role=role):
                if facts := mail.came(self._state, role, now_ms):
                    self._happen(facts)
            case LookForAgents(role=None):
                for role in mail.awaited(self._state):
                    self._look_later(role)
            case LookForAgents(role="worker" | "reviewer" as awaited):
                if facts := mail.absent(self._state, awaited, now_ms):
                    self._happen(facts)
            case SessionOpened(role=role):
                self._happen(mail.agent_restarted(self._state, role, now_ms))
            case ActorUp(name="worker" | "reviewer" as owner):
                self._carry_out(mail.outstanding_for(self._state, owner))
            case _:
                raise ProtocolError(f"the bridge does not take {type(message).__name__} from {sender.name}")
        return None

    # --- decide, journal, do ---

    def _happen(self, facts: Sequence[mail.Event]) -> list[mail.Event]:
        """Decides what follows from the facts, journals it, then carries it out. Returns the events."""
        state, events, commands = mail.advance(self._state, facts, self.context.clock())
        with self._calls.settling():
            if events:
                self._stream.append(events)
            self._state = state
            for event in events:
                self._book.add(event)
                self._show(event)
            self._carry_out(commands)
        return events

    def _receipt(self, receipt: Receipt, mail_id: str, facts: Sequence[mail.Event]) -> None:
        if facts:  # none: it says nothing new
            self._happen(facts)
        caller = self._receipts.pop(mail_id, None)
        if caller is not None:
            caller.set_result(receipt)

    def _carry_out(self, commands: Sequence[mail.Command]) -> None:
        for command in commands:
            match command:
                case mail.Deliver():
                    self._deliver(command)
                case mail.Wake():
                    self._set_alarm(command.at_ms)

    def _deliver(self, delivery: mail.Deliver) -> None:
        sender = self._names[delivery.sender]
        marked = mail_report.marked_text(delivery.text, repeat=delivery.repeat, edited=delivery.edited)
        text = prompts.mail(sender, marked, answerable=not self._state.contacts[delivery.target].is_absent)
        self.context.ref(delivery.target).tell(
            DeliverMail(mail_id=delivery.mail_id, sender=sender, text=text, attempt=delivery.attempt)
        )

    def _worked(self, role: Role, session_id: str, now_ms: int) -> None:
        if facts := mail.worked(self._state, role, session_id, now_ms):
            self._happen(facts)
            if self._endpoint is not None:
                self._look_later(role)

    def _look_later(self, role: Role) -> None:
        timer = threading.Timer(COMING_S, lambda: self.tell_self(LookForAgents(role=role)))
        timer.daemon = True
        timer.start()

    def _tell_contact(self, role: Role, problem: str) -> None:
        for name in ("console", "run"):  # the run makes its prompts by it
            self.context.ref(name).tell(AgentContact(role=role, problem=problem))

    def _absent_text(self, role: Role) -> str:
        peer: Role = "reviewer" if role == "worker" else "worker"
        return mail_report.absent_text(self.context.start.agents[role], self._names[role], self._names[peer])

    def _set_alarm(self, at_ms: int) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        after_s = max(0, at_ms - self.context.clock()) / 1_000
        self._alarm = threading.Timer(after_s, lambda: self.tell_self(AlarmRang()))
        self._alarm.daemon = True
        self._alarm.start()

    def _show(self, event: mail.Event) -> None:
        kind, text = mail_news.news(event, self._names)
        match event:
            case mail.MailQueued():
                self._note(event)
                self.show_progress(kind, text, agent=self._names[event.sender])
            case mail.MailRequeued():
                self._note(event)
                self.show_progress(kind, text)
            case mail.AgentAbsent():
                problem = self._absent_text(event.role)
                self.show_progress("note", problem)
                self._tell_contact(event.role, problem)
            case mail.AgentCame() if self._state.contacts[event.role].told:
                self.show_progress("note", f"{self._names[event.role]} has contacted the bridge")
                self._tell_contact(event.role, "")
            case _ if text:
                self.show_progress(kind, text)
            case _:
                pass  # for the journal only

    def _note(self, event: mail.MailQueued | mail.MailRequeued) -> None:
        """Writes the mail as a transcript line. A requeued mail already has its line, unless it was suppressed."""
        sender, target = self._names[event.sender], self._names[event.target]
        self.context.ref("persistence").tell(
            Note(sender=sender, recipient=target, text=event.text, at_ms=event.at_ms, note_id=event.mail_id)
        )

    def _open_endpoint(self, listen_fd: int) -> None:
        """Runs in its own thread. Any failure ends the process and is logged."""
        if self.context.start.waits:
            select.select([listen_fd], [], [])
        with uncollected(), lean_models():
            from actors.edges.mcp_endpoint import McpEndpoint
            from actors.edges.mcp_tools import Tools
        tools = Tools(
            send_message=self._send_message,
            bridge_status=self._bridge_status,
            receive_messages=self._fetch,
            came=lambda role: self.tell_self(AgentCalled(role=role)),
        )
        endpoint = McpEndpoint(listen_fd, self.context.start.tokens, tools, self._endpoint_crashed)
        endpoint.start()
        self._endpoint = endpoint
        self.tell_self(LookForAgents())

    def _endpoint_crashed(self, error: BaseException) -> None:
        self.context.crash("MCP endpoint", error)

    # --- consoles ---

    def _serve_user(self, message: ListMailRequest | ShowMailRequest | ChangeMailRequest, sender: Sender) -> Message:
        if sender.name not in ROOT:
            raise ProtocolError(f"{type(message).__name__} from {sender.name!r} refused: only the user may do that")
        stories = self._book.stories
        if isinstance(message, ListMailRequest):
            return mail_view.listed(self._book, self._names, message.finished)
        mail_id = mail.find_id(message.mail_id, stories)
        if isinstance(message, ChangeMailRequest):
            facts = mail.change(
                self._state,
                stories[mail_id],
                message.action,
                change_id=message.change_id,
                text=message.text,
                now_ms=self.context.clock(),
            )
            if facts:
                self._happen(facts)
        return MailShown(mail=mail_view.shown(stories[mail_id], self._names))

    # --- the tools, each in the thread of its call ---

    def _send_message(self, caller: Role, target: str, message: str) -> str:
        posted = self._calls.ask(lambda: self._post(caller, mail.resolve_target(target, self._names), message))
        if posted.receipt is None:
            return posted.text
        try:
            receipt = posted.receipt.result(self.context.start.receipt_patience_s)
        except TimeoutError:
            return posted.text
        return mail_report.receipt_text(receipt, posted.mail_id, self._names[posted.target])

    def _bridge_status(self, caller: Role) -> str:
        run_id = self.context.start.run_id
        return self._calls.ask(lambda: mail_report.status_text(self._state, caller, self._names, run_id))

    def _fetch(self, caller: Role) -> str:
        return self._calls.ask(lambda: self._hand_out(caller))

    # --- the tools, in the mailbox's thread ---

    def _post(self, caller: Role, target: Role, text: str) -> Posted:
        fact = mail.post(
            self._state,
            mail_id=str(uuid.uuid4()),
            sender=caller,
            target=target,
            text=text,
            names=self._names,
            now_ms=self.context.clock(),
        )
        events = self._happen([fact])
        receipt: Future[Receipt] | None = None
        if any(isinstance(event, mail.DeliveryStarted) and event.mail_id == fact.mail_id for event in events):
            receipt = self._receipts[fact.mail_id] = Future()
        told = mail_report.sent_text(self._state, fact, target, self._names)
        return Posted(text=told, mail_id=fact.mail_id, target=target, receipt=receipt)

    def _hand_out(self, caller: Role) -> str:
        facts, mails = mail.fetch(self._state, caller, self.context.clock())
        if facts:
            self._happen(facts)
        return mail_report.fetched_text(self._state, caller, mails, self._names)
