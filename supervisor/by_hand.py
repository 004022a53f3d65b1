"""Carries out the changes that the user asks for by hand: kill, start and restart one child. Pure.

A child that was killed by hand is *held*: it stays down until the user starts it. While the tree is suspended, a start
or a restart answers the question, and concerns all children.
"""

from __future__ import annotations

from msgspec.structs import replace

from supervisor.tree_protocol import AnswerChange, ChangeAsked
from supervisor.tree_step import TreeStep


def change(step: TreeStep, asked: ChangeAsked) -> AnswerChange:
    """Makes the change, or refuses it. Returns what the user is told."""
    name = asked.child
    child = step.tree.children.get(name)
    if child is None:
        return AnswerChange(f"no actor {name!r}: there are {', '.join(step.tree.children)}", refused=True)
    if step.tree.result is not None:
        return AnswerChange("the run is ending: its actors can no longer be changed", refused=True)
    if step.tree.question:
        return _answer(step, asked)
    up = step.is_up(name)
    match asked.action:
        case "kill" if not up and not child.restart_due:
            step.update(name, held=True)
            return AnswerChange(f"{name} is already down, and stays down until you type: start {name}")
        case "kill":
            step.update(name, held=True, restart_due=False, restart_wanted=False)
            step.ask_to_stop(name, "the user asks for it")
            return AnswerChange(f"{name} is being stopped, and stays down until you type: start {name}")
        case "start" if up:
            return AnswerChange(f"{name} is already up; restart {name} replaces it", refused=True)
        case "restart" if up:
            step.update(name, held=False, restart_wanted=True)
            step.ask_to_stop(name, "the user asks for it")
            return AnswerChange(f"{name} is being restarted")
        case _:
            step.update(name, held=False)
            step.start(name, again=child.was_ready)
            return AnswerChange(f"{name} is being started")


def _answer(step: TreeStep, asked: ChangeAsked) -> AnswerChange:
    """The tree is suspended, or about to be."""
    name = asked.child
    if asked.action == "kill":
        step.update(name, held=True)
        return AnswerChange(f"{name} stays down when the others are started, until you type: start {name}")
    step.update(name, held=False)
    step.tree = replace(step.tree, answered=True)
    if step.tree.phase == "suspended":
        step.resume()
    return AnswerChange(f"{name} is being started, and the others with it")
