"""One row per adapter: how it starts offline, what it can do, what it cannot do, and why not.

One class here gives a new adapter all tests of test_contract.py. `cannot` says in words what an adapter cannot do. The
suite then checks that it is refused or absent, and the test's id says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import psutil  # type: ignore[import-untyped, unused-ignore]  # it ships no types

from actors.access import PaneAccess
from actors.adapters import acp, claude, codex, embedded
from actors.adapters.base import AgentFactory, AgentSettings
from actors.adapters.claude_pane_turn import identify
from actors.adapters.claude_reading import message_id
from actors.embedded.agent import STATE_FOLDER
from actors.embedded.scenario_file import parse_scenario
from tests.actors.adapters.acp_rig import Opened, is_alive, opened, rows
from tests.actors.adapters.codex_rig import itself, user_messages
from tests.lab import reaper
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.turns import HELLO, WORDS
from tests.patience import PATIENCE_S, STORY_S

HERE = Path(__file__).parent
PLAIN_AGENT = HERE.parent / "actors" / "adapters" / "plain_acp_agent.py"
LONG = 10_000_000

SCENARIO = (
    WORDS
    + """
[[turn]]
when = "^hang"
step = [{fault = {hang = true, times = 99}}]
[[turn]]
when = "^wait for a word"
step = [{run = "cat word"}, {say = "waited"}]
[[turn]]
when = "^leave processes"
step = [{run = "(setsid bash -c 'echo $$ > daemon; sleep 300 & wait' &); echo $$ > shell; sleep 300"}]
[[turn]]
when = "^pour ten megabytes"
step = [{run = "head -c 10000000 /dev/zero | tr '\\\\0' x"}, {say = "said"}]
[[turn]]
when = "^give your verdict"
step = [{say = '{"verdict": "pass", "summary": "Fine.", "findings": [], "earlier": []}'}]
[[turn]]
when = "^babble"
step = [{run = "printf 'Welcome \\\\033]0;owned\\\\007 \\\\377'"}, {say = "printed"}]
"""
    + HELLO
)


def new_id() -> str:
    return str(uuid.uuid4())


class Rig:
    """One adapter at work. Its home, model and terminal exist as long as the `with` block."""

    name: ClassVar[str]
    cannot: ClassVar[Mapping[str, str]] = {}  # case → why not
    is_real_agent: ClassVar[bool] = False
    needs_tmux: ClassVar[bool] = False

    told: ClassVar[list[tuple[str, str]]]  # of "use a tool"
    tokens: ClassVar[tuple[int, int] | None] = (20, 10)  # of "use a tool"; None: the agent does not say
    interrupted_is: ClassVar[str] = "unfinished"  # what `find_turn` says of an interrupted turn
    finished_is: ClassVar[str] = "finished"  # what it says of a finished one in a new process
    not_there: ClassVar[str] = "01a202bd-87ec-7452-82ef-9ed5de6a58a3"  # a session id of its shape
    is_seen_first: ClassVar[bool] = True  # before its first output; False: its record comes later
    waits_unseen: ClassVar[bool] = False  # a steered message is not in its record until the model has it
    killed_is: ClassVar[str] = "SIGKILL"  # how it reports a kill
    garbage_is: ClassVar[str] = ""  # the breach that garbage on its output causes; "": it is skipped
    last_words: ClassVar[str] = "this machine is too old"  # of a program that exits at once
    login: ClassVar[str]  # the sentence of one that is not logged in

    factory: ClassVar[AgentFactory]
    preflight: ClassVar[Callable[[AgentSettings], None]]
    settings: AgentSettings

    def __init__(self, home: Path) -> None:
        self.home = home
        self.work = home / "work"
        self._runner = asyncio.Runner()
        self._lent: Opened | None = None
        self._lending = AsyncExitStack()
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        self.work.mkdir(parents=True)
        for name in ("word", "shell", "daemon"):  # pipes between the agent's shell and the test
            os.mkfifo(self.work / name)
        self.settings = self.prepare()
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self._runner.run(self._take_back())
            assert asyncio.all_tasks(self._runner.get_loop()) == set()
        finally:
            self._runner.close()
            self._resources.close()
            left = [process for process in psutil.process_iter() if self._is_ours(process)]
            for process in left:
                process.kill()
        assert left == []

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error, OSError):
            return bool(process.environ().get("HOME") == str(self.home)) and is_alive(process)
        return False

    def enter(self, context: AbstractContextManager[Any]) -> Any:
        return self._resources.enter_context(context)

    # --- what a row says ---

    def prepare(self) -> AgentSettings:
        """The settings of its adapter."""
        raise NotImplementedError

    async def record(self, it: Opened) -> list[str]:
        """The ids of our prompts in the agent's own record of the session, in order."""
        raise NotImplementedError

    def bound(self) -> list[bool]:
        """Of each question to the model so far: whether its answer was bound to a form."""
        return []

    def agent_of(self, it: Opened) -> int:
        """The pid of the agent itself."""
        return it.events.pid

    def begin(self) -> None:
        """A case begins: what another one has asked is not its own."""

    async def works_on(self, prompt: str) -> None:
        """Returns when the agent is at work on this prompt of the case."""

    async def has_queued(self, it: Opened, message: str) -> None:
        """Returns when the agent has the steered message, not yet seen."""

    async def left_behind(self, it: Opened) -> list[int]:
        """The pids of the processes that "leave processes" has started."""
        del it
        return [int(await asyncio.to_thread((self.work / name).read_text)) for name in ("daemon", "shell")]

    def that_exits(self) -> AgentSettings:
        """Settings with a program that writes `last_words` and exits with status 3."""
        raise NotImplementedError

    def that_says(self) -> AgentSettings:
        """Settings with a program that obeys "pour ten megabytes" and "babble"."""
        return self.settings

    def logged_out(self) -> AgentSettings:
        raise NotImplementedError

    async def late_record(self) -> str:
        """The result of `find_turn` for a prompt that the agent has, and whose record comes late."""
        raise NotImplementedError

    # --- at work ---

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(STORY_S):
                await story

        self._runner.run(limited())

    @asynccontextmanager
    async def open(
        self, session_id: str | None = None, *, settings: AgentSettings | None = None
    ) -> AsyncIterator[Opened]:
        """Opens an agent for one case alone. A pane has room for one agent, so the shared one is closed first."""
        await self._take_back()
        self.begin()
        async with opened(type(self).factory, settings or self.settings, session_id) as it:
            yield it

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Opened]:
        """Lends the open agent that the cases share, without events yet. After a failed case it is replaced."""
        if self._lent is None:
            agent = opened(type(self).factory, self.settings)
            self._lent = await self._lending.enter_async_context(agent)
        self.begin()
        heard = self._lent.events.all
        heard[:] = [event for event in heard if event.kind == "process"]
        try:
            yield self._lent
        except BaseException:
            await self._take_back()
            raise

    async def _take_back(self) -> None:
        self._lent = None
        await self._lending.aclose()

    def program(self, name: str, script: str) -> AgentSettings:
        """The settings with this program instead of the agent's own."""
        folder = Path(tempfile.mkdtemp(dir=self.home))
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
        return self.with_variables(PATH=f"{folder}:{self.settings.environment['PATH']}")

    def with_variables(self, **variables: str) -> AgentSettings:
        return replace(self.settings, environment=self.settings.environment | variables)


