"""The ZeroMQ sockets of one I/O thread, and how other threads reach it. The only module that makes a ZeroMQ context.

A socket belongs to the thread that made it, so each loop owns its sockets for their whole life: `open` makes them,
`serve` uses them, and they are always closed with their context. Other threads never touch a socket: they add a call,
or wake the loop. It never interprets a frame. A console has a loop as well: so the log's library, which costs as much
as the rest of a console, is imported with the first line to log.
"""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future

import zmq

from actors.edges.wakeup import Wakeup
from actors.errors import OperationalError, ProtocolError

Socket = zmq.Socket[bytes]
Call = Callable[[], None]
Options = Mapping[zmq.SocketOption, int | bytes]


class SocketLoop:
    """`start` (in its own thread) or `run` (in the caller's) once. `call_soon` and `wake` are for any thread at any
    time; everything else is for the loop's thread, between `open` and the end of `serve`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.linger_ms = 0  # for what is still in the sockets at the end
        self._wakeup = Wakeup()
        self._calls: deque[Call] = deque()
        self._hears_signals = False
        self._thread: threading.Thread | None = None
        self._context: zmq.Context[Socket] | None = None
        self._poller = zmq.Poller()
        self._poller.register(self._wakeup.fd, zmq.POLLIN)
        self._sockets: list[Socket] = []
        self._monitored: list[tuple[Socket, Socket]] = []

    # --- any thread ---

    def wake(self) -> None:
        """Ends the current poll, or the next one."""
        self._wakeup.wake()

    def call_soon(self, call: Call) -> None:
        """Adds a call, which `calls` yields after the earlier ones."""
        self._calls.append(call)
        self._wakeup.wake()

    def start(self, open_sockets: Callable[[], None], serve: Callable[[], None]) -> None:
        """Runs in a thread of its own. Returns when the sockets are open; raises the error of opening them."""
        opened: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(open_sockets, serve, opened), name=self.name, daemon=True
        )
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            self._thread.join()
            raise

    def join(self) -> None:
        """Waits for the end of the thread; `serve` has to return by itself."""
        if self._thread is not None:
            self._thread.join()

    def run(self, open_sockets: Callable[[], None], serve: Callable[[], None]) -> None:
        """Runs in the caller's thread."""
        opened: Future[None] = Future()
        self._run(open_sockets, serve, opened)
        opened.result()

    def hear_signals(self) -> None:
        """Makes signals wake the loop, since Python runs a signal handler only when the poll returns. Called in the
        main thread, which must be the loop's.
        """
        signal.set_wakeup_fd(self._wakeup.signal_fd, warn_on_full_buffer=False)
        self._hears_signals = True

    # --- the loop's thread ---

    def bind(self, kind: int, endpoint: str, options: Options) -> Socket:
        """Makes a bound, polled socket. Raises `OperationalError` when the endpoint is not free."""
        socket = self._open(kind, options)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise OperationalError(f"cannot bind {endpoint}: {error}") from error
        return socket

    def connect(self, kind: int, endpoint: str, options: Options) -> Socket:
        """Makes a connected, polled socket. The peer need not exist yet."""
        socket = self._open(kind, options)
        socket.connect(endpoint)
        return socket

    def dial(self, kind: int, endpoint: str, options: Options, events: int) -> tuple[Socket, Socket]:
        """A connecting socket, and the monitor of these events: made first, so that a quick refusal is not missed."""
        socket = self._open(kind, options)
        monitor = self.monitor(socket, events)
        socket.connect(endpoint)
        return socket, monitor

    def monitor(self, socket: Socket, events: int) -> Socket:
        """Makes a polled socket that reports these events of another one."""
        try:
            monitor = socket.get_monitor_socket(events)
        except zmq.ZMQError as error:
            raise OperationalError(f"cannot monitor a socket of the {self.name}: {error}") from error
        self._monitored.append((socket, monitor))
        self._poller.register(monitor, zmq.POLLIN)
        return monitor

    def close_socket(self, socket: Socket) -> None:
        """Closes this socket before the loop ends."""
        for watched, monitor in [each for each in self._monitored if each[0] is socket]:
            self._monitored.remove((watched, monitor))
            self._poller.unregister(monitor)
            watched.disable_monitor()
            monitor.close(0)
        self._poller.unregister(socket)
        self._sockets.remove(socket)
        socket.close(0)

    def watch(self, fd: int, flags: int = zmq.POLLIN) -> None:
        """Polls this descriptor for reading as well, or for what `flags` say; 0 = not any more."""
        self._poller.register(fd, flags)

    def want_to_write(self, socket: Socket, *, wanted: bool) -> None:
        """Sets whether the poll also ends when the socket is writable."""
        self._poller.register(socket, zmq.POLLIN | (zmq.POLLOUT if wanted else 0))

    def calls(self) -> Iterator[Call]:
        """Yields the added calls until none is left."""
        while self._calls:
            yield self._calls.popleft()

    def poll(self, timeout_ms: int | None = None) -> Collection[object]:
        """The readable sockets and descriptors, after that long at most. Make the calls after it."""
        ready = dict(self._poller.poll(timeout_ms))
        if self._wakeup.fd in ready:
            self._wakeup.clear()
        return ready.keys()

    def guarded(self, step: Call, *, refused: Callable[[ProtocolError], None] | None = None) -> None:
        """Runs the step and survives its errors: one bad message, or a bug of ours, must not end the loop.

        `refused` is called for invalid input; by default it is logged.
        """
        try:
            step()
        except ProtocolError as error:
            if refused is not None:
                refused(error)
                return
            from loguru import logger

            logger.error("the {} refused a message: {}", self.name, error)
        except BaseException as error:
            from loguru import logger

            logger.opt(exception=error).critical("the {} failed at a step", self.name)

    def _open(self, kind: int, options: Options) -> Socket:
        assert self._context is not None
        socket = self._context.socket(kind)
        self._sockets.append(socket)
        for option, value in options.items():
            socket.setsockopt(option, value)
        self._poller.register(socket, zmq.POLLIN)
        return socket

    def _run(self, open_sockets: Callable[[], None], serve: Callable[[], None], opened: Future[None]) -> None:
        self._context = context = zmq.Context()
        try:
            try:
                open_sockets()
            except BaseException as error:
                opened.set_exception(error)
            else:
                opened.set_result(None)
                serve()
        finally:
            for socket, monitor in self._monitored:
                socket.disable_monitor()
                monitor.close(0)
            for socket in self._sockets:
                socket.close(self.linger_ms)
            context.term()
            if self._hears_signals:
                signal.set_wakeup_fd(-1)
            self._wakeup.close()
