"""The keys of home and of the hosts that dial in: `~/.loop/keys`, private to the user. Any process; makes no socket.

`home.json` has home's own pair, `allowed.json` the public key of each host that may dial in. A host's secret key is in
the file that the user takes there; home keeps no copy of what it was. Keys are made before any ZeroMQ context, as
libzmq wants it: so by a command of their own. A key that is not in the list opens nothing.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import zmq
from zmq.utils import z85

from actors import hosts
from actors.edges import files
from actors.errors import BadFileError, MissingFileError, UserError

_KEY_LENGTH = 40


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Home's own keys, as Z85 text."""

    public: str
    secret: str

    def __repr__(self) -> str:
        return f"Pair({self.public})"


class HostKey(msgspec.Struct, frozen=True, kw_only=True):
    """The file that a host dials in with. `home`: the public key of the home that made it."""

    name: str
    home: str
    public: str
    secret: str

    def __repr__(self) -> str:
        return f"HostKey({self.name}, {self.public})"


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """A host that may dial in."""

    name: str
    public: str
    made_ms: int


def folder(home: Path) -> Path:
    """Where home keeps its keys."""
    return home / ".loop" / "keys"


def make(home: Path, name: str, now_ms: int) -> Path:
    """Makes a key for the host, allows it, and returns its file. Raises `UserError` when the host has one."""
    hosts.check_name(name)
    with _locked(home):
        known = listed(home)
        if any(each.name == name for each in known):
            raise UserError(f"{name} has a key: revoke it first with loop keys revoke {name}")
        own = folder(home) / "home.json"
        try:
            pair = own_pair(home)
        except MissingFileError:
            pair = _made()
            files.replace(own, msgspec.json.encode(pair))
        theirs = _made()
        file = folder(home) / f"{name}.key"
        key = HostKey(name=name, home=pair.public, public=theirs.public, secret=theirs.secret)
        files.replace(file, msgspec.json.encode(key) + b"\n")
        _allow(home, [*known, Allowed(name=name, public=theirs.public, made_ms=now_ms)])
        return file


def revoke(home: Path, name: str) -> None:
    """Allows the host's key no longer. Raises `UserError` when it has none."""
    _others(home, name)  # a refusal leaves nothing behind
    with _locked(home):
        _allow(home, _others(home, name))
        (folder(home) / f"{name}.key").unlink(missing_ok=True)


def _others(home: Path, name: str) -> list[Allowed]:
    """The keys of the other hosts. Raises `UserError` when this one has none."""
    known = listed(home)
    left = [each for each in known if each.name != name]
    if len(left) == len(known):
        names = ", ".join(each.name for each in known)
        there = f"the keys here are for {names}" if names else "there are no keys here; loop keys new NAME makes one"
        raise UserError(f"no key {name!r} to revoke: {there}")
    return left


def listed(home: Path) -> list[Allowed]:
    """The hosts that may dial in. Raises `UserError` for a file that is damaged."""
    try:
        return _read(folder(home) / "allowed.json", list[Allowed])  # type: ignore[no-any-return]
    except MissingFileError:
        return []


def allowed(home: Path) -> dict[bytes, str]:
    """The public key of each host that may dial in, as a ZAP request has it, and as Z85 text."""
    return {z85.decode(_checked(each.public)): each.public for each in listed(home)}


def own_pair(home: Path) -> Pair:
    """Home's keys. Raises `MissingFileError` when none was made."""
    pair: Pair = _read(folder(home) / "home.json", Pair)
    return pair


def ready_for(home: Path, name: str) -> Pair:
    """Home's keys, when this host may dial in. Raises `UserError`."""
    if any(each.name == name for each in listed(home)):
        return own_pair(home)
    raise UserError(
        f"host {name} cannot dial in: it has no key; make one with loop keys new {name}, and take the file there"
    )


def read_key(path: Path) -> HostKey:
    """The file that a host dials in with. Raises `UserError` for one that is damaged, or that others can read."""
    key: HostKey = _read(path, HostKey)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise BadFileError(path, f"others can read it: run chmod 600 {path}")
    hosts.check_name(key.name)
    for each in (key.home, key.public, key.secret):
        _checked(each)
    if zmq.curve_public(key.secret.encode()).decode() != key.public:
        raise BadFileError(path, "its two keys do not belong together: make it again with loop keys")
    return key


def _made() -> Pair:
    public, secret = zmq.curve_keypair()
    return Pair(public=public.decode(), secret=secret.decode())


def _allow(home: Path, hosts_: list[Allowed]) -> None:
    files.replace(folder(home) / "allowed.json", msgspec.json.encode(hosts_))


def _checked(key: str) -> bytes:
    text = key.encode()
    if len(text) != _KEY_LENGTH or any(letter not in z85.Z85CHARS for letter in text):
        raise UserError("a key is damaged: revoke it, and make another one with loop keys")
    return text


def _read(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(files.read_bytes(path), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadFileError(path, f"it is no file of loop keys, or damaged: {error}") from error


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    files.make_private(folder(home))
    descriptor = files.open_own(folder(home) / "lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
