"""One page on what an agent's newest version does otherwise: its handshake, tools, events and first screen.

Runs the real programs in throw-away homes against the scripted model, through our own adapters and without a login.
The record is tests/recordings/agents.json; a difference is no fault by itself, but where an adapter may be out of date.
Exit status 0: as recorded; 1: something differs.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.access import BridgeAccess
from actors.adapters import find_adapter
from actors.adapters.base import AgentEvent, AgentSettings
from actors.embedded.scenario_file import parse_scenario
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home

RECORD = Path(__file__).parents[1] / "tests" / "recordings" / "agents.json"
SCENARIO = """
[[turn]]
when = "."
step = [{say = "I look."}, {run = "echo one; exit 3"}, {say = "done"}]
"""
APIS = {"codex": "openai", "claude": "anthropic"}
# Numbers, times and ids differ from start to start: only the names of fields are compared.
Facts = dict[str, list[str]]


def main() -> int:
    found = {name: asyncio.run(look_at(name)) for name in APIS}
    if "--record" in sys.argv[1:]:
        RECORD.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"recorded: {', '.join(facts['version'][0] for facts in found.values())}")
        return 0
    recorded: dict[str, Facts] = json.loads(RECORD.read_text("utf-8"))
    differs = False
    for name, facts in found.items():
        print(f"{name} {facts['version'][0]}, recorded with {recorded[name]['version'][0]}")
        for line in differences(recorded[name], facts):
            differs = True
            print(f"  {line}")
    return int(differs)


def differences(before: Mapping[str, list[str]], now: Mapping[str, list[str]]) -> list[str]:
    """A line for each kind of fact in which the two differ; versions always may."""
    lines = []
    for kind in sorted({*before, *now} - {"version"}):
        old, new = set(before.get(kind, [])), set(now.get(kind, []))
        gone, come = sorted(old - new), sorted(new - old)
        if gone:
            lines.append(f"{kind}, no more: {', '.join(gone)}")
        if come:
            lines.append(f"{kind}, new: {', '.join(come)}")
    return lines


async def look_at(name: str) -> Facts:
    """One session with one turn: what the agent says of itself, offers its model, and tells us."""
    with (
        tempfile.TemporaryDirectory(prefix="loop-drift-") as folder,
        ModelServer(parse_scenario(SCENARIO, "drift")) as model,
    ):
        home = Path(folder)
        prepare_home(home, model.url, codex_role=None, codex_model="")
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "IS_SANDBOX": "1"}
        environment = agent_environment(home, model.url, None, base)
        # A bridge that is not there: how its tools are offered is looked at by the adapter's own tests.
        settings = AgentSettings(
            name=name,
            cwd=home,
            environment=environment,
            bridge=BridgeAccess(url="http://127.0.0.1:9/mcp", token="none"),
        )
        events: list[AgentEvent] = []
        entry = find_adapter(name, {})
        program = entry.locate(settings)
        agent = entry.factory(settings, events.append)
        try:
            await agent.open(None)
            outcome = await agent.turn(str(uuid.uuid4()), "Look around.")
        finally:
            await agent.close()
        raws = [json.loads(event.raw) for event in events if event.raw]
        return {
            "version": [version_of(program, environment)],
            "outcome": [outcome.status],
            "told": sorted({event.kind for event in events}),
            "tools": list(model.offered[APIS[name]]),  # type: ignore[index]  # the names above are of that type
            "events": sorted({kind for raw in raws for kind in kinds_of(raw)}),
            "handshake": sorted({key for raw in raws if is_handshake(raw) for key in fields(raw)}),
        }


def version_of(program: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [program, "--version"], env=dict(environment), capture_output=True, text=True, errors="replace"
    )
    return done.stdout.strip()


def kinds_of(raw: Mapping[str, Any]) -> list[str]:
    """What the event is called, and of what kind its item is."""
    if "method" in raw:  # Codex
        item = (raw.get("params") or {}).get("item") or {}
        return [raw["method"], *([f"item {item['type']}"] if "type" in item else [])]
    return [" ".join(str(raw[key]) for key in ("type", "subtype") if raw.get(key))]


def is_handshake(raw: Mapping[str, Any]) -> bool:
    return raw.get("method") == "thread/started" or (raw.get("type"), raw.get("subtype")) == ("system", "init")


def fields(raw: Mapping[str, Any]) -> list[str]:
    return list((raw.get("params") or {}).get("thread") or raw)


if __name__ == "__main__":
    sys.exit(main())
