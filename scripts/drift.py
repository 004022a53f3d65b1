"""One page on what differs in an agent's newest version: its handshake, tools, events, questions and dialogs.

Runs the real programs in throw-away homes against the scripted model, through our own adapters and without a login.
What an agent asks its client comes from Codex's own schema, and for Claude from a session in which it may do nothing
unasked. The dialogs are those of its TUI in an untouched home, in tmux, until it takes a prompt.

The record, tests/recordings/agents.json, has each version that was examined with --record; a version is compared with
the newest recorded one that is not newer. `loop doctor` reports the known differences between two of them, from the
table that --record writes beside the adapters. A difference is no fault by itself; it shows where an adapter may be out
of date. Exit status 0: as recorded; 1: something differs.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from actors.access import BridgeAccess
from actors.adapters import find_adapter, versions
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
ASKING = """
[[turn]]
when = "."
[[turn.step]]
run = "touch made"
[[turn.step]]
tool = { name = "Write", input = { file_path = "made.txt", content = "x" } }
[[turn.step]]
[turn.step.tool]
name = "AskUserQuestion"
[[turn.step.tool.input.questions]]
question = "which?"
header = "h"
multiSelect = false
options = [{ label = "x", description = "d" }, { label = "y", description = "d" }]
[[turn.step]]
tool = { name = "EnterPlanMode", input = {} }
[[turn.step]]
tool = { name = "ExitPlanMode", input = { plan = "a plan" } }
[[turn.step]]
say = "done"
"""
APIS = {"codex": "openai", "claude": "anthropic"}
PATIENCE_S = 60.0
QUIET_S = 2.0  # a screen without a change for this long waits for a key
MOST_DIALOGS = 8
_CHOSEN = re.compile(r"[\u2502\s]*[\u276f\u203a>] +(?P<words>\S.*)")
_NUMBER = re.compile(r"^\d+\.\s+")
_LEAVES = re.compile(r"no\b|exit\b|quit\b", re.IGNORECASE)
_VERSION = re.compile(r"v?\d+(\.\d+)+")
_WORDS = re.compile(r"[A-Za-z]{3}")
_DRAWN = re.compile(r"[\u2580-\u259f\u2800-\u28ff\u25d0-\u25d3]+")  # logos, and what turns
# Numbers, times and ids differ from start to start: only the names of fields are compared.
Facts = dict[str, list[str]]
Record = dict[str, dict[str, Facts]]  # by agent and version


def main() -> int:
    found = {name: look_at(name) for name in APIS}
    recorded: Record = json.loads(RECORD.read_text("utf-8"))
    if "--record" in sys.argv[1:]:
        for name, facts in found.items():
            recorded.setdefault(name, {})[facts["version"][0]] = facts
        RECORD.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        versions.TABLE.write_text(as_table(recorded), encoding="utf-8")
        print("recorded:", ", ".join(f"{name} {facts['version'][0]}" for name, facts in found.items()))
        return 0
    differs = False
    for name, facts in found.items():
        version = facts["version"][0]
        before = nearest(recorded[name], version)
        print(f"{name} {version}, compared with {before}")
        for line in differences(recorded[name][before], facts):
            differs = True
            print(f"  {line}")
    return int(differs)


def nearest(recorded: Mapping[str, Facts], version: str) -> str:
    """The newest recorded version that is not newer than this one; else the oldest."""
    ordered = sorted(recorded, key=versions.number)
    return next((each for each in reversed(ordered) if versions.number(each) <= versions.number(version)), ordered[0])


def as_table(recorded: Record) -> str:
    """What differs from each recorded version to the next, as the file that `versions` reads."""
    lines = ["# From version to version, what an agent came to do otherwise. Written by scripts/drift --record."]
    for name, known in sorted(recorded.items()):
        ordered = sorted(known, key=versions.number)
        for before, now in pairwise(ordered):
            told = "".join(
                f"  {json.dumps(line, ensure_ascii=False)},\n" for line in differences(known[before], known[now])
            )
            lines.append(f'\n[[{name}]]\nbefore = "{before}"\nnow = "{now}"\ndiffers = [\n{told}]')
    return "\n".join(lines) + "\n"


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


def look_at(name: str) -> Facts:
    """The facts of this agent that are compared."""
    facts, program, environment = asyncio.run(one_turn(name))
    facts |= asked_by_codex(program, environment) if name == "codex" else asyncio.run(asked_by_claude(program))
    return facts | dialogs(name, program)


@contextmanager
def modelled(scenario: str, *, untouched: bool = False) -> Iterator[tuple[Path, dict[str, str], ModelServer]]:
    """A throw-away home and the environment for an agent there. `untouched`: nothing in it is trusted yet."""
    with (
        tempfile.TemporaryDirectory(prefix="loop-drift-", ignore_cleanup_errors=True) as folder,
        ModelServer(parse_scenario(scenario, "drift")) as model,
    ):
        home = Path(folder)
        prepare_home(home, model.url, codex_role=None, codex_model="")
        if untouched:  # but for Claude's first screens: they want the internet
            (home / ".claude.json").write_text('{"hasCompletedOnboarding": true}')
        base = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "IS_SANDBOX": "1", "TERM": "xterm-256color"}
        yield home, agent_environment(home, model.url, None, base), model


# --- one turn, through our adapter -----------------------------------------------------------------------------------


async def one_turn(name: str) -> tuple[Facts, Path, dict[str, str]]:
    """One session with one turn: what the agent says about itself, offers its model, and reports to us."""
    with modelled(SCENARIO) as (home, environment, model):
        # A bridge that does not exist: the adapter's own tests check how its tools are offered.
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
        facts = {
            "version": [version_of(program, environment)],
            "outcome": [outcome.status],
            "told": sorted({event.kind for event in events}),
            "tools": list(model.offered[APIS[name]]),  # type: ignore[index]  # the names above are of that type
            "events": sorted({kind for raw in raws for kind in kinds_of(raw)}),
            "handshake": sorted({key for raw in raws if is_handshake(raw) for key in fields(raw)}),
        }
        return facts, program, environment


def version_of(program: Path, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        [program, "--version"], env=dict(environment), capture_output=True, text=True, errors="replace"
    )
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    assert found, done
    return found[0]


def kinds_of(raw: Mapping[str, Any]) -> list[str]:
    """The event's name, and the kind of its item."""
    if "method" in raw:  # Codex
        item = (raw.get("params") or {}).get("item") or {}
        return [raw["method"], *([f"item {item['type']}"] if "type" in item else [])]
    return [" ".join(str(raw[key]) for key in ("type", "subtype") if raw.get(key))]


