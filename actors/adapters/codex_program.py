"""Which `codex` to run, its arguments and environment, and whether it can run at all.

Starts `codex` only for queries (version, account, configuration) and ends it again. Changes nothing, calls no model,
imports no SDK. Blocks for up to `PATIENCE_S`; any thread.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from threading import Timer
from typing import Any

from actors.adapters import accounts
from actors.adapters.base import AgentSettings
from actors.adapters.codex_protocol import BRIDGE, one_line
from actors.edges.marked_processes import MARK_VARIABLE
from actors.errors import AgentUnavailableError
from actors.text import read_json
from actors.wire.lines import LONGEST_LINE

PATIENCE_S = 20.0
# All requests are answered at once or within a second; a long thread may take a few to resume.
REQUEST_PATIENCE_S = 60.0

# The oldest version known to keep our message ids. A version that drops them would seem to lack a prompt, and get it
# twice.
OLDEST = (0, 163, 0)

INSTALL = "pip install 'pairloop[codex]'"
KEY_VARIABLE = "CODEX_API_KEY"  # `codex exec` takes it as well
TOKEN_VARIABLE = "LOOP_BRIDGE_TOKEN"  # noqa: S105 - a variable's name
HELLO: dict[str, Any] = {
    "clientInfo": {"name": "loop", "version": "1"},
    "capabilities": {"experimentalApi": True},
}


def program_of(settings: AgentSettings) -> Path:
    """As `locate`, with the signature that all agents share."""
    return locate(settings.environment)


def locate(environment: Mapping[str, str]) -> Path:
    """The user's own `codex` on PATH when it is recent enough, else the bundled one.

    Raises `AgentUnavailableError` when both are missing, or the SDK is.
    """
    if importlib.util.find_spec("openai_codex") is None:
        raise AgentUnavailableError(f"the Codex SDK is not installed: {INSTALL}")
    own = shutil.which("codex", path=environment.get("PATH", ""))
    version = _version(own, environment) if own else None
    if own and version and version >= OLDEST:
        return Path(own)
    bundled = _bundled()
    if bundled is not None:
        return bundled
    if own is None:
        raise AgentUnavailableError(f"codex is not installed: npm install -g @openai/codex, or {INSTALL}")
    found = ".".join(map(str, version)) if version else "of unknown version"
    wanted = ".".join(map(str, OLDEST))
    raise AgentUnavailableError(f"{own} is {found}, loop needs {wanted}: npm install -g @openai/codex")


def _bundled() -> Path | None:
    try:
        from codex_cli_bin import bundled_codex_path  # type: ignore[import-untyped]  # it ships no types

        return Path(bundled_codex_path())
    except (ImportError, FileNotFoundError):  # no wheel for this platform
        return None


def _version(program: str, environment: Mapping[str, str]) -> tuple[int, ...] | None:
    """The program's version. None: unknown, e.g. a wrapper without its Node. A build from source reports 0.0.0 and is
    too old.
    """
    try:
        answer = subprocess.run(
            [program, "--version"],
            env=dict(environment),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"(\d+)\.(\d+)\.(\d+)", answer.stdout)
    return tuple(map(int, found.groups())) if found else None


def command(program: Path, settings: AgentSettings, listen: str = "stdio://") -> list[str]:
    """The argv of the app-server. Holds no secret: every user of the machine can read it."""
    return [str(program), *_overrides(settings), "app-server", "--listen", listen]


def tui_command(program: Path, address: str, thread_id: str) -> list[str]:
    """The argv of Codex's own TUI, as one more client of our app-server, on one thread.

    The app-server owns the agent's MCP servers, login and sandbox. The options here disable what the TUI does by
    itself: check for updates, leave its own server behind, and use the alternate screen. There a slow start of 0.163
    never shows the thread; without it the conversation also stays in the pane's history.
    """
    values = {
        "check_for_update_on_startup": False,
        "features.daemon_auto_start": False,
        "tui.fullscreen_transcript": False,
    }
    return [str(program), *_words(values), "--remote", address, "resume", thread_id]


def ending(exit_code: int | None) -> str:
    """How a program has ended, for the user; None: it runs, but does not answer any more."""
    if exit_code is None:
        return "broke the connection."
    if exit_code < 0:
        return f"was killed by {signal.Signals(-exit_code).name}."
    return f"ended with exit code {exit_code}."


def _overrides(settings: AgentSettings) -> list[str]:
    # A goal that the agent sets itself makes Codex start turns of its own, without end (85 in 4 s against a scripted
    # model). The loop itself decides on continuing.
    values: dict[str, object] = {"features.goals": False}
    if settings.effort:
        values["model_reasoning_effort"] = settings.effort
    if KEY_VARIABLE in settings.environment:
        values["cli_auth_credentials_store"] = "ephemeral"  # the key must not replace the login on the user's disk
    if settings.bridge is not None:
        server = f"mcp_servers.{BRIDGE}"
        values[f"{server}.url"] = settings.bridge.url
        values[f"{server}.bearer_token_env_var"] = TOKEN_VARIABLE
        values[f"{server}.default_tools_approval_mode"] = "approve"
    return _words(values)


def _words(values: Mapping[str, object]) -> list[str]:
    # JSON's strings and booleans are TOML's as well.
    return [word for name, value in values.items() for word in ("--config", f"{name}={json.dumps(value)}")]


def child_environment(settings: AgentSettings, mark: str) -> dict[str, str]:
    """The whole environment of the app-server."""
    extra = {MARK_VARIABLE: mark}
    if settings.bridge is not None:
        extra[TOKEN_VARIABLE] = settings.bridge.token
    return settings.environment | extra


def bring_session(settings: AgentSettings, session_id: str) -> None:
    """Makes the thread's file of another account available in this one. Raises `AgentUnavailableError`."""
    own, *others = (_home(each) for each in (settings.environment, *settings.elsewhere))
    try:
        accounts.bring_session(f"sessions/*/*/*/rollout-*-{glob.escape(session_id)}.jsonl", own, others)
    except OSError as error:
        raise AgentUnavailableError(f"codex's session cannot be brought to {own}: {error}") from error


