"""A client of `loop acp` over the official library, which holds each message against the protocol's own schema."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from acp import PROTOCOL_VERSION, RequestError, connect_to_agent, text_block
from acp.client.connection import ClientSideConnection
from acp.connection import StreamDirection, StreamEvent
from acp.schema import (
    AllowedOutcome,
    DeniedOutcome,
    InitializeResponse,
    ListSessionsResponse,
    LoadSessionResponse,
    NewSessionResponse,
    PromptResponse,
    RequestPermissionRequest,
    RequestPermissionResponse,
    SessionNotification,
)
from pydantic import BaseModel

from tests.lab.world import PATIENCE_S, World

WAIT = "(wait)"
_MODELS: dict[str, type[BaseModel]] = {
    "session/update": SessionNotification,
    "session/request_permission": RequestPermissionRequest,
    "initialize": InitializeResponse,
    "session/new": NewSessionResponse,
    "session/load": LoadSessionResponse,
    "session/list": ListSessionsResponse,
    "session/prompt": PromptResponse,
}


class RecordingClient:
    """Keeps what the agent sends. `answers` are the options that it chooses, in turn; "" closes the dialog, and `WAIT`
    leaves it open until `closing` is set.
    """

    def __init__(self, answers: list[str]) -> None:
        self.updates: list[dict[str, Any]] = []
        self.questions: list[str] = []
        self.offered: list[list[str]] = []
        self.breaches: list[str] = []
        self.methods: list[str] = []
        self.closing = asyncio.Event()
        self._answers = answers
        self._asked: dict[Any, str] = {}
        self._news = asyncio.Condition()

    def on_connect(self, conn: Any) -> None:
        """The library's own hook."""

    async def session_update(self, session_id: str, update: BaseModel, **_more: Any) -> None:
        # Before any wait: the answer to a request that comes right behind it must not overtake it.
        self.updates.append(update.model_dump(mode="json", by_alias=True, exclude_none=True))
        async with self._news:
            self._news.notify_all()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: list[Any], **_more: Any
    ) -> RequestPermissionResponse:
        self.questions.append(str(tool_call.title))
        self.offered.append([each.option_id for each in options])
        async with self._news:
            self._news.notify_all()
        if not self._answers:
            raise RequestError.method_not_found("session/request_permission")
        answer = self._answers.pop(0)
        if answer == WAIT:
            await self.closing.wait()
            answer = ""
        if not answer:
            return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))
        return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=answer))

    def observe(self, event: StreamEvent) -> None:
        """Holds each message against the library's model of it: it fits, and has no field that the model lacks."""
        message = event.message
        if event.direction is StreamDirection.OUTGOING:
            if "method" in message and "id" in message:
                self._asked[message["id"]] = message["method"]
            return
        method = message.get("method") or self._asked.get(message.get("id"), "")
        self.methods.append(method)
        model, content = _MODELS.get(method), message.get("params") or message.get("result")
        if model is None or content is None:
            return
        try:
            back = model.model_validate(content).model_dump(mode="json", by_alias=True, exclude_none=True)
        except ValueError as error:
            self.breaches.append(f"{method}: {error}")
            return
        if extra := _extra(content, back):
            self.breaches.append(f"{method}: {extra} is not in the schema")

    async def wait_for(self, met: Callable[[], bool]) -> None:
        """Waits until the messages fulfil it."""
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(met)

    def kinds(self) -> set[str]:
        """The kinds of updates that came."""
        return {each["sessionUpdate"] for each in self.updates}

    @property
    def said(self) -> str:
        """What the agent said, as a client shows it."""
        return self._text("agent_message_chunk")

    @property
    def thought(self) -> str:
        """What the agent thought."""
        return self._text("agent_thought_chunk")

    def _text(self, kind: str) -> str:
        return "".join(each["content"]["text"] for each in self.updates if each["sessionUpdate"] == kind)

    @property
    def titles(self) -> list[str]:
        """The titles of the tool calls."""
        return [each["title"] for each in self.updates if each["sessionUpdate"] == "tool_call"]


class Editor:
    """A client with the process of its agent."""

    def __init__(self, process: asyncio.subprocess.Process, answers: list[str]) -> None:
        assert process.stdin is not None
        self.process = process
        self.client = RecordingClient(answers)
        self.agent: ClientSideConnection = connect_to_agent(
            self.client,  # type: ignore[arg-type]
            process.stdin,
            process.stdout,
            use_unstable_protocol=True,
            observers=[self.client.observe],
        )

    async def prompt(self, session_id: str, text: str) -> PromptResponse:
        """One prompt, to its end."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.agent.prompt(session_id=session_id, prompt=[text_block(text)])

    async def gone(self) -> int:
        """The client goes, and its agent with it. Returns the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


@asynccontextmanager
async def editor(world: World, *words: str, answers: list[str] | None = None) -> AsyncIterator[Editor]:
    """An initialized client of `loop acp words…`, which is killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "shell.cli", "acp", *words),
        cwd=Path("/"),
        env=world.environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=50_000_000,
    )
    found = Editor(process, answers or [])
    try:
        await found.agent.initialize(PROTOCOL_VERSION)
        yield found
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await found.agent.close()


def _extra(sent: Any, known: Any) -> str:
    """The first field of `sent` that `known` lacks; "" when there is none. `null` is as good as nothing."""
    if isinstance(sent, dict):
        for key, value in sent.items():
            if value is not None and key not in known:
                return str(key)
            if value is not None and (extra := _extra(value, known[key])):
                return f"{key}.{extra}"
    elif isinstance(sent, list):
        return next((extra for one, other in zip(sent, known, strict=True) if (extra := _extra(one, other))), "")
    return ""
