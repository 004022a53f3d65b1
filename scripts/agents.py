"""Whole paired runs of real agents of the Agent Client Protocol that no test starts, and a table of what happened.

Each agent works while the other reviews, in the chaos scenario: a plan, three iterations, two rounds of review that
fail and one that passes, nine mails both ways. Meanwhile both agents and the root are killed with SIGKILL, the run is
paused and resumed, and each gets a message from the user. The agents' own stores prove what happened
(tests/lab/inspection.py).

Needs claude-agent-acp and vibe-acp on PATH: scripts/agents installs them. Starts no agent in the user's own home.
Exit status 0: nothing was lost, repeated or left behind.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from actors.adapters.acp_session import AcpSession
from actors.adapters.base import AgentSettings, discard_event
from actors.edges import agent_registry
from actors.embedded.scenario_file import parse_scenario
from actors.settings import Role
from tests.lab import inspection
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.lab.world import CHECK, SCENARIOS, Loop, World, orderly_end, roles_of

AGENTS = ("claude-acp", "mistral-vibe")  # as the public registry calls them
TASK = "Make the greeting polite: a comma and an exclamation mark."
CHAOS = SCENARIOS / "chaos.toml"
MAILS = [f"chaos mail {number}:" for number in range(1, 10)]
SAID = {"worker": "please use tabs", "reviewer": "please be strict"}
HEARS = """
[[turn]]
when = "^please"
aside = true
[[turn.step]]
say = "I hear you"
"""
PATIENCE_S = 180.0
VIBE = """\
active_model = "scripted"
enable_telemetry = false
enable_update_checks = false

[[providers]]
name = "lab"
api_base = "{url}/v1"
api_key_env_var = "LAB_KEY"
api_style = "openai"
backend = "generic"

