"""`--tmux`: the run in a detached tmux session named after it, so that it survives the terminal.

Only starts and attaches; the run in the session is an ordinary `loop`. Plain `tmux`, four commands of it.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from actors.errors import CircumstanceError, UserError

_RUN_OPTION = "@loop_run"  # a session's note of whose it is
SESSION_VARIABLE = "LOOP_TMUX_SESSION"  # tells the loop in the session what to write into its manifest


def check(environment: Mapping[str, str]) -> None:
    """Raises `UserError` when a session cannot be started from here."""
    if environment.get("TMUX"):
        raise UserError("this is a tmux session already, and sessions are not nested: leave --tmux out")
    if shutil.which("tmux", path=environment.get("PATH")) is None:
        raise UserError("--tmux needs tmux (Debian: apt-get install tmux; macOS: brew install tmux), or leave it out")


def start(session: str, words: Sequence[str], run: Path, environment: Mapping[str, str]) -> int:
    """Starts `loop` with `words` in the session, unless it runs there already; attaches on a terminal.

    `run` is the run's directory. Returns an exit status. Raises `UserError` when the session is another run's.
    """
    target = f"={session}"  # exactly this name; tmux takes a prefix otherwise
    pane = f"{target}:"
    if _tmux("has-session", "-t", target).returncode != 0:
        size = shutil.get_terminal_size((200, 50))
        _must(
            *("new-session", "-d", "-s", session, "-x", str(size.columns), "-y", str(size.lines)),
            *("-c", str(Path.cwd()), _command(words, run, environment, session)),
            *(";", "set-option", "-t", pane, "remain-on-exit", "on"),
            *(";", "set-option", "-t", pane, _RUN_OPTION, str(run)),
        )
    elif (other := _tmux("show-options", "-qv", "-t", pane, _RUN_OPTION).stdout.strip()) != str(run):
        # Repositories of one name in different places have sessions of one name.
        whose = f"another run's ({other})" if other else "not loop's"
        raise UserError(
            f"the tmux session {session} is {whose}: end it (tmux kill-session -t {session}), or leave --tmux out"
        )
    elif _tmux("display-message", "-p", "-t", pane, "#{pane_dead}").stdout.strip() == "1":
        # What ran in it has ended; remain-on-exit has only kept its last screen.
        _must("respawn-pane", "-t", pane, "-c", str(Path.cwd()), _command(words, run, environment, session))
    print(f"[loop] tmux attach -t {session}", flush=True)
    if sys.stdin.isatty() and sys.stdout.isatty():
        os.execvp("tmux", ["tmux", "attach-session", "-t", target])  # noqa: S606 - no shell is wanted
    return 0


def _command(words: Sequence[str], run: Path, environment: Mapping[str, str], session: str) -> str:
    return shlex.join([sys.executable, "-P", "-m", "shell.tmux", str(_handed_over(words, run, environment, session))])


def _handed_over(words: Sequence[str], run: Path, environment: Mapping[str, str], session: str) -> Path:
    """A file for the program in the session. A tmux server has the environment of whoever started it first, and an
    argument with a key in it could be read by everybody on this machine.
    """
    path = run / "tmux.json"
    content = {"words": list(words), "environment": {**environment, SESSION_VARIABLE: session}}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file)
    return path


def _tmux(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["tmux", *arguments], capture_output=True, text=True, check=False)


def _must(*arguments: str) -> None:
    done = _tmux(*arguments)
    if done.returncode != 0:
        raise CircumstanceError(f"tmux {arguments[0]} failed: {done.stderr.strip()}")


def main() -> int:
    """In the session: becomes the loop that was asked for."""
    from shell.cli import main as loop

    path = Path(sys.argv[1])
    content = json.loads(path.read_text("utf-8"))
    path.unlink()
    terminal = {name: os.environ[name] for name in ("TERM", "TMUX", "TMUX_PANE") if name in os.environ}
    os.environ.clear()
    os.environ.update(content["environment"] | terminal)
    return loop(content["words"])


if __name__ == "__main__":
    sys.exit(main())
