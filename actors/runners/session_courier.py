"""Takes the file of an agent's session from a host to the run's directory after each turn, and out again.

So an agent that is placed elsewhere resumes its session: at home again, on another host, or on one that has lost its
disk. Of a file that only grew the new end travels, with the hash of the whole. A file that is larger than
`session_files.MOST_BYTES` stays where it is, and the user is told.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from loguru import logger

from actors.adapters import session_files
from actors.errors import LoopError, OperationalError
from actors.machines import session_copies
from actors.machines.session_copies import Extent
from actors.messages import FetchSession, SessionParcel, SessionTakenIn
from actors.starts import AgentProgram

SessionAnswer: TypeAlias = SessionParcel | SessionTakenIn
T = TypeVar("T")


class Ask(Protocol):
    """See `AwaySessions`."""

    def __call__(
        self, question: Sequence[FetchSession | SessionParcel], take: Callable[[SessionAnswer], T | None]
    ) -> T:
        """Asks the run."""


FOLDER = "sessions"  # in the run's directory: a folder for each role, and in it one for each session
PART_BYTES = 8 * 1024 * 1024
TOO_LARGE = f"is larger than {session_files.MOST_BYTES // 1024 // 1024} MB: it stays there, and a move begins a new one"


def parcels(request_id: str, session_id: str, name: str, content: bytes, have: Extent) -> Iterator[SessionParcel]:
    """What the side that has `have` lacks of the file, in parts; one without data where it lacks nothing.

    Where `have` is no beginning of it, that side has to say first what is to happen: it gets no data.
    """
    whole = session_copies.extent(content)
    offset = session_copies.rest(content, have)
    data = content[offset:] if offset == have.size else b""
    count = max(1, -(-len(data) // PART_BYTES))
    for number in range(1, count + 1):
        yield SessionParcel(
            request_id=request_id,
            session_id=session_id,
            number=number,
            of=count,
            name=name,
            offset=offset,
            data=data[(number - 1) * PART_BYTES : number * PART_BYTES],
            size=whole.size,
            sha256=whole.sha256,
        )


class SessionParts:
    """Collects the parts of a file. Parts may come twice. It takes no more than a session may have."""

    def __init__(self) -> None:
        self._found: dict[str, dict[int, bytes]] = {}

    def add(self, parcel: SessionParcel) -> bytes | None:
        """The data once all parts are here. Raises `OperationalError` when they are too many."""
        parts = self._found.setdefault(parcel.request_id, {})
        parts[parcel.number] = parcel.data
        if sum(map(len, parts.values())) > session_files.MOST_BYTES:
            del self._found[parcel.request_id]
            raise OperationalError("the session that comes is too large")
        if len(parts) < parcel.of:
            return None
        del self._found[parcel.request_id]
        return b"".join(parts[number] for number in sorted(parts))


def stored(directory: Path, role: str, session_id: str) -> Path | None:
    """The session's newest file in the run's directory; None: none has come home."""
    found = (directory / FOLDER / role / session_id).glob("*.jsonl")
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def put_where_agents_look(
    directory: Path, role: str, agent: str, environments: Sequence[Mapping[str, str]], cwd: Path
) -> None:
    """Has the agent, here, find the sessions that have come home. `environments`: of its accounts. Raises OSError."""
    for folder in (directory / FOLDER / role).glob("*"):
        session_id = folder.name
        path = stored(directory, role, session_id)
        content = session_files.read(path) if path is not None else None
        if path is None or content is None:
            continue
        places = [each for each in environments if session_files.found(agent, each, session_id)] or environments[:1]
        for environment in places:
            there = session_files.found(agent, environment, session_id)
            mine = session_files.read(there) if there is not None else None
            if session_copies.newest(content, mine) != "home":
                continue
            target = session_files.place_for(agent, environment, cwd, session_id, path.name)
            if target is not None:
                session_files.put(target, content)


class HomeSessions:
    """Home's side. `own` finds the file of a session that the agent has at home. Serves in the courier's thread."""

    def __init__(
        self,
        directory: Path,
        agents: Mapping[str, str],
        *,
        own: Callable[[str, str], Iterable[Path]],
        tell: Callable[[str, SessionParcel | SessionTakenIn], None],
    ) -> None:
        self._directory = directory
        self._agents = agents  # their names, by role
        self._own = own
        self._tell = tell
        self._parts = SessionParts()

    def serve(self, role: str, message: FetchSession | SessionParcel) -> None:
        """Answers the host."""
        try:
            if isinstance(message, FetchSession):
                self._send(role, message)
            elif (data := self._parts.add(message)) is not None:
                self._tell(role, self._take_in(role, message, data))
        except (LoopError, OSError) as error:
            logger.warning("the session of {}: {}", role, error)
            if isinstance(message, FetchSession):
                refusal = SessionParcel(request_id=message.request_id, session_id=message.session_id, reason=str(error))
                self._tell(role, refusal)
            else:
                self._tell(role, SessionTakenIn(request_id=message.request_id, reason=str(error)))

    def _send(self, role: str, message: FetchSession) -> None:
        if not session_files.is_id(message.session_id):
            raise OperationalError(f"{message.session_id!r} is no session")
        name, content = self._newest(role, message.session_id)
        have = Extent(message.size, message.sha256)
        for parcel in parcels(message.request_id, message.session_id, name, content, have):
            self._tell(role, parcel)

    def _newest(self, role: str, session_id: str) -> tuple[str, bytes]:
        """The run's copy, or the file of the agent here, which continues it."""
        best = stored(self._directory, role, session_id)
        content = session_files.read(best) if best is not None else None
        for path in self._own(role, session_id):
            mine = session_files.read(path)
            if mine is not None and session_copies.newest(content, mine) == "there":
                best, content = path, mine
        return ("", b"") if best is None or content is None else (best.name, content)

    def _take_in(self, role: str, parcel: SessionParcel, data: bytes) -> SessionTakenIn:
        request_id, session_id = parcel.request_id, parcel.session_id
        if not session_files.is_named(self._agents.get(role, ""), session_id, parcel.name):
            return SessionTakenIn(request_id=request_id, reason=f"{parcel.name!r} is no session of this agent")
        folder = self._directory / FOLDER / role / session_id
        if parcel.reason:  # what came before is too old to resume from
            shutil.rmtree(folder, ignore_errors=True)
            return SessionTakenIn(request_id=request_id)
        before = stored(self._directory, role, session_id)
        mine = session_files.read(before) if before is not None else None
        content = session_copies.joined(mine or b"", parcel.offset, data, Extent(parcel.size, parcel.sha256))
        if content is None:
            return SessionTakenIn(request_id=request_id, again=True)
        session_files.put(folder / parcel.name, content)
        if before is not None and before.name != parcel.name:
            before.unlink()
        return SessionTakenIn(request_id=request_id)


