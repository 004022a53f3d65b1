"""How to update this loop, by how it was installed; and when to report a newer version. Pure.

Where loop must not change anything, the plan is a text that says what to do: a source checkout, a system Python,
another user's directory.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

NAME = "pairloop"  # of the distribution
HOUR_MS = 3_600_000
QUIET_MS = 6 * HOUR_MS  # between two look-ups, and between two hints
LOOKUP_TIMEOUT_S = 5  # of one connection; the look-up delays no one

OWN_PLACE = "install loop into an environment of its own"


@dataclass(frozen=True, kw_only=True)
class Source:
    """The source of an installation without an index: the distribution's direct_url.json (PEP 610)."""

    kind: Literal["directory", "archive", "vcs"]
    url: str  # with "git+" before it when it is a repository
    revision: str = ""  # that was asked for
    commit: str = ""

    @property
    def directory(self) -> str:
        """The path of a file URL."""
        return unquote(urlsplit(self.url).path)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """The installation of the running loop. Paths are absolute; "" = none."""

    python: str  # the interpreter
    code: str  # the directory whose packages run
    version: str  # "": no distribution of ours is installed
    checkout: bool = False  # `code` is a source tree
    git: bool = False  # and one that git has
    source: Source | None = None
    installer: str = "pip"  # the distribution's INSTALLER (PEP 376)
    extras: tuple[str, ...] = ()
    place: Literal["venv", "user", "system"] = "venv"
    manager: Literal["", "pipx", "uv tool", "uv project"] = ""  # of the environment
    environment: str = ""  # as that manager calls it
    injected: bool = False  # pipx: into the environment of another program
    managed: bool = False  # EXTERNALLY-MANAGED (PEP 668)
    writable: bool = True
    has_pip: bool = True
    uv: str = ""
    pipx: str = ""

    @property
    def wanted(self) -> str:
        """The requirement for pip. pip records no extras, but the versions of their distributions are pinned."""
        return f"{NAME}[{','.join(self.extras)}]" if self.extras else NAME


@dataclass(frozen=True)
class Run:
    """These commands, one after the other, while they succeed."""

    commands: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Advice:
    """A text; nothing is run. `refused`: the update was asked for, and is not possible from here."""

    text: str
    refused: bool = True


def plan(found: Installation) -> Run | Advice:
    """What `loop update` does."""
    if found.checkout:
        return Advice(_checkout(found), refused=False)
    if not found.version:
        return Advice(f"loop runs from {found.code}, and {found.python} knows no installation of it: {OWN_PLACE}")
    if found.manager == "pipx":
        words = ("--include-injected", found.environment) if found.injected else (found.environment,)
        return _with_program(found.pipx, "pipx", "upgrade", *words)
    if found.manager == "uv tool":
        return _with_program(found.uv, "uv", "tool", "upgrade", found.environment)
    if found.installer not in ("pip", "uv", ""):
        return Advice(f"loop was installed by {found.installer}: update it with that")
    if found.managed and found.place != "venv":
        return Advice(
            f"{found.python} belongs to the system's package manager (PEP 668), so pip must not change it: "
            f"{OWN_PLACE}: pipx install {shlex.quote(found.wanted)}, or python3 -m venv ~/.venvs/loop && "
            f"~/.venvs/loop/bin/pip install {shlex.quote(found.wanted)}"
        )
    if found.manager == "uv project":
        command = ("uv", "sync", "--project", found.environment, "--upgrade-package", NAME)
        return Advice(f"loop is a dependency of the project {found.environment}: {shlex.join(command)}")
    if found.source is not None:
        return _from_source(found, found.source)
    return _allowed(found, Run((_install(found, "--upgrade", found.wanted),)))


def _checkout(found: Installation) -> str:
    if not found.git:
        return f"this is a source tree without git: replace {found.code} with the newer one"
    text = f"this is a source checkout; to update it: {shlex.join(('git', '-C', found.code, 'pull'))}"
    if found.source is not None and found.source.directory == found.code:
        again = _install(found, "--editable", _with_extras(found.code, found))
        text += f"\nand then, as its dependencies may have changed: {shlex.join(again)}"
    return text


