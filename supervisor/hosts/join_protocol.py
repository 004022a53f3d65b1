"""What home and a host that has dialled in say to each other, inside the encrypted connection. Pure.

The connection carries channels: streams of bytes, each with an end at both sides. Home opens two for a shim: its stdin
and stdout, and its stderr. The host opens one for each connection to a socket that home has asked it to listen at. A
sender has a window for each channel, so a slow reader holds up its own channel alone. Nothing here is ever unpickled.
"""

from __future__ import annotations

import msgspec

VERSION = 1
WINDOW = 262_144  # bytes of a channel that are under way
CHUNK = 32_768
MAX_MESSAGE = 65_536
MOST_CHANNELS = 512


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The host's first words. `code`: the digest of its loop. `agents`: those there, and whether a login is seen."""

    version: int
    code: str
    python: str
    agents: dict[str, bool] = {}


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Home's answer: the host is joined under this name."""

    name: str


class Note(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Home to host: a line for the user there."""

    text: str


class Left(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The host's last words: all that it has started for home has ended, and nothing more is started."""


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Home's last words to a host: it is not joined, or no longer."""

    why: str


class Ping(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Home to host: nothing. That it cannot be sent says that the host is gone."""


class OpenShim(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Home to host: start a shim. `words`: the channel of its stderr."""

    channel: int
    words: int


class Listen(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Home to host: connections to this socket are channels of the shim. "" = a loopback port."""

    listener: int
    shim: int
    path: str


class Listening(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The host's answer. `error` = why not; "" = it listens."""

    listener: int
    port: int = 0
    error: str = ""


class Accepted(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The host has a connection. Its channels have odd numbers, and home's even ones."""

    channel: int
    listener: int


class Bytes(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What comes next in a channel."""

    channel: int
    data: bytes


class Credit(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """So many bytes more may be sent."""

    channel: int
    count: int


class ChannelEnd(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Nothing more comes in this direction; `whole`: in none. `why`: how a shim has ended."""

    channel: int
    whole: bool = False
    why: str = ""


ToHost = Welcome | Note | Refused | Ping | OpenShim | Listen | Bytes | Credit | ChannelEnd
ToHome = Hello | Left | Listening | Accepted | Bytes | Credit | ChannelEnd
