"""The checks of `loop doctor`: each function asks the machine and judges one thing. They change nothing.

Each runs in a thread of its own, may block for as long as its programs' time-outs, and prints nothing. No check reads a
secret: it asks the agent or `gh` itself whether it is logged in, and does not show the answer.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from actors.edges.programs import Answer, ask
from actors.errors import LoopError, UserError
from shell.findings import Finding
from shell.update_plan import NAME

if TYPE_CHECKING:  # the adapters' base brings msgspec along
    from actors.adapters import AdapterEntry
    from actors.adapters.base import AgentSettings

PROGRAM_TIMEOUT_S = 10.0
MOST_DIFFERENCES = 400  # characters of what differs in an agent's version
OLDEST_GIT = (2, 31)  # `rev-parse --path-format`
# What agents are driven by, with the extra that brings it.
SDKS = {"claude-agent-sdk": "claude", "openai-codex": "codex", "agent-client-protocol": "acp"}
HOW_TO_GET = {
    "git": "Debian: apt-get install git; macOS: xcode-select --install",
    "tmux": "Debian: apt-get install tmux; macOS: brew install tmux",
    "gh": "Debian: apt-get install gh; macOS: brew install gh",
}


@dataclass(frozen=True)
class Place:
    """The directory, home and environment of a run that would start here. `agents`: the configuration's tables, by
    name.
    """

    home: Path
    cwd: Path
    environment: dict[str, str]
    agents: Mapping[str, object] = field(default_factory=dict)

    def ask(self, *command: str) -> Answer:
        """Runs a program, without colours or questions."""
        quiet = {"NO_COLOR": "1", "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "GIT_TERMINAL_PROMPT": "0"}
        return ask(command, environment=self.environment | quiet, cwd=self.cwd, timeout_s=PROGRAM_TIMEOUT_S)

    def find(self, program: str) -> str | None:
        """The program's path on the PATH."""
        return shutil.which(program, path=self.environment.get("PATH", ""))


Check = Callable[[Place], Iterator[Finding]]


# --- loop itself ----------------------------------------------------------------------------------------------------


def own_packages(_place: Place) -> Iterator[Finding]:
    """Checks that the package `supervisor` is ours; all other checks depend on that."""
    import supervisor

    if getattr(supervisor, "OWNER", None) == NAME:
        return
    yield Finding(
        "loop", "supervisor", "problem",
        f"the imported package 'supervisor' belongs to another project ({supervisor.__file__})",
        "install loop into an environment of its own (venv, pipx or uv tool)",
        blocks=True,
    )  # fmt: skip


def python(place: Place) -> Iterator[Finding]:
    """Reports the version of loop, the interpreter and the user."""
    from shell.installation import installation

    found = installation()
    number = ".".join(map(str, sys.version_info[:3]))
    facts = {"version": found.version, "code": found.code, "python": found.python}
    yield Finding("loop", "loop", "ok", f"{found.version or 'not installed'}, {found.code}", facts=facts)
    yield Finding("loop", "Python", "ok", f"{number}, {found.python}", facts={"version": number})
    if os.getuid() == 0:
        if place.environment.get("IS_SANDBOX") == "1":
            yield Finding("loop", "user", "ok", "root; IS_SANDBOX=1 says that this is a container")
        else:
            hint = "run loop as another user, or, only inside a container, set IS_SANDBOX=1"
            yield Finding("loop", "user", "note", "root: Claude Code refuses to work unattended", hint)


def packages(_place: Place) -> Iterator[Finding]:
    """Checks that loop's dependencies and the agents' SDKs are there, in tested versions."""
    from importlib.metadata import PackageNotFoundError, requires, version

    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires(NAME) or ()]
    except PackageNotFoundError:
        yield Finding("loop", "packages", "note", "loop is not installed: their versions cannot be compared")
        return
    count = 0
    for each in wanted:
        if each.name == NAME or (
            each.marker is not None and not each.marker.evaluate({"extra": SDKS.get(each.name, "")})
        ):
            continue
        extra = SDKS.get(each.name)
        try:
            there = version(each.name)
        except PackageNotFoundError:
            if extra is None:
                yield Finding("loop", each.name, "problem", "is not installed", "loop update", blocks=True)
            else:
                text = f"{each.name} is not installed"
                yield Finding("loop", f"{extra} SDK", "note", text, f"pip install '{NAME}[{extra}]'")
            continue
        if not each.specifier.contains(there, prereleases=True):
            text = f"{there} is installed, loop was tested with {str(each.specifier).removeprefix('==')}"
            yield Finding("loop", each.name, "note", text, "loop update")
        elif extra is not None:
            yield Finding("loop", f"{extra} SDK", "ok", f"{there}, {each.name}", facts={"version": there})
        else:
            count += 1
    yield Finding("loop", "packages", "ok", f"{count} others, in the versions that loop was tested with")


