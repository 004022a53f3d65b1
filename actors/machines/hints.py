"""Commands that are suggested to the user. Pure.

The rule: a resume hint works wherever it is read: in a pane, a log, a notification. It names the directory unless the
reader is known to be in the run's repository.
"""

from __future__ import annotations

import shlex


def resume(run_id: str, place: str = "") -> str:
    """The command that resumes the run. `place`: a directory of its repository; "" = the reader is there."""
    command = f"loop --run-id {run_id}"
    return f"cd {shlex.quote(place)} && {command}" if place else command