class AwaySessions:
    """The host's side; it blocks. `ask` sends messages to the run, and gives its answers to a function until it returns
    something. `environment`: of the agent; `say` tells the user what does not travel.
    """

    def __init__(
        self,
        agent: str,
        environment: Mapping[str, str],
        cwd: Path,
        *,
        ask: Ask,
        new_id: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self._agent, self._environment, self._cwd = agent, environment, cwd
        self._ask, self._new_id, self._say = ask, new_id, say
        self._home_has: dict[str, Extent] = {}
        self._said: set[str] = set()

    def bring(self, session_id: str) -> None:
        """Has the agent here find the session as home has it, unless this host has more of it. Raises `LoopError`."""
        if not session_files.travels(self._agent):
            return
        path = session_files.found(self._agent, self._environment, session_id)
        mine = (session_files.read(path) if path is not None else b"") or b""
        for have in (session_copies.extent(mine), Extent()):
            question = FetchSession(
                request_id=self._new_id(), session_id=session_id, size=have.size, sha256=have.sha256
            )
            parcel, data = self._fetched(question)
            wanted = Extent(parcel.size, parcel.sha256)
            if not parcel.name:
                return
            self._home_has[session_id] = wanted
            if session_copies.begins_with(mine, wanted):
                return
            content = session_copies.joined(mine, parcel.offset, data, wanted)
            if content is not None:
                target = session_files.place_for(self._agent, self._environment, self._cwd, session_id, parcel.name)
                if target is not None:
                    session_files.put(target, content)
                return
        raise OperationalError("the session that came is not the one that was sent")

    def _fetched(self, question: FetchSession) -> tuple[SessionParcel, bytes]:
        parts = SessionParts()

        def take(answer: SessionAnswer) -> tuple[SessionParcel, bytes] | None:
            if not isinstance(answer, SessionParcel):
                return None
            if answer.reason:
                raise OperationalError(f"the session cannot come: {answer.reason}")
            data = parts.add(answer)
            return None if data is None else (answer, data)

        return self._ask([question], take)

    def send(self, session_id: str) -> None:
        """Takes the session's file home, as far as home lacks it. Raises `LoopError`."""
        path = session_files.found(self._agent, self._environment, session_id)
        if path is None:
            return
        content = session_files.read(path)
        if content is None:
            if session_id not in self._said:
                self._said.add(session_id)
                self._say(f"the session {session_id} {TOO_LARGE}")
                too_large = SessionParcel(
                    request_id=self._new_id(), session_id=session_id, name=path.name, reason=TOO_LARGE
                )
                self._ask([too_large], _taken_in)
            return
        known = self._home_has.get(session_id, Extent())
        if session_copies.extent(content) == known:
            return
        if not session_copies.begins_with(content, known):
            known = Extent()
        for have in (known, Extent()):
            question = list(parcels(self._new_id(), session_id, path.name, content, have))
            answer = self._ask(question, _taken_in)
            if not answer.again:
                if answer.reason:
                    raise OperationalError(answer.reason)
                self._home_has[session_id] = session_copies.extent(content)
                return
        raise OperationalError("the session has not arrived as it was sent")


def _taken_in(answer: SessionAnswer) -> SessionTakenIn | None:
    return answer if isinstance(answer, SessionTakenIn) else None


def environments(environment: Mapping[str, str], program: AgentProgram | None) -> list[dict[str, str]]:
    """The environments of an agent's accounts; one where it has none."""
    if program is None:
        return [{**environment}]
    plain = {**environment, **program.env}
    return [{**plain, **each} for each in program.accounts] or [plain]
