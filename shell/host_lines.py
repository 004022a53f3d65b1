"""The hosts of a run as lines for the user. Pure: structs in, text out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from actors.machines.durations import span
from actors.settings import Role
from actors.text import line
from supervisor.control.protocol import HostReport, Report

_STATES = {
    "idle": "not in use",
    "starting": "being reached",
    "connected": "connected",
    "away": "not connected",
    "given-up": "given up",
}


def in_status(hosts: Iterable[HostReport], *, now_ms: int) -> list[str]:
    """Each host that the run uses or has given up: "big: reviewer, connected for 3 m, 0.6 ms away"."""
    found = []
    for host in hosts:
        if not host.actors and host.state != "given-up":
            continue
        who = f"{', '.join(host.actors)}, " if host.actors else ""
        facts = [f"{who}{_how(host, now_ms)}", *_way(host)]
        why = f": {host.why}" if host.why else ""
        found.append(f"{host.name}: {', '.join(facts)}{why}")
    return found


def of_report(report: Report, *, now_ms: int) -> list[str]:
    """What `hosts` says: each host, below it what runs there, and its last failure."""
    agents: dict[str, str] = {agent.role: agent.label for agent in report.agents}
    actors = {actor.name: actor for actor in report.actors}
    found = []
    for host in report.hosts:
        why = f": {host.why}" if host.why else ""
        found.append(line(f"{host.name}  {', '.join([_how(host, now_ms), *_way(host)])}{why}"))
        for name in host.actors:
            actor = actors.get(name)
            facts = [actor.state, *([f"pid {actor.pid}"] if actor.pid else [])] if actor else []
            doing = f"  {actor.doing}" if actor and actor.doing else ""
            found.append(line(f"  {name}  {agents.get(name, '')}  {', '.join(facts)}{doing}".rstrip()))
        if host.failure:
            found.append(line(f"  last failure {span(now_ms - host.failed_at_ms)} ago: {host.failure}"))
    away = {name for host in report.hosts for name in host.actors}
    home = [name for name in get_args(Role) if name not in away and (name in actors or name in agents)]
    who = [f"{name} ({agents[name]})" if name in agents else name for name in home]
    return [*found, f"home  {', '.join([*who, 'the run, its bridge and its journal'])}"]


def _how(host: HostReport, now_ms: int) -> str:
    since = f" for {span(now_ms - host.since_ms)}" if host.since_ms else ""
    return f"{_STATES[host.state]}{since}"


def _way(host: HostReport) -> list[str]:
    if host.state != "connected" or host.round_trip_ms is None:
        return []
    return [f"{host.round_trip_ms:g} ms there and back"]
