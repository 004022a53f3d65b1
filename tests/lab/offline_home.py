"""A throw-away HOME in which the real `claude` and `codex` talk only to the scripted model server.

Writes two files below the given folder, never the user's own; starts nothing. Any process.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from actors.settings import Role
from tests.lab import reaper

# A subscription's token, not an API key: only then does Claude Code say when a usage limit ends. The server checks
# neither; no other host is contacted (seen with a logging proxy).
TOKEN = "sk-ant-oat01-scripted-model-needs-none"
FOREIGN = ("ANTHROPIC_", "OPENAI_", "CODEX_", "CLAUDE")  # variables of the caller's shell for these programs


def prepare_home(home: Path, url: str, codex_role: Role | None = "worker", *, codex_model: str = "scripted") -> None:
    """Writes the files with which both programs run in `home` against the server at `url`. May be repeated.

    Codex finds its role in its configuration here, Claude in the environment (`agent_environment`). None: it plays both
    roles. `codex_model` "" leaves Codex its own default model, as for a user without a configuration.
    """
    home.mkdir(parents=True, exist_ok=True)
    # First-run screens, and the question whether to trust this folder, stop the TUI; the SDK has none.
    claude = {"hasCompletedOnboarding": True, "projects": {"/": {"hasTrustDialogAccepted": True}}}
    (home / ".claude.json").write_text(json.dumps(claude), encoding="utf-8")
    codex = home / ".codex"
    codex.mkdir(exist_ok=True)
    (codex / "config.toml").write_text(
        _codex_config(f"{_with_role(url, codex_role)}/v1", codex_model), encoding="utf-8"
    )


def _codex_config(base_url: str, model: str) -> str:
    # No retries: the loop must see a scripted fault, which the program would hide (Claude Code retries ten times, Codex
    # four times per request and five times per stream).
    chosen = f"model = {json.dumps(model)}\n" if model else ""
    return f"""\
{chosen}model_provider = "scripted"
check_for_update_on_startup = false
allow_login_shell = false  # commands find programs on the PATH that the caller gave; /etc/profile may replace it

[analytics]
enabled = false

[features]
plugins = false  # fetches lists of plugins from github.com and chatgpt.com at start

[model_providers.scripted]
name = "Scripted model"
base_url = {json.dumps(base_url)}
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0
"""


def agent_environment(home: Path, url: str, role: Role | None, base: Mapping[str, str]) -> dict[str, str]:
    """The environment for a loop, or one agent, that runs in `home`: `base` without any login.

    `role` is the one that Claude plays; None: both.
    """
    kept = {name: value for name, value in base.items() if not name.startswith(FOREIGN)}
    own = ",".join(dict.fromkeys(("127.0.0.1", urlsplit(url).hostname or "")))
    return (
        kept
        | reaper.inherited()
        | {
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": _with_role(url, role),
            "NO_PROXY": own,  # without it, requests would go to the user's proxy
            "no_proxy": own,
            "CLAUDE_CODE_OAUTH_TOKEN": TOKEN,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "0",  # as for Codex: see `_codex_config`
            "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",  # its fallback after a broken stream is a retry as well
        }
    )


def _with_role(url: str, role: Role | None) -> str:
    return url if role is None else f"{url}/{role}"