# --- agents that ask a model ----------------------------------------------------------------------------------


class ModelRig(Rig):
    is_real_agent = True
    model_name: ClassVar[str] = "scripted"
    model: ModelServer

    def prepare(self) -> AgentSettings:
        self.model = self.enter(ModelServer(parse_scenario(SCENARIO, "contract")))
        prepare_home(self.home, self.model.url, None, codex_model=self.model_name)
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "IS_SANDBOX": "1"}
        environment = agent_environment(self.home, self.model.url, None, base)
        pane = self.enter(terminal()) if self.needs_tmux else None
        return AgentSettings(name=self.name, cwd=self.work, environment=environment, pane=pane)

    def begin(self) -> None:
        self._before = Counter(request.prompt for request in self.model.requests)

    def bound(self) -> list[bool]:
        return [request.schema for request in self.model.requests]

    async def works_on(self, prompt: str) -> None:
        count = self._before[prompt] + 1
        await asyncio.to_thread(self.model.wait_for, lambda request: request.prompt == prompt, PATIENCE_S, count)


@contextmanager
def terminal() -> Iterator[PaneAccess]:
    """A tmux session with a console in it."""
    with tempfile.TemporaryDirectory(prefix="pane-", dir="/tmp") as folder:  # sockets need a short path
        server = f"{folder}/tmux"

        def tmux(*arguments: str) -> None:
            subprocess.run(["tmux", "-S", server, *arguments], check=True, capture_output=True)

        tmux("-f", "/dev/null", "new-session", "-d", "-s", "place", "-x", "160", "-y", "40", "cat")
        tmux("set-option", "-w", "-t", "place", "remain-on-exit", "on")
        tmux("set-option", "-p", "-t", "place", "@loop_pane", "console")
        try:
            yield PaneAccess(
                server=server,
                session="place",
                side="left",
                folder=Path(folder),
                root_pid=os.getpid(),
                run_id="7",
            )
        finally:
            tmux("kill-server")


