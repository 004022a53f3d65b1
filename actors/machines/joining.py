"""Who may dial in, and why a connection is not made: the decisions on both sides of a link that a host makes. Pure.

The names of events are libzmq's (zmq.Event). A wrong key looks like a dead network, so its events are read: home
refuses a key with status 400, and a home with other keys cannot read our handshake and closes it without a word.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import NamedTuple

ZAP_VERSION = b"1.0"
ZAP_FRAMES = 7  # version, request id, domain, address, identity, mechanism, key
REFUSED = 400


def answer(request: Sequence[bytes], allowed: Mapping[bytes, str]) -> list[bytes]:
    """Home's reply to a ZAP request: the user id is what `allowed` says of the key."""
    whole = len(request) == ZAP_FRAMES and request[0] == ZAP_VERSION and request[5] == b"CURVE"
    user = allowed.get(request[6], "") if whole else ""
    status, text = (b"200", b"OK") if user else (b"400", b"this key is not allowed")
    request_id = request[1] if len(request) > 1 else b""
    return [ZAP_VERSION, request_id, status, text, user.encode(), b""]


class Failure(NamedTuple):
    """Why a host is not joined. `lasting`: the user has to change something."""

    text: str
    lasting: bool


def not_joined(event: str, value: int, endpoint: str, key: str) -> Failure | None:
    """What an event of the dialling socket means; None: nothing that the user needs to know."""
    match event:
        case "HANDSHAKE_FAILED_AUTH" if value == REFUSED:
            return Failure(
                f"wrong key: {endpoint} does not allow the key in {key}: it was revoked, or another home made it; "
                "make one there with loop keys new",
                lasting=True,
            )
        case "HANDSHAKE_FAILED_NO_DETAIL" | "HANDSHAKE_FAILED_PROTOCOL":
            return Failure(
                f"wrong key, or no loop at {endpoint}: it closes the handshake; "
                f"the home that listens there must be the one that made {key}",
                lasting=False,
            )
        case "CONNECT_RETRIED" | "CLOSED" | "DISCONNECTED":
            return Failure(f"nobody answers at {endpoint}: dialling until a run there waits for this host", False)
    return None


def refused(event: str, value: int) -> str:
    """What an event of home's listening socket says about a host that is not let in; "" = nothing."""
    match event:
        case "HANDSHAKE_FAILED_AUTH" if value == REFUSED:
            return "wrong key: a host dials in with a key that is not allowed here: loop keys list shows those that are"
        case "HANDSHAKE_FAILED_PROTOCOL" | "HANDSHAKE_FAILED_NO_DETAIL" | "HANDSHAKE_FAILED_AUTH":
            return "wrong key: a host dials in with a key file of another home, or it is no loop"
    return ""


def not_listening(address: str, number: int | None, text: str) -> str:
    """Why home cannot listen at this address of `[join]`: by the number of the error, else its text."""
    match number:
        case errno.EADDRINUSE:
            why = "is not free: another run may listen there (runs of one loop serve share it); choose another one"
        case errno.EADDRNOTAVAIL | errno.ENODEV:
            why = "is no address of this machine: correct it"
        case errno.EACCES:
            why = "may not be used: choose a port above 1023"
        case _:
            why = f"cannot be used ({text}): correct it"
    return f"no host can dial in, since {address} {why} in [join]"
