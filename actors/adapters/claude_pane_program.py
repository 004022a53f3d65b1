"""How to start Claude Code's own TUI in a pane: arguments, environment, and the hooks that report its activity.

A status line of ours reports what the session costs. It prints what the user's own prints, and nothing without one.

Writes the hooks' plugin into the given folder; starts nothing, never reads os.environ, never changes the user's
settings. Any thread.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.adapters import claude_pane_hook
from actors.adapters.base import AgentSettings
from actors.adapters.claude_program import arguments, child_environment, own_status_line

# The minimal set: the TUI waits for a process per hook. Everything else is in the transcript.
HOOKS = ("SessionStart", "UserPromptSubmit", "PermissionRequest", "Stop", "StopFailure")
HOOK_TIMEOUT_S = 10  # the program's own limit for a hook; a loaded machine's start of an interpreter

_SETTINGS = {
    "skipDangerousModePermissionPrompt": True,  # else a dialog, whose answer lands in the user's settings
    "autoContinueAtUsageLimit": False,  # the run decides when to continue, and would do so as well
    "editorMode": "normal",  # typed text must not act as vim commands
    "promptSuggestionEnabled": False,  # any text in the input box was typed
}
# Excludes the user's own hooks, as without a TUI; `disableAllHooks` would disable ours as well.
_RESTRICTIONS = {"strictPluginOnlyCustomization": ["hooks"]}
_OF_THE_SDK = ("CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS")


def write_hooks(plugin: Path, socket: Path) -> None:
    """Rewrites the plugin at `plugin`; its hooks report to the listener on `socket`."""
    shutil.rmtree(plugin, ignore_errors=True)
    hook = {"hooks": [{"type": "command", "command": _hook(socket), "timeout": HOOK_TIMEOUT_S}]}
    manifest = {"name": "loop", "version": "1.0.0", "description": "Tells loop what happens in this pane."}
    for path, content in (
        (plugin / ".claude-plugin" / "plugin.json", manifest),
        (plugin / "hooks" / "hooks.json", {"hooks": {name: [hook] for name in HOOKS}}),
    ):
        path.parent.mkdir(parents=True, mode=0o700)
        path.write_text(json.dumps(content), encoding="utf-8")


def _hook(socket: Path, *more: str) -> str:
    return shlex.join([sys.executable, "-I", "-S", claude_pane_hook.__file__, str(socket), *more])


def status_line(socket: Path, own: Mapping[str, Any] | None) -> dict[str, Any]:
    """The setting of a status line that reports to the listener on `socket`. `own`: the user's, which stays visible."""
    if own is None:
        return {"type": "command", "command": _hook(socket)}
    return {**own, "command": f"{_hook(socket, 'pass')} | {{ {own['command']}\n}}"}


def tui_arguments(
    program: Path,
    settings: AgentSettings,
    *,
    model: str,
    plugin: Path,
    socket: Path,
    new_session: str = "",
    resume: str = "",
    restricted: bool = True,
) -> list[str]:
    """The command line; exactly one of the two session ids is given. See `claude_program.arguments`.

    `restricted`: without the user's own hooks.
    """
    restrictions = ("--managed-settings", json.dumps(_RESTRICTIONS)) if restricted else ()
    more = {"statusLine": status_line(socket, own_status_line(settings))}
    line = arguments(
        program,
        model=model,
        bridge=settings.bridge,
        new_session=new_session,
        resume=resume,
        effort=settings.effort,
        tui=("--settings", json.dumps(_SETTINGS | more), *restrictions),
    )
    return [*line, "--plugin-dir", str(plugin)]


def tui_environment(settings: AgentSettings, mark: str) -> dict[str, str]:
    """The whole environment, except for what belongs to the terminal."""
    whole = child_environment(settings, mark)
    return {name: value for name, value in whole.items() if name not in _OF_THE_SDK}