class Codex(ModelRig):
    name = "codex"
    model_name = "scripted"  # a model that Codex does not know gets function tools
    waits_unseen = True
    cannot: ClassVar[Mapping[str, str]] = {
        "pieces": "its messages come whole, each with an id: fragments are passed over"
    }
    factory = codex.factory
    preflight = codex.preflight
    told: ClassVar[list[tuple[str, str]]] = [
        ("say", "let me look"),
        ("tool", "shell echo one; echo two; exit 3"),
        ("tool-result", "exit 3: two"),
        ("say", "all done"),
    ]
    garbage_is = "codex app-server sent invalid JSON"
    login = "codex is not logged in: run codex login"

    def agent_of(self, it: Opened) -> int:
        return itself(it.events.pid)

    async def record(self, it: Opened) -> list[str]:
        return await user_messages(it)

    def that_exits(self) -> AgentSettings:
        version = 'if [ "$1" = --version ]; then echo codex-cli 9.9.9; exit; fi'
        return self.program("codex", f"{version}; echo '{self.last_words}' >&2; exit 3")

    def that_says(self) -> AgentSettings:
        return self.program("codex", f'exec {sys.executable} {HERE / "codex_stand_in.py"} "$@"')

    def logged_out(self) -> AgentSettings:
        other = self.home / "logged-out"
        prepare_home(other, self.model.url)
        with (other / ".codex" / "config.toml").open("a", encoding="utf-8") as config:
            config.write("requires_openai_auth = true\n")  # in the provider's table, the last one
        return self.with_variables(HOME=str(other))

    async def late_record(self) -> str:
        """Case: an app-server that was killed when the text was on disk, and its id was not."""
        cut = new_id()
        async with self.open() as it:
            await it.agent.turn(new_id(), "hello")
            turn = asyncio.create_task(it.agent.turn(cut, "hang"))
            await it.events.wait(lambda event: event.kind == "seen" and event.message_id == cut)
            os.kill(self.agent_of(it), signal.SIGKILL)
            await asyncio.wait([turn])
            assert turn.exception() is not None
        (rollout,) = self.home.glob(f".codex/sessions/**/rollout-*{it.session_id}.jsonl")
        lines = rollout.read_bytes().splitlines(keepends=True)
        rollout.write_bytes(b"".join(line for line in lines if cut.encode() not in line))
        async with self.open(it.session_id) as it:
            assert (await it.agent.find_turn(new_id(), "hello")).state == "absent"  # that one has its id
            assert (await it.agent.find_turn(new_id(), "never said")).state == "absent"
            return str((await it.agent.find_turn(cut, "hang")).state)


