"""`loop shell`: a prompt on a run of another process or, without a terminal, one command per line of input.

`python -m shell.attached RUN` is the same as a program; the dashboard starts it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from actors.edges import run_lock
from shell import output
from shell.at_prompt import execute
from shell.background import Background
from shell.control_client import ControlClient, control_endpoint
from shell.exits import reported
from shell.repl import Repl
from shell.run_files import RunFiles, choose
from supervisor.control.protocol import AnyAnswer, Request


def attach(found: RunFiles) -> int:
    """Attaches to a run of another process. Returns an exit status."""
    endpoint = control_endpoint(found.directory)
    if not sys.stdin.isatty():
        return _follow_orders(endpoint, found)
    output.say(f"[loop] run {found.run_id} in {found.text('cwd')}: help lists the commands, Ctrl-D detaches")
    ended = Repl(endpoint, found.directory, own=False).run()
    if ended is not None:
        output.say(f"[loop] run {found.run_id} {ended.state}{': ' + ended.detail if ended.detail else ''}")
    elif not run_lock.is_active(found.directory):
        output.say(f"[loop] run {found.run_id} is no longer running")
    return 0


class Pipe:
    """Implements `Prompt` for commands that come from a pipe."""

    own = False

    def __init__(self, client: ControlClient, directory: Path) -> None:
        self._client = client
        self.directory = directory
        self.left = False

    def ask(self, request: Request) -> AnyAnswer:
        """See `ControlClient.ask`."""
        return self._client.ask(request)

    def start(self, name: str, command: Sequence[str]) -> str:
        """See `Prompt.start`. The next line is read when it has ended: what it prints is in the order of the lines."""
        running = Background(output.say)
        try:
            running.start(name, command)
            running.wait()
        finally:
            running.close()
        return ""

    def leave(self) -> None:
        """Ends the reading of lines."""
        self.left = True


def _follow_orders(endpoint: str, found: RunFiles) -> int:
    """Without a terminal: runs each line of the input as a command."""
    client = ControlClient(endpoint, alive=lambda: run_lock.is_active(found.directory))
    pipe = Pipe(client, found.directory)
    try:
        for line in sys.stdin:
            if line.strip() and (answer := execute(pipe, line)):
                output.say(answer)
            if pipe.left:
                break
    finally:
        client.close()
    return 0


if __name__ == "__main__":
    sys.exit(reported(lambda: attach(choose(sys.argv[1], running=True))))
