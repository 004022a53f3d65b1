"""The program of a host: starts and ends the actors that home places there. Runs on the host, one for each run.

Its stdin is its lifeline, and its lease the second one: when either ends, it ends every actor with all that it has
started. It decides nothing else. Home's start arguments name paths of home; `placed` puts those of the host in their
place, with the host's own environment: no variable of home travels.

stdout carries frames alone; what anybody prints goes to stderr, which ssh brings home.
"""

from __future__ import annotations

import fcntl
import gc
import os
import queue
import select
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from msgspec.structs import replace

from actors.edges import environments, files, processes
from actors.edges.scratch import Scratch
from actors.errors import LoopError, ProtocolError
from actors.machines.lease import Held
from supervisor.hosts.host_protocol import VERSION, Begin, Begun, LeaseAsked, LeaseGranted, Reach, ToShim
from supervisor.launcher_parts import OnEvent
from supervisor.launchers import Launcher
from supervisor.runtime_dirs import make_base
from supervisor.spawning import Event, Frames, SignalRequest, SpawnRequest, failed, frame

_READ_BYTES = 65_536
EXIT_LEASE_ENDED = 3

MakeLauncher = Callable[[OnEvent, Path], Launcher]  # given where its processes are recorded


class Shim:
    """Serves home until its lifeline or its lease ends. Created and used in the main thread."""

    def __init__(self, begin: Begin, reader: int, writer: int, make: MakeLauncher) -> None:
        if begin.version != VERSION:
            raise ProtocolError(f"home speaks version {begin.version} of the hosts' protocol, this host {VERSION}")
        self._begin = begin
        self._reader, self._writer = reader, writer
        self._root = Path(begin.root).expanduser()
        self.run = self._root / "runs" / quote(begin.key, safe="")
        files.make_private(self.run)
        self._lock, ended, machine = _take_over(self.run / "shim.lock")
        self._outgoing: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="to home", daemon=True).start()
        self._launcher = make(self._report, self.run)
        self._sockets = Scratch(make_base(), "h-")
        self._bus = _take_socket(begin.bus, self._sockets.path / "bus.sock")
        self._bridge_port = 0
        now_s = time.monotonic()
        self._lease = Held(begin.stop_after_s, now_s + begin.stop_after_s)
        self._say(
            frame(
                Begun(
                    version=VERSION,
                    has_bus=self._bus is not None,
                    python=sys.version.split()[0],
                    pid=os.getpid(),
                    ended=ended,
                    machine=machine,
                )
            )
        )

    def serve(self, rest: Frames) -> int:
        """Blocks; returns the exit status."""
        import actors.starts  # noqa: F401 - home has been told that we are there; its first request takes longer than that
        from supervisor.hosts import far_sockets

        gc.freeze()  # what is imported stays
        gc.enable()
        far_sockets.clear()
        try:
            while True:
                now_s = time.monotonic()
                if now_s >= self._lease.until_s:
                    _tell(f"the lease of {self._begin.key} has ended: ending its actors")
                    return EXIT_LEASE_ENDED
                if self._lease.next_ask_s(now_s) <= 0:
                    number = self._lease.ask(now_s)
                    self._say(frame(LeaseAsked(number=number, round_trip_s=self._lease.round_trip_s)))
                patience_s = min(self._lease.next_ask_s(now_s), self._lease.until_s - now_s)
                if not select.select([self._reader], [], [], max(0.0, patience_s))[0]:
                    continue
                data = os.read(self._reader, _READ_BYTES)
                if not data:
                    return 0
                for message in rest.feed(data):
                    self._take(message)
        finally:
            self._launcher.close()
            self._sockets.close()
            if self._bus is not None:
                self._bus.unlink(missing_ok=True)
            os.close(self._lock)

    def _take(self, message: ToShim) -> None:
        match message:
            case LeaseGranted():
                self._lease.granted(message.number, time.monotonic())
            case Reach():
                self._bridge_port = message.bridge_port
            case SpawnRequest():
                try:
                    request = self._placed(message)
                except (LoopError, OSError) as error:
                    self._report(failed(message, str(error)))
                else:
                    self._launcher.start(request)
            case SignalRequest():
                self._launcher.kill(message.child, message.incarnation, message.signal)
            case Begin():
                raise ProtocolError("home has begun twice")

    def _placed(self, request: SpawnRequest) -> SpawnRequest:
        """The request with the paths, the environment and the addresses of this host."""
        from actors import starts
        from actors.access import BridgeAccess, bridge_url

        process = starts.decode(request.arguments)
        start = starts.typed(process.start, starts.StartAgent)
        trees = self._root / "trees"
        cwd = trees / quote(self._begin.repository_id, safe="") / self._begin.run_id / start.role
        cwd.mkdir(parents=True, exist_ok=True)
        trees.chmod(0o700)  # files in them have the modes that they have at home
        bridge = start.bridge and BridgeAccess(url=bridge_url(self._bridge_port), token=start.bridge.token)
        start = replace(
            start,
            cwd=cwd,
            directory=self.run,
            records=self.run / "processes" / f"of {quote(request.child, safe='')}",
            environment=environments.handed_on(),
            repository=None,
            bridge=bridge,
            pane=None,
        )
        process = replace(
            process,
            endpoint=f"ipc://{self._bus}",
            start=start,
            log=replace(process.log, stderr=True, file=""),  # ssh brings it home
        )
        return replace(request, arguments=starts.encode(process), log_path=None, runtime_dir=self.run)

    def _report(self, event: Event) -> None:
        self._say(frame(event))

    def _say(self, data: bytes) -> None:
        self._outgoing.put(data)

    def _write(self) -> None:
        with suppress(OSError):  # home is gone: the lifeline tells
            while True:
                data = self._outgoing.get()
                while data:
                    data = data[os.write(self._writer, data) :]


