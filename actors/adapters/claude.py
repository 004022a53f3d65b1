"""Claude Code behind the agent Protocol, over the official SDK's client.

One adapter is one run of the `claude` program and one session. It runs in the session's asyncio loop; the SDK is
imported when the program is started. It never retries, resends or decides what comes next.

Submodules: claude_program (what is started), claude_process (the running program), claude_events (events for the user),
claude_turn (when a turn is over, and how), claude_form (typed answers), claude_sent (our messages) and
claude_transcript (their fate). Its TUI has its own adapter: claude_pane.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from actors.adapters.base import SIGN_OF_LIFE, Agent, AgentEvent, AgentSettings, EventSink, FoundTurn, Schema
from actors.adapters.causes import cause_of
from actors.adapters.claude_events import describe, is_heartbeat, line
from actors.adapters.claude_form import Form
from actors.adapters.claude_pane import ClaudePaneAgent
from actors.adapters.claude_program import (
    arguments,
    asking_rules,
    bring_session,
    child_environment,
    config_folder,
    is_session_id,
    locate,
    preflight,
    program_of,
    refuse_mode,
    shell_wait_s,
    startable,
)
from actors.adapters.claude_sent import SentMessages, one_message
from actors.adapters.claude_tasks import Tasks
from actors.adapters.claude_transcript import Transcript
from actors.adapters.claude_turn import Conversation, taken_in
from actors.adapters.own_commands import as_message
from actors.adapters.shapes import decides
from actors.edges.imports import lean_models, uncollected
from actors.errors import AgentDiedError, AgentUnavailableError, ProtocolError, SessionNotFoundError
from actors.messages import TurnOutcome

if TYPE_CHECKING:
    from claude_agent_sdk import ClaudeSDKClient

    from actors.adapters.claude_process import ClaudeProcess

__all__ = ["ClaudeAgent", "factory", "locate", "preflight", "program_of"]

# The program starts to report an ended background command to the model after 40-50 ms.
FOLLOW_UP_S = 3.0


def factory(settings: AgentSettings, sink: EventSink) -> Agent:
    """Makes the adapter: the TUI's if there is a pane, else the headless one. Starts and imports nothing yet."""
    if settings.pane is not None:
        return ClaudePaneAgent(settings, settings.pane, sink)
    return ClaudeAgent(settings, sink)


