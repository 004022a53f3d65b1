"""The bookkeeping of turns over Claude Code's events. Pure: no I/O, no clock.

One turn of ours may be several of the program's, each with its own `result` event: a message that is too late for the
running turn starts another, and so does the end of a background task. The turn is over when the program is idle, all
our messages have their result, and its background tasks have ended.

A result names the messages that it answers (`user_message_uuids`). For versions without that (2.1.197) the echoes of
our messages are used, which come when a message is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from actors.adapters.claude_events import ENDED, TOLD, RawEvent, refused, text_of, typed_answer, usage_of
from actors.adapters.shapes import as_text, moment_s, money
from actors.adapters.windows import of_claude
from actors.machines.usage import together
from actors.messages import TurnOutcome, Usage, Window

# These end by themselves and are awaited without a limit, as the program does; a shell may be a server.
AGENT_TASKS = frozenset({"local_agent", "local_workflow"})
FULL = 100
# A task that was ended on purpose is not reported to the model in its own turn.
REPORTED = frozenset({"completed", "failed"})


OVER_BUDGET = "error_max_budget_usd"
NO_FORM = "error_max_structured_output_retries"  # the model has called the tool, and never in the form of the schema
BUDGET_MET = "the money that the run gave to claude is used up"


class OpenTurn:
    """One turn from its sending to its end. `dropped`: the program swallowed the message without running it."""

    def __init__(self, turn_id: str) -> None:
        self.turn_id = turn_id
        self.steered: set[str] = set()  # handed over, not yet answered by a result
        self.taken: set[str] = set()  # the program has accepted these; their result is pending
        self.interrupting = False
        self.dropped = False
        self.result: RawEvent | None = None  # the newest one that is the turn's own
        self.report_due = False  # a background task ended, and the model has not yet spoken since
        self._begun = False
        self._cut = False  # interrupted while it waited for background tasks
        self._error_kind = ""
        self._resets_at_s: int | None = None
        self._message = ""  # the API's id of the newest message, whose blocks come one by one
        self._said = ""
        self._untyped = ""  # the answer that ended the turn without the form that the program was started with
        self._text = ""
        self.model = ""  # that has answered last
        self._counted = Usage()  # by the results so far
        self._since: dict[str, Usage] = {}  # by the messages since then, under the API's id of each

    def interrupt(self, *, work_left: bool) -> None:
        """Notes that the turn is being interrupted. `work_left`: more events follow after its result."""
        self.interrupting = True
        self._cut = self.result is not None and work_left

    def take_in(self, message_id: str) -> None:
        """The program has started with this message."""
        self._begun = self._begun or message_id == self.turn_id
        if message_id == self.turn_id or message_id in self.steered:
            self.taken.add(message_id)

    def give_up(self, message_id: str) -> None:
        """The program will never run this message."""
        self.steered.discard(message_id)
        self.taken.discard(message_id)
        if message_id == self.turn_id and self.result is None:
            self.dropped = True

    def said(self, event: RawEvent) -> None:
        """An assistant message of the main conversation."""
        self._error_kind = event.get("error") or ""
        message = event.get("message") or {}
        text = text_of(message.get("content"))
        if text:
            self._said = f"{self._said}\n{text}" if message.get("id") == self._message and self._said else text
        self._message = str(message.get("id"))

    def told(self) -> None:
        """The model has answered, and is told to give the answer in its form. What it says to that is no answer."""
        self._untyped = self._untyped or self._said

    def spends(self, message: RawEvent) -> None:
        """A message of the model, also of a subagent: its usage is known before the result."""
        if message.get("model") not in (None, "<synthetic>"):
            self.model = as_text(message["model"])
            self._since[str(message.get("id"))] = usage_of(message.get("usage"))

    @property
    def usage(self) -> Usage:
        """The usage so far."""
        total = together([self._counted, *self._since.values()])
        return replace(total, cost_usd=round(total.cost_usd, 9))

    def limited(self, info: RawEvent) -> None:
        """The provider refuses until `resetsAt`."""
        self._resets_at_s = moment_s(info.get("resetsAt"))

    def ended(self, result: RawEvent, cost_usd: float) -> None:
        """One `result` event: the turn's own, or of a message that was steered into it."""
        # The result of a turn that met its limit lacks the last message.
        told = (usage_of(result.get("usage")), together(self._since.values()))
        most = max(told, key=lambda each: each.input_tokens + each.output_tokens)
        whole_turn = replace(most, cost_usd=cost_usd, cost_known=True)
        self._counted, self._since = together([self._counted, whole_turn]), {}
        answered = set(result.get("user_message_uuids") or ()) or set(self.taken)
        # A background task's report is ours, even when a steered message was answered along with it.
        own = self.turn_id in answered or (self._begun and (self.report_due or not answered & self.steered))
        self.steered -= answered
        self.taken -= answered
        if own:
            self._begun = True
            self.report_due = False
            self.result = result
            # The result joins all blocks of the last message, without a space between them.
            self._text = typed_answer(result) or self._untyped or self._said or str(result.get("result") or "")
        self._said = self._untyped = ""

    def idle(self) -> None:
        """The program is idle: it has dropped accepted messages without an answer."""
        for message_id in set(self.taken):
            self.give_up(message_id)

    def outcome(self) -> TurnOutcome:
        """How the turn ended; None without a result."""
        result = self.result or {}
        errors = "; ".join(str(one) for one in result.get("errors") or ())
        aborted = str(result.get("terminal_reason") or "").startswith("aborted")
        if not aborted and self.interrupting:
            aborted = result.get("subtype") == "error_during_execution"
        usage = self.usage
        if result.get("subtype") == OVER_BUDGET:
            return TurnOutcome(status="failed", text=self._text, error=BUDGET_MET, usage=usage, cause="budget")
        if aborted or self._cut:
            return TurnOutcome(status="interrupted", text=self._text, error="interrupted", usage=usage)
        if not result.get("is_error") or result.get("subtype") == NO_FORM:  # its reader finds the form broken
            return TurnOutcome(status="finished", text=self._text, usage=usage)
        error = " ".join((errors or str(result.get("result") or result.get("subtype"))).split())
        return refused(
            error,
            kind=self._error_kind,
            status=result.get("api_error_status"),
            resets_at_s=self._resets_at_s,
            usage=usage,
        )


