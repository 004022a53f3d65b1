"""`loop keys`: makes, lists and revokes the keys of hosts that dial in. See actors/edges/join_keys.py."""

from __future__ import annotations

from actors.clock import wall_ms
from actors.edges import environments, join_keys, run_dir
from actors.errors import UserError
from shell import output
from shell.commands.grammar import Invocation

NONE = "no host may dial in: loop keys new NAME makes a key"


def run_keys(invocation: Invocation) -> int:
    """Carries the action out; returns an exit status. Raises `UserError`."""
    home, action, names = environments.home(), invocation.action.lower(), invocation.text.split()
    if action == "list" and names:
        raise UserError(f"loop keys list takes no NAME, but got {' '.join(names)!r}: it lists them all")
    if action != "list" and len(names) != 1:
        got = f", not {' '.join(names)!r}" if names else ""
        raise UserError(f"loop keys {action} takes one NAME, of a host{got}: loop keys {action} NAME")
    match action:
        case "new":
            _new(names[0], as_json=invocation.json)
        case "revoke":
            join_keys.revoke(home, names[0])
            if invocation.json:
                output.say_json({"name": names[0], "allowed": False})
            else:
                output.say(f"the key of {names[0]} is revoked: it is not let in any more")
        case _:
            _list(as_json=invocation.json)
    return 0


def _new(name: str, *, as_json: bool) -> None:
    file = join_keys.make(environments.home(), name, wall_ms())
    if as_json:
        output.say_json({"name": name, "file": str(file)})
        return
    output.say_lines(
        [
            str(file),
            f"take this file to {name}, keep it secret, and remove it here; there: loop join HOME:PORT --key FILE",
        ]
    )


def _list(*, as_json: bool) -> None:
    found = join_keys.listed(environments.home())
    rows = [(each.name, run_dir.iso(each.made_ms), each.public) for each in found]
    if as_json:
        output.say_json([{"name": name, "madeAt": made, "public": public} for name, made, public in rows])
    else:
        output.say_lines([f"{name}  since {made}  {public}" for name, made, public in rows] or [NONE])
