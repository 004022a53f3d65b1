"""`loop doctor`: checks in parallel everything that a run needs, and reports what is missing and what to do about it.

The checks (checkups.py) run in a thread each, with time-outs, so a program that hangs delays no other check. It changes
nothing but leftovers of dead runs, after the user's consent or with --fix. Exit status 0: a run could start.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from actors.edges import environments
from actors.errors import LoopError, UserError
from shell import checkups, output, place_checkups
from shell.checkups import Check, Place
from shell.commands.grammar import Invocation
from shell.findings import Finding, as_object, lines, verdict

if TYPE_CHECKING:
    from actors.adapters import ConfiguredAgent
    from actors.edges.configuration import RepositoryFile
    from actors.hosts import Host

PATIENCE_S = 30.0  # of all checks together; each program has less
QUIET_S = 1.0  # after that it says what it waits for
WIDEST = 100
LEFTOVERS = "leftovers"


def examine(invocation: Invocation) -> int:
    """Runs `loop doctor`: prints the findings, returns an exit status."""
    environment = environments.handed_on() | environments.own(environments.RUN_ID)
    home = environments.home()
    cwd = Path.cwd()
    wrong = _safely("supervisor", "loop", checkups.own_packages, Place(home, cwd, environment))
    agents, peers, hosts, bad = _configuration(home, cwd)
    place = Place(home, cwd, environment, agents)
    checks: list[tuple[str, str, Check]] = [
        ("loop", "Python", checkups.python),
        ("loop", "packages", checkups.packages),
        ("loop", "environment", checkups.environment),
        *(("agents", name, checkups.agent(name)) for name in peers),
        ("tools", "git", checkups.git),
        ("tools", "tmux", checkups.tmux),
        ("tools", "gh", checkups.gh),
        ("tools", "notifications", checkups.notifications),
        ("places", "files", place_checkups.files),
        ("places", "ports", place_checkups.ports),
    ]
    if not wrong:
        from shell import imports

        imports.load((*imports.OF_CHECKUPS, *(imports.OF_HOSTS if hosts else ())), peers)
    if hosts and not wrong:
        from actors.edges import git
        from shell import host_checkups

        checks += [("hosts", name, host_checkups.host(each)) for name, each in hosts.items()]
    if not wrong:  # the other checks need our own package
        checks += [("places", "sockets", place_checkups.sockets), (LEFTOVERS, LEFTOVERS, _leftovers)]
    with _Panel(invocation) as panel:
        findings = [*wrong, *bad]
        panel.show(findings)
        for found in _all(checks, place, panel):
            findings += found
            panel.show(found)
        judged = verdict(findings, peers, can_travel=not hosts or git.top_level(cwd) is not None)
        cleaned = [] if wrong else _clean_up(invocation, place, panel)
        if invocation.json:
            output.say_json_text(json.dumps(as_object(findings, judged, cleaned)))
        else:
            panel.line(judged.text)
    return os.EX_OK if judged.can_start else 1


def _configuration(
    home: Path, cwd: Path
) -> tuple[Mapping[str, ConfiguredAgent], dict[str, str], Mapping[str, Host], list[Finding]]:
    """Reads the configuration as a run does: agents with a table, the peer of each agent, hosts, and faults of the
    files.
    """
    from actors.adapters import BUILT_IN_NAMES, WORKING_NAMES, find_adapter
    from actors.edges import trust
    from actors.setting_rows.agents import DEFAULT_AGENT
    from actors.settings_layers import merge

    bad, first = [], DEFAULT_AGENT
    try:
        found = trust.read_trusted(home, cwd, BUILT_IN_NAMES)
        agents, hosts = found.agents, found.hosts
        wanted = merge(found.user, found.repository).text("agent").lower()
        first = wanted if wanted in {*BUILT_IN_NAMES, *agents} else first
        if (file := found.repository_file) is not None:
            bad = [_trust_of(file, is_trusted=found.is_allowed, has_changed=trust.has_trusted(home, cwd))]
    except UserError as error:
        agents, hosts = {}, {}
        bad = [Finding("loop", "configuration", "problem", str(error), "correct it, or remove the line", blocks=True)]
    names = dict.fromkeys((first, *sorted(WORKING_NAMES), *sorted(agents)))
    return dict(agents), {name: find_adapter(name, agents).peer for name in names}, hosts, bad


def _trust_of(file: RepositoryFile, *, is_trusted: bool, has_changed: bool) -> Finding:
    from actors.edges.configuration import escaped

    what = "command" if file.does == "run" else "setting"
    path, count = escaped(str(file.path)), f"{len(file.runs)} {what}{'' if len(file.runs) == 1 else 's'} of its own"
    facts = {"path": path, "trusted": is_trusted, "runs": list(file.runs)}
    if is_trusted:
        return Finding("loop", "trust", "ok", f"{path} is trusted, with {count}", facts=facts)
    why = "has changed since you allowed it" if has_changed else "is not trusted"
    return Finding("loop", "trust", "note", f"{path} {why}, and has {count}", "loop trust", facts=facts)


# --- all checks in parallel -------------------------------------------------------------------------------------------


def _all(checks: Sequence[tuple[str, str, Check]], place: Place, panel: _Panel) -> Iterator[list[Finding]]:
    """Yields each check's findings, in the order of the list, as soon as it and those before it are done."""
    # Python fills them at the first access, and a second thread then sees them half full (3.11).
    sysconfig.get_config_vars()
    done: queue.SimpleQueue[tuple[int, list[Finding]]] = queue.SimpleQueue()
    deadline = time.monotonic() + PATIENCE_S
    for number, (area, subject, check) in enumerate(checks):
        threading.Thread(
            target=lambda number=number, area=area, subject=subject, check=check: done.put(
                (number, _safely(subject, area, check, place))
            ),
            name=f"checks {subject}",
            daemon=True,  # a check that hangs must not keep the process
        ).start()
    results: dict[int, list[Finding]] = {}
    for number, (area, subject, _) in enumerate(checks):
        while number not in results:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                text = f"not checked: no answer in {PATIENCE_S:.0f} s"
                results[number] = [Finding(area, subject, "problem", text, "try it by hand")]
                break
            try:
                finished, found = done.get(timeout=min(QUIET_S, left_s))
            except queue.Empty:
                panel.waits_for([name for other, (_, name, _) in enumerate(checks) if other not in results])
            else:
                results[finished] = found
        yield results[number]


