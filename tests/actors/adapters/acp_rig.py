"""What the tests of ACP agents share: a throw-away home, a sink to wait on, a loop that must be left clean."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from actors.adapters.base import AgentEvent, AgentFactory, AgentSettings
from tests.lab import reaper
from tests.patience import PATIENCE_S, STORY_S


def run(coroutine: Coroutine[Any, Any, None], limit_s: float = STORY_S) -> None:
    """Runs it with a time limit; afterwards no task may be left."""

    async def limited() -> None:
        async with asyncio.timeout(limit_s):
            await coroutine
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(limited())


def settings(home: Path, **changes: Any) -> AgentSettings:
    work = home / "work"
    work.mkdir(exist_ok=True)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], **reaper.inherited()}
    return AgentSettings(**{"name": "tester", "cwd": work, "environment": environment, **changes})


class Events:
    """A sink; `wait` returns the first event that fits, also one that came before."""

    def __init__(self) -> None:
        self.all: list[AgentEvent] = []
        self._news = asyncio.Event()

    def __call__(self, event: AgentEvent) -> None:
        self.all.append(event)
        self._news.set()

    async def wait(self, fits: Callable[[AgentEvent], bool]) -> AgentEvent:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                self._news.clear()
                for event in self.all:
                    if fits(event):
                        return event
                await self._news.wait()

    def texts(self, kind: str) -> list[str]:
        return [event.text for event in self.all if event.kind == kind]

    @property
    def pid(self) -> int:
        return next(event.pid for event in self.all if event.kind == "process")


class Opened:
    def __init__(self, agent: Any, events: Events, session_id: str) -> None:
        self.agent, self.events, self.session_id = agent, events, session_id


@asynccontextmanager
async def opened(
    factory: AgentFactory, agent_settings: AgentSettings, session_id: str | None = None
) -> AsyncIterator[Opened]:
    """An open agent; afterwards it is closed, and nothing of it is left."""
    events = Events()
    agent = factory(agent_settings, events)
    family: list[psutil.Process] = []
    try:
        session = await agent.open(session_id)
        yield Opened(agent, events, session)
    finally:
        with suppress(psutil.NoSuchProcess, StopIteration):  # killed by the test; not started
            main = psutil.Process(events.pid)
            family = [main, *main.children(recursive=True)]
        async with asyncio.timeout(PATIENCE_S):
            await agent.close()
        assert [process for process in family if is_alive(process)] == []


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def rows(path: Path) -> list[dict[str, Any]]:
    """What stands in a file of JSON lines that a program is writing: without a last line that is not whole yet."""
    whole, _, _ = path.read_text().rpartition("\n")
    return [json.loads(row) for row in whole.split("\n") if row]


def put_wrapper(folder: Path, name: str, program: Path) -> str:
    """A program that starts another one and waits for it, as those of npm do. Returns its folder, for PATH."""
    folder.mkdir()
    wrapper = folder / name
    wrapper.write_text(f'#!/bin/sh\n"{program}" "$@"\nexit $?\n')
    wrapper.chmod(0o755)
    return str(folder)
