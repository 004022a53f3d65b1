"""The program in an agent's tmux pane: starts the agent's own TUI, and shows how it ended.

A process of its own, below the tmux server. It holds the actor's socket as its lifeline. When that ends, it ends the
TUI and all its processes, so that no agent continues unwatched. `[loop]` lines show whether the run continues by
itself, or how to resume it. Decides nothing else, and never restarts the TUI: the actor does.
"""

from __future__ import annotations

import json
import queue
import signal
import socket
import subprocess
import sys
import termios
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from actors.edges import environments, processes
from actors.text import printable

# Out of the alternate screen, cursor on, mouse, paste and focus reports off, keys and colours as they were. Then a new
# line, and nothing below it: a TUI that has emptied the pane leaves the cursor in the top line, which tmux's "Pane is
# dead" scrolls away; one that draws in the pane leaves it above its last rows.
_PLAIN_TERMINAL = (
    "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1004l\x1b[<u\x1b[0m\r\n\x1b[J"
)
_OF_THE_PANE = ("TERM", "COLORTERM", "TMUX", "TMUX_PANE")
# The forkserver ends the actors within milliseconds of the root's end; an actor's end comes here a little before it.
ROOT_PATIENCE_S = 1.0


def main() -> int:
    """`python -m actors.edges.pane_program FILE`: see `panes.Pane.run`, which writes that file."""
    path = Path(sys.argv[1])
    try:
        start: dict[str, Any] = json.loads(path.read_text("utf-8"))
        path.unlink()
        line = socket.socket(socket.AF_UNIX)
        line.connect(start["socket"])
    except OSError as error:
        print(f"[loop] nothing to run in this pane: {error.strerror}")
        return 1
    # Not SIG_IGN, which the TUI would inherit. Keys are the TUI's; a closed pane ends it by its own SIGHUP.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    terminal = _terminal()
    environment = start["environment"] | environments.own(*_OF_THE_PANE)
    print(f"\x1b[2J\x1b[H[loop] starting {start['label']}", flush=True)
    try:
        program = subprocess.Popen(start["argv"], cwd=start["cwd"], env=environment)
    except OSError as error:
        _say_to(line, ended=f"cannot be started: {error}")
        print(f"[loop] {start['label']} cannot be started: {printable(str(error))}")
        return 1
    _say_to(line, pid=program.pid)
    happened: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    for name, wait in (("ended", program.wait), ("line", lambda: _last_words(line))):
        threading.Thread(target=lambda n=name, w=wait: happened.put((n, w())), daemon=True).start()
    what, value = happened.get()
    if what == "ended":
        processes.kill_tree(program.pid)  # what it left behind
        how = _ending(value)
        _restore(terminal)
        print(f"[loop] {start['label']} {how}; the run restarts it in its session")
        _say_to(line, ended=how)
        return 0
    processes.kill_tree(program.pid)
    program.wait()
    _restore(terminal)
    if value:
        print(printable(value))
    elif processes.wait_ended(start["root_pid"], ROOT_PATIENCE_S):
        print(f"[loop] run {start['run_id']} was killed: its process {start['root_pid']} is gone.")
        print(f"[loop] to resume: {start['resume']}")
    else:
        print(f"[loop] the actor that drives {start['label']} is gone; the run restarts it")
    return 0


def _last_words(line: socket.socket) -> str:
    """Waits for the end of the lifeline. Returns the actor's last text, "" when it was killed."""
    said = b""
    with suppress(OSError):
        while chunk := line.recv(4096):
            said += chunk
    with suppress(ValueError):
        return str(json.loads(said)["farewell"])
    return ""


def _say_to(line: socket.socket, **words: Any) -> None:
    with suppress(OSError):  # the actor is gone: the lifeline reports it
        line.sendall(json.dumps(words).encode() + b"\n")


def _terminal() -> list[Any] | None:
    with suppress(termios.error, OSError):
        return termios.tcgetattr(0)
    return None


def _restore(terminal: list[Any] | None) -> None:
    """Resets the terminal, whose modes a killed TUI leaves set."""
    sys.stdout.write(_PLAIN_TERMINAL)
    sys.stdout.flush()
    if terminal is not None:
        with suppress(termios.error, OSError):
            termios.tcsetattr(0, termios.TCSADRAIN, terminal)


def _ending(code: int) -> str:
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"


if __name__ == "__main__":
    sys.exit(main())