class ClaudeAgent:
    """See `actors.adapters.base.Agent`."""

    can_steer = True

    def __init__(self, settings: AgentSettings, sink: EventSink) -> None:
        self._settings = settings
        self._sink = sink
        self._client: ClaudeSDKClient | None = None
        self._process: ClaudeProcess | None = None
        self._conversation = Conversation()
        self._tasks = Tasks()
        self._sent = SentMessages(
            on_seen=lambda message_id: sink(AgentEvent(kind="seen", message_id=message_id)), spawn=self._tasks.spawn
        )
        self._given_usd: float | None = None
        self._model = settings.model
        self._news = asyncio.Event()
        self._refused: set[str] = set()  # refused tools that were reported to the user
        self._closing = asyncio.Lock()
        self._closed = False
        self._starting = asyncio.Lock()
        self._form = Form()
        self._limit_s = shell_wait_s(settings.environment)

    # --- the Protocol ---

    def give(self, usd: float | None) -> None:
        """See `base.TakesMoney`. The program counts what it spends itself, also in a session that it resumes."""
        self._given_usd = usd

    def money_left(self) -> float | None:
        """See `base.TakesMoney`."""
        return None if self._given_usd is None else self._given_usd - self._conversation.spent_usd

    async def open(self, session_id: str | None) -> str:
        """See the Protocol. Does not check the login: `preflight` does, and a turn reports it as well."""
        program = startable(self._settings)
        opened = session_id or str(uuid.uuid4())
        if not is_session_id(opened):  # the program would search for it as a title
            raise SessionNotFoundError(f"claude has no session {opened!r}: its sessions have UUIDs")
        if session_id is not None:
            await asyncio.to_thread(bring_session, self._settings, session_id)
        transcript = self._sent.transcript = Transcript(config_folder(self._settings.environment), opened)
        if session_id is not None:
            self._conversation = Conversation(await asyncio.to_thread(transcript.cost_usd))
            transcript.skip_to_end()
        await self._start(program, opened, is_new=session_id is None)
        return opened

    async def _start(self, program: Path, session_id: str, *, is_new: bool, schema: Schema | None = None) -> None:
        with uncollected(), lean_models():
            from claude_agent_sdk import ClaudeSDKClient

            from actors.adapters.claude_process import ClaudeProcess

        command = arguments(
            program,
            model=self._settings.model,
            effort=self._settings.effort,
            max_usd=self._given_usd,
            bridge=self._settings.bridge,
            new_session=session_id if is_new else "",
            resume="" if is_new else session_id,
            schema=schema,
        )
        mark = str(uuid.uuid4())
        self._process = process = ClaudeProcess(
            command,
            cwd=self._settings.cwd,
            environment=child_environment(self._settings, mark),
            on_event=self._take,
            on_start=lambda pid: self._started(program, pid),
            on_end=self._news.set,
        )
        self._client = ClaudeSDKClient(transport=process)
        try:
            await self._client.connect()
        except OSError as error:
            raise AgentUnavailableError(f"{program} cannot be started: {error}: reinstall Claude Code") from error
        except Exception as error:  # the SDK raises plain Exceptions as well
            raise process.refusal(session_id, error) from error
        refuse_mode(await self._client.get_server_info())
        self._model = self._settings.model
        self._form.started(session_id, schema, mark)

    async def turn(
        self,
        turn_id: str,
        prompt: str,
        *,
        model: str = "",
        schema: Schema | None = None,
    ) -> TurnOutcome:
        """See the Protocol. A message id that the session already has does not run again: its outcome is looked up."""
        self._alive()
        if self._conversation.turn is not None:
            raise ProtocolError(f"turn {turn_id} while turn {self._conversation.turn.turn_id} is running")
        if not await self._take_form(schema):
            return TurnOutcome(status="interrupted", error="interrupted")
        client, process = self._alive()
        refused = await self._use_model(client, model or self._settings.model)
        if refused:
            return TurnOutcome(status="failed", error=refused, cause=cause_of(refused))
        turn = self._conversation.begin(turn_id)
        try:
            await self._send(turn_id, prompt)
            await self._until_over(process)
        finally:
            self._conversation.turn = None
        if turn.result is None:
            return await self._swallowed(turn_id)
        with decides("result", "claude"):
            outcome = msgspec.structs.replace(turn.outcome(), window=self._conversation.window)
        if outcome.status != "interrupted":
            self._sent.finished(turn_id)
        return msgspec.structs.replace(outcome, model=turn.model)

    async def steer(self, message_id: str, text: str) -> bool:
        """See the Protocol. A message that is too late for the running turn is answered after it, within `turn`."""
        turn = self._conversation.turn
        if turn is None or self._conversation.over or turn.interrupting:
            return False
        turn.steered.add(message_id)
        await self._send(message_id, text)
        return True

    async def interrupt(self) -> None:
        """See the Protocol. Stops its background tasks; a waiting message is read by the agent but not answered."""
        self._form.interrupted = True
        if self._conversation.turn is None or self._conversation.over:
            return
        client, _ = self._alive()
        self._conversation.interrupt()
        running = list(self._conversation.tasks)
        await self._stop_model(client)
        for task_id in running:
            with contextlib.suppress(Exception):  # it has ended meanwhile, as intended
                await client.stop_task(task_id)
        self._news.set()

    def background(self) -> tuple[str, ...]:
        """See `WaitsForBackground`. Not while a subagent works: that ends by itself."""
        found = self._conversation
        return tuple(line(found.words[task_id]) for task_id in found.tasks) if found.only_shells_left else ()

    async def stop_background(self) -> None:
        """See `WaitsForBackground`."""
        client, _ = self._alive()
        for task_id in list(self._conversation.tasks):
            with contextlib.suppress(Exception):  # it has ended meanwhile, as intended
                await client.stop_task(task_id)
        self._conversation.leave_tasks()
        self._news.set()

    async def find_turn(
        self,
        message_id: str,
        text: str = "",  # noqa: ARG002 - one line has both
        *,
        answered: str = "",  # noqa: ARG002 - its transcript is a file, which is whole
    ) -> FoundTurn:
        """See the Protocol. Waits for messages that the program has, but has not written yet."""
        return await self._sent.find(message_id, is_running=self._is_running)

    async def close(self) -> None:
        """See the Protocol. A running turn fails with `AgentDiedError`."""
        self._closed = True
        if self._process is not None and self._starting.locked():
            await self._process.close()  # its start fails at once
        async with self._starting:
            await self._end()
        await self._tasks.end()

    async def _end(self) -> None:
        async with self._closing:
            client, self._client = self._client, None
            if client is not None:
                await client.disconnect()
            if self._process is not None:
                await self._process.close()

    # --- the form of the answers ---

    async def _take_form(self, schema: Schema | None) -> bool:
        """Restarts the program, in its session, where the next turn needs another form of answer. False: interrupted.

        Nothing has been sent yet, so what fails here is a dead program, whose successor gets the turn. A program that
        leaves something at work keeps running, and answers as in other turns.
        """
        form, transcript = self._form, self._sent.transcript
        form.interrupted = False
        if not form.differs(schema) or transcript is None:
            return True
        if schema is not None and (self._conversation.at_work or await asyncio.to_thread(form.leaves_something)):
            return not form.interrupted
        await self._end()
        self._given_usd = self.money_left()
        is_new = not await asyncio.to_thread(lambda: transcript.exists)
        self._conversation = self._conversation.resumed(await asyncio.to_thread(transcript.cost_usd))
        try:
            await self._start_again(schema, is_new=is_new)
        except (AgentUnavailableError, SessionNotFoundError) as error:
            if schema is None or self._closed:
                raise AgentDiedError(str(error)) from error
            form.refused = True
            why = f"claude takes no form of answer, so the last line of its answer counts: {error}"
            self._sink(AgentEvent(kind="note", text=line(why)))
            await self._end()
            await self._start_again(None, is_new=is_new)
        return not form.interrupted

    async def _start_again(self, schema: Schema | None, *, is_new: bool) -> None:
        async with self._starting:
            if self._closed:
                raise AgentDiedError("claude was closed")
            await self._start(startable(self._settings), self._form.session_id, is_new=is_new, schema=schema)

    # --- the program's events ---

    def _take(self, event: dict[str, Any], raw: str) -> None:
        if event.get("type") == "stream_event":  # a piece of a message, which comes whole later
            self._sink(SIGN_OF_LIFE)
            return
        self._sink(AgentEvent(kind="raw", raw=raw, is_heartbeat=is_heartbeat(event)))
        for shown in describe(event):
            self._sink(shown)
        if event.get("subtype") == "permission_denied":
            self._tell_refusal(str(event.get("tool_name")), str(event.get("message")))
        with decides(event.get("type"), "claude"):
            self._conversation.take(event)
            message_id = taken_in(event)
            if event.get("type") in {"assistant", "result"} and (turn := self._conversation.turn) is not None:
                self._sink(AgentEvent(kind="spent", message_id=turn.turn_id, text=turn.model, usage=turn.usage))
        if message_id:
            self._sent.taken_in(message_id)
        self._sent.look()
        turn = self._conversation.turn
        if turn is not None and turn.interrupting and event.get("subtype") == "init" and self._client:
            # The program continues with a message that waited behind the interrupted one.
            self._tasks.spawn(self._stop_model(self._client))
        self._news.set()

    def _started(self, program: Path, pid: int) -> None:
        self._sink(AgentEvent(kind="process", text=str(program), pid=pid))
        self._form.spawned(pid)
        if self._closed:
            raise AgentDiedError("claude was closed")

    def _tell_refusal(self, tool: str, words: str) -> None:
        """Reports a refusal by a permission rule, once per tool. The program has told the model, which continues."""
        if tool in self._refused:
            return
        self._refused.add(tool)
        rules = asking_rules(tool, self._settings)
        why = f"its settings have the rule {', '.join(rules)} in permissions.ask, and the run is unattended"
        text = f"claude may not use {tool}: {why if rules else words}; it was told so"
        self._sink(AgentEvent(kind="note", text=line(text)))

    # --- helpers ---

    def _is_running(self) -> bool:
        return self._process is not None and not self._process.ended

    def _alive(self) -> tuple[ClaudeSDKClient, ClaudeProcess]:
        if self._client is None or self._process is None:
            raise AgentDiedError("claude is not running: open a session first")
        if self._process.ended:
            raise AgentDiedError(f"claude {self._process.how_it_ended}")
        return self._client, self._process

    async def _send(self, message_id: str, text: str) -> None:
        client, process = self._alive()
        self._sent.add(message_id)
        try:
            await client.query(one_message(message_id, as_message(text)))
        except Exception as error:  # the SDK's errors differ by where the pipe broke
            raise AgentDiedError(f"claude {process.how_it_ended} ({error})") from error

    async def _use_model(self, client: ClaudeSDKClient, model: str) -> str:
        """Changes the session's model when it differs. Returns why it could not, or "". The program asks the API."""
        if model == self._model:
            return ""
        try:
            await client.set_model(model or None)
        except Exception as error:  # a plain Exception with the program's words
            self._alive()
            return f"model {model!r} cannot be used: {error}"
        self._model = model
        return ""

    async def _until_over(self, process: ClaudeProcess) -> None:
        told: tuple[str, ...] = ()
        while not self._conversation.over:
            self._news.clear()
            waits_for = self.background()
            if waits_for and waits_for != told:
                told = waits_for
                self._sink(AgentEvent(kind="note", text=line(f"waits for background tasks: {', '.join(waits_for)}")))
            if process.failure is not None:
                raise process.failure
            if process.ended:
                raise AgentDiedError(f"claude {process.how_it_ended}")
            try:
                async with asyncio.timeout(self._patience_s()):
                    await self._news.wait()
            except TimeoutError:
                if self._conversation.follow_up_owed:
                    self._conversation.follow_up_owed = False
                else:
                    left = len(self._conversation.tasks)
                    self._sink(AgentEvent(kind="note", text=f"{left} background commands continue after this turn"))
                    self._conversation.leave_tasks()

    def _patience_s(self) -> float | None:
        """The limit of inactivity; None while the model or a subagent is at work."""
        if self._conversation.answered and self._conversation.follow_up_owed:
            return FOLLOW_UP_S
        return self._limit_s if self._conversation.only_shells_left else None

    async def _swallowed(self, turn_id: str) -> TurnOutcome:
        found = await self.find_turn(turn_id)
        error = f"claude did not run the message: its id {turn_id} was used before in this session"
        return found.outcome or TurnOutcome(status="failed", error=error)

    async def _stop_model(self, client: ClaudeSDKClient) -> None:
        try:
            await client.interrupt()
        except Exception as error:  # a plain Exception
            _, process = self._alive()
            raise AgentDiedError(f"claude (pid {process.pid}) does not answer: {error}") from error