[[models]]
name = "scripted"
provider = "lab"
alias = "scripted"
"""


@dataclass
class Row:
    """One run. `problems`: what is wrong with it; empty: everything in the table took place."""

    worker: str
    reviewer: str
    done: list[str] = field(default_factory=list)
    mails: str = ""
    prompts: str = ""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __str__(self) -> str:
        wrong = "; ".join(self.problems).replace("|", "/") or "nothing"
        cells = (self.worker, self.reviewer, ", ".join(self.done), self.mails, self.prompts, wrong)
        return f"| {' | '.join(cells)} | {self.seconds:.0f} |"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/agents", description="Runs real ACP agents in pairs, with kills.")
    parser.add_argument("--keep", type=Path, help="leave the runs' homes in this folder")
    keep = parser.parse_args().keep
    print(f"Measured on {datetime.now(UTC):%Y-%m-%d} by `scripts/agents`.\n")
    print("| agent | says it is | the bridge over | mode that is chosen | resumes by |")
    print("| --- | --- | --- | --- | --- |")
    for name in AGENTS:
        print(introduction(name), flush=True)
    print("\n| worker | reviewer | took place | mail | prompts in their stores | wrong | s |")
    print("| --- | --- | --- | --- | --- | --- | ---: |")
    rows = []
    with orderly_end():
        for worker, reviewer in (AGENTS, AGENTS[::-1]):
            rows.append(play(worker, reviewer, keep))
            print(rows[-1], flush=True)
    return int(any(row.problems for row in rows))


@contextmanager
def modelled(home: Path, roles: dict[str, Role | None], base: dict[str, str]) -> Iterator[dict[str, str]]:
    """Starts a model for both agents, each in its role, and yields their environment."""
    with ModelServer(parse_scenario(HEARS + CHAOS.read_text("utf-8"), "agents")) as server:
        prepare_home(home, server.url, None)
        role = roles.get("mistral-vibe")
        folder = home / ".vibe"
        folder.mkdir(exist_ok=True)
        (folder / "config.toml").write_text(VIBE.format(url=f"{server.url}/{role}" if role else server.url))
        environment = agent_environment(home, server.url, roles.get("claude-acp"), base)
        # Without the first, Claude Code refuses to work unattended as root; without the second, vibe does not start.
        yield environment | {"IS_SANDBOX": "1", "LAB_KEY": "scripted-model-needs-none"}


def introduction(name: str) -> str:
    """What the agent announces, and the mode that the adapter chooses, as a row."""
    with (
        tempfile.TemporaryDirectory(prefix="loop-agents-") as folder,
        modelled(Path(folder), {}, dict(os.environ)) as own,
    ):
        home = Path(folder)
        entry = agent_registry.read(home).find(name)
        assert entry is not None
        notes: list[str] = []
        settings = AgentSettings(name=name, cwd=home, environment=own, command=(entry.programs[0], *entry.args))

        async def look() -> str:
            session = AcpSession(settings, discard_event)
            try:
                agent = await session.greet(PATIENCE_S)
            finally:
                await session.close()
            session = AcpSession(settings, lambda event: notes.append(event.text) if event.kind == "note" else None)
            try:
                await session.open(None)
            finally:
                await session.close()
            capabilities, info = agent.agent_capabilities, agent.agent_info
            http = bool(capabilities and capabilities.mcp_capabilities and capabilities.mcp_capabilities.http)
            of_session = capabilities.session_capabilities if capabilities else None
            ways = ["session/load"] if capabilities and capabilities.load_session else []
            ways += ["session/resume"] if of_session and of_session.resume else []
            says = f"{info.title or info.name} {info.version}" if info else ""
            mode = next((note.removeprefix("its mode is ") for note in notes if note.startswith("its mode")), "none")
            return f"| {name} | {says} | {'HTTP' if http else 'stdio'} | {mode} | {', '.join(ways)} |"

        return asyncio.run(look())


def play(worker: str, reviewer: str, keep: Path | None) -> Row:
    row, began = Row(worker, reviewer), time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="loop-agents-", dir=keep))
    roles = roles_of(worker, reviewer)
    with World(folder) as world, modelled(world.home, roles, world.environment) as world.environment:
        try:
            disturb(world, row)
        except (AssertionError, psutil.Error) as error:
            row.problems.append(" ".join(str(error).split())[-600:])
        else:
            row.problems += witnessed(world, row)
    if keep is None:
        shutil.rmtree(folder, ignore_errors=True)
    row.seconds = time.monotonic() - began
    return row


def disturb(world: World, row: Row) -> None:
    """Plays one run with all its disturbances. Raises AssertionError when one of them does not take place."""
    words = ("--agent", row.worker, "--peer", row.reviewer)
    loop = world.start(*words, "--check", CHECK, TASK)

    def kill(role: Role, name: str) -> None:
        program_of(loop, role).kill()
        loop.wait_for(f"{name} +the agent was lost: .*its session will be resumed", PATIENCE_S)
        row.done.append(f"{role} killed")

    loop.wait_for(f"{row.worker} +.*sed -i", PATIENCE_S)
    kill("worker", row.worker)
    for role, name in (("worker", row.worker), ("reviewer", row.reviewer)):
        command(world, "say", name, SAID[role])
    loop.wait_for(f"{row.reviewer} +I look at the change", PATIENCE_S)
    kill("reviewer", row.reviewer)
    loop.wait_for("iteration 2 of", PATIENCE_S)
    command(world, "pause", "1")
    loop.wait_for(r"loop +paused, ", PATIENCE_S)
    command(world, "resume", "1")
    row.done.append("paused and resumed")
    loop.wait_for("review round 2: waits for", PATIENCE_S)
    loop.signal(signal.SIGKILL)
    loop.process.wait()
    world.wait_until_empty(5)
    row.done.append("root killed")
    loop = world.start(*words, "--run-id", "1")
    if code := loop.wait(2 * PATIENCE_S):
        raise AssertionError(f"exit status {code}: {loop.output}")
    row.done.append("completed")


def program_of(loop: Loop, role: Role) -> psutil.Process:
    """The agent's process, which its actor has started."""
    return psutil.Process(loop.pid_of(role)).children()[0]


def command(world: World, *words: str) -> None:
    done = world.run(*words)
    if done.process.returncode:
        raise AssertionError(f"loop {' '.join(words)}: {done.output}")


def witnessed(world: World, row: Row) -> list[str]:
    """What is wrong according to the agents' own stores."""
    directory = world.run_directory()
    problems = list(inspection.inspect(world.home, directory, MAILS))
    problems += [f"left behind: {process}" for process in world.survivors()]
    prompts = inspection.told_in_run(world.home, directory)
    row.prompts = ", ".join(f"{role} {len(texts)}" for role, texts in prompts.items())
    for role, words in SAID.items():
        if (times := sum(words in prompt.text for prompt in prompts[role])) != 1:
            problems.append(f"{role} was told {words!r} {times} times")
    row.done.append("said to each")
    mails = [line for line in world.transcript() if "from" in line]
    to = [sum(line["to"] == name for line in mails) for name in (row.reviewer, row.worker)]
    row.mails = f"{to[0]} there, {to[1]} back"
    return problems


if __name__ == "__main__":
    sys.exit(main())
