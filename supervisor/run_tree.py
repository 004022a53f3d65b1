"""The five actors of one run: the only place in `supervisor` that names concrete ones. It builds specs and starts
nothing.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from msgspec.structs import replace

from actors.access import BridgeAccess, PaneAccess, bridge_url
from actors.adapters import BUILT_IN_NAMES, WORKING_NAMES, ConfiguredAgent, find_adapter
from actors.edges.agent_tables import AgentConfiguration
from actors.edges.git import main_top_level
from actors.edges.worktree import Made
from actors.hosts import Host
from actors.machines import backoff, hints, prompts
from actors.machines.run.budgets import whole_usd
from actors.messages import ROLE_PROMPT, StartTurnRequest
from actors.settings import Role, RunSettings, display_names
from actors.starts import AgentProgram, StartAgent, StartBridge, StartPersistence, StartRun
from supervisor.forkserver import WHEN_IDLE
from supervisor.hosts.kept_moves import KeptMove
from supervisor.spec import ChildSpec, SupervisorSpec
from supervisor.stale_processes import records_directory

ENTRY = "actors.actor_process:main"

# What a forkserver imports for the actors. The bridge's MCP library takes most of a second: at the start of a run the
# bridge imports it in parallel, and no other actor waits for it; after that the forkserver has it for the next bridge.
PRELOAD = (
    *("actors.persistence", "actors.run", "actors.agent", "actors.bridge"),
    *(
        f"{WHEN_IDLE}{module}"
        for module in (
            "pydantic.main",
            "mcp_types",
            "starlette.applications",
            "uvicorn",
            "httpx2",
            "jsonschema",
            "mcp_types.methods",
            "actors.edges.mcp_endpoint",
        )
    ),
)

# This child leads the run, stops it on request, and reports how it ended.
DRIVER = "run"
# This child has the mail, and this one the jobs of the working tree.
BRIDGE = "bridge"
WORKER = "worker"

# Stop spec, each level in parallel: actors that still write go before the writer, and the bridge after the agents that
# call it. The driver goes with the agents: their end is no event of the run, and the next root issues the driver's
# outstanding commands again.
STOP_LEVELS: tuple[tuple[str, ...], ...] = ((DRIVER, "worker", "reviewer"), ("bridge",), ("persistence",))
CHILDREN = tuple(child for level in STOP_LEVELS for child in level)


def launch_name(key: str, child: str) -> str:
    """The launcher's name of the child, unique among all runs of a root."""
    return f"{key}/{child}"


def bridge_of(key: str) -> str:
    """The launcher's name of the run's bridge, whose socket agents reach."""
    return launch_name(key, "bridge")


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """Everything that starts one run. The command line creates it after every check has passed."""

    key: str  # the run in addresses and logs
    run_id: str
    repo_id: str
    directory: Path  # the run directory
    cwd: Path
    environment: dict[str, str]  # of the agents and the checks
    asked: RunSettings  # what was asked for
    begun: bool = False  # its journal has taken that; a task that the user has changed since then is not set back
    raw_output: bool = False
    headless: bool = False  # no terminal attached
    has_prompt: bool = False  # the user can type where it runs
    places: dict[Role, Host] = field(default_factory=dict)  # of the actors that are not at home
    hosts: dict[str, Host] = field(default_factory=dict)  # of the user's configuration
    moves: dict[Role, KeptMove] = field(default_factory=dict)  # that an earlier root was asked for
    configured: dict[str, ConfiguredAgent] = field(default_factory=dict)
    # The run's agents that are not in the user's file: defined by a repository, or known by name.
    carried_agents: dict[str, AgentConfiguration] = field(default_factory=dict)
    allowed_sha256: str = ""  # the content of its `.loop.toml` that counts in this run; "" = none
    repository: Path | None = None  # its main working tree, where the run can be resumed; None: `cwd`
    tree: Path | None = None  # the working tree of `cwd`, whose `.loop.toml` is watched
    tree_sha256: str = ""  # of that file; "" = there is none
    session_ids: dict[Role, str] = field(default_factory=dict)  # to resume where the journal knows none
    session_is_named: bool = False  # the user named it
    workspace_name: str = ""  # of the run's worktree, branch and tmux session
    worktree: str = ""  # the added git worktree that `cwd` is in; "" = in none
    made: Made | None = None  # what was made for this start, and is removed if the start fails
    tmux_session: str = ""  # the one that it runs in
    workspace: bool = False  # the agents' own TUIs are in that session, beside the console

    @property
    def settings(self) -> RunSettings | None:
        """The settings that the run takes; None: it keeps those of its journal."""
        return None if self.begun else self.asked

    @property
    def worker(self) -> str:
        """The name of the agent that works."""
        return self.asked.worker

    @property
    def reviewer(self) -> str:
        """The name of the agent that reviews."""
        return self.asked.reviewer

    @property
    def agents(self) -> dict[Role, str]:
        """The names of the two agents."""
        return {"worker": self.worker, "reviewer": self.reviewer}

    @property
    def place_names(self) -> dict[Role, str]:
        """The hosts of the actors that are not at home."""
        return {role: host.name for role, host in list(self.places.items())}  # they may be moved meanwhile

    @property
    def paired(self) -> bool:
        """Whether worker and reviewer are two agents."""
        return self.asked.paired

    @property
    def worker_model(self) -> str:
        """The model of the worker; "" = the agent's own."""
        return self.asked.worker_model

    @property
    def reviewer_model(self) -> str:
        """The model of the reviewer; "" = the agent's own."""
        return self.asked.reviewer_model

    @property
    def labels(self) -> dict[Role, str]:
        """The names of the two for the user and for the agents themselves."""
        return display_names(self.worker, self.reviewer)

    @property
    def resume_anywhere(self) -> str:
        """The command that resumes the run, valid in any directory."""
        return hints.resume(self.run_id, str(self.repository or self.cwd))


