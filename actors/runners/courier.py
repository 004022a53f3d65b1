"""Brings a run's tree to an agent on another host, and its work home again (edges/travel).

Home's tree is the one that counts. Before a turn or a job the host gets home's tree; after it, home follows what was
changed. Home follows only a tree that began with what home still has. Another one is kept under `refs/loop/…/salvage`
and the user is told: nothing is merged by itself, and nothing is lost.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias, TypeVar

from loguru import logger
from msgspec.structs import replace

from actors.edges import files, travel
from actors.edges.programs import ask
from actors.edges.travel import Snapshot, Synced
from actors.errors import LoopError, OperationalError
from actors.messages import (
    FetchSession,
    FetchTree,
    Message,
    ProgressKind,
    SessionParcel,
    SessionTakenIn,
    TreeParcel,
    TreeTakenIn,
)
from actors.runners.session_courier import HomeSessions, SessionAnswer

PART_BYTES = 8 * 1024 * 1024
RETRY_S = (1.0, 5.0, 15.0)  # home's git is free again, or its disk has room
ASK_AGAIN_S = 30.0  # the run may have been restarted meanwhile
PATIENCE_S = 900.0
PREPARE_S = 1_800.0
ATTEMPTS = 5

FromHost: TypeAlias = FetchTree | TreeParcel | FetchSession | SessionParcel
FromHome: TypeAlias = TreeParcel | TreeTakenIn | SessionAnswer
T = TypeVar("T")


def parcels(request_id: str, snapshot: Snapshot, data: bytes, base: str = "") -> Iterator[TreeParcel]:
    """The tree in parts; one part without data where nothing has to travel."""
    count = max(1, -(-len(data) // PART_BYTES))
    for number in range(1, count + 1):
        yield TreeParcel(
            request_id=request_id,
            number=number,
            of=count,
            data=data[(number - 1) * PART_BYTES : number * PART_BYTES],
            commit=snapshot.commit,
            tree=snapshot.tree,
            head=snapshot.head,
            branch=snapshot.branch,
            base=base,
        )


def snapshot_in(parcel: TreeParcel) -> Snapshot:
    """The snapshot that the parcel is a part of."""
    return Snapshot(commit=parcel.commit, tree=parcel.tree, head=parcel.head, branch=parcel.branch)


class Parts:
    """Collects the parts of each tree. Parts may come twice."""

    def __init__(self) -> None:
        self._found: dict[str, dict[int, bytes]] = {}

    def add(self, parcel: TreeParcel) -> bytes | None:
        """The data of the whole tree once all parts are here."""
        parts = self._found.setdefault(parcel.request_id, {})
        parts[parcel.number] = parcel.data
        if len(parts) < parcel.of:
            return None
        del self._found[parcel.request_id]
        return b"".join(parts[number] for number in range(1, parcel.of + 1))


class HomeCourier:
    """Home's side, in a thread of its own: `take` is for the mailbox's thread. `tell` sends a message to an actor."""

    def __init__(
        self,
        cwd: Path,
        store: Path,
        *,
        salvage: str,
        tell: Callable[[str, Message], None],
        say: Callable[[ProgressKind, str], None],
        sessions: HomeSessions | None = None,
    ) -> None:
        self._cwd, self._store = cwd, store
        self._sessions = sessions
        self._salvage = salvage  # the ref's beginning
        self._tell, self._say = tell, say
        self._parts = Parts()
        self._work: queue.SimpleQueue[tuple[str, FromHost]] = queue.SimpleQueue()
        threading.Thread(target=self._serve, name="courier", daemon=True).start()

    def take(self, role: str, message: FromHost) -> None:
        """Serves the message soon."""
        self._work.put((role, message))

    def _serve(self) -> None:
        while True:
            role, message = self._work.get()
            if isinstance(message, FetchSession | SessionParcel):
                if self._sessions is not None:
                    self._sessions.serve(role, message)
                continue
            try:
                if isinstance(message, FetchTree):
                    self._send(role, message)
                elif (data := self._parts.add(message)) is not None:
                    self._tell(
                        role, TreeTakenIn(request_id=message.request_id, reason=self._bring_in(role, message, data))
                    )
            except (LoopError, OSError) as error:
                logger.warning("the tree of {}: {}", role, error)
                self._refuse(role, message, str(error))

    def _refuse(self, role: str, message: FetchTree | TreeParcel, reason: str) -> None:
        if isinstance(message, FetchTree):
            self._tell(role, TreeParcel(request_id=message.request_id, number=1, of=1, reason=reason))
        else:
            self._tell(role, TreeTakenIn(request_id=message.request_id, reason=reason, failed=True))

    def _send(self, role: str, message: FetchTree) -> None:
        now = travel.snapshot(self._cwd, self._store, role)
        data = b"" if now.commit in message.have else travel.pack(self._cwd, role, message.have)
        author = travel.author(self._cwd)
        for parcel in parcels(message.request_id, now, data):
            self._tell(role, replace(parcel, author=author))

    def _bring_in(self, role: str, parcel: TreeParcel, data: bytes) -> str:
        """Returns why home does not follow; "" = it does."""
        arrived = snapshot_in(parcel)
        if data:
            travel.unpack(self._cwd, data)
        now = travel.snapshot(self._cwd, self._store, role)
        if now.same(arrived):
            return ""
        why = f"{self._cwd} has changed meanwhile"
        if now.commit == parcel.base:
            why = travel.follow(self._cwd, self._store, now, arrived)
        if why:
            ref = f"{self._salvage}/{role}-{arrived.commit[:12]}"
            travel.keep(self._cwd, ref, arrived.commit)
            self._say(
                "error",
                f"what {role} has done on its host is not taken over, since {why}; it is kept: git diff HEAD {ref}",
            )
        return why


class AwayCourier:
    """The host's side. `take` is for the mailbox's thread; the others block, in any thread but that one.

    Turns and jobs are in the tree between `enter` and `leave`, several at once, as at home. Home's tree replaces this
    one only while nobody is in it: who comes with another tree waits until the others have left.

    `prepare` is a shell command, run once in a tree that has come for the first time.
    """

    def __init__(
        self,
        cwd: Path,
        directory: Path,
        tell: Callable[[Message], None],
        *,
        prepare: str = "",
        environment: Mapping[str, str] | None = None,
        retry_s: Sequence[float] = RETRY_S,
    ) -> None:
        self._retry_s = retry_s
        self._command = prepare
        self._environment = environment or {}
        self._prepared = directory / f"prepared-{cwd.name}"
        self._cwd = cwd
        self._store = directory / "trees"
        self._synced = Synced(directory / f"synced-{cwd.name}")
        self._tell = tell
        self._busy = threading.Condition()
        self._inside = 0  # turns and jobs
        self._parts = Parts()
        self._answers: queue.SimpleQueue[FromHome] = queue.SimpleQueue()

    def take(self, message: FromHome) -> None:
        """An answer of the run."""
        self._answers.put(message)

    def enter(self) -> None:
        """Makes this tree home's, for a turn or a job. What is here and not at home goes home first.

        Raises `LoopError`; else `leave` has to follow.
        """
        with self._busy:
            attempts = 0
            while attempts < ATTEMPTS:
                if self._bring():
                    self._prepare()
                    self._inside += 1
                    return
                attempts += not self._inside
                self._busy.wait_for(lambda: not self._inside)
            raise OperationalError(f"home's tree cannot come, since somebody keeps writing to {self._cwd}")

    def leave(self) -> None:
        """Takes home what has changed since `enter`. Raises `LoopError`; the tree is left all the same."""
        with self._busy:
            try:
                self._send_known()
            finally:
                self._inside -= 1
                self._busy.notify_all()

    def _prepare(self) -> None:
        """Runs the host's command once in this tree; again when it is another one, or has failed."""
        command = self._command
        done = hashlib.sha256(command.encode()).digest()
        with suppress(OSError):
            if self._prepared.read_bytes() == done:
                return
        if not command:
            return
        ran = ask(("sh", "-c", command), environment=self._environment, cwd=self._cwd, timeout_s=PREPARE_S)
        if ran.code != 0:
            last = ((ran.out + ran.err).strip().splitlines() or ["without a word"])[-1]
            raise OperationalError(f"prepare on this host failed ({command}): {last}")
        files.replace(self._prepared, done)

    def _bring(self) -> bool:
        """False: somebody is in the tree, or something here was written meanwhile, and has to go home before."""
        known = self._synced.read()
        if known is not None:
            self._send(known)
            known = self._synced.read()
        else:
            travel.begin(self._cwd)
        have = tuple(each for each in (known and known.commit, known and known.head) if each)
        data, parcel = self._asked(FetchTree(request_id=str(uuid.uuid4()), have=have))
        arrived = snapshot_in(parcel)
        if data:
            travel.unpack(self._cwd, data)
        travel.sign(self._cwd, parcel.author)
        if arrived.same(known):
            return True  # it has been compared, and an agent may be at work in it
        if self._inside or (known is not None and not travel.snapshot(self._cwd, self._store, "here").same(known)):
            return False
        travel.put(self._cwd, self._store, arrived)
        now = travel.snapshot(self._cwd, self._store, "here")
        if now.tree != arrived.tree:
            raise OperationalError(f"the tree that has come is {now.tree[:12]}, and home's is {arrived.tree[:12]}")
        self._synced.write(arrived)
        return True

    def send(self) -> None:
        """Takes home what has changed, while agents may be in the tree. Raises `LoopError`."""
        with self._busy:
            self._send_known()

    def _send_known(self) -> None:
        known = self._synced.read()
        if known is not None:
            self._send(known)

    def _send(self, known: Snapshot) -> None:
        now = travel.snapshot(self._cwd, self._store, "here")
        if now.same(known):
            return
        data = b"" if now.commit == known.commit else travel.pack(self._cwd, "here", (known.commit, known.head))
        for pause_s in (*self._retry_s, None):
            answer = self._taken_in(now, data, known)
            if not answer.failed:
                break
            if pause_s is None:
                raise OperationalError(f"home cannot take this tree in: {answer.reason}")
            time.sleep(pause_s)
        if answer.reason:
            logger.warning("home does not follow this tree: {}", answer.reason)
        self._synced.write(now)

    def _taken_in(self, now: Snapshot, data: bytes, known: Snapshot) -> TreeTakenIn:
        """Home's answer to this tree."""
        request_id = str(uuid.uuid4())

        def tell() -> None:
            for parcel in parcels(request_id, now, data, base=known.commit):
                self._tell(parcel)

        tell()
        while True:
            answer = self._next(request_id, tell)
            if isinstance(answer, TreeTakenIn):
                return answer

    def ask(self, question: Sequence[FetchSession | SessionParcel], take: Callable[[SessionAnswer], T | None]) -> T:
        """Sends these messages of one request, and gives its answers to `take` until that returns something.

        Raises `LoopError` when none comes.
        """

        def tell() -> None:
            for each in question:
                self._tell(each)

        with self._busy:
            tell()
            while True:
                answer = self._next(question[0].request_id, tell)
                if isinstance(answer, SessionParcel | SessionTakenIn) and (taken := take(answer)) is not None:
                    return taken

    def _asked(self, question: FetchTree) -> tuple[bytes, TreeParcel]:
        self._tell(question)
        while True:
            parcel = self._next(question.request_id, lambda: self._tell(question))
            if not isinstance(parcel, TreeParcel):
                continue
            if parcel.reason:
                raise OperationalError(f"home's tree cannot come: {parcel.reason}")
            data = self._parts.add(parcel)
            if data is not None:
                return data, parcel

    def _next(self, request_id: str, ask: Callable[[], None]) -> FromHome:
        """The next answer to this request. Asks again from time to time: a restarted run does not know it."""
        for _ in range(round(PATIENCE_S / ASK_AGAIN_S)):
            try:
                while (answer := self._answers.get(timeout=ASK_AGAIN_S)).request_id != request_id:
                    continue
            except queue.Empty:
                ask()
            else:
                return answer
        raise OperationalError(f"home does not answer within {PATIENCE_S / 60:.0f} minutes")
