"""`loop update`: looks how this loop was installed, and brings it up to date by the plan of update_plan.py.

Imports nothing but the standard library and ours: it is the way out when an installation is broken. All that it needs
is imported before the files below it are replaced.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from re import fullmatch
from typing import Any, Literal

from actors.edges import environments, run_dir
from actors.errors import CircumstanceError
from shell import output
from shell.newer import code_directory, is_checkout
from shell.update_plan import NAME, Advice, Installation, Run, Source, outcome, plan

# Asked of a new process: what this one has imported is of the old version.
_VERSION = f"from importlib.metadata import version; print(version({NAME!r}))"


def update() -> int:
    """`loop update`. Returns an exit status; raises `CircumstanceError` when it was not, or must not be, updated."""
    found = installation()
    todo = plan(found)
    match todo:
        case Advice(refused=True):
            raise CircumstanceError(todo.text)
        case Advice():
            output.say_lines(f"[loop] {line}" for line in todo.text.splitlines())
            return os.EX_OK
        case Run():
            return _run(todo, found)


def _run(todo: Run, found: Installation) -> int:
    for live in _live_runs(environments.home()):
        output.say(f"[loop] {live} goes on with loop {found.version} until it is resumed")
    for command in todo.commands:
        shown = shlex.join(command)
        output.say(f"[loop] $ {shown}")
        try:
            status = subprocess.run(command, env=environments.handed_on()).returncode
        except OSError as error:
            raise CircumstanceError(f"{shown}: {(error.strerror or str(error)).lower()}") from error
        if status != 0:
            raise CircumstanceError(f"{shown} ended with status {status}: see above")
    output.say(f"[loop] {outcome(found.version, _version_now(found.python))}")
    return os.EX_OK


def _version_now(python: str) -> str:
    done = subprocess.run(
        [python, "-P", "-c", _VERSION], env=environments.handed_on(), capture_output=True, text=True, errors="replace"
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _live_runs(home: Path) -> list[str]:
    """Those of all repositories, and loop serve."""
    held = [each for each in run_dir.directories(run_dir.runs_root(home), levels=2) if run_dir.is_active(each)]
    serve = home / ".loop" / "serve"
    return [f"run {each.parent.name}/{each.name}" for each in held] + (
        ["loop serve"] if run_dir.is_active(serve) else []
    )


# --- how it was installed -----------------------------------------------------------------------------------------


def installation() -> Installation:
    """How the loop that runs was installed. Asks nobody but the file system."""
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
    """Who made the environment, by the file that he keeps in it or beside it."""
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
    """None: an index. Editable installations run from their source tree, and are known by that."""
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
    """Those all of whose distributions are there. An extra that only stands for others is not named."""
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
