"""Which `claude` to start, its arguments and environment, and whether it can start at all.

Starts nothing but `claude auth status` (in `preflight`); never reads os.environ; never changes the user's login. Any
thread; `preflight` blocks for about 0.4 s.
"""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import pwd
import shutil
import subprocess
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.access import BridgeAccess
from actors.adapters import accounts
from actors.adapters.base import AgentSettings, Schema
from actors.adapters.shapes import UNKNOWN_SHAPE
from actors.edges import files
from actors.edges.marked_processes import MARK_VARIABLE
from actors.errors import AgentUnavailableError, BadFileError
from actors.text import read_json

TOKEN_VARIABLE = "LOOP_BRIDGE_TOKEN"  # noqa: S105 - the variable's name, not the token
# Every descendant of the program carries this mark, even after setsid or its parent's death.
LOGIN_CHECK_S = 10.0
# How long a background *command* may keep a turn open without a sign of life: it may be a server that never ends. The
# program's own limit at its exit, with its own name; 0 is no limit. Without it the session decides (actors/session).
SHELL_WAIT_VARIABLE = "CLAUDE_CODE_PRINT_BG_WAIT_CEILING_MS"
MOST_SETTINGS = 1 << 20  # bytes of a settings file
UNATTENDED = "bypassPermissions"  # the permission mode that never asks


def program_of(settings: AgentSettings) -> Path:
    """As `locate`, with the signature that all agents share."""
    return locate(settings.environment)


def locate(environment: Mapping[str, str]) -> Path:
    """The user's own `claude` on the PATH of `environment`; without one, the SDK's bundled program.

    Raises `AgentUnavailableError` when the SDK is missing: both programs need it.
    """
    sdk = importlib.util.find_spec("claude_agent_sdk")
    if sdk is None or sdk.origin is None:
        raise AgentUnavailableError("claude cannot be driven without its SDK: pip install 'pairloop[claude]'")
    own = shutil.which("claude", path=environment.get("PATH", ""))
    if own is not None:
        return Path(own)
    bundled = Path(sdk.origin).with_name("_bundled") / "claude"
    if not bundled.is_file():
        raise AgentUnavailableError(
            f"no claude on PATH, and the SDK has none for this platform ({bundled}): "
            "install Claude Code from https://claude.com/claude-code"
        )
    return bundled


def startable(settings: AgentSettings) -> Path:
    """The program to start, after all checks that need no start.

    Raises `AgentUnavailableError` with the next step.
    """
    program = locate(settings.environment)
    refuse_root(settings.environment, user_id=os.getuid())
    if not settings.cwd.is_dir():
        raise AgentUnavailableError(f"claude cannot work in {settings.cwd}: there is no such folder")
    return program


def refuse_root(environment: Mapping[str, str], *, user_id: int) -> None:
    """Raises `AgentUnavailableError` where `claude` itself would refuse to run unattended.

    The rule is its own (2.1.330). Only the user may declare a sandbox, never we.
    """
    if user_id == 0 and environment.get("IS_SANDBOX") != "1":
        raise AgentUnavailableError(
            "claude refuses to run unattended as root: run loop as another user, "
            "or, only inside a container, set IS_SANDBOX=1"
        )


def preflight(settings: AgentSettings) -> None:
    """Asks, without a model call, whether the agent can be started: installed, not refused as root, logged in.

    Raises `AgentUnavailableError` with the next step. `claude auth status` knows every login (API key, token, stored
    login or keychain, Bedrock, Vertex, apiKeyHelper, settings), so this function checks none.
    """
    program = startable(settings)
    try:
        answer = subprocess.run(
            [program, "auth", "status"],
            env=settings.environment,
            cwd=settings.cwd,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=LOGIN_CHECK_S,
        )
    except OSError as error:
        raise AgentUnavailableError(f"{program} cannot be run: {error}: reinstall Claude Code") from error
    except subprocess.TimeoutExpired as error:
        raise AgentUnavailableError(
            f"`{program} auth status` did not answer in {LOGIN_CHECK_S:.0f} s: try it by hand"
        ) from error
    try:
        logged_in = bool(read_json(answer.stdout)["loggedIn"])
    except (ValueError, KeyError, TypeError) as error:
        raise AgentUnavailableError(f"{program} does not know `auth status`: update it: claude update") from error
    if not logged_in:
        command = "claude" if shutil.which("claude", path=settings.environment.get("PATH", "")) else program
        raise AgentUnavailableError(f"claude is not logged in: run `{command} auth login`, or set ANTHROPIC_API_KEY")


# Tools that the run's sessions do not need. An unknown name is harmless.
LEFT_OUT_TOOLS = (
    *("AskUserQuestion", "EnterPlanMode", "ExitPlanMode"),  # wait for the user
    *("EnterWorktree", "ExitWorktree"),  # move the session: checks and reviewers read the run's directory
    *("ScheduleWakeup", "CronCreate", "CronDelete", "CronList", "Monitor"),  # the turn ends, and continues by itself
    "RemoteTrigger",  # works on another machine
)

# One stream of JSON lines in, one out.
_HEADLESS = (
    *("--output-format", "stream-json", "--verbose", "--input-format", "stream-json"),
    "--replay-user-messages",
    "--include-partial-messages",  # signs of life while the model writes a long answer
    *("--settings", '{"disableAllHooks":true}'),
)


