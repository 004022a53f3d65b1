"""What every kind of job has. Pure data.

A job is something that the run waits for. Its kind is one file of this folder, with all that the rest of the house has
to know of it: the command that asks for the job, the event that answers it, what the state keeps meanwhile, the words
for the user, and the class variables of `Job`. What carries the command out is the driver's affair.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

import msgspec

from actors.settings import RunSettings

# Where a command is carried out: with the run itself, or with the owner of that session and of its working tree.
Where = Literal["home", "worker", "reviewer"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events of the stream "run"; journalled under the name of the struct."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands. `outstanding` gives those of jobs again, and their interruptions."""

    @property
    def where(self) -> Where:
        """Where it is carried out."""
        return "home"


class Facts(Protocol):
    """What a job may know of its run."""

    @property
    def run(self) -> RunSettings:
        """The settings."""

    @property
    def iteration(self) -> int:
        """Its number; 0 before the first."""

    @property
    def known_tree(self) -> str:
        """The id of the tree that checks and verdicts stand for; "" = none is known."""

    @property
    def apart(self) -> tuple[str, ...]:
        """Files that do not count as a part of the tree."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something that awaits the answer which names `id`. `label` is the same for all its attempts.

    It is issued (its command is out) or held (paused, stopped, failed: its command goes out when the run goes on).
    """

    id: str = ""  # given when it is added to a run
    label: str
    issued: bool = False

    asks: ClassVar[type[Command]]  # the class of its `command`
    answer: ClassVar[type[Event]]
    named_by: ClassVar[str]  # the field of command and answer that has the id; "" = neither names it
    # Whether a stop takes it back at once, for another attempt later. Else it is interrupted, and its answer awaited.
    withdrawable: ClassVar[bool]
    idle: ClassVar[bool]  # it only passes the time: a pause takes it back as well
    quiet: ClassVar[bool]  # it takes a moment: the user is not told that it is waited for

    def command(self, run: Facts, now_ms: int) -> Command:
        """What must be carried out to get the answer."""
        raise NotImplementedError

    def words(self, run: Facts) -> str:
        """What is waited for, as the user reads it after "waits for"."""
        raise NotImplementedError

    def identity(self, _run_uid: str, key: str) -> str:
        """The id of an attempt. `key` is unique in the run, and the same in each fold."""
        return key

    def withdrawal(self) -> Command | None:
        """What ends the work on it when nobody waits for its answer any more; None: it may come to its end."""
        return None

    def interrupted(self, _why: str) -> Job:
        """The job once it is ordered to break off; only where it is not `withdrawable`."""
        return self

    def interruption(self) -> Command | None:
        """The command that orders this; None: it was not ordered."""
        return None
