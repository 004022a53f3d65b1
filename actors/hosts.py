"""A host that can run agents: its row of the configuration, and where a run's actors are placed. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import get_args

import msgspec

from actors.errors import UserError
from actors.machines import lease
from actors.settings import Role

HOME = "home"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """One table `[hosts.NAME]`; a name that ssh knows needs none. Raises `UserError` for values that cannot work."""

    name: str
    join: bool = False  # it dials in, to `listen`: an address of home
    listen: str = ""  # of `[join]`; set by the reader of the configuration
    ssh: str = ""  # the destination for ssh; "" = the name
    ssh_command: tuple[str, ...] = ("ssh",)  # the program, with options
    root: str = "~/.loop/hosts"  # on the host: our code, and working trees
    python: str = ""  # on the host, with loop installed; "" = one is made below `root`
    prepare: str = ""  # a shell command, run once in a tree that has arrived for the first time
    stop_after_s: float = lease.STOP_AFTER_S
    lost_after_s: float = lease.LOST_AFTER_S

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.destination.startswith("-"):
            raise UserError(f"hosts.{self.name}.ssh is {self.ssh!r}: a destination does not begin with '-'")
        if self.join and (self.ssh or self.python):
            key = "ssh" if self.ssh else "python"
            raise UserError(f"hosts.{self.name} has join and {key}: a host that dials in needs no {key}: leave it out")
        if self.join and not self.listen:
            raise UserError(f'hosts.{self.name}.join needs an address of home: add listen = "0.0.0.0:7777" to [join]')
        if not self.ssh_command:
            raise UserError(f"hosts.{self.name}.ssh_command is empty: give the program, or leave it out")
        lease.check(self.name, self.stop_after_s, self.lost_after_s)

    @property
    def destination(self) -> str:
        """What ssh is called with."""
        return self.ssh or self.name


def check_name(name: str) -> None:
    """Raises `UserError` for a name that no host can have."""
    if not _NAME.fullmatch(name) or name == HOME:
        raise UserError(f"{name!r} is no host's name: use letters, digits, '.', '-' and '_'")


def recorded(manifest: Mapping[str, object]) -> tuple[str, ...]:
    """Where the agents of a run are, as `--place` names it."""
    places = manifest.get("places")
    return tuple(f"{role}={name}" for role, name in places.items()) if isinstance(places, dict) else ()


def placed(values: Iterable[str], known: Mapping[str, Host]) -> dict[Role, Host]:
    """The hosts of a run's actors by `ACTOR=HOST`. The last word on an actor counts; `home` takes it home."""
    found: dict[Role, Host] = {}
    for value in values:
        actor, _, name = value.partition("=")
        role: Role | None = next((each for each in get_args(Role) if each == actor.strip()), None)
        if role is None or not name.strip():
            raise UserError(
                f"--place takes worker=HOST or reviewer=HOST, not {value!r}: run, bridge and persistence stay at home"
            )
        if name.strip() == HOME:
            found.pop(role, None)
        else:
            found[role] = known.get(name.strip()) or Host(name=name.strip())
    return found