def environment(place: Place) -> Iterator[Finding]:
    """Checks the variables that loop reads; the two configuration files were read before."""
    from actors.edges import run_dir
    from actors.settings_layers import WITH_VARIABLE

    try:
        wanted = place.environment.get("LOOP_RUN_ID", "").strip()
        if wanted:
            run_dir.check_run_id(wanted)
    except UserError as error:
        yield Finding("loop", "LOOP_RUN_ID", "problem", str(error), "unset it", blocks=True)
    for row in WITH_VARIABLE:
        given = place.environment.get(row.variable, "").strip()
        try:
            if given and row.from_variable(row.variable, given) is None:
                text = f"{given!r} is not a number of milliseconds: the default applies"
                yield Finding("loop", row.variable, "note", text, "correct or unset it")
        except UserError as error:
            yield Finding("loop", row.variable, "problem", str(error), "correct or unset it", blocks=True)


# --- agents ---------------------------------------------------------------------------------------------------------


def agent(name: str) -> Check:
    """Returns the check of this agent."""

    def check(place: Place) -> Iterator[Finding]:
        from actors.adapters import BUILT_IN_NAMES, find_adapter
        from actors.adapters.base import AgentSettings

        entry = find_adapter(name, place.agents)  # type: ignore[arg-type]  # the tables are what it wants
        settings = AgentSettings(name=entry.name, cwd=place.cwd, environment=place.environment)
        configured = name not in BUILT_IN_NAMES
        facts: dict[str, object] = {"path": None, "version": None, "login": None}
        try:
            path = entry.locate(settings)
            facts["path"] = str(path)
            # A configured program may do anything with an unknown word.
            if not configured:
                facts["version"] = _number(place.ask(str(path), "--version").first_line)
            entry.preflight(settings)
            spoken = entry.probe(settings) if entry.probe is not None else None
        except LoopError as error:
            if "logged in" in str(error):
                facts["login"] = False
            where = [str(facts[key]) for key in ("version", "path") if facts[key]]
            text = f"{error} ({', '.join(where)})" if where else str(error)
            yield Finding("agents", name, "problem", text, facts=facts)
            return
        facts["login"] = None if configured else True
        login = "loop does not check its login" if configured else "logged in"
        if spoken is not None:
            facts |= {"name": spoken.name, "protocol": spoken.protocol}
            facts["logins"] = list(spoken.logins)
            login = f"speaks {spoken.protocol}"
            facts["version"] = " ".join(filter(None, (spoken.name, spoken.version))) or None
        facts["tested"] = list(entry.tested)
        untested, facts["differs"] = _untested(entry.name, facts["version"], entry.tested)
        said = [facts["version"], login, path, untested]
        yield Finding("agents", name, "ok", ", ".join(str(each) for each in said if each), facts=facts)
        yield from _other_accounts(name, place, entry, settings)

    return check


def _other_accounts(name: str, place: Place, entry: AdapterEntry, settings: AgentSettings) -> Iterator[Finding]:
    """A line for each account besides the first. Names its variables, and none of their values."""
    accounts: Sequence[Mapping[str, str]] = getattr(place.agents.get(name), "accounts", ())
    for number in range(1, len(accounts)):
        what = f"{name}, account {number + 1} of {len(accounts)}"
        variables = ", ".join(accounts[number])
        try:
            entry.preflight(replace(settings, account=number))
        except LoopError as error:
            remedy = f"log in with the {variables} of this account" if variables else ""
            yield Finding("agents", what, "problem", str(error), remedy)
        else:
            yield Finding("agents", what, "ok", ", ".join(filter(None, ["logged in", variables])))


def _untested(name: str, version: object, tested: Sequence[str]) -> tuple[str, list[str]]:
    """What to report of a version, and what is known to differ in it.

    Both are empty for a tested version, and for an unknown one.
    """
    if not version or not tested or version in tested:
        return "", []
    from actors.adapters import versions

    where, differs = versions.changes(name, str(version))
    words = [f"a version that was not tested: {' and '.join(tested)} were", *([f"it is {where}"] if where else [])]
    shown = "; ".join([", ".join(words), *differs])
    return (shown if len(shown) <= MOST_DIFFERENCES else f"{shown[:MOST_DIFFERENCES]}… (all: --json)"), differs


# --- tools ----------------------------------------------------------------------------------------------------------


