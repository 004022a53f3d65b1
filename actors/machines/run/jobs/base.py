"""What every kind of job has. Pure data.

A job is something that the run waits for. Each kind is one file of this folder, with everything that other modules
need: the command that asks for the job, the event that answers it, its state meanwhile, the words for the user, and the
class variables of `Job`. The driver carries the command out.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

import msgspec

from actors.settings import RunSettings

# Where a command is carried out: in the run's process, or by the owner of that session and working tree.
Where = Literal["home", "worker", "reviewer"]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all events of the stream "run"; journalled under the name of the struct."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands. `outstanding` repeats those of jobs, and their interruptions."""

    @property
    def where(self) -> Where:
        """Where it is carried out."""
        return "home"


class Facts(Protocol):
    """The part of its run that a job may read."""

    @property
    def run(self) -> RunSettings:
        """The settings."""

    @property
    def iteration(self) -> int:
        """Its number; 0 before the first."""

    @property
    def known_tree(self) -> str:
        """The id of the tree that checks and verdicts apply to; "" = none is known."""

    @property
    def worked(self) -> int:
        """How many iterations all its tasks have had together."""

    @property
    def begun_on(self) -> tuple[str, str] | None:
        """The commit and the branch before the first iteration; None: they are not known yet."""

    @property
    def apart(self) -> tuple[str, ...]:
        """Files that are excluded from the tree."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Something that awaits an answer to `id`. `label` is the same for all its attempts.

    It is issued (its command is out) or held (paused, stopped, failed: its command goes out when the run resumes).
    """

    id: str = ""  # given when it is added to a run
    label: str
    issued: bool = False

    asks: ClassVar[type[Command]]  # the class of its `command`
    answer: ClassVar[type[Event]]
    named_by: ClassVar[str]  # the field of command and answer that has the id; "" = neither names it
    # Whether a stop withdraws it immediately, for another attempt later. Else it is interrupted, and its answer
    # awaited.
    withdrawable: ClassVar[bool]
    idle: ClassVar[bool]  # it only passes the time: a pause withdraws it as well
    quiet: ClassVar[bool]  # it takes a moment: the user is not told of the wait

    def command(self, run: Facts, now_ms: int) -> Command:
        """The command that asks for the answer."""
        raise NotImplementedError

    def words(self, run: Facts) -> str:
        """The words after "waits for" in the user's status line."""
        raise NotImplementedError

    def identity(self, _run_uid: str, key: str) -> str:
        """The id of an attempt. `key` is unique in the run, and equal in each fold."""
        return key

    def withdrawal(self) -> Command | None:
        """The command that ends a withdrawn job; None: it may run to its end."""
        return None

    def interrupted(self, _why: str) -> Job:
        """The job once it is interrupted; only where it is not `withdrawable`."""
        return self

    def interruption(self) -> Command | None:
        """The command that interrupts it; None: it was not interrupted."""
        return None
