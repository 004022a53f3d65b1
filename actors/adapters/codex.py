"""Codex as an agent: one thread of one `codex app-server`, driven through the official SDK.

Runs in the session's asyncio thread. Never retries, resends or decides what comes next. Importing this module is
cheap: the SDK is imported by `open`.

Three rooms beside this one: codex_program (which binary, how started, is it usable), codex_link (the process and its
pipe), codex_protocol (what Codex's words mean; pure).
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from actors.adapters.base import Agent, AgentEvent, AgentSettings, EventSink, FoundTurn
from actors.adapters.codex_program import KEY_VARIABLE, child_environment, command, locate, preflight
from actors.adapters.codex_protocol import Json, RequestRefusedError, TurnProgress, events, find_turn, has_without_id
from actors.errors import AgentDiedError, AgentUnavailableError, SessionNotFoundError
from actors.messages import TurnOutcome

if TYPE_CHECKING:
    from actors.adapters.codex_link import CodexLink

__all__ = ["CodexAgent", "factory", "locate", "preflight"]

# In codex 0.163 and 0.169; the second is of threads in the older history format.
_NOT_ON_DISK = re.compile(r"list_turns is not supported yet|not materialized yet")
_UP_TO_THE_USER = re.compile(r"failed to load configuration|is archived")
_UNKNOWN_THREAD = re.compile(r"no rollout found|invalid session id|thread not found")


def factory(settings: AgentSettings, sink: EventSink) -> Agent:
    """See `base.AgentFactory`."""
    return CodexAgent(settings, sink)


def _has_without_id(path: Path, text: str) -> bool:
    if not path.exists():
        return False
    return has_without_id((json.loads(line) for line in path.read_bytes().split(b"\n")[:-1] if line), text)


class _Turn:
    """The running turn: its progress, and who waits for it."""

    def __init__(self) -> None:
        self.progress = TurnProgress()
        # Codex refuses to steer or interrupt a turn between its answer to turn/start and turn/started.
        self.begun = asyncio.Event()
        self.over: asyncio.Future[TurnOutcome | AgentDiedError] = asyncio.get_running_loop().create_future()

    def take(self, method: str, params: Json) -> None:
        self.progress.take(method, params)
        # The second: Codex had a turn of its own running (a sub-agent came back), and ours has joined it.
        if method == "turn/started" or (self.progress.turn_id and params.get("turnId") == self.progress.turn_id):
            self.begun.set()
        if self.progress.outcome is not None:
            self.end(self.progress.outcome)

    def end(self, result: TurnOutcome | AgentDiedError) -> None:
        self.begun.set()
        if not self.over.done():
            self.over.set_result(result)


class CodexAgent:
    """See `base.Agent`. The session's id is Codex's thread id.

    A thread comes to Codex's disk with its first turn: before that, the id that `open` returned is good as long as the
    program runs, and then `SessionNotFoundError` (thread/name/set would write it at once, and take 0.3 s). An
    interrupted turn drops what was steered into it and not yet seen; `find_turn` then says absent.
    """

    can_steer = True

    def __init__(self, settings: AgentSettings, sink: EventSink) -> None:
        self._settings = settings
        self._sink = sink
        self._link: CodexLink | None = None
        self._thread_id = ""
        self._model = ""  # the session's own
        self._turn: _Turn | None = None
        self._limit = ""  # as it was told last

    async def open(self, session_id: str | None) -> str:
        """See `base.Agent.open`. 0.2 s, and 0.7 s for the first import of the SDK."""
        link = await self._start()
        try:
            await link.initialize()
            await self._log_in(link)
            await (self._begin(link) if session_id is None else self._resume(link, session_id))
        except RequestRefusedError as error:
            if _UP_TO_THE_USER.search(error.message):
                raise AgentUnavailableError(str(error)) from error
            raise
        except AgentDiedError as error:
            if (link.exit_code or 0) > 0:  # it ended by itself, and will do so again
                raise AgentUnavailableError(f"codex does not start: {link.last_words or error}") from error
            raise
        return self._thread_id

    async def turn(self, turn_id: str, prompt: str, *, model: str = "") -> TurnOutcome:
        """See `base.Agent.turn`. Terminals that the agent left running in the background do not hold it up."""
        assert self._turn is None, "one turn at a time"
        link = self._opened()
        turn = self._turn = _Turn()
        # A turn's model holds for all later ones as well, so the session's own is named each time.
        params = self._message(turn_id, prompt) | {"model": model or self._model}
        try:
            answer = await link.request("turn/start", params)
            turn.progress.turn_id = answer["turn"]["id"]
            result = await turn.over
        except RequestRefusedError as error:
            return TurnOutcome(status="failed", error=str(error))
        finally:
            self._turn = None
        if isinstance(result, AgentDiedError):
            raise result
        return result

    async def steer(self, message_id: str, text: str) -> bool:
        """See `base.Agent.steer`. Seen when the model is asked next: after a tool, or at the end of its answer."""
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
        turn = await self._running()
        if turn is None:
            return
        params = {"threadId": self._thread_id, "turnId": turn.progress.turn_id}
        with suppress(RequestRefusedError):  # the turn has just ended
            await self._opened().request("turn/interrupt", params)

    async def find_turn(self, message_id: str, text: str = "") -> FoundTurn:
        """See `base.Agent.find_turn`. A turn that was interrupted, by whomever, counts as unfinished."""
        # Newer CLIs would rather have the history read in pages (thread/turns/list); threads of older ones have none.
        params = {"threadId": self._thread_id, "includeTurns": True}
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
        """See `base.Agent.close`. Ends also what escaped from the app-server's process tree."""
        if self._link is not None:
            await self._link.stop()

    # --- opening ---

    async def _start(self) -> CodexLink:
        settings = self._settings
        program = await asyncio.to_thread(locate, settings.environment)
        from actors.adapters.codex_link import CodexLink

        self._link = link = CodexLink(
            command=command(program, settings),
            cwd=settings.cwd,
            environment=child_environment(settings, uuid.uuid4().hex),
            on_notification=self._heard,
            on_lost=self._lost,
        )
        try:
            pid = link.start()
        except OSError as error:
            raise AgentUnavailableError(f"{program} cannot be started in {settings.cwd}: {error}") from error
        self._sink(AgentEvent(kind="process", text=str(program), pid=pid))
        return link

    async def _log_in(self, link: CodexLink) -> None:
        """The app-server, unlike `codex exec`, does not look at the variable itself. Nothing is written to disk."""
        key = self._settings.environment.get(KEY_VARIABLE)
        if key:
            await link.request("account/login/start", {"type": "apiKey", "apiKey": key})

    async def _begin(self, link: CodexLink) -> None:
        answer = await link.request("thread/start", self._thread_settings())
        self._thread_id = answer["thread"]["id"]
        self._model = answer["model"]

    async def _resume(self, link: CodexLink, session_id: str) -> None:
        params = self._thread_settings() | {"threadId": session_id, "excludeTurns": True}
        try:
            answer = await link.request("thread/resume", params)
        except RequestRefusedError as error:
            if _UNKNOWN_THREAD.search(error.message):
                raise SessionNotFoundError(f"codex does not know session {session_id}: {error.message}") from error
            raise
        self._thread_id = answer["thread"]["id"]
        self._model = self._settings.model or await self._default_model(link) or answer["model"]

    def _thread_settings(self) -> Json:
        """Full access and no questions: nobody is there to answer them."""
        settings = self._settings
        params: Json = {"cwd": str(settings.cwd), "approvalPolicy": "never", "sandbox": "danger-full-access"}
        return params | ({"model": settings.model} if settings.model else {})

    async def _default_model(self, link: CodexLink) -> str:
        """A resumed thread reports the model of its last turn, which may have had one of its own."""
        config = await link.request("config/read", {"cwd": str(self._settings.cwd)})
        if config["config"].get("model"):
            return str(config["config"]["model"])
        models = await link.request("model/list", {})
        return next((str(model["model"]) for model in models["data"] if model.get("isDefault")), "")

    # --- the rest ---

    def _opened(self) -> CodexLink:
        if self._link is None:
            raise AgentDiedError("codex is not running")
        return self._link

    def _message(self, message_id: str, text: str) -> Json:
        return {
            "threadId": self._thread_id,
            "clientUserMessageId": message_id,
            "input": [{"type": "text", "text": text}],
        }

    async def _running(self) -> _Turn | None:
        """The running turn, once it can be talked to; None when there is none."""
        turn = self._turn
        if turn is None:
            return None
        await turn.begun.wait()
        return None if turn.over.done() else turn

    def _heard(self, notification: Json) -> None:
        for event in events(notification, self._thread_id):
            if event.kind == "limit" and event.text == self._limit:  # it comes with every answer of the model
                self._sink(AgentEvent(kind="raw", raw=event.raw))
                continue
            if event.kind == "limit":
                self._limit = event.text
            self._sink(event)
        if self._turn is not None:
            self._turn.take(notification["method"], notification.get("params") or {})

    def _lost(self, error: AgentDiedError) -> None:
        if self._turn is not None:
            self._turn.end(error)
