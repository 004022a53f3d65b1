"""The Protocol that every coding agent's adapter fulfils. Pure description: no I/O here.

An adapter owns one session of one agent. All its methods are coroutines that run in the session's asyncio thread
(actors/session), one `turn` at a time; `steer`, `interrupt` and `find_turn` may be called while a turn runs.
An adapter never decides: it does not retry, resend, or choose what comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from actors.access import BridgeAccess, PaneAccess
from actors.messages import FoundTurn as FoundTurn  # part of this contract, a value that machines use too
from actors.messages import TurnOutcome, Usage

Schema: TypeAlias = Mapping[str, object]  # a JSON schema


@dataclass(frozen=True, kw_only=True)
class AgentSettings:
    """Everything that an adapter needs to start its agent.

    `environment` is the whole environment of the child; adapters add to a copy, they never read os.environ.
    `command` is for ACP agents: the argv of the program. `options` is the table `[agents.NAME]` of the configuration.
    """

    name: str  # the agent's name for the user and its peer
    cwd: Path
    environment: dict[str, str]
    model: str = ""
    bridge: BridgeAccess | None = None
    command: tuple[str, ...] = ()
    effort: str = ""  # how long it thinks, in the agent's own words; "" = its default
    mode: str = ""  # the session mode of an ACP agent; "" = the one that asks least
    options: dict[str, object] = field(default_factory=dict)
    pane: PaneAccess | None = None  # the pane of its own TUI; None: it runs without one
    account: int = 0  # which of the configured accounts; counts from 0
    elsewhere: tuple[Mapping[str, str], ...] = ()  # the environments of the others, where its session may be


@dataclass(frozen=True, kw_only=True)
class Introduction:
    """An agent's self-description, without a session. Texts are printable; "" = unknown."""

    name: str
    version: str
    protocol: str  # and its version
    logins: tuple[str, ...]  # ids of the ways to log in


@dataclass(frozen=True, kw_only=True)
class AgentEvent:
    """Something the agent did. `text` is for the user; `raw` is the agent's own JSON event, "" when there is none.

    seen: the agent has taken in the user message whose id is `message_id` (evidence: its own echo or transcript).
    spent: the turn `message_id` has used `usage` so far, with the model `text`, "" = unknown.
    process: a process with `pid` was started for this agent. Lets the owner end it after a crash.
    typed: the user typed this into the agent's own TUI; the agent works on it, and no turn of ours is affected.
    waits: the agent waits for the user's answer in its own TUI; `text` is its question, "" when it waits no longer.
    cut: the user interrupted the running turn in the agent's own TUI.
    ended: the program has ended while no turn ran; `text` is why. Call `close`, then make a new adapter.
    raw without `raw`: a sign of life, such as a piece of an answer or of a tool's output.

    `begins`: from now on something runs under this id, which may take long without any event: a tool, a background
    task. `ends`: it is over. `is_heartbeat`: it comes with the clock, and is no sign of life.
    """

    kind: Literal[
        "say",
        "tool",
        "tool-result",
        "usage",
        "spent",
        "limit",
        "seen",
        "process",
        "raw",
        "note",
        "typed",
        "waits",
        "cut",
        "ended",
    ]
    text: str = ""
    raw: str = ""
    message_id: str = ""
    pid: int = 0
    begins: str = ""
    ends: str = ""
    is_heartbeat: bool = False
    usage: Usage = field(default_factory=Usage)


SIGN_OF_LIFE = AgentEvent(kind="raw")


EventSink = Callable[[AgentEvent], None]


class Agent(Protocol):
    """One session of one coding agent.

    Errors: `AgentUnavailableError` (cannot be started here: the text names the next step), `AgentDiedError` (its
    process ended or the link broke: call `close`, make a new adapter, `open` with the session id, `find_turn`),
    `SessionNotFoundError` (only from `open`). A turn that the agent itself reports as failed is not an exception: it
    is a `TurnOutcome` with status failed, interrupted or limited.
    """

    can_steer: bool  # the agent accepts a user message in a running turn

    async def open(self, session_id: str | None) -> str:
        """Starts the agent's program; resumes `session_id`, or makes a new session. Returns the session's id.

        The id is known before the first prompt is sent, so that it can be journalled first.
        """
        ...

    async def turn(self, turn_id: str, prompt: str, *, model: str = "", schema: Schema | None = None) -> TurnOutcome:
        """Sends `prompt` as a user message whose id, in the agent's own transcript, is `turn_id` (a UUID string).

        Returns when the turn is over, background tasks included; may take hours; has no time limit of its own.
        `schema`: the JSON schema of its answer, which is then the text of the outcome. An agent that cannot be bound to
        one ignores it, and a model may break it: the caller reads the text as any other.
        """
        ...

    async def steer(self, message_id: str, text: str) -> bool:
        """Hands `text` (own id `message_id`, a UUID string) to the running turn. False: no turn took it.

        True only means that it was sent; the evidence is a later `seen` event with this id, or `find_turn`.
        """
        ...

    async def interrupt(self) -> None:
        """Ends the running turn; `turn` then returns with status interrupted. Nothing happens when none runs."""
        ...

    async def find_turn(self, message_id: str, text: str = "", *, answered: str = "") -> FoundTurn:
        """Looks the user message up in the agent's own transcript of the open session. No side effect.

        `text`: the message sent under the id: a killed agent may have written the text without the id. `answered`: the
        id of the last message that the agent answered in this session, "" = none is known. A transcript in pieces that
        lacks that message is incomplete: it proves no absence.
        """
        ...

    async def close(self) -> None:
        """Ends the program and all its processes within 2 s. May be called twice, and after any error."""
        ...


@runtime_checkable
class WaitsForBackground(Protocol):
    """An agent whose turns wait for background tasks: the model has answered, and only they keep the turn open."""

    def background(self) -> tuple[str, ...]:
        """What the open turn still waits for, in words; () when it does not wait for them alone."""
        ...

    async def stop_background(self) -> None:
        """Ends these tasks; the turn is then over, with its answer."""
        ...


@runtime_checkable
class TakesMoney(Protocol):
    """An agent that stops by itself once it has spent what it was given; the turn then fails with cause "budget"."""

    def give(self, usd: float | None) -> None:
        """Before `open`: the most that it may spend until it is closed; None: without a limit."""
        ...

    def money_left(self) -> float | None:
        """What it may still spend."""
        ...


AgentFactory = Callable[[AgentSettings, EventSink], Agent]


def discard_event(_event: AgentEvent) -> None:
    """An EventSink for callers that need only outcomes."""