def _take_socket(given: str, wanted: Path) -> Path | None:
    """The socket that sshd has made for us, in our own directory if that is on the same disk. None: there is none."""
    path = Path(given)
    try:
        status = path.lstat()
    except OSError:
        return None
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.getuid():
        raise ProtocolError(f"{path} is not the socket that sshd should have made")
    path.chmod(0o600)  # it is, but where sshd is told otherwise
    try:
        return path.rename(wanted)
    except OSError:
        return path


def _take_over(path: Path) -> tuple[int, int, str]:
    """Takes the lock of the run on this host; ends a predecessor that still holds it.

    Returns how many it has ended, and a name of this file: only here could they be ended.
    """
    descriptor = files.open_own(path, os.O_RDWR)
    ended = 0
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid, started, _ = _holder(descriptor)
            if pid.isdecimal() and processes.end_stale(int(pid), started):
                ended = 1
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # released with the last of them
        machine = _holder(descriptor)[2] or os.urandom(8).hex()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {processes.start_time(os.getpid())} {machine}".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, ended, machine


def _holder(descriptor: int) -> list[str]:
    """The pid and the start time of the last one that held the lock, and the name of its file; "" = not known."""
    return [*os.pread(descriptor, 200, 0).decode(errors="replace").split(), "", "", ""][:3]


def main(first: bytes, reader: int, writer: int, make: MakeLauncher) -> int:
    """Reads `Begin`, which may be in the bytes that have come first, then serves. Returns the exit status."""
    for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    frames = Frames(ToShim)
    try:
        begin: object = next(iter(frames.feed(first)), None)
        while begin is None:
            data = os.read(reader, _READ_BYTES)
            if not data:
                return 0
            begin = next(iter(frames.feed(data)), None)
        if not isinstance(begin, Begin):
            raise ProtocolError(f"home begins with {type(begin).__name__}")
        return Shim(begin, reader, writer, make).serve(frames)
    except (LoopError, OSError) as error:  # a full disk, or one that cannot be written
        _tell(str(error))
        return 1


def _tell(text: str) -> None:
    """A line in the log of home. Importing a logger would take a third of the shim's start."""
    print(f"shim: {text}", file=sys.stderr, flush=True)


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)