class CodexDefaultModel(Codex):
    """Codex without a configuration: it works in code mode."""

    name = "codex-default-model"
    model_name = ""
    waits_unseen = False  # a running script yields to a message immediately


class CodexTui(Codex):
    name = "codex-tui"
    needs_tmux = True
    cannot: ClassVar[Mapping[str, str]] = {**Codex.cannot, "form": "the user reads along in it, and reads no JSON"}


class Claude(ModelRig):
    name = "claude"
    is_seen_first = False
    waits_unseen = True
    killed_is = r"exit status -9|does not listen"
    cannot: ClassVar[Mapping[str, str]] = {"pieces": "its messages come whole, each with an id"}
    factory = claude.factory
    preflight = claude.preflight
    told: ClassVar[list[tuple[str, str]]] = [
        ("say", "let me look"),
        ("tool", "Bash: echo one; echo two; exit 3"),
        ("tool-result", "error: Exit code 3 one two"),
        ("say", "all done"),
    ]
    garbage_is = "claude sent invalid JSON"
    login = r"claude is not logged in: run `.*claude auth login`, or set "

    def transcript(self, it: Opened) -> Path:
        (path,) = (self.home / ".claude" / "projects").glob(f"*/{it.session_id}.jsonl")
        return path

    async def record(self, it: Opened) -> list[str]:
        entries = rows(self.transcript(it))
        prompts = [entry for entry in entries if entry.get("toolUseResult") is None]
        return [found for entry in prompts if (found := message_id(entry))]

    def that_exits(self) -> AgentSettings:
        return self.program("claude", f"echo '{self.last_words}' >&2; exit 3")

    def that_says(self) -> AgentSettings:
        return self.program("claude", f'exec {sys.executable} {HERE / "claude_stand_in.py"} "$@"')

    def logged_out(self) -> AgentSettings:
        kept = {n: v for n, v in self.settings.environment.items() if n != "CLAUDE_CODE_OAUTH_TOKEN"}
        return replace(self.settings, environment=kept)

    async def late_record(self) -> str:
        """Case: the program writes its transcript with a delay of 100 ms."""
        async with self.lend() as it:
            turn_id = new_id()
            await it.agent.turn(turn_id, "hello")
            return str((await it.agent.find_turn(turn_id)).state)


class ClaudeTui(Claude):
    name = "claude-tui"
    needs_tmux = True
    cannot: ClassVar[Mapping[str, str]] = {**Claude.cannot, "form": "its program takes a form only without the TUI"}
    waits_unseen = False
    killed_is = "was killed"
    garbage_is = ""  # the adapter reads its transcript

    async def record(self, it: Opened) -> list[str]:
        return [found for entry in rows(self.transcript(it)) if (found := identify(entry))]

    def that_says(self) -> AgentSettings:
        return self.settings

    async def has_queued(self, it: Opened, message: str) -> None:
        """The program queues a message when its hooks have ended. Only its transcript, a file, shows that: there is no
        event to wait for.
        """
        async with asyncio.timeout(PATIENCE_S):
            while not any(  # noqa: ASYNC110 - see above
                row.get("operation") == "enqueue" and message in row["content"] for row in rows(self.transcript(it))
            ):
                await asyncio.sleep(0.05)


# --- agents of the Agent Client Protocol ----------------------------------------------------------------------


