"""What the tests of Codex share: a scripted model, a throw-away home, and a look into Codex's own record."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.adapters import codex
from actors.adapters.base import AgentSettings
from actors.embedded.scenario_file import parse_scenario
from tests.actors.adapters.acp_rig import Opened, opened
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.turns import HELLO, REFUSALS, WORDS


def itself(pid: int) -> int:
    """The pid of Codex: what npm installs is a wrapper that starts it as its child."""
    return next((child.pid for child in psutil.Process(pid).children() if child.name() == "codex"), pid)


def freeze(pid: int) -> None:
    """Stops the program, and returns when it stands."""
    program = psutil.Process(itself(pid))
    program.suspend()
    while program.status() != psutil.STATUS_STOPPED:
        os.sched_yield()


SCENARIO = (
    WORDS
    + """
[[turn]]
when = "^leave a terminal"
[[turn.step]]
tool = {name = "exec_command", input = {cmd = "mkfifo word; cat word", yield_time_ms = 250}}
[[turn.step]]
say = "left it"
[[turn]]
when = "^hang"
step = [{fault = {hang = true}}, {say = "went on"}]
[[turn]]
when = "^never answer"
step = [{fault = {hang = true, times = 9}}]
[[turn]]
when = "^wait for a word"
step = [{run = "cat word"}, {say = "waited"}]
[[turn]]
when = "^leave processes"
step = [{run = "(setsid bash -c 'echo $$ > daemon; sleep 300 & wait' &); echo $$ > shell; sleep 300"}]
[[turn]]
when = "^tell the variable"
step = [{run = 'echo "variable=[$PYTEST_CURRENT_TEST]"'}, {say = "told"}]
[[turn]]
when = "^set a goal"
step = [{tool = {name = "create_goal", input = {objective = "never end"}}}, {say = "set"}]
[[turn]]
when = "^crash the provider"
step = [{fault = {status = 500}}]
[[turn]]
when = "^break off"
step = [{fault = {drop = true}}]
[[turn]]
when = "^write to claude"
step = [{send = {target = "claude", message = "hello"}}, {say = "sent"}]
[[turn]]
when = "^ask the user"
[[turn.step]]
[turn.step.tool]
name = "functions.request_user_input"
[[turn.step.tool.input.questions]]
id = "a"
header = "h"
question = "which?"
options = [{label = "x", description = "d"}, {label = "y", description = "d"}]
[[turn.step]]
tool = {name = "functions.request_user_input_async", input = {questions = [{title = "which?", options = ["x", "y"]}]}}
[[turn.step]]
say = "asked twice"
[[turn]]
when = "^take the wrong tool"
[[turn.step]]
tool = {name = "collaboration.send_message", input = {target = "claude", message = "hello"}}
[[turn.step]]
say = "live agent path not found"
if_result = "live agent path .* not found"
[[turn]]
when = "^delegate"
[[turn.step]]
tool = {name = "collaboration.spawn_agent", input = {task_name = "helper", message = "greet", agent_type = "default"}}
[[turn.step]]
say = "delegated"
"""
    + REFUSALS
    + HELLO
)


class Bench:
    """A model that plays SCENARIO and a home that knows it."""

    def __init__(self, model: ModelServer, home: Path, codex_model: str = "scripted") -> None:
        self.model = model
        self.home = home
        self.in_code_mode = not codex_model  # as Codex's own default model is
        prepare_home(home, model.url, codex_model=codex_model)
        self.work = home / "work"
        self.work.mkdir()
        for name in ("word", "shell", "daemon"):  # pipes between the agent's shell and the test
            os.mkfifo(self.work / name)
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
        self.settings = AgentSettings(
            name="codex", cwd=self.work, environment=agent_environment(home, model.url, "worker", base)
        )

    def configure(self, text: str) -> None:
        """Adds to the model provider's table."""
        with (self.home / ".codex" / "config.toml").open("a", encoding="utf-8") as file:
            file.write(text + "\n")

    def with_variables(self, **variables: str) -> AgentSettings:
        return replace(self.settings, environment=self.settings.environment | variables)

    def open(self, session_id: str | None = None, **changes: Any) -> Any:
        return opened(codex.factory, replace(self.settings, **changes), session_id)


@contextmanager
def benched(home: Path, codex_model: str = "scripted") -> Iterator[Bench]:
    with ModelServer(parse_scenario(SCENARIO, "codex_rig")) as model:
        bench = Bench(model, home, codex_model)
        yield bench
    for process in psutil.process_iter():  # what a failed test left behind, stopped ones among them
        with suppress(psutil.Error, OSError):
            if process.environ().get("HOME") == str(bench.home):
                process.kill()


def new_id() -> str:
    return str(uuid.uuid4())


async def until_asked(bench: Bench, prompt: str, count: int = 1) -> None:
    await asyncio.to_thread(bench.model.wait_for, lambda request: request.prompt == prompt, 20, count)


async def thread_of(it: Opened) -> dict[str, Any]:
    """Codex's own record of the thread."""
    params = {"threadId": it.session_id, "includeTurns": True}
    answer: dict[str, Any] = await it.agent._opened().request("thread/read", params)
    return dict(answer["thread"])


async def user_messages(it: Opened) -> list[str]:
    items = [item for turn in (await thread_of(it))["turns"] for item in turn["items"]]
    return [item["clientId"] for item in items if item["type"] == "userMessage"]
