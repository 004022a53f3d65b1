"""Messages between an agent's actor on another host and the run at home: the working tree. Pure."""

from __future__ import annotations

from actors.messages.base import Message


class FetchTree(Message, frozen=True, kw_only=True):
    """Agent's actor -> run: send me home's tree. Repeated until it has come; `have` are commits that need not come."""

    must_arrive = True

    request_id: str
    have: tuple[str, ...] = ()


class TreeParcel(Message, frozen=True, kw_only=True):
    """One part of a tree, in either direction. All parts of a tree have the same `request_id`."""

    must_arrive = True

    request_id: str
    number: int  # from 1 on
    of: int
    data: bytes = b""
    commit: str = ""  # the snapshot (edges/travel), in every part
    tree: str = ""
    head: str = ""
    branch: str = ""
    author: tuple[str, str] = ("", "")  # name and address of home's commits
    base: str = ""  # of a tree that comes home: the snapshot from which its work began
    reason: str = ""  # why there is no tree; "" = there is one


class TreeTakenIn(Message, frozen=True, kw_only=True):
    """Run -> agent's actor: your tree has come home."""

    must_arrive = True

    request_id: str
    reason: str = ""  # why home does not follow it; "" = it does
