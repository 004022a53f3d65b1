"""`serve`: runs what was submitted."""

from __future__ import annotations

from shell.commands.base import Command
from shell.commands.grammar import MAX_RUNS, Errand, Subcommand


def _serve(errand: Errand) -> int:
    from shell.serve import serve_here

    return serve_here(errand.max_runs, as_json=errand.log_format == "json")


SERVE = Command(
    name="serve",
    row=Subcommand(
        "serve",
        "do what was submitted, until a signal comes",
        (),
        ("--max-runs", "--log-format"),
        f"At most N runs at once (default: {MAX_RUNS}), first submitted first; a line on stdout for each thing "
        "that happens. There is one for each home directory. A signal stops it within 5 s; runs that were not "
        "done go on with the next loop serve, also after kill -9 or a reboot; those that were stopped with loop "
        "stop, and those that failed, do not.",
    ),
    once=_serve,
)
