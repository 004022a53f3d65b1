"""Both real programs against the scripted model: their requests, and their behaviour when it fails."""

import asyncio
import os
import socket
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest
import uvicorn
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ProcessError,
    RateLimitEvent,
    ResultMessage,
    TextBlock,
)
from mcp.server import MCPServer
from openai_codex import AsyncCodex, AsyncThread, AsyncTurnHandle, CodexConfig, Sandbox, TransportClosedError

from actors.embedded.scenario_file import SHIPPED, parse_scenario
from actors.machines import prompts
from actors.machines.verdict import read_verdict, says_done
from actors.settings import Role
from tests.lab.demo_repo import DEMO_TASK, make_demo_repository
from tests.lab.model_server import Api, ModelServer
from tests.lab.offline_home import FOREIGN, agent_environment, prepare_home
from tests.lab.world import PATIENCE_S, kill

pytestmark = pytest.mark.real_agents

GO_ON = "Please go on."
DIED = (ProcessError, TransportClosedError)


@dataclass
class Ended:
    """How a turn ended. `error` is the agent's own word; "" after a success."""

    texts: list[str] = field(default_factory=list)
    error: str = ""
    limit_resets_at: int | None = None


class Agent(Protocol):
    """One real program with one session. `turn` may be cancelled by `kill`, and then raises one of DIED."""

    api: Api

    async def turn(self, prompt: str) -> Ended: ...
    async def steer(self, text: str) -> None: ...
    async def interrupt(self) -> None: ...
    def kill(self) -> None: ...
    async def resume(self) -> None: ...


def kill_trees(name: str) -> None:
    """Kills our children of this name with all their processes."""
    for child in psutil.Process().children():
        if name in child.name():
            family = [child, *child.children(recursive=True)]
            kill(family)
            psutil.wait_procs(family, PATIENCE_S)


class Claude:
    api: Api = "anthropic"

    def __init__(self, folder: Path, environment: dict[str, str], bridge: str, stack: AsyncExitStack) -> None:
        self._options: dict[str, Any] = {
            "cwd": folder,
            "env": environment,
            "permission_mode": "bypassPermissions",
            "setting_sources": [],
            "strict_mcp_config": True,
            "mcp_servers": {"loop-bridge": {"type": "http", "url": bridge, "alwaysLoad": True}} if bridge else {},
        }
        self._stack = stack
        self._session: str | None = None

    async def resume(self) -> None:
        options = ClaudeAgentOptions(**self._options, resume=self._session)
        self._client = await self._stack.enter_async_context(ClaudeSDKClient(options))

    async def turn(self, prompt: str) -> Ended:
        ended = Ended()
        await self._client.query(prompt)
        async for message in self._client.receive_response():
            self._session = getattr(message, "session_id", None) or self._session
            match message:
                case AssistantMessage(content=content, error=None):
                    ended.texts += [block.text for block in content if isinstance(block, TextBlock)]
                case AssistantMessage(error=error):
                    ended.error = str(error)
                case RateLimitEvent(rate_limit_info=info) if info.status == "rejected":
                    ended.limit_resets_at = info.resets_at
                case ResultMessage(is_error=True, subtype=subtype):
                    ended.error = ended.error or subtype
        return ended

    async def steer(self, text: str) -> None:
        await self._client.query(text)

    async def interrupt(self) -> None:
        await self._client.interrupt()

    def kill(self) -> None:
        kill_trees("claude")


