"""`--tmux`: the run in a tmux session named after it, so that it survives the terminal.

It only starts and attaches; the session's console pane runs an ordinary `loop`. In a workspace its agents open their
own TUIs in panes above it (actors/edges/panes). It uses plain `tmux`, with the user's server and settings.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from actors.edges import environments, files
from actors.edges.panes import PANE_OPTION, TITLE_OPTION
from actors.errors import OperationalError, UserError
from shell import output

_RUN_OPTION = "@loop_run"  # the session option that names its run
_CONSOLE = "console"
CONSOLE_LINES = "25%"
_NESTED = "this is a tmux session already, and sessions are not nested: leave --tmux out"


class NoTmuxError(UserError):
    """There is no tmux, or it cannot be started from here; the text says what to do."""


def check(environment: Mapping[str, str], *, new: bool) -> None:
    """Raises `NoTmuxError` when there is no tmux here, or this is a session and a `new` one would be nested in it."""
    if new and _is_nested(environment):
        raise NoTmuxError(_NESTED)
    if shutil.which("tmux", path=environment.get("PATH")) is None:
        raise NoTmuxError("--tmux needs tmux (Debian: apt-get install tmux; macOS: brew install tmux), or leave it out")


def _is_nested(environment: Mapping[str, str]) -> bool:
    """Whether this terminal is a pane of a tmux session."""
    return bool(environment.get("TMUX"))


def start(order_words: Sequence[str], run: Path, environment: Mapping[str, str], session: str, *, tuis: bool) -> int:
    """Starts `loop` with these words in the session, unless it already runs there; attaches on a terminal.

    `run` is the run's directory; `tuis`: the agents' own TUIs will be there, too. Returns an exit status. Raises
    `UserError` when the session is another run's, or another session would be nested in this one.
    """
    target = f"={session}"  # exactly this name; tmux takes a prefix otherwise
    own = _is_nested(environment) and _tmux("display-message", "-p", "#{session_name}").stdout.strip() == session
    if _is_nested(environment) and not own:
        raise NoTmuxError(_NESTED)

    def command() -> str:
        return _handed_over(order_words, run, environment, session, tuis=tuis)

    if _tmux("has-session", "-t", target).returncode != 0:
        _make(session, command(), run)
    elif (other := _tmux("show-options", "-qv", "-t", f"{target}:", _RUN_OPTION).stdout.strip()) != str(run):
        # Repositories of one name in different places have sessions of one name.
        whose = f"another run's ({other})" if other else "not loop's"
        raise UserError(
            f"the tmux session {session} is {whose}: end it (tmux kill-session -t {session}), or leave --tmux out"
        )
    else:
        _put_into_console(target, command)
    output.say(f"[loop] tmux attach -t {session}")
    if not own and sys.stdin.isatty() and sys.stdout.isatty():
        os.execvpe("tmux", ["tmux", "attach-session", "-t", target], environments.handed_on())  # noqa: S606 - no shell is wanted
    return 0


def _make(session: str, command: str, run: Path) -> None:
    pane = f"={session}:"
    size = shutil.get_terminal_size((200, 50))
    borders = f"#{{?{TITLE_OPTION}, #{{{TITLE_OPTION}}} ,}}"
    _must(
        *("new-session", "-d", "-s", session, "-x", str(size.columns), "-y", str(size.lines)),
        *("-c", str(Path.cwd()), command),
        *(";", "set-option", "-p", "-t", pane, PANE_OPTION, _CONSOLE),
        *(";", "set-option", "-p", "-t", pane, TITLE_OPTION, "loop"),
        *(";", "set-option", "-w", "-t", pane, "remain-on-exit", "on"),
        *(";", "set-option", "-w", "-t", pane, "pane-border-status", "top"),
        *(";", "set-option", "-w", "-t", pane, "pane-border-format", borders),
        *(";", "set-option", "-t", pane, _RUN_OPTION, str(run)),
    )


def _put_into_console(target: str, command: Callable[[], str]) -> None:
    """Starts the command in the console pane unless a program runs there. Replaces a pane that was killed."""
    form = f"#{{{PANE_OPTION}}} #{{pane_dead}} #{{pane_id}}"
    rows = [row.rsplit(" ", 2) for row in _must("list-panes", "-s", "-t", target, "-F", form).splitlines()]
    console = next(((dead, pane) for name, dead, pane in rows if name == _CONSOLE), None)
    if console is None:
        place = ("-v", "-f", "-l", CONSOLE_LINES, "-t", f"{target}:", "-c", str(Path.cwd()))
        pane = _must("split-window", "-d", *place, "-P", "-F", "#{pane_id}", command()).strip()
        _must("set-option", "-p", "-t", pane, PANE_OPTION, _CONSOLE)
        _must("set-option", "-p", "-t", pane, TITLE_OPTION, "loop")
    elif console[0] == "1":
        _must("respawn-pane", "-t", console[1], "-c", str(Path.cwd()), command())


def _handed_over(words: Sequence[str], run: Path, environment: Mapping[str, str], session: str, *, tuis: bool) -> str:
    """The command of the program in the session. It gets words and environment in a file: a tmux server has the
    environment of its first client, and other users could read an argument with a key.
    """
    path = run / "tmux.json"
    content = {"words": list(words), "environment": dict(environment), "session": session, "workspace": tuis}
    files.replace(path, json.dumps(content).encode())
    return shlex.join([sys.executable, "-P", "-m", "shell.in_tmux", str(path)])


def _tmux(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["tmux", *arguments],
        env=environments.handed_on(),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


def _must(*arguments: str) -> str:
    done = _tmux(*arguments)
    if done.returncode != 0:
        raise OperationalError(f"tmux {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout
