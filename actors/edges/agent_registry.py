"""Known agents of the Agent Client Protocol, from the shipped list or the last fetch of the public registry.

Source of the format: https://agentclientprotocol.com/get-started/registry. Reads files when it is called; `fetch` asks
the network, only at the user's request, within limits of bytes and time. It starts no agent.

An entry is known by its id, and by the name of its program: `gemini`, and `copilot` for `github-copilot-cli`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import msgspec

from actors.edges import files
from actors.errors import BadFileError, MissingFileError, OperationalError, UserError

URL = "https://cdn.agentclientprotocol.com/registry/v1/latest/registry.json"
FETCHED_FILE = Path(".loop") / "agents.json"  # in the home directory
MOST_BYTES = 5_000_000  # the registry has about 200 kB
PATIENCE_S = 15.0
_SHIPPED = Path(__file__).with_suffix(".toml")


class KnownAgent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One agent. `programs`: its possible names on PATH. `npx`, `uvx`: a package that has it, "" = none.

    `uvx_program`: the package's program, when it is not called like the package.
    """

    id: str
    name: str = ""
    version: str = ""
    programs: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    npx: str = ""
    uvx: str = ""
    uvx_program: str = ""
    login: str = ""


class Registry(msgspec.Struct, frozen=True, kw_only=True):
    """All known agents, as of `date` (ISO-8601)."""

    date: str
    agents: tuple[KnownAgent, ...]

    def find(self, name: str) -> KnownAgent | None:
        """By id or by program, in any case."""
        key = name.lower()
        by_id = (agent for agent in self.agents if agent.id == key)
        by_program = (agent for agent in self.agents if key in agent.programs)
        return next(by_id, None) or next(by_program, None)


def shipped() -> Registry:
    """The list that ships with this version."""
    return msgspec.convert(tomllib.loads(_SHIPPED.read_text("utf-8")), Registry)


def read(home: Path) -> Registry:
    """The last fetch, else the shipped list. A damaged file counts as absent."""
    try:
        return msgspec.convert(files.read_json(home / FETCHED_FILE, MOST_BYTES), Registry)
    except (MissingFileError, BadFileError, msgspec.ValidationError):
        return shipped()


def fetch(home: Path, url: str = URL) -> Registry:
    """Asks the public registry, and keeps the answer in the home directory.

    Raises `OperationalError` when there is no answer, `UserError` when it is not a registry.
    """
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise UserError(f"{url!r} is not an https address: leave it out")
    try:
        with urlopen(Request(url, headers={"Accept": "application/json"}), timeout=PATIENCE_S) as answer:  # noqa: S310
            content = answer.read(MOST_BYTES + 1)
    except (URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise OperationalError(f"the registry does not answer: {reason} ({url}): try again later") from error
    if len(content) > MOST_BYTES:
        raise OperationalError(f"the registry's answer is larger than {MOST_BYTES:,} bytes ({url})")
    registry = Registry(date=datetime.now(UTC).date().isoformat(), agents=tuple(_agents(content, url)))
    files.make_private((home / FETCHED_FILE).parent)
    files.replace(home / FETCHED_FILE, msgspec.json.encode(registry))
    return registry


class _Package(msgspec.Struct, frozen=True):
    package: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}


class _Binary(msgspec.Struct, frozen=True):
    cmd: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}


class _Distribution(msgspec.Struct, frozen=True):
    npx: _Package | None = None
    uvx: _Package | None = None
    binary: dict[str, _Binary] = {}


class _Entry(msgspec.Struct, frozen=True):
    id: str
    name: str
    version: str
    distribution: _Distribution


class _Document(msgspec.Struct, frozen=True):
    agents: list[Any]


def _agents(content: bytes, url: str) -> Iterable[KnownAgent]:
    """Skips entries that cannot be read: the format may grow."""
    try:
        document = msgspec.json.decode(content, type=_Document)
    except (ValueError, RecursionError) as error:
        raise OperationalError(f"{url} is not a registry of agents: {error}") from error
    ours = {agent.id: agent for agent in shipped().agents}
    for item in document.agents:
        try:
            entry = msgspec.convert(item, _Entry)
        except msgspec.ValidationError:
            continue
        yield _known(entry, ours.get(entry.id))


def _known(entry: _Entry, ours: KnownAgent | None) -> KnownAgent:
    """Adds what the registry lacks: an agent's program name, and how to log in."""
    offers = entry.distribution
    binary = next(iter(offers.binary.values()), None)
    start = offers.npx or offers.uvx or binary or _Binary("")
    programs = [Path(binary.cmd).name] if binary else []
    return KnownAgent(
        id=entry.id,
        name=entry.name,
        version=entry.version,
        programs=ours.programs if ours else tuple(dict.fromkeys([*programs, entry.id])),
        args=start.args,
        env=start.env,
        npx=offers.npx.package if offers.npx else "",
        uvx=offers.uvx.package if offers.uvx else "",
        uvx_program=ours.uvx_program if ours else "",
        login=ours.login if ours else "",
    )
