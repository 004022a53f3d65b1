"""What the launchers' tests start: small stand-ins for actors. Imported in the processes that are started."""

import json
import os
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from actors.edges import processes


def tell(ear, **facts):
    """One line to the test. Returns the connection: its end tells the test that the process is gone."""
    link = socket.socket(socket.AF_UNIX)
    link.connect(ear)
    link.sendall(json.dumps(facts).encode() + b"\n")
    return link


def end_with(lifelines):
    """As actors.actor_process does: when launcher or root is gone, all below this process ends, then the process."""

    def watch():
        select.select(lifelines, [], [])
        if len(lifelines) > 1:
            os.kill(os.getppid(), signal.SIGCONT)
        processes.kill_tree(os.getpid(), itself=False)
        os._exit(69)

    threading.Thread(target=watch, daemon=True).start()


def sleep():
    time.sleep(1000)


def fork(do):
    pid = os.fork()
    if pid == 0:
        try:
            do()
        finally:
            os._exit(1)
    return pid


def through(between):
    """The pid of a grandchild whose parent has ended."""
    ours, theirs = os.pipe()

    def parent():
        between()
        os.write(theirs, str(fork(sleep)).encode())
        os._exit(0)

    os.waitpid(fork(parent), 0)
    return int(os.read(ours, 20))


def own_session():
    os.setsid()
    fork(sleep)
    sleep()


def grow_tree():
    return {
        "plain": fork(sleep),
        "own session": fork(own_session),
        "orphan": through(lambda: None),
        "daemon": through(os.setsid),
    }


def tree(arguments, lifelines, listen_fd):
    """Has descendants of all kinds, tells their pids, and sleeps; "records" names where they are recorded."""
    told = json.loads(arguments)
    processes.become_subreaper()
    below = grow_tree()
    for pid in below.values():
        if told.get("records"):
            processes.record(Path(told["records"]), pid)
    end_with(lifelines)
    link = tell(told["ear"], pid=os.getpid(), below=below)
    sleep()
    link.close()


def describe(arguments, lifelines, listen_fd):
    """Tells about the process itself, and sleeps."""
    told = json.loads(arguments)
    fds = sorted(int(path.name) for path in Path("/dev/fd").iterdir())
    facts = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "fds": [fd for fd in fds if is_open(fd)],
        "mine": [*lifelines, listen_fd],
        "inheritable": [fd for fd in fds if fd > 2 and is_open(fd) and os.get_inheritable(fd)],
        "stdin": os.read(0, 1).decode(),
        "path": sys.path,
        "environment": sorted(os.environ),
        "threads": threading.active_count(),
        "handlers": [str(signal.getsignal(n)) for n in (signal.SIGTERM, signal.SIGCHLD, signal.SIGINT)],
        "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "length": len(arguments),
    }
    end_with(lifelines)
    link = tell(told["ear"], **facts)
    sleep()
    link.close()


def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def serve_one(arguments, lifelines, listen_fd):
    """Tells its address, answers one connection with "hello from PID", and ends. "deaf": never accepts."""
    told = json.loads(arguments)
    end_with(lifelines)
    listening = socket.socket(fileno=listen_fd)
    link = tell(told["ear"], pid=os.getpid(), address=listening.getsockname())
    if told.get("deaf"):
        sleep()
    caller, _ = listening.accept()
    caller.sendall(f"hello from {os.getpid()}".encode())
    caller.close()
    link.close()


def leave(arguments, lifelines, listen_fd):
    """Ends as the arguments say."""
    match json.loads(arguments):
        case {"code": code}:
            sys.exit(code)
        case {"signal": number}:
            os.kill(os.getpid(), number)
            sleep()
        case {"error": text}:
            raise RuntimeError(text)
        case {"say": text}:
            print(text, flush=True)


def leave_on_terminate(arguments, lifelines, listen_fd):
    signal.signal(signal.SIGTERM, lambda *_: os._exit(5))
    end_with(lifelines)
    tell(json.loads(arguments)["ear"], pid=os.getpid(), below={"plain": fork(sleep)})
    sleep()


def end_slowly(arguments, lifelines, listen_fd):
    """Tells that it runs; tells that it has seen the end of a lifeline; ends when it is answered."""
    ear = json.loads(arguments)["ear"]
    link = tell(ear, pid=os.getpid())
    select.select(lifelines, [], [])
    tell(ear, pid=os.getpid()).recv(100)
    link.close()
