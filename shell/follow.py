"""A run in this process: starts it, follows it to its end, and prints how to resume it. Main thread.

`loop` uses it, and so does the program in a tmux session's console pane. Imports are late, as most commands start no
run.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from actors.errors import UserError
from shell import output
from shell.exits import EXIT_COMPLETED, EXIT_INTERRUPTED, EXIT_NOT_DONE
from shell.options import Options

if TYPE_CHECKING:
    from shell.own_prompt import OwnPrompt
    from shell.resolve import TmuxPlace
    from shell.terminal import TerminalConsole
    from supervisor.run_tree import RunSpec


def run(options: Options, place: TmuxPlace | None = None) -> int:
    """Starts the run and follows it to its end. Returns an exit status; raises `LoopError` when it cannot start."""
    check_packages()
    keep_standard_streams_open()
    from shell.resolve import resolve_run

    return _follow(resolve_run(options, place=place), options)


def _console(spec: RunSpec, options: Options) -> OwnPrompt | TerminalConsole:
    """A prompt on a terminal; elsewhere a console without prompt_toolkit."""
    if spec.has_prompt:
        from shell.own_prompt import OwnPrompt

        return OwnPrompt(spec.directory)
    from shell.terminal import TerminalConsole

    return TerminalConsole(spec.run_id, raw=spec.raw_output, as_json=options.logs_json)


def _follow(spec: RunSpec, options: Options) -> int:
    from actors.machines import hints
    from shell.resolve import taken_back
    from supervisor.root import run_root

    console = _console(spec, options)
    try:
        with taken_back(spec.directory, spec.made):
            ending = run_root(spec, console)
    finally:
        console.close()
    result = ending.result
    output.note(f"run {spec.run_id} {result.state}{': ' + result.detail if result.detail else ''}")
    output.note(f"its files: {spec.directory}")
    if result.state == "completed":
        return EXIT_COMPLETED
    # The user's shell is still in the repository; the reader of a pane may be anywhere.
    resume = spec.resume_anywhere if spec.tmux_session else hints.resume(spec.run_id)
    output.note(f"to resume: {resume} {result.resume}".rstrip())
    return EXIT_INTERRUPTED if ending.interrupted or console.interrupted else EXIT_NOT_DONE


def check_packages() -> None:
    """Raises `UserError` when a package of another project hides one of ours."""
    import supervisor

    if getattr(supervisor, "OWNER", None) != "pairloop":
        raise UserError(
            f"the imported package 'supervisor' belongs to another project ({supervisor.__file__}): "
            "install pairloop into an environment of its own (venv, pipx or uv tool)"
        )


def keep_standard_streams_open() -> None:
    """Replaces a closed standard stream (`loop >&-`) by the null device.

    Otherwise the next opened file, perhaps the journal, gets its number, and output goes into that file.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)  # our child processes need them, too
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