class Conversation:
    """The program's state, between turns as well. `cost_usd`: the session's earlier cost."""

    def __init__(self, cost_usd: float = 0.0) -> None:
        self.turn: OpenTurn | None = None
        self.window: Window | None = None  # as reported last
        self.tasks: dict[str, str] = {}  # background tasks that run: id → type
        self.words: dict[str, str] = {}  # of each background task
        self.follow_up_owed = False  # a background task ended while idle: the program will report it to the model
        self._state: str | None = None  # running, idle, requires_action; None: this version has no state
        self._cost_usd = cost_usd
        self.spent_usd = 0.0  # by this program
        self._left: set[str] = set()

    def begin(self, turn_id: str) -> OpenTurn:
        """A turn is about to be sent."""
        self.turn = OpenTurn(turn_id)
        if self.window is not None and self.window.used_percent >= FULL:
            self.window = None  # the turn finds out
        return self.turn

    def resumed(self, cost_usd: float) -> Conversation:
        """The same in the session's next program."""
        found = Conversation(cost_usd)
        found.window = self.window
        return found

    @property
    def busy(self) -> bool:
        """Whether the model is at work, or (in versions without a state) may be."""
        if self._state is None:
            return self.turn is not None and self.turn.result is None
        return self._state != "idle"

    @property
    def answered(self) -> bool:
        """The model has sent its last message, unless a background task starts it again."""
        turn = self.turn
        return turn is not None and turn.result is not None and not turn.steered and not self.busy

    @property
    def at_work(self) -> bool:
        """Whether something is at work between the turns."""
        return self.busy or bool(self.tasks or self._left or self.follow_up_owed)

    @property
    def over(self) -> bool:
        """Whether the open turn is over, its background tasks included."""
        turn = self.turn
        if turn is None or turn.dropped:
            return True
        return self.answered and (turn.interrupting or not (self.tasks or self.follow_up_owed))

    def interrupt(self) -> None:
        """The open turn is being interrupted: stops waiting for background tasks."""
        if self.turn is not None:
            self.turn.interrupt(work_left=bool(self.tasks or self.follow_up_owed or self.turn.steered))

    @property
    def only_shells_left(self) -> bool:
        """Whether nothing but background commands keeps the turn open."""
        return self.answered and bool(self.tasks) and not AGENT_TASKS & set(self.tasks.values())

    def leave_tasks(self) -> None:
        """Stops waiting for the tasks that run now, in later turns too."""
        self._left |= set(self.tasks)
        self.tasks.clear()

    def take(self, event: RawEvent) -> None:
        """Notes one event."""
        turn = self.turn
        match event.get("type"), event.get("subtype"):
            case "system", "session_state_changed":
                self._state = event.get("state")
                if self._state == "idle":
                    if turn is not None:
                        turn.idle()
                else:
                    self.follow_up_owed = False
            case "system", "task_started" if event.get("task_id") not in self._left:
                task_id = str(event.get("task_id"))
                self.tasks[task_id] = str(event.get("task_type"))
                self.words[task_id] = str(event.get("description") or task_id)
            case "system", "task_notification":
                self._task_ended(event, event.get("status"))
            case "system", "task_updated":
                self._task_ended(event, (event.get("patch") or {}).get("status"))
            case "result", _:
                self._result(event)
            case "rate_limit_event", _:
                self._windows(event)
            case _ if turn is not None:
                _note(turn, event)

    def _windows(self, event: RawEvent) -> None:
        info = event.get("rate_limit_info")
        self.window = of_claude(info)
        if self.turn is not None and isinstance(info, Mapping) and info.get("status") == "rejected":
            self.turn.limited(info)

    def _task_ended(self, event: RawEvent, status: Any) -> None:
        if status not in ENDED:
            return
        self.tasks.pop(str(event.get("task_id")), None)
        if status in REPORTED:
            self.follow_up_owed = self.follow_up_owed or self._state == "idle"
            if self.turn is not None:
                self.turn.report_due = True

    def _result(self, event: RawEvent) -> None:
        # The total is the session's, and grows. The cost of a turn that we did not start is charged to our next one.
        if self.turn is None:
            return
        total = money(event.get("total_cost_usd"))
        cost = 0.0
        if total:
            cost = total - self._cost_usd if total >= self._cost_usd else total  # it restarts after a reset
            self._cost_usd = total
            self.spent_usd += cost
        self.turn.ended(event, cost)


def taken_in(event: RawEvent) -> str:
    """The id of the message that this event reports as accepted, or ""."""
    match event:
        case {"type": "user", "isReplay": True, "uuid": str(message_id)}:
            return message_id
        case {"type": "command_lifecycle", "state": "started", "command_uuid": str(message_id)}:
            return message_id
    return ""


def _note(turn: OpenTurn, event: RawEvent) -> None:
    message_id = taken_in(event)
    if message_id:
        turn.take_in(message_id)
        return
    match event:
        case {"type": "assistant", "message": dict(message)}:
            turn.spends(message)
    match event:
        case {"type": "user", "isSynthetic": True, "message": {"content": content}} if text_of(content).startswith(
            TOLD
        ):
            turn.told()
        case {"type": "assistant"} if event.get("parent_tool_use_id") is None:
            turn.said(event)
        case {"type": "command_lifecycle", "state": "cancelled" | "discarded" | "refused", "command_uuid": str(one)}:
            if one != turn.turn_id:  # our own has a result, or `idle` shows that it will have none
                turn.give_up(one)
