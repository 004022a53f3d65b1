"""Codex as an agent: one thread of one `codex app-server`; with a pane, Codex's own TUI is attached to it there.

Runs in the session's asyncio thread. Never retries, resends or decides what comes next. Importing this module is
cheap: what speaks to the app-server is imported by `open`.

Related modules: codex_program (which binary, how to start it, is it usable), codex_link (the process and the connection
to it), codex_opening (the run's thread: begun or resumed), codex_pane (the TUI), codex_threads (where the TUI has gone;
pure), codex_turn (a turn of ours), codex_protocol and codex_events (interpret Codex's messages; pure).
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from actors.adapters.base import SIGN_OF_LIFE, Agent, AgentEvent, AgentSettings, EventSink, FoundTurn, Schema
from actors.adapters.causes import cause_of
from actors.adapters.codex_events import events
from actors.adapters.codex_opening import OpenThread
from actors.adapters.codex_pane import CodexPane
from actors.adapters.codex_program import (
    bring_session,
    child_environment,
    command,
    locate,
    preflight,
    program_of,
    tui_command,
)
from actors.adapters.codex_protocol import (
    Json,
    RequestRefusedError,
    bridge_status,
    find_turn,
    has_without_id,
    is_conversation,
    one_line,
    user_text,
)
from actors.adapters.codex_threads import OtherThreads
from actors.adapters.codex_turn import OpenTurn
from actors.adapters.shapes import UNKNOWN_SHAPE, decides
from actors.edges.marked_processes import MARK_VARIABLE
from actors.errors import AgentBreachError, AgentDiedError, AgentError, AgentUnavailableError
from actors.messages import TurnOutcome
from actors.text import read_json

if TYPE_CHECKING:
    from actors.adapters.codex_link import CodexLink

__all__ = ["CodexAgent", "factory", "locate", "preflight", "program_of"]

# In codex 0.163 and 0.169; the second is of threads in the older history format. The bridge's socket exists from the
# root's start, but a bridge answers only once its library is imported; so does a new one after a kill. After this time
# something else is wrong, and a turn without its tools shows it.
BRIDGE_PATIENCE_S = 30.0

_NOT_ON_DISK = re.compile(r"list_turns is not supported yet|not materialized yet")
ELSEWHERE = "went to another conversation"


def factory(settings: AgentSettings, sink: EventSink) -> Agent:
    """See `base.AgentFactory`."""
    return CodexAgent(settings, sink)


def _has_without_id(path: Path, text: str) -> bool:
    if not path.exists():
        return False
    return has_without_id((read_json(line) for line in path.read_bytes().split(b"\n")[:-1] if line), text)


class CodexAgent:
    """See `base.Agent`. The session's id is Codex's thread id.

    Codex writes a thread to disk with its first turn. Before that, the id that `open` returned is valid only while the
    program runs; later it raises `SessionNotFoundError`. (thread/name/set writes it immediately, but takes 0.4 s.) An
    interrupted turn drops steered messages that are not yet seen; `find_turn` then returns absent.

    With a pane: the TUI shows the thread live, and the user may work there. Our turns wait for the user's. A TUI that
    goes to another conversation (/new, /clear, /fork, /resume) is brought back immediately: the run ignores text there.
    A model chosen there applies until our next turn, which names its own. Permissions revoked there apply until `open`;
    the user answers what Codex then asks.
    """

    can_steer = True

    def __init__(self, settings: AgentSettings, sink: EventSink) -> None:
        self._settings = settings
        self._sink = sink
        self._link: CodexLink | None = None
        self._pane: CodexPane | None = None
        self._address = ""  # of the app-server, for the TUI
        self._program = Path()
        self._mark = uuid.uuid4().hex
        self._thread = OpenThread(settings)
        self._other_threads = OtherThreads()
        self._turn: OpenTurn | None = None
        self._their_turn = ""  # id of the running turn when it is not ours
        self._our_messages: set[str] = set()
        self._at_work: dict[str, str] = {}  # tools that run: id → words
        self._bridge_settled = asyncio.Event()  # its tools are available, or never will be
        self._limit = ""  # as last reported
        self._is_open = False
        self._chores: set[asyncio.Task[None]] = set()

    async def open(self, session_id: str | None) -> str:
        """See `base.Agent.open`. 0.2 s."""
        if session_id is not None:
            await asyncio.to_thread(bring_session, self._settings, session_id)
        link = await self._start()
        await self._thread.open(link, session_id)
        await self._await_bridge()
        self._is_open = True
        self._show()
        return self._thread.id

    async def turn(self, turn_id: str, prompt: str, *, model: str = "", schema: Schema | None = None) -> TurnOutcome:
        """See `base.Agent.turn`. Background terminals of the agent do not delay its end.

        Codex reports the end of one (item/completed), but its model is not told. No turn runs then that could be
        steered, so nobody could ask it about a server that it has forgotten.

        In its TUI, where the user reads along, no answer is bound to a schema.
        """
        assert self._turn is None, "one turn at a time"
        link = self._opened()
        turn = self._turn = OpenTurn(turn_id, model or self._thread.model)
        # A turn's model applies to all later ones as well, so the session's own is named each time.
        params = self._message(turn_id, prompt) | {"model": turn.model}
        if schema is not None and self._settings.pane is None:
            params["outputSchema"] = schema
        try:
            # Codex would add our message to the running turn, which the user has started and may interrupt.
            while self._their_turn and not turn.over.done():
                turn.may_be_sent.clear()
                await turn.may_be_sent.wait()
            if not turn.over.done():
                turn.sent = True
                answer = await link.request("turn/start", params)
                turn.progress.turn_id = answer["turn"]["id"]
            result = await turn.over
        except RequestRefusedError as error:
            return TurnOutcome(status="failed", error=str(error), cause=cause_of(error.message))
        finally:
            self._turn = None
        if isinstance(result, AgentError):
            raise result
        if result.status != "finished":
            self._at_work.clear()  # an interruption need not end them one by one
        elif self._at_work:
            what = one_line(", ".join(self._at_work.values()))
            self._sink(AgentEvent(kind="note", text=f"background terminals continue after this turn: {what}"))
        return msgspec.structs.replace(result, model=turn.model)

    async def steer(self, message_id: str, text: str) -> bool:
        """See `base.Agent.steer`. Seen at the model's next request: after a tool, or at the end of its answer."""
        turn = await self._running()
        if turn is None:
            return False
        params = self._message(message_id, text) | {"expectedTurnId": turn.progress.turn_id}
        try:
            await self._opened().request("turn/steer", params)
        except RequestRefusedError:  # the turn has just ended, or is one of Codex's own (/compact)
            return False
        return True

    async def interrupt(self) -> None:
        """See `base.Agent.interrupt`."""
        if self._turn is not None:
            self._turn.asked_to_end = True
            if not self._turn.sent:
                self._turn.end(TurnOutcome(status="interrupted", error="the turn was interrupted before it began"))
        turn = await self._running()
        if turn is None:
            return
        params = {"threadId": self._thread.id, "turnId": turn.progress.turn_id}
        with suppress(RequestRefusedError):  # the turn has just ended
            await self._opened().request("turn/interrupt", params)

    async def find_turn(
        self,
        message_id: str,
        text: str = "",
        *,
        answered: str = "",  # noqa: ARG002 - thread/read gives the whole thread
    ) -> FoundTurn:
        """See `base.Agent.find_turn`. An interrupted turn counts as unfinished."""
        # Newer CLIs prefer to page the history (thread/turns/list); threads of older ones have no pages.
        params = {"threadId": self._thread.id, "includeTurns": True}
        try:
            answer = await self._opened().request("thread/read", params)
        except RequestRefusedError as error:
            if _NOT_ON_DISK.search(error.message):
                return FoundTurn(state="absent")
            raise
        found = find_turn(answer["thread"]["turns"], message_id)
        path = answer["thread"].get("path")
        if found.state == "absent" and path and await asyncio.to_thread(_has_without_id, Path(path), text):
            return FoundTurn(state="unfinished")
        return found

    async def close(self) -> None:
        """See `base.Agent.close`. Also ends what escaped from the process trees of the app-server and the TUI."""
        self._is_open = False
        if self._pane is not None:
            await self._pane.close()
        if self._link is not None:
            await self._link.stop()  # which ends the chores: they ask it, or wait for the pane
        await asyncio.gather(*self._chores, return_exceptions=True)

    # --- opening ---

    async def _start(self) -> CodexLink:
        settings = self._settings
        self._program = program = await asyncio.to_thread(locate, settings.environment)
        self._link = link = self._new_link()
        try:
            pid = await link.start()
        except OSError as error:
            raise AgentUnavailableError(f"{program} cannot be started in {settings.cwd}: {error}") from error
        self._sink(AgentEvent(kind="process", text=str(program), pid=pid))
        return link

    def _new_link(self) -> CodexLink:
        from actors.adapters.codex_link import CodexLink

        settings, pane = self._settings, self._settings.pane
        socket = None if pane is None else pane.folder / f"{pane.side}.codex"
        self._address = "" if socket is None else f"unix://{socket}"
        words = () if socket is None else (self._address,)
        return CodexLink(
            command=command(self._program, settings, *words),
            cwd=settings.cwd,
            environment=child_environment(settings, self._mark),
            socket=socket,
            on_notification=self._heard,
            on_lost=self._lost,
        )

    async def _await_bridge(self) -> None:
        """Waits for the bridge's tools: a turn that starts earlier lacks them, and the bridge may be starting.

        A failure is noted, but does not stop the agent.
        """
        if self._settings.bridge is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(BRIDGE_PATIENCE_S):
                    await self._bridge_settled.wait()

    def _show(self) -> None:
        """Starts the TUI without our secrets: the app-server calls the bridge."""
        settings = self._settings
        if settings.pane is None:
            return
        self._pane = CodexPane(
            settings.pane,
            command=tui_command(self._program, self._address, self._thread.id),
            cwd=settings.cwd,
            environment=settings.environment | {MARK_VARIABLE: self._mark},
            sink=self._sink,
        )
        self._pane.show()

    # --- the rest ---

    def _opened(self) -> CodexLink:
        if self._link is None:
            raise AgentDiedError("codex is not running")
        return self._link

    def _message(self, message_id: str, text: str) -> Json:
        self._our_messages.add(message_id)
        return {
            "threadId": self._thread.id,
            "clientUserMessageId": message_id,
            "input": [{"type": "text", "text": text}],
        }

    async def _running(self) -> OpenTurn | None:
        """The running turn, once it accepts requests; None when there is none."""
        turn = self._turn
        if turn is None or not turn.sent:
            return None
        await turn.begun.wait()
        return None if turn.over.done() else turn

    def _heard(self, notification: Json) -> None:
        shown = events(notification, self._thread.id)
        if not shown:
            self._sink(SIGN_OF_LIFE)
        for event in shown:
            if event.begins:
                self._at_work[event.begins] = event.text
            self._at_work.pop(event.ends, None)
            if event.kind == "limit" and event.text == self._limit:  # every answer of the model repeats it
                self._sink(AgentEvent(kind="raw", raw=event.raw))
                continue
            if event.kind == "limit":
                self._limit = event.text
            if event.kind == "seen" and event.message_id not in self._our_messages:
                typed = ""
                with suppress(*UNKNOWN_SHAPE):
                    typed = user_text(notification["params"]["item"])
                self._sink(replace(event, kind="typed", text=typed, message_id=""))
                continue
            self._sink(event)
        method, params = notification["method"], notification.get("params") or {}
        if bridge_status(method, params) not in ("", "starting"):
            self._bridge_settled.set()
        try:
            with decides(method, "codex"):
                self._follow(method, params)
        except AgentBreachError as breach:
            self._lost(breach)

    def _follow(self, method: str, params: Json) -> None:
        if params.get("threadId", self._thread.id) == self._thread.id:
            self._follow_turns(method, params)
        if self._pane is not None:
            self._follow_tui(self._pane, method, params)

    def _follow_turns(self, method: str, params: Json) -> None:
        turn = self._turn
        if turn is not None and turn.sent and not turn.over.done():
            turn.take(method, params)
            if method == "thread/tokenUsage/updated":
                spent = AgentEvent(kind="spent", message_id=turn.message_id, text=turn.model, usage=turn.progress.usage)
                self._sink(spent)
            outcome = turn.progress.outcome
            if self._pane is not None and outcome and outcome.status == "interrupted" and not turn.asked_to_end:
                self._sink(AgentEvent(kind="cut", text="the turn was interrupted in codex's own TUI"))
        elif method == "turn/started":
            self._their_turn = params["turn"]["id"]
        elif method == "turn/completed" and params["turn"]["id"] == self._their_turn:
            self._their_turn = ""
            if turn is not None:
                turn.may_be_sent.set()

    def _follow_tui(self, pane: CodexPane, method: str, params: Json) -> None:
        move = self._other_threads.take(method, params, ours=self._thread.id)
        if move is not None and move.is_certain:
            pane.bring_back(ELSEWHERE)
        elif move is not None:
            self._start_chore(self._look_at(move.thread_id, pane))

    async def _look_at(self, thread_id: str, pane: CodexPane) -> None:
        with suppress(AgentError):
            answer = await self._opened().request("thread/read", {"threadId": thread_id, "includeTurns": False})
            if is_conversation(answer["thread"]):
                pane.bring_back(ELSEWHERE)

    def _lost(self, error: AgentError) -> None:
        was_open, self._is_open = self._is_open, False
        if was_open and self._pane is not None:
            self._start_chore(self._pane.close(f"[loop] {error}\n[loop] the run restarts it, with its session"))
        if self._turn is not None and not self._turn.over.done():
            self._turn.end(error)
        elif was_open:
            self._sink(AgentEvent(kind="ended", text=str(error)))

    def _start_chore(self, work: Coroutine[Any, Any, None]) -> None:
        chore = asyncio.get_running_loop().create_task(work)
        self._chores.add(chore)
        chore.add_done_callback(self._chores.discard)
