"""Who works and who reviews: the requested pair, or the pair of the run to resume; and how each of them starts.

Reads the registry of known agents for a name that is neither built in nor configured, and no other file.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from actors.adapters import BUILT_IN_NAMES, find_adapter
from actors.edges import agent_registry
from actors.edges.configuration import Configuration
from actors.errors import UserError
from actors.settings_layers import Settings
from shell.known_agents import started
from shell.resumed import Resumed
from shell.run_settings import Agents


def with_known(
    configuration: Configuration, settings: Settings, resumed: Resumed, home: Path, path: str | None
) -> Configuration:
    """The configuration, plus those known agents that it lacks, and that the settings or the run to resume name.

    Raises `UserError` for a known agent whose program is not on `path`. The caller handles unknown names.
    """
    kept = resumed.manifest.get("agents")
    names = [settings.text("agent"), settings.text("peer"), *(kept.values() if isinstance(kept, dict) else ())]
    agents = dict(configuration.agents)
    for name in (str(each).lower() for each in names if each):
        if name not in BUILT_IN_NAMES and name not in agents:
            known = agent_registry.read(home).find(name)
            if known is not None:
                agents[name] = started(name, known, path)
    return replace(configuration, agents=agents)


def agents_of(settings: Settings, configuration: Configuration, resumed: Resumed) -> Agents:
    """The requested pair. A resumed run keeps its own pair, since the sessions are theirs: a typed other agent is an
    error, and a configuration file is ignored.
    """
    kept = _kept(resumed, configuration)
    if kept is None:
        return _asked(settings, configuration)
    whose = f"{kept.worker} and {kept.reviewer}" if kept.paired else f"{kept.worker} alone"
    peer, only, agent = (settings.text(name) if settings.is_typed(name) else "" for name in ("peer", "only", "agent"))
    other = ""
    if peer and find_adapter(peer, configuration.agents).name != kept.reviewer:
        other = f"--peer {peer}"
    if only and (only, False) != (kept.worker, kept.paired):
        other = f"--{only}-only"
    elif agent and not only and (find_adapter(agent, configuration.agents).name, True) != (kept.worker, kept.paired):
        other = f"--agent {agent}"
    if other:
        assert resumed.directory is not None
        raise UserError(f"{other}: run {resumed.directory.name} is one of {whose}; leave it out, or start a new run")
    return kept


def _asked(settings: Settings, configuration: Configuration) -> Agents:
    only, peer = settings.text("only"), settings.text("peer")
    if only and peer:
        raise UserError(f"--peer {peer}: --{only}-only has no peer; leave one of them out")
    if only:
        return Agents(only, only, paired=False)
    worker = find_adapter(settings.text("agent"), configuration.agents)
    reviewer = find_adapter(peer or worker.peer, configuration.agents)
    return Agents(worker.name, reviewer.name, paired=True)


def _kept(resumed: Resumed, configuration: Configuration) -> Agents | None:
    names = resumed.manifest.get("agents") if resumed.begun else None
    if not isinstance(names, dict) or not {"worker", "reviewer"} <= names.keys():
        return None
    worker, reviewer = (find_adapter(str(names[role]), configuration.agents).name for role in ("worker", "reviewer"))
    return Agents(worker, reviewer, paired=resumed.manifest.get("mode") != "single")
