"""The check of one host for `loop doctor`: what an agent would find there. See checkups.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from actors.errors import LoopError
from shell.findings import Finding, Level

if TYPE_CHECKING:  # the link's code is only needed where hosts are configured
    from actors.hosts import Host
    from shell.checkups import Check, Place
    from supervisor.hosts.probe import Probed

OLDEST_PYTHON = (3, 11)


def host(asked: Host) -> Check:
    """Returns the check of this host."""

    def check(place: Place) -> Iterator[Finding]:
        if asked.join:
            yield _joined(asked, place)
            return
        from supervisor.hosts.probe import probe

        try:
            found = probe(asked)
        except LoopError as error:
            text = str(error).removeprefix(f"host {asked.name}: ")
            yield Finding("hosts", asked.name, "problem", text, facts={"reachable": False})
        else:
            yield judged(asked, found)

    return check


def _joined(asked: Host, place: Place) -> Finding:
    from supervisor.hosts.join_look import look

    try:
        found = look(asked, place.home)
    except LoopError as error:
        text = str(error).removeprefix(f"host {asked.name}: ")
        remedy = f"run loop join there, with the file of loop keys new {asked.name}"
        return Finding("hosts", asked.name, "problem", text, remedy, facts={"reachable": False})
    text = f"joined, with this version of loop; Python {found.python}, {_named(found.agents)}"
    facts = {"reachable": True, "python": found.python, "agents": dict(found.agents)}
    return Finding("hosts", asked.name, "ok" if found.agents else "note", text, facts=facts)


def _named(agents: Mapping[str, bool]) -> str:
    """The agents of a host, for the user."""
    known = [name if seen else f"{name} (no login seen)" for name, seen in sorted(agents.items())]
    return ", ".join(known) or "no codex and no claude on its PATH"


def judged(asked: Host, found: Probed) -> Finding:
    """What the answer of the host means. Pure."""
    facts = {
        "reachable": True,
        "python": found.python,
        "git": found.git,
        "installed": found.is_ours,
        "agents": dict(found.agents),
    }
    said = f"Python {found.python}, {_named(found.agents)}"
    if not found.git:
        return Finding("hosts", asked.name, "problem", f"git is not installed there; {said}", "install it", facts=facts)
    if asked.python and not found.is_ours:
        what = "another version of loop" if found.code else "no loop"
        remedy = f"install this version for it, or remove python from [hosts.{asked.name}]"
        return Finding("hosts", asked.name, "problem", f"{asked.python} there has {what}; {said}", remedy, facts=facts)
    if not asked.python and tuple(map(int, found.python.split(".")[:2])) < OLDEST_PYTHON:
        return Finding(
            "hosts", asked.name, "problem", f"{said}: loop needs 3.11", "install a newer python3", facts=facts
        )
    ready = "this version of loop is there" if found.is_ours else "loop will be installed there"
    level: Level = "ok" if found.agents else "note"
    return Finding("hosts", asked.name, level, f"reachable, {ready}; {said}", facts=facts)
