"""How a run stands, for consoles: what its actors report about themselves, put together. Pure; no actor is asked.

Belongs to the handler, which guards it: reports come in the router's thread, the state of the actors in the
supervisor's, news in the control server's.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from actors.errors import OperationalError, UserError
from actors.machines.run_status import counted_down
from actors.messages import AgentContact, AgentStatus, CheckStatus, Message, Notable, Progress, RunStatus
from supervisor.control.protocol import ActorReport

# Heartbeats come once a second. Three missing ones are no accident; the user sees it before the supervisor acts.
SILENT_MS = 3_000
_LONGEST_EVENT = 200  # characters


class RunStanding:
    """One run. `question` is the supervisor's: the run is suspended until it is answered; "": it is not suspended.

    `checks_in`: the actor whose process runs the checks. `check`: the one that runs.
    """

    def __init__(self, *, checks_in: str) -> None:
        self.question = ""
        self.check: CheckStatus | None = None
        self._checks_in = checks_in
        self._status: RunStatus | None = None
        self._agents: dict[str, AgentStatus] = {}
        self._contacts: dict[str, str] = {}  # what is wrong between an agent and the bridge, by role
        self._actors: list[ActorReport] = []
        self._last: dict[str, Progress] = {}  # by source

    # --- what comes in ------------------------------------------------------------------------------------------------

    def note(self, message: Message) -> None:
        """Keeps what an actor reports about itself."""
        match message:
            case RunStatus():
                self._status = message
            case AgentStatus():
                self._agents[message.role] = message
            case CheckStatus():
                self.check = message if message.command else None
            case AgentContact(role=role, problem=problem):
                self._contacts[role] = problem
            case _:
                pass

    def children(self, actors: list[ActorReport]) -> None:
        """Keeps the state of the actors. A turn ends with the process that it ran in."""
        before = {actor.name: actor.incarnation for actor in self._actors}
        self._no_turn_in([actor.name for actor in actors if actor.incarnation != before.get(actor.name)])
        self._actors = actors

    def asks(self, question: str) -> None:
        """The supervisor asks this, or has its answer (""). No actor runs while a question is open."""
        self.question = question
        if question:
            self._no_turn_in(list(self._agents))

    def said(self, progress: Progress) -> None:
        """Keeps the last event of each actor."""
        self._last[progress.source] = progress

    def _no_turn_in(self, roles: Collection[str]) -> None:
        """Forgets the turns and the check of these actors. One that resumes a turn reports it."""
        if self._checks_in in roles:
            self.check = None
        for role in roles:
            if (agent := self._agents.get(role)) is not None:
                self._agents[role] = replace(agent, turn_id="", purpose="", asks="")

    # --- what is told -------------------------------------------------------------------------------------------------

    def status(self, now_ms: int) -> RunStatus | None:
        """The run's own report, with what its agents and its supervisor wait for. None: there is none yet."""
        status = self._status
        if status is None or not self.question:
            return status and self._asking(counted_down(status, now_ms))
        return replace(_waits_for_user(status, "suspended"), question=self.question)

    def _asking(self, status: RunStatus) -> RunStatus:
        """Shows that the run waits while an agent waits for the user in its own window, where no console can answer."""
        asked = self._asked(status)
        return _waits_for_user(status, asked) if asked else status

    def _asked(self, status: RunStatus) -> str:
        asked = next((agent.asks for agent in self._agents.values() if agent.asks), "")
        return asked if status.state in ("working", "reviewing") else ""

    @property
    def is_known(self) -> bool:
        """Whether the run has reported itself, or is suspended."""
        return self._status is not None or bool(self.question)

    def notable(self) -> Notable | None:
        """What there is to tell a user who is not there. Call it once the standing `is_known`."""
        if self.question:
            return Notable(event="input-required", detail=self.question, key="suspended")
        status = self._status
        if status is not None and (asked := self._asked(status)):
            return Notable(event="input-required", detail=asked, key=f"asks:{asked}")
        return status.notable if status is not None else None

    def agents(self) -> list[AgentStatus]:
        """The agents' reports."""
        return list(self._agents.values())

    def running(self, roles: Collection[str]) -> list[AgentStatus]:
        """Those of these roles whose turn runs, in the order of the roles."""
        found = [self._agents[role] for role in roles if role in self._agents]
        return [agent for agent in found if agent.turn_id]

    def problems(self) -> list[str]:
        """What is wrong between the agents and the bridge."""
        return [problem for problem in self._contacts.values() if problem]

    def actors(self, now_ms: int) -> list[ActorReport]:
        """The actors, with their running turns and last events."""
        return [self._with_turn(actor, now_ms) for actor in self._actors]

    def actor(self, name: str, now_ms: int) -> ActorReport:
        """The actor of this name. Raises `UserError` for an unknown one."""
        for actor in self._actors:
            if actor.name == name:
                return self._with_turn(actor, now_ms)
        known = ", ".join(actor.name for actor in self._actors)
        raise UserError(f"no actor {name!r}: there are {known}")

    def up(self, name: str, now_ms: int) -> ActorReport:
        """As `actor`. Raises `OperationalError` for one that is down for good."""
        actor = self.actor(name, now_ms)
        if actor.state in ("stopped", "dead"):
            raise OperationalError(f"{name} is {actor.state} ({actor.why}): start {name} first")
        return actor

    def _with_turn(self, actor: ActorReport, now_ms: int) -> ActorReport:
        """Adds the running turn, which the supervisor does not see because it runs beside the mailbox."""
        agent, last = self._agents.get(actor.name), self._last.get(actor.name)
        if last is not None:
            last_event = f"{last.kind}: {last.text}"[:_LONGEST_EVENT]
            actor = replace(actor, last_event=last_event, last_event_at_ms=last.at_ms)
        silence_ms = now_ms - actor.heard_at_ms
        if actor.state in ("running", "busy") and actor.heard_at_ms and silence_ms > SILENT_MS:
            why = f"no sign of life for {silence_ms // 1_000} s; it is killed after {actor.silence_s:g} s"
            return replace(actor, state="stuck", why=why)
        if agent is None or not agent.turn_id or actor.state != "running":
            return actor
        return replace(actor, state="busy", doing=f"{agent.purpose} turn", doing_since_ms=agent.since_ms)


def _waits_for_user(status: RunStatus, why: str) -> RunStatus:
    place = status.line.removesuffix(f": waits for {status.waits_for}")
    return replace(status, state="input-required", line=f"{place}: {why}", waits_for="the user")
