"""Messages between an agent's actor on another host and the run at home: working tree and session. Pure."""

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
    """Run -> agent's actor: your tree has come home, unless that has `failed`."""

    must_arrive = True

    request_id: str
    reason: str = ""  # why home does not follow it, and keeps it beside; "" = it does
    failed: bool = False  # home does not have it, for this reason


class FetchSession(Message, frozen=True, kw_only=True):
    """Agent's actor -> run: send me the session's file, unless I have it all. `size` and `sha256`: what I have."""

    must_arrive = True

    request_id: str
    session_id: str
    size: int = 0
    sha256: str = ""


class SessionParcel(Message, frozen=True, kw_only=True):
    """One part of a session's file, in either direction. All parts of a file have the same `request_id`."""

    must_arrive = True

    request_id: str
    session_id: str
    number: int = 1
    of: int = 1
    name: str = ""  # of the file, as its agent has named it; "" = there is none
    offset: int = 0  # what the receiver has of it: the data comes after that
    data: bytes = b""
    size: int = 0  # of the whole file
    sha256: str = ""
    reason: str = ""  # why it does not travel; "" = it does


class SessionTakenIn(Message, frozen=True, kw_only=True):
    """Run -> agent's actor: your session's file has come home. `again`: it has to come as a whole."""

    must_arrive = True

    request_id: str
    again: bool = False
    reason: str = ""  # why it is not kept; "" = it is


class CommandBegun(Message, frozen=True, kw_only=True):
    """Agent's actor on another host -> run: this is what the agent runs now; "" = no turn runs."""

    text: str


class CommandLost(Message, frozen=True, kw_only=True):
    """Run -> a new incarnation of the agent's actor: this was running when the one before it was lost."""

    text: str