def _home(environment: Mapping[str, str]) -> Path:
    chosen = environment.get("CODEX_HOME")
    return Path(chosen) if chosen else Path(environment.get("HOME") or Path.home()) / ".codex"


def preflight(settings: AgentSettings) -> None:
    """Returns when Codex can be expected to work here; about 0.2 s. Asks Codex itself, so any kind of login counts.

    Raises `AgentUnavailableError`, one line that names the next step: not installed, configuration that Codex
    refuses, not logged in, a key variable that the configured model provider wants and does not find.
    """
    program = locate(settings.environment)
    account, config = _ask(program, settings, ("account/read", {}), ("config/read", {"cwd": str(settings.cwd)}))
    values = config["config"]
    name = values.get("model_provider")
    provider = (values.get("model_providers") or {}).get(name) or {}
    key = provider.get("env_key")
    if key and not settings.environment.get(key):
        raise AgentUnavailableError(f"codex's model provider {name} reads its key from {key}: export {key}=…")
    if account["requiresOpenaiAuth"] and account["account"] is None and KEY_VARIABLE not in settings.environment:
        hint = ""
        if settings.environment.get("OPENAI_API_KEY"):  # the app-server ignores it
            hint = f", or export {KEY_VARIABLE}=$OPENAI_API_KEY"
        raise AgentUnavailableError(f"codex is not logged in: run {program.name} login{hint}")


def _ask(program: Path, settings: AgentSettings, *questions: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The answers of a short-lived app-server. All are read before its stdin closes, which ends it."""
    calls = [("initialize", HELLO), *questions]
    lines = [{"id": n, "method": method, "params": params} for n, (method, params) in enumerate(calls)]
    lines.insert(1, {"method": "initialized"})
    try:
        process = subprocess.Popen(
            command(program, settings),
            env=child_environment(settings, "preflight"),
            cwd=settings.cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise AgentUnavailableError(f"{program} cannot be started: {error}") from error
    answers: dict[int, dict[str, Any]] = {}
    deadline = Timer(PATIENCE_S, process.kill)
    deadline.start()
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write("".join(json.dumps(line) + "\n" for line in lines))
            process.stdin.flush()
            while len(answers) < len(calls) and (line := process.stdout.readline(LONGEST_LINE)):
                message = read_json(line)
                if "method" not in message:
                    answers[message["id"]] = message
        except (BrokenPipeError, ValueError, TypeError, KeyError):
            pass  # not an app-server; its last output is in the error below
        process.kill()
        errors = process.communicate()[1]
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
    refused = next((answer["error"]["message"] for answer in answers.values() if "error" in answer), None)
    if refused is not None or len(answers) < len(calls):
        why = one_line(refused or errors, 300) or f"no answer within {PATIENCE_S:.0f} s"
        raise AgentUnavailableError(f"{program} does not run: {why}")
    return [answers[n]["result"] for n in range(1, len(calls))]
