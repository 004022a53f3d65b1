"""Moves children: what a request for another place comes to, and where a child is started that is down. Pure.

An actor leaves its place when its running turn has ended, and its work is at home. Then it is stopped, and started at
the new place as the next incarnation. A turn that is cut for a move is not over: nobody is told of an end, and the next
incarnation resumes it. The rules:

- A request is carried out when the place can be used: that is tried before it is made.
- A child that is down is placed at once; one that ends while it leaves has left.
- The first incarnation at a new place that does not become ready, or cannot work there, goes back to the place before.
- The present place, asked for while the child leaves, is a change of mind: it stays.
- A place that is given up is left for home, also by those that are on their way to it.
- A request that was taken outlives its root, until the child is ready at its new place (hosts/kept_moves).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actors.hosts import HOME
from actors.messages import LeavePlace
from supervisor.children import Child, Tree
from supervisor.policy import ExitClass
from supervisor.tree_protocol import Announce, AnswerChange, MoveAsked, PlaceChild, TellChild
from supervisor.tree_step import TreeStep

What = Literal["refuse", "stay", "place", "leave", "later"]


class Answer(msgspec.Struct, frozen=True):
    """What follows from a request. place: at once. leave: ask it to. later: ask it to when it is ready."""

    what: What
    text: str


class Placed(msgspec.Struct, frozen=True):
    """A child that is down is placed there. `starts`: now, since it is down for this alone."""

    place: str
    why: str = ""
    back: bool = False  # it could not work where it was sent
    starts: bool = True


def named(place: str) -> str:
    """The place for the user."""
    return place or HOME


def asked(tree: Tree, name: str, place: str, *, now: bool = False) -> Answer:
    """What a request to move this child comes to. `now`: its turn is cut."""
    child = tree.children.get(name)
    if child is None:
        return Answer("refuse", f"no actor {name!r}: there are {', '.join(tree.children)}")
    if tree.result is not None:
        return Answer("refuse", "the run is ending: its actors can no longer be moved")
    if place == child.place:
        if child.moves_to is not None:
            return Answer("stay", f"{name} stays at {named(place)}")
        return Answer("refuse", f"{name} is at {named(place)} already")
    if place == child.moves_to and (child.moves_now or not now):
        return Answer("refuse", f"{name} is on its way to {named(place)} already")
    if child.phase == "down":
        return Answer("place", f"{name} is down: it will be started at {named(place)}")
    if child.phase == "ready" and now:
        return Answer("leave", f"{name} moves to {named(place)} now: the turn that it is in continues there")
    if child.phase == "ready":
        return Answer("leave", f"{name} moves to {named(place)} when what it does now has ended")
    return Answer("later", f"{name} is {child.phase}: it moves to {named(place)} after that")


def kept(child: Child) -> tuple[str, bool] | None:
    """The place that the user wants for this child, and whether at once, as long as it has not become ready there."""
    if child.moves_to is not None:
        return None if child.moves_why else (child.moves_to, child.moves_now)
    return (child.place, False) if child.came_from is not None and child.phase != "ready" else None


def after_end(child: Child, exit_class: ExitClass) -> Placed | None:
    """Where a child that has just ended is started next; None: where it was."""
    if child.moves_to is not None:
        return Placed(child.moves_to, child.moves_why, starts=exit_class == "shutdown")
    failed = exit_class == "permanent" or child.phase == "starting"
    if child.came_from is not None and failed:
        return Placed(child.came_from, f"it could not work at {named(child.place)}", back=True)
    return None


def after_loss(child: Child, place: str) -> str | None:
    """Where a child moves when this place is given up; None: nowhere."""
    if place not in (child.place if child.moves_to is None else "", child.moves_to):
        return child.moves_to
    return "" if child.place == place else None


def told(name: str, before: str, placed: Placed, detail: str) -> str:
    """What the user is told. `detail`: how the child's last incarnation has ended."""
    if not placed.why:
        return f"{name} moves from {named(before)} to {named(placed.place)}"
    how = f" ({detail})" if placed.back else ""
    return f"{name} continues at {named(placed.place)}: {placed.why}{how}"


# --- what is done to the tree ---------------------------------------------------------------------------------------


def move(step: TreeStep, request: MoveAsked) -> AnswerChange:
    """Makes the move, begins it, or refuses it. Returns what the user is told."""
    name = request.child
    answer = asked(step.tree, name, request.place, now=request.now)
    match answer.what:
        case "refuse":
            return AnswerChange(answer.text, refused=True)
        case "place":
            place(step, name, Placed(request.place), "")
        case "stay":
            step.update(name, moves_to=None)
            ask_to_leave(step, name, leaves=False)
        case "leave" | "later":
            step.update(name, moves_to=request.place, moves_now=request.now, moves_why="")
            if answer.what == "leave":
                ask_to_leave(step, name, leaves=True)
    return AnswerChange(answer.text)


def ask_to_leave(step: TreeStep, name: str, *, leaves: bool) -> None:
    """Asks the child to end its work here, or takes that back. It must be ready to hear it."""
    child = step.tree.children[name]
    if child.phase == "ready":
        now = leaves and child.moves_now
        step.do(TellChild(name, LeavePlace(incarnation=child.incarnation, leaves=leaves, now=now)))


def place(step: TreeStep, name: str, placed: Placed, detail: str) -> None:
    """Places a child that is down. `detail`: how its last incarnation has ended."""
    before = step.tree.children[name].place
    came_from = None if placed.back or placed.why else before
    step.update(name, place=placed.place, moves_to=None, moves_why="", came_from=came_from)
    step.do(PlaceChild(name, placed.place, placed.why))
    step.do(Announce("error" if placed.back else "note", told(name, before, placed, detail)))


def give_up(step: TreeStep, lost: str) -> None:
    """Nothing can be started at this place any more: its children leave it."""
    for name, child in step.tree.children.items():
        to, why = after_loss(child, lost), f"{lost} is given up"
        if child.came_from == lost:
            step.update(name, came_from=None)
        if to is not None and child.phase == "down":
            place(step, name, Placed(to, why), "")
        elif to != child.moves_to:
            step.update(name, moves_to=to, moves_now=False, moves_why=why)
            if to is None:
                ask_to_leave(step, name, leaves=False)