def arguments(
    program: Path,
    *,
    model: str,
    bridge: BridgeAccess | None,
    new_session: str = "",
    resume: str = "",
    effort: str = "",
    tui: tuple[str, ...] = (),
    max_usd: float | None = None,
    schema: Schema | None = None,
) -> list[str]:
    """The unattended command line; exactly one of the two session ids is given. `tui` replaces the headless arguments.

    Loads the user's settings and CLAUDE.md files: they define the login (apiKeyHelper, Bedrock), the default model, and
    the project's instructions. Excludes their hooks and MCP servers, which are for interactive use.
    (`--setting-sources=` would exclude everything.)
    """
    line = [
        str(program),
        *(tui or _HEADLESS),
        *("--permission-mode", UNATTENDED),
        "--strict-mcp-config",
        f"--disallowed-tools={','.join(LEFT_OUT_TOOLS)}",  # one argument: it takes any number of them
    ]
    if bridge is not None:
        # The token is not on the command line, which every user of the machine can read.
        server = {
            "type": "http",
            "url": bridge.url,
            "headers": {"Authorization": f"Bearer ${{{TOKEN_VARIABLE}}}"},
            "alwaysLoad": True,  # else the tools hide behind tool search
        }
        line += ["--mcp-config", json.dumps({"mcpServers": {"loop-bridge": server}})]
    if model:
        line += ["--model", model]
    if max_usd is not None:
        line.append(f"--max-budget-usd={max_usd:.6f}")
    if schema is not None:  # what the SDK makes of its output_format
        line += ["--json-schema", json.dumps(schema)]
    if effort:
        line += ["--effort", effort]
    # One argument each: --resume has an optional value, so a separate one might be misread.
    line.append(f"--resume={resume}" if resume else f"--session-id={new_session}")
    return line


def refuse_mode(info: Mapping[str, Any] | None) -> None:
    """Raises `AgentUnavailableError` when the program that says this of itself may not work unattended."""
    mode = (info or {}).get("current_permission_mode", UNATTENDED)
    if mode != UNATTENDED:
        raise AgentUnavailableError(
            f"claude may not work unattended here, its permission mode is {mode!r}: "
            "remove permissions.disableBypassPermissionsMode from its settings"
        )


def is_session_id(text: str) -> bool:
    """Whether the program takes it for the id of a session. It would search for any other text as a title."""
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


def child_environment(settings: AgentSettings, mark: str) -> dict[str, str]:
    """The whole environment of the program: what `settings` has, and the variables for our connection."""
    environment = {name: value for name, value in settings.environment.items() if name != "CLAUDECODE"}
    environment |= {
        "CLAUDE_CODE_ENTRYPOINT": "sdk-py",  # as the SDK sets it
        "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1",  # running, idle: the only exact sign of a turn's end
        "PWD": str(settings.cwd),
        MARK_VARIABLE: mark,
    }
    if settings.bridge is not None:
        environment[TOKEN_VARIABLE] = settings.bridge.token
    return environment


def config_folder(environment: Mapping[str, str]) -> Path:
    """The folder of transcripts of a `claude` that runs with `environment`."""
    chosen = environment.get("CLAUDE_CONFIG_DIR")
    if chosen:
        return Path(chosen)
    return Path(environment.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir) / ".claude"


def bring_session(settings: AgentSettings, session_id: str) -> None:
    """Makes the session's transcript of another account available in this one. Raises `AgentUnavailableError`."""
    own, *others = (config_folder(each) for each in (settings.environment, *settings.elsewhere))
    try:
        accounts.bring_session(f"projects/*/{glob.escape(session_id)}.jsonl", own, others)
    except OSError as error:
        raise AgentUnavailableError(f"claude's session cannot be brought to {own}: {error}") from error


# Tools to which another tool's rules apply.
_RULES_OF = {"Write": ("Write", "Edit"), "NotebookEdit": ("NotebookEdit", "Edit"), "Grep": ("Grep", "Read")}


def asking_rules(tool: str, settings: AgentSettings) -> list[str]:
    """The user's and repository's permission rules that ask before this tool is used, as text for the user."""
    found: list[str] = []
    for path in _settings_files(settings):
        with suppress(OSError, BadFileError, *UNKNOWN_SHAPE):
            rules = files.read_json(path, MOST_SETTINGS)["permissions"]["ask"]
            found += [rule for rule in rules if isinstance(rule, str) and rule not in found]
    return [rule for rule in found if rule.partition("(")[0] in _RULES_OF.get(tool, (tool,))]


def own_status_line(settings: AgentSettings) -> Mapping[str, Any] | None:
    """The status line of the user's and repository's settings, as the program chooses it; None: there is none."""
    found: Mapping[str, Any] | None = None
    for path in _settings_files(settings):
        with suppress(OSError, BadFileError, *UNKNOWN_SHAPE):
            line = files.read_json(path, MOST_SETTINGS)["statusLine"]
            if line["type"] == "command" and isinstance(line["command"], str) and line["command"].strip():
                found = line
    return found


def _settings_files(settings: AgentSettings) -> tuple[Path, ...]:
    """The last one counts where they differ."""
    own = settings.cwd / ".claude"
    users = config_folder(settings.environment) / "settings.json"
    return users, own / "settings.json", own / "settings.local.json"


def shell_wait_s(environment: Mapping[str, str]) -> float | None:
    """How long a turn waits for background commands; None: without a limit."""
    said = environment.get(SHELL_WAIT_VARIABLE, "")
    wait_ms = int(said) if said.isdecimal() else 0
    return wait_ms / 1000 if wait_ms else None
