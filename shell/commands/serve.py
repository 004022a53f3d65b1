"""`serve`: runs what was submitted."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import MAX_RUNS, Invocation, Subcommand


def _serve(invocation: Invocation) -> int:
    from shell.serve import serve_here

    return serve_here(invocation.max_runs, as_json=invocation.log_format == "json")


SERVE = Command(
    name="serve",
    row=Subcommand(
        "serve",
        "run queued tasks until interrupted",
        (),
        ("--max-runs", "--log-format"),
        f"At most N runs at once (default: {MAX_RUNS}), first submitted first. Prints a line per event. There "
        "is one loop serve per home directory. A signal stops it within 5 s. The next loop serve resumes "
        "unfinished runs, also after kill -9 or a reboot. It does not resume a run that failed, or that loop "
        "stop stopped.",
    ),
    once=_serve,
)