def _safely(subject: str, area: str, check: Check, place: Place) -> list[Finding]:
    """Runs a check. An exception becomes a finding."""
    try:
        return list(check(place))
    except Exception as error:
        return [Finding(area, subject, "problem", f"not checked: {error!r}", "please report it")]


# --- leftovers ------------------------------------------------------------------------------------------------------


def _leftovers(place: Place) -> Iterator[Finding]:
    from shell import leftovers

    found = leftovers.find(place)
    for each in found:
        hint = "" if each.note else "loop doctor --fix"
        yield Finding(LEFTOVERS, each.subject, "note", each.text, hint)
    if not found:
        yield Finding(LEFTOVERS, "dead runs", "ok", "nothing was left behind")


def _clean_up(invocation: Invocation, place: Place, panel: _Panel) -> list[dict[str, object]]:
    """Looks for leftovers again, since the user may have waited; cleans with --fix or after consent."""
    if not invocation.fix and not panel.can_ask:
        return []
    from shell import leftovers

    found = [each for each in leftovers.find(place) if not each.note]
    if not found or not (invocation.fix or panel.ask(f"clean up {len(found)} of these leftovers?")):
        return []
    cleaned = []
    for each in found:
        try:
            text, is_clean = each.clean(), True
        except (LoopError, OSError) as error:
            text, is_clean = str(error), False
        panel.show([Finding("cleaned up", each.subject, "ok" if is_clean else "problem", text)])
        cleaned.append({"subject": each.subject, "cleaned": is_clean, "text": text})
    return cleaned


# --- what the user sees -----------------------------------------------------------------------------------------------


class _Panel:
    """Writes findings by area to standard output, and pending checks to one line of standard error. Belongs to one
    thread.
    """

    def __init__(self, invocation: Invocation) -> None:
        self._quiet = invocation.json
        terminal = sys.stdout.isatty()
        self._width = min(WIDEST, shutil.get_terminal_size().columns) if terminal else None
        self._colour = terminal and not environments.own("NO_COLOR")
        self._area = ""
        self._waiting = ""
        self._said_once = False
        self.can_ask = terminal and sys.stdin.isatty() and not invocation.json

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the programs that hanging checks have started."""
        from actors.edges import processes

        self._wipe()
        processes.kill_tree(os.getpid(), itself=False)

    def show(self, findings: Sequence[Finding]) -> None:
        """Prints findings below the title of their area."""
        self._wipe()
        if self._quiet:
            return
        for finding in findings:
            if finding.area != self._area:
                self._area = finding.area
                output.say(finding.area)
            output.say_painted("\n".join(lines(finding, width=self._width, colour=self._colour)))

    def line(self, text: str) -> None:
        """Prints a closing line."""
        self._wipe()
        output.say(text)

    def ask(self, question: str) -> bool:
        """Asks the user; no answer means no."""
        self._wipe()
        with contextlib.suppress(EOFError):
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        output.say("")
        return False

    def waits_for(self, names: Sequence[str]) -> None:
        """Names checks that take longer than a second: once for a pipe, up to date on a terminal."""
        text = f"waiting for {', '.join(names)} ..."
        if sys.stderr.isatty():
            self._wipe()
            self._waiting = text[: (self._width or WIDEST) - 1]
            output.wait_line(self._waiting, "")
        elif not self._said_once:
            self._said_once = True
            output.note(text)

    def _wipe(self) -> None:
        if self._waiting:
            output.wait_line("", self._waiting)
            self._waiting = ""