def _from_source(found: Installation, source: Source) -> Run | Advice:
    if source.kind == "directory":
        pull = shlex.join(("git", "-C", source.directory, "pull"))
        again = shlex.join(_install(found, "--upgrade", _with_extras(source.directory, found)))
        return Advice(
            f"loop was installed from {source.directory}; to update it: {pull}\nand then: {again}", refused=False
        )
    if source.kind == "archive":
        again = shlex.join(_install(found, "--upgrade", "…"))
        return Advice(f"loop was installed from {source.url}; with the address of a newer one: {again}", refused=False)
    wanted = f"{found.wanted} @ {source.url}" + (f"@{source.revision}" if source.revision else "")
    if source.revision and source.revision == source.commit:
        again = shlex.join(_install(found, "--upgrade", f"{found.wanted} @ {source.url}@…"))
        return Advice(f"loop was installed from commit {source.commit}, and stays there; for another: {again}")
    # pip considers a newer commit with the same version as installed: hence the second command.
    commands = (
        _install(found, "--upgrade", wanted),
        _install(found, "--force-reinstall" if found.has_pip else "--reinstall", "--no-deps", wanted),
    )
    return _allowed(found, Run(commands))


def _allowed(found: Installation, run: Run) -> Run | Advice:
    command = shlex.join(run.commands[0])
    if not found.writable:
        # pip would install a second loop below the home directory, and the PATH would decide which one runs.
        return Advice(f"{found.code} is not yours to change; as the user who installed loop: {command}")
    if not found.has_pip and not found.uv:
        return Advice(f"{found.python} has no pip, and there is no uv on PATH: install one of them, then: {command}")
    return run


def _install(found: Installation, *words: str) -> tuple[str, ...]:
    if found.has_pip or not found.uv:
        user = ("--user",) if found.place == "user" else ()
        # -P: the current directory may have a pip.py.
        return (found.python, "-P", "-m", "pip", "install", *user, *words)
    return (found.uv, "pip", "install", "--python", found.python, *words)


def _with_extras(path: str, found: Installation) -> str:
    return f"{path}{found.wanted.removeprefix(NAME)}"


def _with_program(program: str, name: str, *words: str) -> Run | Advice:
    if not program:
        return Advice(f"loop was installed with {name}, which is not on PATH: {shlex.join((name, *words))}")
    return Run(((program, *words),))


def outcome(before: str, after: str) -> str:
    """The message for the user, when all commands have succeeded."""
    if not after:
        return f"loop {before} is no longer installed: see above"
    return f"loop {before} is up to date: nothing newer was found" if before == after else f"loop {before} -> {after}"


# --- the newest version -----------------------------------------------------------------------------------------


def lookup(found: Installation) -> tuple[str, ...] | None:
    """The command that asks the user's index for the newest version. None when no index has this loop, or no tool can
    ask. Changes nothing.
    """
    if found.checkout or not found.version or found.source is not None or found.installer not in ("pip", "uv", ""):
        return None
    question = ("index", "versions", NAME, f"--timeout={LOOKUP_TIMEOUT_S}", "--retries=0")
    if found.has_pip:
        return (found.python, "-P", "-m", "pip", "--disable-pip-version-check", "--no-input", *question)
    if found.uv:
        upgrade = ("--upgrade-package", NAME, NAME)
        return (found.uv, "pip", "install", "--dry-run", "--no-deps", "--python", found.python, *upgrade)
    if found.pipx and found.manager == "pipx":
        return (found.pipx, "runpip", found.environment, *question)
    return None


def newest(output: str) -> str:
    """The version in the answer; "" when there is none. pip: "pairloop (1.2)"; uv: "+ pairloop==1.2"."""
    hit = re.search(rf"^\s*(?:{NAME} \((?P<pip>[^)\s]+)\)|\+ {NAME}==(?P<uv>\S+))\s*$", output, re.MULTILINE)
    return (hit["pip"] or hit["uv"]) if hit else ""


class Known(NamedTuple):
    """The result of the last look-up: `newest` is newer than `than`; "" = no newer version. Times are Unix ms."""

    looked_at_ms: int = 0
    newest: str = ""
    than: str = ""
    said_at_ms: int = 0


def is_due(at_ms: int, now_ms: int) -> bool:
    """Whether something that was last done at `at_ms` is due again. So it is when the clock has gone backwards."""
    return not 0 <= now_ms - at_ms < QUIET_MS


def hint(known: Known, installed: str, now_ms: int) -> str:
    """The hint at the start of a run; "" = none."""
    if not known.newest or known.than != installed or not is_due(known.said_at_ms, now_ms):
        return ""
    return f"loop {known.newest} is available, this is {installed}: run loop update"


_CI = ("CI", "CONTINUOUS_INTEGRATION", "GITHUB_ACTIONS", "TF_BUILD", "JENKINS_URL", "TEAMCITY_VERSION")
_OFF = ("0", "false", "no", "off")
SWITCH = "LOOP_UPDATE_HINT"


def may_hint(environment: dict[str, str]) -> bool:
    """Whether the environment allows hints: not in CI, and not switched off."""
    if any(environment.get(name, "").lower() not in ("", *_OFF) for name in _CI):
        return False
    return environment.get(SWITCH, "").strip().lower() not in _OFF
