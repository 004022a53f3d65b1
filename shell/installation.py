"""How this loop was installed, as far as the file system tells. Asks no program and no network.

Imports only the standard library and our own modules: `loop update` needs it when an installation is broken.
"""

from __future__ import annotations

import json
import os
import shutil
import site
import sys
import sysconfig
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from re import fullmatch
from typing import Any, Literal

from shell.update_plan import NAME, Installation, Source


def code_directory() -> Path:
    """The directory of the running packages."""
    return Path(__file__).resolve().parent.parent


def is_checkout(code: Path) -> bool:
    """Whether `code` is a source tree; an installed package has no pyproject.toml beside it."""
    return (code / "pyproject.toml").is_file()


def installation() -> Installation:
    """How this loop was installed, as far as the file system tells."""
    code = code_directory()
    ours = _distribution()
    prefix = Path(sys.prefix)
    manager, environment, injected = _manager(prefix)
    return Installation(
        python=sys.executable,
        code=str(code),
        version="" if ours is None else ours.version,
        checkout=is_checkout(code),
        git=(code / ".git").exists(),
        source=None if ours is None else _source(ours),
        installer=("" if ours is None else ours.read_text("INSTALLER") or "").strip(),
        extras=() if ours is None else _extras(ours),
        place=_place(code),
        manager=manager,
        environment=environment,
        injected=injected,
        managed=(Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").is_file(),
        writable=os.access(code, os.W_OK),
        has_pip=find_spec("pip") is not None,
        uv=shutil.which("uv") or "",
        pipx=shutil.which("pipx") or "",
    )


def _distribution() -> Distribution | None:
    try:
        return distribution(NAME)
    except PackageNotFoundError:
        return None


def _place(code: Path) -> Literal["venv", "user", "system"]:
    if sys.prefix != sys.base_prefix:
        return "venv"
    return "user" if code.is_relative_to(Path(site.getusersitepackages()).resolve()) else "system"


def _manager(prefix: Path) -> tuple[Literal["", "pipx", "uv tool", "uv project"], str, bool]:
    """Which tool manages the environment, from its marker file in it or beside it."""
    if (prefix / "pipx_metadata.json").is_file():
        main = _json(prefix / "pipx_metadata.json").get("main_package")
        package = str(main.get("package", "")) if isinstance(main, dict) else ""
        return "pipx", prefix.name, bool(package) and package != NAME
    if (prefix / "uv-receipt.toml").is_file():
        return "uv tool", prefix.name, False
    if sys.prefix != sys.base_prefix and (prefix.parent / "uv.lock").is_file():
        return "uv project", str(prefix.parent), False
    return "", "", False


def _source(ours: Distribution) -> Source | None:
    """The source of the installation; None: an index. Editable installations are recognised by their source tree."""
    try:
        known = json.loads(ours.read_text("direct_url.json") or "null")
    except ValueError:
        return None
    if not isinstance(known, dict) or "url" not in known:
        return None
    url = str(known["url"])
    vcs = known.get("vcs_info")
    if isinstance(vcs, dict):
        return Source(
            kind="vcs",
            url=f"{vcs.get('vcs', 'git')}+{url}",
            revision=str(vcs.get("requested_revision", "")),
            commit=str(vcs.get("commit_id", "")),
        )
    return Source(kind="directory" if "dir_info" in known else "archive", url=url)


def _extras(ours: Distribution) -> tuple[str, ...]:
    """The extras whose distributions are all installed, without those that only bundle others."""
    wanted: dict[str, list[str]] = {}
    for requirement in ours.requires or ():
        hit = fullmatch(r"([A-Za-z0-9._-]+).*;.*extra == ['\"]([^'\"]+)['\"].*", requirement)
        if hit is not None and hit[1].lower() != NAME:
            wanted.setdefault(hit[2], []).append(hit[1])
    return tuple(sorted(extra for extra, names in wanted.items() if all(map(_is_installed, names))))


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