def is_handshake(raw: Mapping[str, Any]) -> bool:
    return raw.get("method") == "thread/started" or (raw.get("type"), raw.get("subtype")) == ("system", "init")


def fields(raw: Mapping[str, Any]) -> list[str]:
    return list((raw.get("params") or {}).get("thread") or raw)


# --- what it asks ----------------------------------------------------------------------------------------------------


def asked_by_codex(program: Path, environment: Mapping[str, str]) -> Facts:
    """What the app-server may ask its client, and what it accepts and reports, from its own schema."""
    with tempfile.TemporaryDirectory(prefix="loop-drift-") as folder:
        command = [program, "app-server", "generate-json-schema", "--out", folder]
        subprocess.run(command, env={**environment, "HOME": folder}, capture_output=True, check=True)
        names = ("ServerRequest", "ClientRequest", "ServerNotification")
        asked, taken, told = (json.loads((Path(folder) / f"{each}.json").read_text()) for each in names)
    asks = []
    for one in asked["oneOf"]:
        shape = asked["definitions"][one["properties"]["params"]["$ref"].rpartition("/")[2]]
        asks.append(f"{one['properties']['method']['enum'][0]} ({', '.join(sorted(shape.get('properties', {})))})")
    return {"asks": sorted(asks), "takes": methods(taken), "tells": methods(told)}


def methods(schema: Mapping[str, Any]) -> list[str]:
    return sorted({name for one in schema["oneOf"] for name in one["properties"]["method"]["enum"]})


