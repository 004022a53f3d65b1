"""The program that Claude Code's TUI calls as its hook: hands the hook's JSON to the adapter and prints the answer.

`python -I -S claude_pane_hook.py SOCKET`: the standard library only, and little of it, since the TUI waits for it.
Never fails and never holds the TUI up: when nobody listens any more it ends at once, and nothing is said.
"""

import socket
import sys
from contextlib import suppress

PATIENCE_S = 5.0  # of an adapter that is there and does not answer


def main() -> None:
    """See above."""
    event = sys.stdin.buffer.read()
    with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
        line.settimeout(PATIENCE_S)
        line.connect(sys.argv[1])
        line.sendall(event)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := line.recv(65536):
            answer += chunk
        sys.stdout.buffer.write(answer)


if __name__ == "__main__":
    main()