class Codex:
    api: Api = "openai"

    def __init__(self, folder: Path, environment: dict[str, str], bridge: str, stack: AsyncExitStack) -> None:
        self._folder = str(folder)
        overrides = (
            f'mcp_servers.loop-bridge.url="{bridge}"',
            'mcp_servers.loop-bridge.default_tools_approval_mode="approve"',
        )
        self._config = CodexConfig(cwd=self._folder, env=environment, config_overrides=overrides if bridge else ())
        self._stack = stack
        self._thread: AsyncThread | None = None
        self._turn: AsyncTurnHandle | None = None

    async def resume(self) -> None:
        codex = AsyncCodex(self._config)
        self._stack.callback(lambda: [pipe.close() for pipe in pipes])  # the SDK leaves them open
        await self._stack.enter_async_context(codex)
        program = codex._client._sync._proc
        assert program is not None
        pipes = [pipe for pipe in (program.stdout, program.stderr) if pipe is not None]
        if self._thread is None:
            self._thread = await codex.thread_start(cwd=self._folder, sandbox=Sandbox.full_access)
        else:
            self._thread = await codex.thread_resume(self._thread.id, sandbox=Sandbox.full_access)
        self._global = codex._client

    async def turn(self, prompt: str) -> Ended:
        assert self._thread is not None
        self._turn = await self._thread.turn(prompt)
        ended = Ended()
        async for event in self._turn.stream():
            payload: Any = event.payload
            if event.method == "item/completed" and payload.item.root.type == "agentMessage":
                ended.texts.append(payload.item.root.text)
            if event.method == "turn/completed":
                error = payload.turn.error
                status = payload.turn.status.value
                ended.error = "" if status == "completed" else status if error is None else error.message
        if "usage limit" in ended.error:
            ended.limit_resets_at = await self._limit_resets_at()
        return ended

    async def _limit_resets_at(self) -> int:
        # Account notices do not come with the turn's events: the client keeps them in a queue of their own.
        while True:
            event = await self._global.next_notification()
            payload: Any = event.payload
            if event.method == "account/rateLimits/updated" and payload.rate_limits.primary is not None:
                return int(payload.rate_limits.primary.resets_at)

    async def steer(self, text: str) -> None:
        assert self._turn is not None
        await self._turn.steer(text)

    async def interrupt(self) -> None:
        assert self._turn is not None
        await self._turn.interrupt()

    def kill(self) -> None:
        kill_trees("codex")


Kind = type[Claude] | type[Codex]


@dataclass
class Stage:
    """A scripted model, a home and a folder for agents to work in."""

    server: ModelServer
    home: Path
    folder: Path

    @asynccontextmanager
    async def agent(self, kind: Kind, bridge: str = "", claude_role: Role = "worker") -> AsyncIterator[Agent]:
        # Both SDKs add this process's environment to what they are given, so logins are blanked out as well.
        blank = {name: "" for name in os.environ if name.startswith(FOREIGN)}
        environment = agent_environment(self.home, self.server.url, claude_role, os.environ)
        async with AsyncExitStack() as stack:
            agent = kind(self.folder, blank | environment | {"IS_SANDBOX": "1"}, bridge, stack)
            await agent.resume()
            yield agent

    def log(self) -> list[str]:
        return (self.folder / "log").read_text().split()

    async def held(self) -> int:
        """Returns when the agent's command waits at the FIFO. Closing the result lets the command continue."""
        return await asyncio.to_thread(os.open, self.folder / "fifo", os.O_WRONLY)


Scene = Callable[[Stage, Agent], Awaitable[None]]


def play(folder: Path, scenario: str, kind: Kind, scene: Scene, bridge: str = "") -> None:
    async def in_time(stage: Stage) -> None:
        async with asyncio.timeout(PATIENCE_S), stage.agent(kind, bridge) as agent:
            await scene(stage, agent)

    (folder / "work").mkdir()
    os.mkfifo(folder / "work/fifo")
    with ModelServer(parse_scenario(scenario, "scenario.toml")) as server:
        prepare_home(folder / "home", server.url)
        asyncio.run(in_time(Stage(server, folder / "home", folder / "work")))


both = pytest.mark.parametrize("kind", [Claude, Codex])

# The second command waits at a FIFO until the test lets it continue; after a crash the test has left `go` there.
HELD = """
[[turn]]
role = "worker"
when = "^Iteration 1"
[[turn.step]]
say = "On my way."
[[turn.step]]
run = "echo one >> log"
[[turn.step]]
run = "test -e go || cat fifo; echo two >> log"
[[turn.step]]
say = "Done."

[[turn]]
when = "^Message"
aside = true
[[turn.step]]
run = "echo mail >> log"
[[turn.step]]
say = "Read."
"""