async def asked_by_claude(program: Path) -> Facts:
    """What Claude asks its client while a model runs, writes, asks and plans; everything is granted."""
    asks: set[str] = set()
    answer: dict[str, Any] = {}
    with modelled(ASKING) as (home, environment, _):
        command = "-p --verbose --input-format stream-json --output-format stream-json --permission-prompt-tool stdio"
        running = await asyncio.create_subprocess_exec(
            program,
            *command.split(),
            env=environment,
            cwd=home,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=10_000_000,
        )
        assert running.stdin is not None
        assert running.stdout is not None

        def send(message: dict[str, Any]) -> None:
            assert running.stdin is not None
            running.stdin.write(json.dumps(message).encode() + b"\n")

        send({"type": "control_request", "request_id": "hello", "request": {"subtype": "initialize", "hooks": None}})
        send({"type": "user", "message": {"role": "user", "content": "Look around."}})
        try:
            async with asyncio.timeout(PATIENCE_S):
                while line := await running.stdout.readline():
                    message = json.loads(line)
                    if message.get("type") == "control_response":
                        answer = message["response"].get("response") or {}
                    if message.get("type") == "control_request":
                        request = message["request"]
                        what = " ".join(str(request[key]) for key in ("subtype", "tool_name") if key in request)
                        asks.add(f"{what} ({', '.join(sorted(set(request) - {'subtype', 'tool_name'}))})")
                        granted = {"behavior": "allow", "updatedInput": request.get("input")}
                        told = {"subtype": "success", "request_id": message["request_id"], "response": granted}
                        send({"type": "control_response", "response": told})
                    if message.get("type") == "result":
                        break
        finally:
            with suppress(ProcessLookupError):
                running.kill()
            await running.wait()
    return {"asks": sorted(asks), "greeting": sorted(answer)}


# --- the dialogs of its TUI ------------------------------------------------------------------------------------------


def dialogs(name: str, program: Path) -> Facts:
    """The choices of each screen before the prompt, in order, and the words on that with the prompt.

    Enter takes the choice that a screen proposes; where that is to leave, Down comes before it.
    """
    with modelled(SCENARIO, untouched=True) as (home, environment, _):
        work = home / "work"
        work.mkdir()
        command = ["tmux", "-S", str(home / "tmux"), "-f", "/dev/null"]

        def tmux(*words: str) -> str:
            done = subprocess.run([*command, *words], env=environment, cwd=work, capture_output=True, text=True)
            return done.stdout

        # What a workspace starts, as far as a screen before the prompt may depend on it.
        flags = ["--dangerously-skip-permissions"] if name == "claude" else []
        tmux("new-session", "-d", "-x", "120", "-y", "50", str(program), *flags)
        seen: list[str] = []
        try:
            while len(seen) < MOST_DIALOGS:
                screen = settled(lambda: tmux("capture-pane", "-p"))
                offered, proposed = choices(screen)
                if not offered:
                    break
                seen.append(f"{len(seen) + 1}: {' / '.join(offered)}, proposed is {proposed}")
                tmux("send-keys", *(["Down"] if _LEAVES.match(proposed) else []), "Enter")
        finally:
            tmux("kill-server")
        words = [" ".join(_DRAWN.sub("", _VERSION.sub("", line)).split()) for line in screen.splitlines()]
        return {"dialogs": seen, "screen": [line for line in dict.fromkeys(words) if _WORDS.search(line)]}


def choices(screen: str) -> tuple[list[str], str]:
    """The screen's choices, and the proposed one: consecutive lines, one of them with a mark before it.

    ([], ""): nothing. A prompt has such a mark, but is alone.
    """
    rows = [row.replace("\u2502", " ") for row in screen.splitlines()]
    for number, row in enumerate(rows):
        if not (found := _CHOSEN.fullmatch(row)):
            continue
        column = found.start("words")

        def is_option(other: str, column: int = column) -> bool:
            return other[:column].isspace() and len(other) > column and not other[column].isspace()

        first = last = number
        while first > 0 and is_option(rows[first - 1]):
            first -= 1
        while last + 1 < len(rows) and is_option(rows[last + 1]):
            last += 1
        if first < last:
            offered = [_NUMBER.sub("", each[column:].rstrip()) for each in rows[first : last + 1]]
            return offered, offered[number - first]
    return [], ""


def settled(look: Any) -> str:
    """The screen once it is not empty and has not changed for a while."""
    deadline, shown, since = time.monotonic() + PATIENCE_S, "", time.monotonic()
    while time.monotonic() < deadline:
        now = look()
        if now != shown:
            shown, since = now, time.monotonic()
        elif shown.strip() and time.monotonic() - since > QUIET_S:
            break
        time.sleep(0.1)
    return shown


if __name__ == "__main__":
    sys.exit(main())
