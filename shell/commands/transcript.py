"""`transcript`: the last lines of a run's transcript."""

from __future__ import annotations

from shell.commands.base import Command, Prompt

SHOWN = 20  # lines of a transcript


def _type_transcript(prompt: Prompt, _rest: str) -> str:
    """The last lines of the run's transcript: states, reviews, results, mail between the agents."""
    from actors.edges import run_dir
    from shell import tables

    lines = run_dir.read_transcript(prompt.directory)[-SHOWN:]
    return "\n".join(tables.transcript_line(line) for line in lines) or "the transcript is empty"


TRANSCRIPT = Command(name="transcript", typed=_type_transcript)