@both
def test_a_turn_with_calls_plays_from_the_prompt_to_the_answer(tmp_path: Path, kind: Kind) -> None:
    async def scene(stage: Stage, agent: Agent) -> None:
        (stage.folder / "go").touch()
        assert await agent.turn("Iteration 1: do it") == Ended(["On my way.", "Done."])
        assert (await agent.turn("and now?")).texts == ["No rule of the scenario fits: and now?"]
        assert stage.log() == ["one", "two"]
        assert [(r.role, r.api, r.prompt, r.results) for r in stage.server.requests] == [
            ("worker", agent.api, "Iteration 1: do it", 0),
            ("worker", agent.api, "Iteration 1: do it", 1),
            ("worker", agent.api, "Iteration 1: do it", 2),
            ("worker", agent.api, "and now?", 0),
        ]

    play(tmp_path, HELD, kind, scene)


@both
def test_a_steered_message_is_answered_within_the_turn_which_then_goes_on(tmp_path: Path, kind: Kind) -> None:
    async def scene(stage: Stage, agent: Agent) -> None:
        turn = asyncio.create_task(agent.turn("Iteration 1: do it"))
        holding = await stage.held()
        await agent.steer("Message\n\nfrom afar")
        os.close(holding)
        assert await turn == Ended(["On my way.", "Read.", "Done."])
        assert stage.log() == ["one", "two", "mail"]

    play(tmp_path, HELD, kind, scene)


@both
def test_an_interrupted_turn_goes_on_where_it_was(tmp_path: Path, kind: Kind) -> None:
    async def scene(stage: Stage, agent: Agent) -> None:
        turn = asyncio.create_task(agent.turn("Iteration 1: do it"))
        holding = await stage.held()
        await agent.interrupt()
        ended = await turn
        os.close(holding)
        assert ended.error in {"error_during_execution", "interrupted"}
        (stage.folder / "go").touch()
        assert await agent.turn(GO_ON) == Ended(["Done."])
        assert [entry for entry in stage.log() if entry == "one"] == ["one"]
        assert stage.log()[-1] == "two"

    play(tmp_path, HELD, kind, scene)


@both
def test_a_killed_agent_is_resumed_and_plays_on(tmp_path: Path, kind: Kind) -> None:
    async def scene(stage: Stage, agent: Agent) -> None:
        turn = asyncio.create_task(agent.turn("Iteration 1: do it"))
        holding = await stage.held()
        agent.kill()
        os.close(holding)
        with pytest.raises(DIED):
            await turn
        (stage.folder / "go").touch()
        await agent.resume()
        ended = await agent.turn(GO_ON)
        # Claude Code writes its transcript some 100 ms late: the first command may be missing there, and be repeated.
        assert ended.texts in (["Done."], ["On my way.", "Done."])
        assert stage.log()[-2:] == ["one", "two"]

    play(tmp_path, HELD, kind, scene)


def faulty(fault: str) -> str:
    return f"""
[[turn]]
when = "^Iteration 1"
[[turn.step]]
run = "echo one >> log"
[[turn.step]]
fault = {fault}
[[turn.step]]
say = "Done."
"""


# Neither program retries by itself in our home; both keep the work before the fault.
@both
@pytest.mark.parametrize(
    ("fault", "claude_says", "codex_says"),
    [
        ("{status = 529}", "server_error", "unexpected status 529"),
        ("{status = 429}", "rate_limit", "exceeded retry limit, last status: 429"),
        ("{drop = true}", "server_error", "stream disconnected before completion"),
    ],
)
def test_a_fault_fails_the_turn_at_once_and_the_next_one_goes_on(
    tmp_path: Path, kind: Kind, fault: str, claude_says: str, codex_says: str
) -> None:
    async def scene(stage: Stage, agent: Agent) -> None:
        ended = await agent.turn("Iteration 1: do it")
        assert ended.error.startswith(claude_says if kind is Claude else codex_says)
        assert ended.limit_resets_at is None
        assert await agent.turn(GO_ON) == Ended(["Done."])
        assert stage.log() == ["one"]
        assert len(stage.server.requests) == 3

    play(tmp_path, faulty(fault), kind, scene)


