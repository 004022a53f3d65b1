"""Name → agent: the only list of the coding agents. Importing it is cheap. An agent's module and SDK are imported when
that agent is checked or made, in the process that does so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, cast

from actors.errors import UserError

if TYPE_CHECKING:  # base brings msgspec along
    from actors.adapters.base import Agent, AgentFactory, AgentSettings, EventSink, Introduction


class ConfiguredAgent(Protocol):
    """A table `[agents.NAME]` of the configuration: an agent that speaks the Agent Client Protocol, or a built-in one.

    A missing text is "".
    """

    @property
    def command(self) -> tuple[str, ...]:
        """Its program and arguments; none of a built-in agent."""

    @property
    def env(self) -> Mapping[str, str]:
        """What is added to its environment."""

    @property
    def accounts(self) -> tuple[Mapping[str, str], ...]:
        """What each of its accounts adds to that; () = it has the user's own."""

    @property
    def peer(self) -> str:
        """The agent that it is paired with."""

    @property
    def model(self) -> str:
        """The model, unless the run names one."""

    @property
    def effort(self) -> str:
        """How long it thinks, in its own words."""

    @property
    def mode(self) -> str:
        """Its session mode."""


@dataclass(frozen=True)
class AdapterEntry:
    """An agent that can be used by `name`.

    `preflight` raises `AgentUnavailableError` with the remedy when the agent cannot be used here; it starts nothing.
    `probe` starts the agent for its `Introduction`, within seconds, or raises the same; None: no probe is needed.
    `locate` returns the program to start, or raises the same. `peer`: its default pair. `side`: the place of its own
    TUI in a workspace of two; "" = no drivable TUI. `tested`: the tested versions of its program. `library`: the module
    imported when a session opens without its TUI: 0.6 to 1 s of CPU. `reports_cost`: it reports the money of each turn.
    """

    name: str
    factory: AgentFactory
    preflight: Callable[[AgentSettings], None]
    locate: Callable[[AgentSettings], Path]
    peer: str
    probe: Callable[[AgentSettings], Introduction] | None = None
    side: Literal["left", "right", ""] = ""
    tested: tuple[str, ...] = ()
    library: str = ""
    reports_cost: bool = False


@dataclass(frozen=True)
class _BuiltIn:
    module: str
    peer: str
    library: str
    side: Literal["left", "right", ""] = ""
    reports_cost: bool = False
    tested: tuple[str, ...] = ()  # the SDK's, and the current newest of npm: scripts/test --newest


_ACP_MODULE = "actors.adapters.acp"
_ACP_LIBRARY = "actors.adapters.acp_library"
_BUILT_IN = {
    "claude": _BuiltIn(
        "actors.adapters.claude",
        peer="codex",
        library="actors.adapters.claude_process",
        side="left",
        reports_cost=True,
        tested=("2.1.330", "2.1.332"),
    ),
    "codex": _BuiltIn(
        "actors.adapters.codex",
        peer="claude",
        library="actors.adapters.codex_link",
        side="right",
        tested=("0.163.0", "0.171.0"),
    ),
    "embedded": _BuiltIn("actors.adapters.embedded", peer="embedded", library=_ACP_LIBRARY, reports_cost=True),
}

BUILT_IN_NAMES = frozenset(_BUILT_IN)
WORKING_NAMES = BUILT_IN_NAMES - {"embedded"}  # that one plays scenarios; it takes no task


def modules_of(name: str) -> tuple[str, ...]:
    """The modules that check this agent. One that is not built in is probed as well."""
    return (_BUILT_IN[name].module,) if name in _BUILT_IN else (_ACP_MODULE, _ACP_LIBRARY)


def find_adapter(name: str, configured: Mapping[str, ConfiguredAgent]) -> AdapterEntry:
    """The agent called `name`, in any case: a built-in one or one of `configured` (keys in lower case).

    Raises `UserError` for an unknown name. A configured agent without a peer is paired with a second session of itself:
    that agent is certainly installed.
    """
    key = name.lower()
    agent = configured.get(key)

    def prepare(settings: AgentSettings) -> AgentSettings:
        if agent is None:
            return settings
        plain = {**settings.environment, **agent.env}
        accounts = [{**plain, **account} for account in agent.accounts] or [plain]
        chosen = min(settings.account, len(accounts) - 1)
        return replace(
            settings,
            command=agent.command,
            environment=accounts[chosen],
            elsewhere=tuple(accounts[:chosen] + accounts[chosen + 1 :]),
            model=settings.model or agent.model,
            effort=agent.effort,
            mode=agent.mode,
        )

    own_peer = agent.peer if agent is not None else ""
    if key in _BUILT_IN:
        built_in = _BUILT_IN[key]
        entry = _entry(key, built_in.module, own_peer or built_in.peer, prepare)
        return replace(
            entry,
            side=built_in.side,
            tested=built_in.tested,
            library=built_in.library,
            reports_cost=built_in.reports_cost,
        )
    if agent is None:
        known = ", ".join(sorted({*_BUILT_IN, *configured}))
        raise UserError(
            f"unknown agent {name!r}: the known agents are {known}; any ACP agent can be added "
            f'to ~/.loop/config.toml: [agents.{key}] command = ["program", "argument"]; see loop agents'
        )

    def probe(settings: AgentSettings) -> Introduction:
        return cast("Introduction", import_module(_ACP_MODULE).probe(prepare(settings)))

    return replace(_entry(key, _ACP_MODULE, own_peer or key, prepare), probe=probe, library=_ACP_LIBRARY)


def _entry(name: str, module: str, peer: str, prepare: Callable[[AgentSettings], AgentSettings]) -> AdapterEntry:
    def factory(settings: AgentSettings, sink: EventSink) -> Agent:
        return cast("AgentFactory", import_module(module).factory)(prepare(settings), sink)

    def preflight(settings: AgentSettings) -> None:
        import_module(module).preflight(prepare(settings))

    def locate(settings: AgentSettings) -> Path:
        return cast("Path", import_module(module).program_of(prepare(settings)))

    return AdapterEntry(name, factory, preflight, locate, peer)
