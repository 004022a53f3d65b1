"""The states of a run, in the words of its manifest. Pure; a contract with other tools (docs/coming-from.md).

`state` is the word of today. `status` is the coarser one that older readers know, and that older files have alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

FinalState = Literal["completed", "failed", "stopped"]
RunState = Literal["submitted", "working", "reviewing", "input-required", "completed", "failed", "stopped"]

FINAL_STATES: tuple[FinalState, ...] = get_args(FinalState)
_STATUSES: Mapping[str, str] = {"completed": "done", "failed": "failed", "stopped": "stopped"}
_STATES: Mapping[str, FinalState] = {"done": "completed", "failed": "failed", "stopped": "stopped"}


def status_of(state: str) -> str:
    """The `status` of a run in this state."""
    return _STATUSES.get(state, "running")


def state_of(status: str) -> RunState:
    """The state of a run of which a file has only this `status`."""
    return _STATES.get(status, "working")
