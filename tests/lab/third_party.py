"""Third-party agents of the Agent Client Protocol, copilot and gemini, in a throw-away home with the scripted model.

scripts/third-party installs them into a cache outside the repository. This module writes two files below the given
folder, never the user's own, and starts nothing. Any process.

Gemini CLI names the file of a session by the minute. When it loads a session in the minute of the session's start, it
empties the file first, and the session is gone. So each of its starts takes place some minutes after the previous one,
by its own clock. A test thus kills an agent that has worked for a while.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from actors.settings import Role

NAMES = ("copilot", "gemini")
FOREIGN = ("COPILOT_", "GEMINI_", "GOOGLE_")  # variables of the caller's shell for these programs

# No retries: the loop must see a scripted fault. Gemini CLI would try ten times, for minutes.
_GEMINI_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "general": {
        "maxAttempts": 1,
        "retryFetchErrors": False,
        "enableAutoUpdate": False,
        "enableAutoUpdateNotification": False,
        # A loaded session leaves an empty file behind; the next start removes it, and the session with it.
        "sessionRetention": {"enabled": False},
    },
    "privacy": {"usageStatisticsEnabled": False},
    "telemetry": {"enabled": False},
}


_CLOCK = ".later-clock.cjs"
_CLOCK_SCRIPT = """\
const fs = require("fs"), starts = `${__filename}.starts`;
fs.appendFileSync(starts, ".");
const ahead = fs.statSync(starts).size * 60000, now = Date.now;
Date.now = () => now() + ahead;
globalThis.Date = new Proxy(Date, {
  construct: (made, words) => (words.length ? new made(...words) : new made(now() + ahead)),
  apply: (made) => new made(now() + ahead).toString(),
});
"""


def cache_folder(base: Mapping[str, str]) -> Path:
    """The folder into which scripts/third-party installs them, for a caller with this environment."""
    return Path(base.get("XDG_CACHE_HOME") or Path(base.get("HOME", "/")) / ".cache") / "pairloop" / "agents"


def is_installed(cache: Path) -> bool:
    """Whether both are installed there."""
    return (cache / ".installed").is_file()


def client_in(base: Mapping[str, str]) -> Path:
    """The program of the client of `loop acp` that scripts/third-party installs; it may not be there."""
    return cache_folder(base).parent / "clients" / "node_modules" / ".bin" / "acpx"


def prepare_home(home: Path) -> None:
    """Writes the files with which they run in `home`. May be repeated."""
    folder = home / ".gemini"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settings.json").write_text(json.dumps(_GEMINI_SETTINGS), encoding="utf-8")
    (home / _CLOCK).write_text(_CLOCK_SCRIPT, encoding="utf-8")


def environment(
    home: Path, cache: Path, url: str, roles: Mapping[str, Role | None], base: Mapping[str, str]
) -> dict[str, str]:
    """`base`, plus both programs on PATH and the server at `url`, each in its role; None, or no entry: both roles."""
    kept = {name: value for name, value in base.items() if not name.startswith(FOREIGN)}
    programs = cache / "node_modules" / ".bin"  # with its own node, where the machine's is too old
    addresses = {name: f"{url}/{role}" if (role := roles.get(name)) else url for name in NAMES}
    return kept | {
        "PATH": f"{programs}{os.pathsep}{base.get('PATH', os.defpath)}",
        "COPILOT_PROVIDER_BASE_URL": f"{addresses['copilot']}/v1",
        "COPILOT_PROVIDER_API_KEY": "scripted-model-needs-none",
        "COPILOT_MODEL": "scripted",
        "COPILOT_OFFLINE": "true",
        "COPILOT_PKG_CACHE_HOME": str(cache / "copilot"),  # else it unpacks 235 MB into each new home
        "GOOGLE_GEMINI_BASE_URL": addresses["gemini"],
        "GEMINI_API_KEY": "scripted-model-needs-none",
        "GEMINI_MODEL": "gemini-2.5-flash",
        "NODE_OPTIONS": f"--require={home / _CLOCK}",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",  # else it uses no MCP server, so not the bridge
    }
