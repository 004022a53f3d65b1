"""The start arguments of an actor process, one struct per actor class, and their encoding as bytes. Pure.

The bytes are JSON in ASCII: no code, so another Python on another machine reads them; and a path or a variable of the
environment that is not UTF-8 (`surrogateescape`) arrives unchanged. A launcher carries the bytes and never reads them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from actors.access import BridgeAccess, PaneAccess
from actors.errors import ProtocolError
from actors.messages import StartTurnRequest
from actors.settings import Role, RunSettings

S = TypeVar("S")


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where the log goes, and how. Several processes may share one file: each line is appended in one write."""

    level: str = "INFO"
    stderr: bool = True
    file: str = ""  # "" = none
    json: bool = False


class AgentProgram(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration of an agent (`actors.adapters.ConfiguredAgent`); "" = not configured."""

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    accounts: tuple[dict[str, str], ...] = ()
    peer: str = ""
    model: str = ""
    effort: str = ""
    mode: str = ""


class StartPersistence(msgspec.Struct, frozen=True, kw_only=True):
    """For the PersistenceActor."""

    directory: Path  # of the run
    generation: int  # of the root: each root that opens the run has a higher number
    manifest: dict[str, object]  # JSON values that the root knows; they replace what manifest.json says


class StartBridge(msgspec.Struct, frozen=True, kw_only=True):
    """For the BridgeActor."""

    agents: dict[Role, str]  # their names
    tokens: dict[Role, str]  # bearer tokens of their MCP clients
    run_id: str  # as users know the run
    # A live session accepts a mail within milliseconds. "queued" is true as well, so a caller waits no longer.
    receipt_patience_s: float = 1.0
    waits: bool = False  # for the first call, before it imports the library that serves it: there may be none


class StartRun(msgspec.Struct, frozen=True, kw_only=True):
    """For the RunActor."""

    settings: RunSettings | None  # None: those of the journal
    generation: int  # as in `StartPersistence`
    peer: str  # what users call the reviewer's agent
    resume: str  # the command that resumes the run
    tree: Path  # a working tree, whose `.loop.toml` is watched
    tree_sha256: str  # of that file; "" = there is none
    places: dict[Role, str] = {}  # hosts of the agents' actors that are not at home. For their trees, which live here:
    cwd: Path = Path()
    directory: Path = Path()  # of the run
    environment: dict[str, str] = {}
    run_id: str = ""
    created_at: str = ""
    agents: dict[Role, str] = {}  # the names of the agents, and their configuration: where their sessions are here
    programs: dict[Role, AgentProgram] = {}


class StartAgent(msgspec.Struct, frozen=True, kw_only=True):
    """For an AgentActor: its agent, and the working tree whose jobs it does."""

    role: Role
    agent: str  # its name
    label: str  # what users call it
    cwd: Path
    environment: dict[str, str]  # of the agent and of the checks: the whole of it
    run_id: str
    directory: Path  # of the run
    records: Path  # directory of process records: used to end what a killed actor leaves
    model: str = ""
    repository: Path | None = None  # whose worktree `cwd` is in; None: in none that was made for the run
    created_at: str = ""  # of the run, as the manifest has it
    bridge: BridgeAccess | None = None  # None: the agent has no peer
    pane: PaneAccess | None = None  # None: its own TUI is not shown
    program: AgentProgram | None = None  # None: a built-in agent that the configuration does not mention
    first_session_id: str | None = None  # to resume, where the journal knows none
    first_session_is_named: bool = False  # by the user: no other one replaces it
    retry_ms: int  # the first wait for a provider that does not answer a message
    max_wait_ms: int | None  # how long a message may wait for its provider; None: no limit
    left_usd: float | None = None  # what a new run may cost; None: without a limit
    raw_output: bool = False
    place: str = ""  # the host where it runs; "" = the root's
    prepare: str = ""  # a shell command, run once in the tree of that host; "" = none
    role_prompt: StartTurnRequest | None = None  # the role prompt, which the agent gets first


class ProcessStart(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an actor process is given at its start."""

    run: str
    name: str
    incarnation: int
    endpoint: str  # of the router
    actor: str  # "module:Class", a ProcessActor
    start: object  # the struct that the class names as its `start_type`; builtins after `decode`
    log: LogSettings = LogSettings()


def encode(start: ProcessStart) -> bytes:
    """The bytes for a launcher."""
    return json.dumps(msgspec.to_builtins(start, enc_hook=str)).encode("ascii")


def decode(data: bytes) -> ProcessStart:
    """Inverse of `encode`; `typed` converts its `start` once the actor's class is known."""
    return typed(json.loads(data), ProcessStart)


def typed(value: object, kind: type[S]) -> S:
    """The builtins as this struct. Raises `ProtocolError`."""
    try:
        return msgspec.convert(value, kind, dec_hook=_decoded)
    except msgspec.ValidationError as error:
        raise ProtocolError(f"bad {kind.__name__} ({error})") from error


def _decoded(kind: type, value: Any) -> Any:
    return value if kind is object else kind(value)