class Acp(Rig):
    """A small agent of the official package, without our extension."""

    name = "acp"
    cannot: ClassVar[Mapping[str, str]] = {
        "steer": "the protocol has no way: only an agent that has announced its own can be steered",
        "form": "the protocol has none",
    }
    factory = acp.factory
    preflight = acp.preflight
    told: ClassVar[list[tuple[str, str]]] = [
        ("say", "let me look"),
        ("tool", "ls -l"),
        ("tool-result", "completed: a file"),
        ("say", "all done"),
    ]
    tokens = None
    interrupted_is = "finished"  # the adapter itself knows how its turns ended
    finished_is = "unfinished"  # a replay looks the same for an answer and for half of one
    not_there = "plain-77"
    login = "agent 'acp' is not logged in: "

    def prepare(self) -> AgentSettings:
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], **reaper.inherited()}
        return AgentSettings(name="acp", cwd=self.work, environment=environment, command=self.command())

    def command(self, *flags: str) -> tuple[str, ...]:
        return (sys.executable, str(PLAIN_AGENT), *flags)

    async def record(self, it: Opened) -> list[str]:
        prompts = [json.loads(line) for line in (self.home / it.session_id).read_text().splitlines()]
        return [text.rpartition("(message ")[2].rstrip(")") for who, text in prompts if who == "user"]

    async def left_behind(self, it: Opened) -> list[int]:
        said = await it.events.wait(lambda event: event.kind == "raw" and "agent_message_chunk" in event.raw)
        return [int(json.loads(said.raw)["content"]["text"])]

    def that_exits(self) -> AgentSettings:
        return replace(self.settings, command=("sh", "-c", f"echo '{self.last_words}' >&2; exit 3"))

    def logged_out(self) -> AgentSettings:
        return replace(self.settings, command=self.command("--login"))

    async def late_record(self) -> str:
        """Case: an agent that answers `session/load` before it has replayed the session."""
        done, cut = new_id(), new_id()
        async with self.open() as it:
            await it.agent.turn(done, "hello")
            turn = asyncio.create_task(it.agent.turn(cut, "hang"))
            await it.events.wait(lambda event: event.kind == "seen" and event.message_id == cut)
        await asyncio.wait([turn])
        assert turn.exception() is not None
        late = replace(self.settings, command=self.command("--late"))
        pause = asyncio.Event()

        def make(settings: AgentSettings, sink: Any) -> Any:
            return acp.AcpAgent(settings, sink, lambda: _until(pause))

        async with opened(make, late, it.session_id) as it:
            finding = asyncio.create_task(it.agent.find_turn(cut, answered=done))
            await asyncio.sleep(0)  # no waiting: the task has its first step
            while not finding.done():
                os.kill(it.events.pid, signal.SIGUSR1)  # the next piece
                await asyncio.wait([finding], timeout=0.05)
            return str((await finding).state)


async def _until(pause: asyncio.Event) -> None:
    await pause.wait()


class Embedded(Rig):
    name = "embedded"
    cannot: ClassVar[Mapping[str, str]] = {
        "steer": "it plays its scenario, and takes nothing into a running turn",
        "late_record": "its replay is whole by our extension of the protocol",
        "pieces": "its messages come whole, each with an id",
        "log_in": "it asks no model, and needs no login",
        "form": "the protocol has none",
    }
    factory = embedded.factory
    preflight = embedded.preflight
    told = Codex.told
    tokens = (0, 0)
    interrupted_is = "finished"  # it records how its turns ended
    not_there = "nowhere"
    last_words = "bad.toml"
    login = ""

    def prepare(self) -> AgentSettings:
        (self.home / "scenario.toml").write_text(SCENARIO)
        environment = {"HOME": str(self.home), "PATH": os.environ["PATH"], **reaper.inherited()}
        return AgentSettings(name="embedded", cwd=self.work, environment=environment, options=self.plays("scenario"))

    def plays(self, name: str) -> dict[str, object]:
        return {"scenario": str(self.home / f"{name}.toml"), "role": "worker"}

    async def record(self, it: Opened) -> list[str]:
        lines = (self.home / STATE_FOLDER / f"{it.session_id}.jsonl").read_text().splitlines()
        return [line["id"] for line in map(json.loads, lines) if line["kind"] == "prompt"]

    def that_exits(self) -> AgentSettings:
        (self.home / "bad.toml").write_text("[[turn]]\nwhen = 1\n")
        return replace(self.settings, options=self.plays("bad"))

    def logged_out(self) -> AgentSettings:
        return self.settings

    async def late_record(self) -> str:
        async with self.lend() as it:
            return str((await it.agent.find_turn(new_id())).state)


RIGS: tuple[type[Rig], ...] = (Codex, CodexDefaultModel, CodexTui, Claude, ClaudeTui, Acp, Embedded)
