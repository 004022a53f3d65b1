"""The launcher of one run's actors on one host: keeps the link, hands requests to the shim there, grants its lease.

Lives in the root process. It restarts no actor. A link that has ended is made again: the next shim ends what the lost
one has left, and then the exits are reported. If the host does not come back, or another machine comes in its name,
they are reported when its lease has certainly ended. So an incarnation is never reported as ended while it may still
write.

A link over which no lease is asked for is ended here. A stopped shim looks alive to ssh.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from loguru import logger
from msgspec.structs import replace

from actors.clock import wall_ms
from actors.errors import LoopError, PermanentError, ProtocolError
from actors.hosts import Host
from actors.machines.durations import span
from actors.machines.lease import MARGIN_S, Granted
from supervisor.control.protocol import HostReport
from supervisor.hosts.home_side import HomeSide
from supervisor.hosts.host_protocol import VERSION, Begun, FromShim, LeaseAsked, LeaseGranted, Reach, first_words
from supervisor.hosts.link import HostAwaitedError, HostUnreachableError, Link
from supervisor.hosts.machines import Machines
from supervisor.launcher_parts import OnEvent, Reporter
from supervisor.spawning import Exited, Frames, SignalRequest, SpawnRequest, Started, StartFailed, failed, frame, lost

BEGIN_S = 30.0  # from our first words to the shim's
FRESH_S = 2.0  # as long the failure of an attempt says how the next one would end
RETRY_S = (0.5, 1.0, 2.0, 5.0)  # between two attempts to reach a host again; the last one counts for all further ones


@dataclass(kw_only=True)
class _Link:
    """One link with its shim, while it lasts."""

    ssh: Link
    reader: Frames = field(default_factory=lambda: Frames(FromShim))
    granted: Granted
    machine: str = ""  # see `Begun`


@dataclass(frozen=True)
class _Reach:
    """Somebody wants to use the host."""

    done: Future[str] = field(default_factory=Future)


class HostLauncher:
    """See `supervisor.launchers.Launcher`. Two threads: one carries requests out, one reads what the shim says."""

    def __init__(self, on_event: OnEvent, host: Host, home: HomeSide) -> None:
        self.host = host
        self._home = home
        self._reporter = Reporter(on_event)
        self._work: queue.SimpleQueue[SpawnRequest | SignalRequest | _Reach | None] = queue.SimpleQueue()
        self._first_failure: tuple[float, LoopError] | None = None
        self._guard = threading.Lock()
        self._link: _Link | None = None
        self._opening: Link | None = None  # it connects, and may do so for a while
        self._report = HostReport(name=host.name, actors=[], state="starting", since_ms=wall_ms())
        self._connecting = threading.Lock()
        self._children: dict[tuple[str, int], SpawnRequest] = {}  # asked for, and not reported as ended
        self._asked_s: dict[tuple[str, int], float] = {}
        self._machines = Machines(host.name, home.leases, home.tell)
        self._closed = threading.Event()
        self._serving = threading.Thread(target=self._serve, name=f"host {host.name}", daemon=True)
        self._serving.start()

    # --- any thread ---------------------------------------------------------------------------------------------

    def start(self, request: SpawnRequest) -> None:
        """See `Launcher.start`."""
        self._asked_s[request.child, request.incarnation] = time.monotonic()
        self._work.put(request)

    def reach(self) -> Future[str]:
        """Makes the link if there is none. The result is why it cannot be made; "" = it is there."""
        asked = _Reach()
        self._work.put(asked)
        return asked.done

    def kill(self, child: str, incarnation: int, number: int = signal.SIGKILL) -> None:
        """See `Launcher.kill`."""
        self._work.put(SignalRequest(child=child, incarnation=incarnation, signal=number))

    def listening_port(self, child: str) -> int:
        """No actor that listens is placed on a host."""
        raise ProtocolError(f"{child} wants a socket, and runs on {self.host.name}")

    def forget(self, child: str) -> None:
        """Nothing is held for a child."""

    def close(self) -> None:
        """See `Launcher.close`."""
        self._reporter.silence()
        self._closed.set()
        self._work.put(None)
        with self._guard:
            link, opening = self._link, self._opening
        if link is not None:
            link.ssh.end()
        elif opening is not None:
            opening.close()
        self._serving.join(3.0)

    def report(self) -> HostReport:
        """For the user, without the actors."""
        with self._guard:
            return self._report

    def _set_report(self, **changes: Any) -> None:
        with self._guard:
            self._report = replace(self._report, **changes)

    def _failed(self, state: str, why: str) -> None:
        """Takes note of a failure. The time of a state is when it began."""
        now_ms = wall_ms()
        with self._guard:
            since_ms = self._report.since_ms if self._report.state == state else now_ms
            shown = why if state == "away" else ""
            self._report = replace(
                self._report, state=state, since_ms=since_ms, why=shown, failure=why, failed_at_ms=now_ms
            )

    # --- the serving thread -------------------------------------------------------------------------------------

    def _serve(self) -> None:
        try:
            self._connect(self.host.lost_after_s)  # now: home's own actors start meanwhile
        except LoopError as error:
            self._first_failure = time.monotonic(), error
        while (request := self._work.get()) is not None and not self._closed.is_set():
            match request:
                case _Reach():
                    request.done.set_result(self._reached())
                case SpawnRequest():
                    self._spawn(request)
                case SignalRequest():
                    self._send(frame(request))

    def _reached(self) -> str:
        try:
            self._connect_for_request()
        except LoopError as error:
            self._failed("idle", str(error))
            return str(error)
        return ""

    def _spawn(self, request: SpawnRequest) -> None:
        try:
            self._connect_for_request()
        except LoopError as error:
            self._failed(self._report.state, str(error))
            if isinstance(error, HostAwaitedError) and self._report.state != "given-up" and not self._closed.is_set():
                self._set_report(state="given-up", since_ms=wall_ms(), why="")
                self._home.given_up()
            is_first = self._report.state in ("idle", "starting")  # what once worked may work again
            permanent = is_first and isinstance(error, PermanentError)
            self._reporter.report(replace(failed(request, str(error)), permanent=permanent))
            return
        machine = self._machines.wait_for_earlier_root(request.child, self._closed)
        with self._guard:
            self._children[request.child, request.incarnation] = request
        self._home.leases.starts(request.child, self.host.name, machine, self.host.stop_after_s + MARGIN_S)
        if not self._send(frame(request)):
            self._forget(request.child, request.incarnation)
            self._reporter.report(failed(request, f"host {self.host.name}: the link has just ended"))

    def _send(self, data: bytes) -> bool:
        with self._guard:
            link = self._link
        if link is None:
            return False
        try:
            link.ssh.send(data)
        except OSError:  # its reader sees the end
            return False
        return True

    def _connect_for_request(self) -> None:
        """A request that has waited for the first attempt has its outcome."""
        failure, self._first_failure = self._first_failure, None
        if failure is not None and time.monotonic() < failure[0] + FRESH_S:
            raise failure[1]
        self._connect(0.0)

    def _connect(self, wait_s: float) -> None:
        """Makes the link if there is none. `wait_s`: for a host that dials in. Raises `HostUnreachableError`."""
        with self._connecting:
            self._connect_alone(wait_s)

    def _connect_within(self, left_s: float) -> None:
        """As `_connect`. What a link waits for by itself may be longer, and the lease decides."""
        over = threading.Timer(left_s, self._close_opening)
        over.start()
        try:
            self._connect(left_s)
        finally:
            over.cancel()

    def _close_opening(self) -> None:
        with self._guard:
            opening = self._opening if self._link is None else None
        if opening is not None:
            opening.close()

    def _waits(self, why: str) -> None:
        self._set_report(why=why)
        self._home.tell(why)

    def _connect_alone(self, wait_s: float) -> None:
        with self._guard:
            if self._link is not None:
                return
        begun_s = time.monotonic()
        port = self._home.bridge_port()
        ssh = self._home.link(self.host, self._home.log, self._waits)
        with self._guard:
            self._opening = ssh
        if self._closed.is_set():
            ssh.close()
            raise HostUnreachableError(f"host {self.host.name} is not needed any more")
        home = self._home
        begin = first_words(
            self.host, key=home.key, run_id=home.run_id, repository_id=home.repository_id, far_bus=ssh.far_bus
        )
        ssh.open(frame(begin), home.bus, port, wait_s)
        link = _Link(ssh=ssh, granted=Granted(self.host.lost_after_s, begun_s))
        try:
            begun, early = self._begin(link)
            link.granted.at_s = time.monotonic()  # its lease has begun since: the host may have been waited for
            link.machine = begun.machine
            self._home.leases.begun(self.host.name, begun.machine)
            if not begun.has_bus:
                raise ssh.refused()
            ssh.send(frame(Reach(bridge_port=ssh.far_port() if port else 0)))
        except OSError as error:
            raise ssh.failed() from error
        except LoopError:
            ssh.close()
            raise
        for message in early:
            self._take(link, message)
        self._machines.begun(link.machine, link.granted, link.ssh)
        with self._guard:
            self._link = link
        self._set_report(state="connected", since_ms=wall_ms(), why="", python=begun.python)
        took = time.monotonic() - min(begun_s, ssh.begun_s)
        logger.info(
            "host {} is connected after {:.3f} s; {} of a lost link were ended there", self.host.name, took, begun.ended
        )
        threading.Thread(target=self._read, args=(link,), name=f"from {self.host.name}", daemon=True).start()
        if self._closed.is_set():
            ssh.close()

    def _begin(self, link: _Link) -> tuple[Begun, list[object]]:
        late = threading.Timer(BEGIN_S, link.ssh.close)
        late.start()
        try:
            while data := link.ssh.read():
                messages = list(link.reader.feed(data))
                if not messages:
                    continue
                if not isinstance(messages[0], Begun) or messages[0].version != VERSION:
                    raise ProtocolError(f"host {self.host.name} begins with {messages[0]!r}")
                return messages[0], messages[1:]
        finally:
            late.cancel()
        raise link.ssh.failed()

    # --- the reading thread -------------------------------------------------------------------------------------

    def _read(self, link: _Link) -> None:
        reason = ""
        try:
            while True:
                silent_s = time.monotonic() - link.granted.at_s
                if silent_s >= self.host.stop_after_s:  # the link, or the shim, is stuck
                    reason = f"host {self.host.name} has not been heard of for {span(round(silent_s * 1_000))}"
                    break
                if not link.ssh.is_heard(self.host.stop_after_s - silent_s):
                    continue
                if not (data := link.ssh.read()):
                    break
                for message in link.reader.feed(data):
                    self._take(link, message)
        except ProtocolError as error:
            logger.error("host {}: {}", self.host.name, error)
        reason = reason or link.ssh.ended()
        link.ssh.close()
        with self._guard:
            self._link = None
        self._failed("away", reason)
        if not self._closed.is_set():
            self._lost(link, reason)

    def _take(self, link: _Link, message: object) -> None:
        match message:
            case LeaseAsked():
                self._home.leases.granted(self.host.name, link.machine)
                link.granted.at_s = time.monotonic()
                if message.round_trip_s is not None:
                    self._set_report(round_trip_ms=round(message.round_trip_s * 1_000, 1))
                try:
                    link.ssh.send(frame(LeaseGranted(number=message.number)))
                except OSError:
                    return
            case Started():
                took_s = time.monotonic() - self._asked_s.pop((message.child, message.incarnation), time.monotonic())
                logger.info(
                    "{}#{} is on {}, {:.3f} s after its request",
                    message.child,
                    message.incarnation,
                    self.host.name,
                    took_s,
                )
                self._reporter.report(message)
            case Exited() | StartFailed():
                self._forget(message.child, message.incarnation)
                self._reporter.report(message)
            case _:
                raise ProtocolError(f"host {self.host.name} says {message!r}")

    def _lost(self, link: _Link, reason: str) -> None:
        """Reaches the host again, or waits until nothing can live there; then reports the exits."""
        with self._guard:
            children = list(self._children.values())
        if not children:
            self._set_report(state="idle", since_ms=wall_ms(), why="")
            return
        wait_s = link.granted.given_up_in_s(time.monotonic())
        self._home.tell(f"{reason}; its actors are given up in {span(round(wait_s * 1_000))} unless it comes back")
        attempt = 0
        while (left_s := link.granted.given_up_in_s(time.monotonic())) > 0 and not self._closed.is_set():
            try:
                self._connect_within(left_s)
            except LoopError as error:
                logger.info("{}", error)
                self._failed("away", str(error))
            else:
                self._home.tell(f"host {self.host.name} is back")
                self._machines.wait_for_others(self._closed)
                break
            self._closed.wait(min(left_s, RETRY_S[min(attempt, len(RETRY_S) - 1)]))
            attempt += 1
        else:
            self._set_report(state="given-up", since_ms=wall_ms())
            self._home.given_up()
        for request in children:
            self._forget(request.child, request.incarnation)
            self._reporter.report(lost(request))

    def _forget(self, child: str, incarnation: int) -> None:
        with self._guard:
            self._children.pop((child, incarnation), None)
            lives = any(other == child for other, _ in self._children)
        if not lives:
            self._home.leases.ended(child, self.host.name)