class RunTree:
    """Specs and start structs of one run's actors.

    `port_of` gives the port of a child that listens. It is open before the child runs, so agents need not wait for the
    bridge: an early call waits in the socket. `runtime` is for sockets.
    """

    def __init__(
        self,
        spec: RunSpec,
        generation: int,
        manifest: dict[str, object],
        port_of: Callable[[str], int],
        runtime: Path,
    ) -> None:
        self._spec = spec
        self._runtime = runtime
        self._generation = generation
        self._manifest = manifest
        self._repository = main_top_level(spec.cwd) if spec.worktree else None  # while the directory is there
        self._tokens: dict[Role, str] = {"worker": secrets.token_urlsafe(32), "reviewer": secrets.token_urlsafe(32)}
        self._port_of = port_of
        self._has_moved = False

    def place(self, role: Role, host: Host | None) -> None:
        """From its next start on the actor runs there; None: at home."""
        self._has_moved = True
        self._spec.places.pop(role, None)
        if host is not None:
            self._spec.places[role] = host

    @property
    def directory(self) -> Path:
        """The run directory. It holds the process records, so that the next root can end what is left."""
        return self._spec.directory

    @property
    def places(self) -> dict[str, str]:
        """The hosts of the actors that are not at home."""
        return {str(role): name for role, name in self._spec.place_names.items()}

    def spec(self) -> SupervisorSpec:
        """Children in start order. A run with a single agent has no bridge."""
        bridge = (ChildSpec(id="bridge", entry=ENTRY, listens=True),) if self._spec.paired else ()
        return SupervisorSpec(
            children=(
                ChildSpec(id="persistence", entry=ENTRY),
                *bridge,
                ChildSpec(id=DRIVER, entry=ENTRY),
                ChildSpec(id="worker", entry=ENTRY, imports=self._shared_library()),
                ChildSpec(id="reviewer", entry=ENTRY, imports=self._shared_library()),
            )
        )

    def _shared_library(self) -> tuple[str, ...]:
        """The agent's library where both actors drive the same agent: one import instead of two.

        It delays no session, since each would wait for its own import; the other actors have started before. Two
        different libraries are left to their actors, which import them in parallel.
        """
        spec = self._spec
        entries = [find_adapter(agent, spec.configured) for agent in (spec.worker, spec.reviewer)]
        libraries = {"" if spec.workspace and entry.side else entry.library for entry in entries}
        return tuple(libraries) if len(libraries) == 1 and "" not in libraries else ()

    def actor(self, child: str) -> str:
        """The actor class, as "module:Class"."""
        return {
            "persistence": "actors.persistence:PersistenceActor",
            "bridge": "actors.bridge:BridgeActor",
            DRIVER: "actors.run:RunActor",
            "worker": "actors.agent:AgentActor",
            "reviewer": "actors.agent:AgentActor",
        }[child]

    def start(self, child: str) -> StartPersistence | StartBridge | StartRun | StartAgent:
        """The start struct of the actor."""
        spec = self._spec
        match child:
            case "persistence":
                moved = {"places": spec.place_names} if self._has_moved else {}
                manifest = {**self._manifest, **moved}
                return StartPersistence(directory=spec.directory, generation=self._generation, manifest=manifest)
            case "bridge":
                return StartBridge(
                    agents={"worker": spec.worker, "reviewer": spec.reviewer},
                    tokens=self._tokens,
                    run_id=spec.run_id,
                    # A scenario says whether its agents call; all others do when their session opens.
                    waits={spec.worker, spec.reviewer} <= BUILT_IN_NAMES - WORKING_NAMES,
                )
            case "run":
                return StartRun(
                    settings=spec.settings,
                    generation=self._generation,
                    peer=spec.labels["reviewer"],
                    resume=spec.resume_anywhere,
                    tree=spec.tree or spec.cwd,
                    tree_sha256=spec.tree_sha256,
                    places=spec.place_names,
                    cwd=spec.cwd,
                    directory=spec.directory,
                    environment=spec.environment,
                    run_id=spec.run_id,
                    created_at=str(self._manifest.get("createdAt", "")),
                    agents={"worker": spec.worker, "reviewer": spec.reviewer},
                    programs=self._programs(),
                )
            case "worker":
                return self._start_agent("worker", spec.worker, spec.worker_model)
            case _:
                reviewer = self._start_agent("reviewer", spec.reviewer, spec.reviewer_model)
                return replace(reviewer, role_prompt=self._role_prompt())

    def _programs(self) -> dict[Role, AgentProgram]:
        agents: dict[Role, str] = {"worker": self._spec.worker, "reviewer": self._spec.reviewer}
        found = {role: _program(self._spec.configured.get(agent.lower())) for role, agent in agents.items()}
        return {role: program for role, program in found.items() if program is not None}

    def _start_agent(self, role: Role, agent: str, model: str) -> StartAgent:
        spec = self._spec
        bridge = None
        if spec.paired:
            url = bridge_url(self._port_of(bridge_of(spec.key)))
            bridge = BridgeAccess(url=url, token=self._tokens[role])
        return StartAgent(
            role=role,
            agent=agent,
            label=spec.labels[role],
            cwd=spec.cwd,
            environment=spec.environment,
            run_id=spec.run_id,
            directory=spec.directory,
            records=records_directory(spec.directory, launch_name(spec.key, role)),
            model=model,
            repository=self._repository,
            created_at=str(self._manifest.get("createdAt", "")),
            bridge=bridge,
            pane=self._pane(role, agent),
            program=_program(spec.configured.get(agent.lower())),
            first_session_id=spec.session_ids.get(role),
            first_session_is_named=spec.session_is_named,
            place=spec.places[role].name if role in spec.places else "",
            prepare=spec.places[role].prepare if role in spec.places else "",
            retry_ms=spec.settings.retry_ms if spec.settings else backoff.RETRY_FIRST_MS,
            max_wait_ms=_max_wait_ms(spec.settings),
            left_usd=whole_usd(spec.settings) if spec.settings else None,
            raw_output=spec.raw_output,
        )

    def _pane(self, role: Role, agent: str) -> PaneAccess | None:
        spec = self._spec
        side = find_adapter(agent, spec.configured).side
        if not spec.workspace or not side or role in spec.places:
            return None
        return PaneAccess(
            server=spec.environment["TMUX"].partition(",")[0],  # "socket,pid,session"; tmux(1)
            session=spec.tmux_session,
            side=side,
            folder=self._runtime,
            root_pid=os.getpid(),
            run_id=spec.run_id,
            resume=spec.resume_anywhere,
            primary=role == "worker",
        )

    def _role_prompt(self) -> StartTurnRequest | None:
        """The role prompt of a workspace's peer. Its turn id is always the same, so the session runs it once."""
        spec = self._spec
        if not spec.workspace or spec.settings is None or not spec.settings.task:
            return None
        turn_id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"loop:{spec.key}/brief"))
        prompt = prompts.role_prompt(spec.labels["worker"], template=spec.settings.prompts.get("role", ""))
        return StartTurnRequest(turn_id=turn_id, purpose=ROLE_PROMPT, prompt=prompt)


def _program(agent: ConfiguredAgent | None) -> AgentProgram | None:
    if agent is None:
        return None
    return AgentProgram(
        command=agent.command,
        env=dict(agent.env),
        accounts=tuple(dict(account) for account in agent.accounts),
        peer=agent.peer,
        model=agent.model,
        effort=agent.effort,
        mode=agent.mode,
    )


def _max_wait_ms(settings: RunSettings | None) -> int:
    """How long a message between the agents waits for a provider. A run that keeps its own settings knows its own
    value.
    """
    given = settings.max_wait_ms if settings else None
    return backoff.MAX_WAIT_MS if given is None else given