def git(place: Place) -> Iterator[Finding]:
    """Checks git: without it there are no worktrees, no diffs to review, and no pull request."""
    path = place.find("git")
    if path is None:
        yield _missing("git", "no worktrees, no pull request")
        return
    answer = place.ask(path, "--version")
    number = _number(answer.first_line)
    facts = {"path": path, "version": number}
    if answer.code != 0:
        yield Finding("tools", "git", "problem", f"{path}: {_why(answer)}", "run git --version by hand", facts=facts)
    elif _tuple(number) < OLDEST_GIT:
        wanted = ".".join(map(str, OLDEST_GIT))
        yield Finding(
            "tools", "git", "problem", f"{number} is too old, {path}", f"install {wanted} or newer", facts=facts
        )
    elif place.ask(path, "config", "user.email").code != 0:
        text = f"{number}, {path}; user.email is not set"
        yield Finding("tools", "git", "note", text, "git config --global user.email YOU@EXAMPLE.COM", facts=facts)
    else:
        yield Finding("tools", "git", "ok", f"{number}, {path}", facts=facts)


def tmux(place: Place) -> Iterator[Finding]:
    """Checks tmux: without it there is no workspace."""
    path = place.find("tmux")
    if path is None:
        yield _missing("tmux", "no workspace, no --tmux")
        return
    answer = place.ask(path, "-V")
    facts = {"path": path, "version": answer.first_line.removeprefix("tmux ")}
    if answer.code == 0:
        yield Finding("tools", "tmux", "ok", f"{facts['version']}, {path}", facts=facts)
    else:
        yield Finding("tools", "tmux", "problem", f"{path}: {_why(answer)}", "run tmux -V by hand", facts=facts)


def gh(place: Place) -> Iterator[Finding]:
    """Checks gh: without it, or its login, there is no draft pull request."""
    path = place.find("gh")
    if path is None:
        yield _missing("gh", "no draft pull request")
        return
    number = _number(place.ask(path, "--version").first_line)
    facts: dict[str, object] = {"path": path, "version": number, "login": None}
    where = ", ".join(filter(None, (number, path)))
    answer = place.ask(path, "auth", "status")
    if answer.code == 0:
        yield Finding("tools", "gh", "ok", f"{number}, logged in, {path}", facts=facts | {"login": True})
    elif "gh auth login" in answer.out + answer.err:
        text = f"not logged in: no draft pull request ({where})"
        yield Finding("tools", "gh", "note", text, "gh auth login", facts=facts | {"login": False})
    else:
        text = f"cannot tell whether it is logged in: {_why(answer)} ({where})"
        yield Finding("tools", "gh", "note", text, "run gh auth status by hand", facts=facts)


def notifications(place: Place) -> Iterator[Finding]:
    """Reports where notifications go, a desktop without a program for it, and the last one that did not arrive."""
    from actors.adapters import BUILT_IN_NAMES
    from actors.edges import notify, trust
    from actors.settings_layers import merge

    try:
        found = trust.read_trusted(place.home, place.cwd, BUILT_IN_NAMES)
    except UserError:
        return  # reported as a fault of the configuration
    ways = notify.ways_of(merge(found.user, found.repository))
    if not ways.names():
        return
    names = ", ".join(ways.names())
    if ways.desktop and notify.desktop_program(place.environment.get("PATH")) is None:
        text = f"{names}; there is no notify-send or osascript on PATH"
        yield Finding("tools", "notifications", "note", text, "Debian: apt-get install libnotify-bin")
    elif failure := _last_failure(place.home):
        yield Finding("tools", "notifications", "problem", f"{names}; {failure}", "loop notify test")
    else:
        yield Finding("tools", "notifications", "ok", f"{names}; loop notify test sends one")


def _last_failure(home: Path) -> str:
    """The last notification of all runs, if it did not arrive."""
    from actors.edges import notify, run_dir

    known = [notify.read(run) for run in run_dir.directories(run_dir.runs_root(home), levels=2)]
    last = max(known, key=lambda each: each.at, default=None)
    if last is None or not last.failure:
        return ""
    return f"the last one, at {last.at}, did not arrive: {last.failure}"


def _missing(name: str, without: str) -> Finding:
    return Finding("tools", name, "note", f"is not on PATH: {without}", HOW_TO_GET[name])


def _why(answer: Answer) -> str:
    return answer.err if answer.code is None else f"it ended with status {answer.code}"


def _number(text: str) -> str:
    hit = re.search(r"\d+(?:\.\d+)+", text)
    return hit[0] if hit else ""


def _tuple(number: str) -> tuple[int, ...]:
    return tuple(map(int, number.split("."))) if number else ()
