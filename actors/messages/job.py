"""Messages between the run and the agents' actors: turns, and jobs of a working tree. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from actors.messages.base import Message
from actors.messages.values import Patience, Purpose, TurnOutcome, Usage


class StartTurnRequest(Message, frozen=True, kw_only=True):
    """Run -> session owner: run this turn in your session. Repeating the same turn_id never runs it twice."""

    must_arrive = True

    turn_id: str
    purpose: Purpose
    prompt: str
    model: str = ""  # "" = the session's own
    continues: str = ""  # the attempt before: if the session has its prompt, `reminder` is sent instead of `prompt`
    reminder: str = ""
    left_usd: float | None = None  # what the run may still cost; None: without a limit
    within_ms: int = 0  # the turn may take this long; 0: as long as any turn of the session
    typed: bool = False  # the answer of a review, as JSON where the agent can be bound to a schema
    texts: Mapping[str, str] = msgspec.field(default_factory=dict)  # the user's prompts that continue it, by name


class TurnSettledReport(Message, frozen=True, kw_only=True):
    """Session owner -> run: the turn has ended and its outcome is durable."""

    must_arrive = True

    turn_id: str
    purpose: Purpose
    outcome: TurnOutcome


class InterruptTurnRequest(Message, frozen=True, kw_only=True):
    """Run or console -> session owner: end this turn now, or do not start it; it settles as interrupted."""

    must_arrive = True

    turn_id: str
    reason: str


class PauseTurns(Message, frozen=True, kw_only=True):
    """Run -> session owner: start no turn (mail included) while `held`; a running turn continues to its end.

    A session is held until it first hears from the run. `finishing`: the run waits for what has begun and for the
    turns that it has asked for, so those are done. `patience`: for all turns, mail included. `by_grant`: each turn
    needs a `TurnGranted` first.
    """

    must_arrive = True

    held: bool
    finishing: bool = False
    patience: Patience = Patience()
    by_grant: bool = False


class GrantRequest(Message, frozen=True, kw_only=True):
    """Session owner -> run: no turn runs here, and this one is to begin. "" = none is; a grant is given back.

    It comes after the reports of what ended turns have used. `after`: the run's turn that has settled here last.
    """

    must_arrive = True

    role: Literal["worker", "reviewer"]
    turn_id: str
    purpose: Purpose | Literal[""]
    after: str


class TurnGranted(Message, frozen=True, kw_only=True):
    """Run -> session owner: this turn may begin."""

    must_arrive = True

    turn_id: str


class UsageReport(Message, frozen=True, kw_only=True):
    """Session owner -> run: the usage of a turn that the run does not wait for. Repeated after a restart."""

    must_arrive = True

    role: Literal["worker", "reviewer"]
    turn_id: str
    purpose: Purpose
    model: str  # "" = the agent's own default
    usage: Usage


class RunningUsageReport(Message, frozen=True, kw_only=True):
    """Session owner -> run: the usage so far of any turn that runs. Repeated after a restart."""

    must_arrive = True

    role: Literal["worker", "reviewer"]
    turn_id: str
    purpose: Purpose
    model: str  # "" = the agent's own default
    usage: Usage


class StartJob(Message, frozen=True, kw_only=True):
    """Run -> owner of the working tree: run this job (actors/runners). Repeating a job_id starts nothing."""

    must_arrive = True

    job_id: str
    kind: str  # name of the run's command
    body: str  # the command as JSON


class JobEnded(Message, frozen=True, kw_only=True):
    """Owner of the working tree -> run: the answer to `StartJob`. An interrupted job has none."""

    must_arrive = True

    job_id: str
    kind: str  # name of the run's event
    body: str  # the event as JSON


class KeepJobs(Message, frozen=True, kw_only=True):
    """Run -> owner of the working tree: only these jobs are still wanted; interrupt the others."""

    must_arrive = True

    job_ids: tuple[str, ...]


class PeerWrote(Message, frozen=True, kw_only=True):
    """Session owner -> run: its agent has seen a mail of its peer."""

    must_arrive = True
