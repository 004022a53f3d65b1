"""The program that Claude Code's TUI calls as its hook: passes the hook's JSON to the adapter and prints the answer.

`python -I -S claude_pane_hook.py SOCKET`: the standard library only, and little of it, since the TUI waits for it.
Never fails and never delays the TUI: without a listener it exits immediately and silently. `SOCKET pass`, as a status
line before the user's own: it prints the JSON itself.
"""

import socket
import sys
from contextlib import suppress

PATIENCE_S = 5.0  # for an adapter that does not answer


def main() -> None:
    """Runs the hook; see the module."""
    event = sys.stdin.buffer.read()
    passes = sys.argv[2:] == ["pass"]
    if passes:
        sys.stdout.buffer.write(event)
        sys.stdout.buffer.flush()
    with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE_S)
        line.connect(sys.argv[1])
        line.sendall(event)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
        if not passes:
            sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
