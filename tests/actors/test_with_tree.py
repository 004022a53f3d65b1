"""A job on another host, and the ways of its tree."""

from __future__ import annotations

import threading

import pytest

from actors.errors import OperationalError, PermanentError
from actors.machines import run
from actors.runners.with_tree import WithTree
from tests.patience import PATIENCE_S

ANSWER = run.ChecksEnded(checks_id="c", results=())
FULL = OSError(28, "No space left on device")


class Story:
    """A job whose tree's ways fail as told, and what came of it."""

    def __init__(self, *entries: Exception | None, leaves: Exception | None = None) -> None:
        self.entries, self.leaves = list(entries), leaves
        self.done: list[str] = []
        self.said: list[str] = []
        self.ended: list[PermanentError] = []
        self.waits = threading.Event()
        self.job = WithTree(self, self, say=self._say, unusable=self.ended.append, retry_s=(0.001, 0.001))

    def enter(self) -> None:
        self.done.append("enter")
        if error := self.entries.pop(0) if self.entries else None:
            raise error

    def leave(self) -> None:
        self.done.append("leave")
        if self.leaves is not None:
            raise self.leaves

    def run(self) -> run.Event:
        self.done.append("run")
        return ANSWER

    def cancel(self) -> None:
        self.done.append("cancel")

    def _say(self, text: str) -> None:
        self.said.append(text)
        self.waits.set()


@pytest.mark.parametrize(
    ("error", "words"),
    [(OperationalError("home's tree cannot come"), "home's tree cannot come"), (FULL, "no space left on device")],
)
def test_a_tree_that_cannot_come_is_tried_again_and_the_user_is_told(error: Exception, words: str) -> None:
    story = Story(error)
    assert story.job.run() == ANSWER
    assert story.done == ["enter", "enter", "run", "leave"]
    assert story.said == [f"{words}; tried again in 1 s"]


def test_a_job_whose_tree_never_comes_is_the_end_of_its_actor_for_good() -> None:
    story = Story(*[OperationalError("prepare on this host failed (npm ci): no network")] * 3)
    assert story.job.run() is None
    assert [str(error) for error in story.ended] == ["prepare on this host failed (npm ci): no network"]
    assert (story.done, len(story.said)) == (["enter"] * 3, 2)


def test_a_job_that_is_done_has_its_answer_also_where_its_tree_does_not_come_home() -> None:
    story = Story(leaves=OperationalError("the link is gone"))
    assert story.job.run() == ANSWER
    assert (story.said, story.ended) == (["what was done there has not come home: the link is gone"], [])


def test_a_job_that_is_withdrawn_while_its_tree_is_waited_for_is_not_done() -> None:
    story = Story(FULL)
    story.job = WithTree(story, story, say=story._say, unusable=story.ended.append, retry_s=(60,))
    answers: list[run.Event | None] = []
    work = threading.Thread(target=lambda: answers.append(story.job.run()))
    work.start()
    assert story.waits.wait(PATIENCE_S)
    story.job.cancel()
    work.join(PATIENCE_S)
    assert (answers, story.ended, story.done) == ([None], [], ["enter", "cancel"])
