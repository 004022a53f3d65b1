"""A run in this process: ordered, followed to its end, and said how to resume. Main thread.

`loop` comes here, and the program in a tmux session's console pane. Imports are late, as most of `loop` never runs one.
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
    """Orders the run and follows it to its end. Returns an exit status; raises `LoopError` for what is wrong."""
    check_packages()
    keep_standard_streams_open()
    from shell.resolve import resolve_run

    return _follow(resolve_run(options, place=place), options)


def _console(spec: RunSpec, options: Options) -> OwnPrompt | TerminalConsole:
    """A prompt for people; prompt_toolkit is not imported for others."""
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
    # Who is in the terminal is still in the repository; the reader of a pane may be anywhere.
    resume = spec.resume_anywhere if spec.tmux_session else hints.resume(spec.run_id)
    output.note(f"to resume: {resume}")
    return EXIT_INTERRUPTED if ending.interrupted or console.interrupted else EXIT_NOT_DONE


def check_packages() -> None:
    """Raises `UserError` when another project's package has the name of one of ours."""
    import supervisor

    if getattr(supervisor, "OWNER", None) != "pairloop":
        raise UserError(
            f"the imported package 'supervisor' belongs to another project ({supervisor.__file__}): "
            "install pairloop into an environment of its own (venv, pipx or uv tool)"
        )


def keep_standard_streams_open() -> None:
    """A stream that was closed (`loop >&-`) is the null device from here on.

    Otherwise the next file that is opened, be it the journal, gets its number, and what is printed goes into it.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)  # our processes need them as much
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