@both
def test_a_usage_limit_fails_the_turn_and_says_when_it_ends(tmp_path: Path, kind: Kind) -> None:
    async def scene(stage: Stage, agent: Agent) -> None:
        before = time.time()
        ended = await agent.turn("Iteration 1: do it")
        assert ("rate_limit" if kind is Claude else "hit your usage limit") in ended.error
        assert ended.limit_resets_at is not None
        assert int(before) + 3600 <= ended.limit_resets_at <= time.time() + 3600
        assert await agent.turn(GO_ON) == Ended(["Done."])

    play(tmp_path, faulty("{status = 429, resets_in_s = 3600}"), kind, scene)


@both
def test_a_model_that_hangs_is_left_by_an_interrupt(tmp_path: Path, kind: Kind) -> None:
    async def scene(stage: Stage, agent: Agent) -> None:
        turn = asyncio.create_task(agent.turn("Iteration 1: do it"))
        await asyncio.to_thread(stage.server.wait_for, lambda request: request.fault != "", PATIENCE_S)
        await agent.interrupt()
        assert (await turn).error in {"error_during_execution", "interrupted"}
        assert await agent.turn(GO_ON) == Ended(["Done."])

    play(tmp_path, faulty("{hang = true}"), kind, scene)


def test_both_agents_play_at_the_same_time_against_one_server(tmp_path: Path) -> None:
    scenario = HELD.replace("test -e go || cat fifo; ", "")

    async def scene(stage: Stage, codex: Agent) -> None:
        async with stage.agent(Claude) as claude:
            turns = await asyncio.gather(claude.turn("Iteration 1: do it"), codex.turn("Iteration 1: do it"))
        assert turns == [Ended(["On my way.", "Done."])] * 2
        assert Counter(request.api for request in stage.server.requests) == {"anthropic": 3, "openai": 3}

    play(tmp_path, scenario, Codex, scene)


BRIDGE = """
[[turn]]
when = "^Iteration 1"
[[turn.step]]
send = {target = "claude", message = "Please look."}
[[turn.step]]
if_result = "accepted for claude"
say = "Sent."
"""


@contextmanager
def bridge(sent: list[tuple[str, str]]) -> Iterator[str]:
    """An MCP server like the bridge's; yields its URL."""
    endpoint = MCPServer("loop-bridge")

    @endpoint.tool()
    def send_message(target: str, message: str) -> str:
        sent.append((target, message))
        return f"accepted for {target}"

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(endpoint.streamable_http_app(), log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)


@both
def test_a_message_goes_to_the_peer_through_the_bridges_tool(tmp_path: Path, kind: Kind) -> None:
    sent: list[tuple[str, str]] = []

    async def scene(_stage: Stage, agent: Agent) -> None:
        assert await agent.turn("Iteration 1: do it") == Ended(["Sent."])

    with bridge(sent) as url:
        play(tmp_path, BRIDGE, kind, scene, url)
    assert sent == [("claude", "Please look.")]


def test_codex_works_and_claude_reviews_the_demo(tmp_path: Path) -> None:
    done = "<promise>DONE</promise>"
    work = prompts.iteration(1, of=20, task=DEMO_TASK, proof="", done_signal=done, peer="claude")
    review = prompts.review(1, task=DEMO_TASK, proof="", done_signal=done, send_notes_to="codex")
    sent: list[tuple[str, str]] = []

    async def scene(stage: Stage, codex: Agent) -> None:
        make_demo_repository(stage.folder)
        assert says_done((await codex.turn(work)).texts[-1], done)
        async with stage.agent(Claude, url, claude_role="reviewer") as claude:
            verdict = read_verdict((await claude.turn(review)).texts[-1])
        assert (verdict.kind, [target for target, _ in sent]) == ("changes", ["worker"])
        assert (await codex.turn(prompts.mail("claude", sent[0][1]))).texts[0].startswith("Understood")

    with bridge(sent) as url:
        play(tmp_path, (SHIPPED / "demo.toml").read_text(), Codex, scene)
