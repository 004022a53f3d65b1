"""One configuration file: its TOML with the line of each key, and a refusal that names both.

Reads the file when it is asked. Which keys there are, and what they mean, is in configuration.py.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, NoReturn, TypeVar, get_args, get_origin

import msgspec
from msgspec import Meta, UnsetType

from actors import values
from actors.edges import files, toml_lines
from actors.errors import BadFileError, MissingFileError, UserError
from actors.setting_rows.row import Toml
from actors.settings_layers import Origin

USER_FILE = Path(".loop") / "config.toml"  # in the home directory
REPOSITORY_FILE = Path(".loop.toml")

Struct = TypeVar("Struct", bound=msgspec.Struct)


class ConfigFile(NamedTuple):
    """One existing file. `lines` maps each key, by its parts, to its line."""

    path: Path
    origin: Origin
    content: bytes
    document: dict[str, Any]
    lines: Mapping[tuple[str, ...], int]

    def place(self, *key: str) -> str:
        """The file, and the line of this key or else of its table."""
        line = self.line(*key)
        return f"{self.path}:{line}" if line else str(self.path)

    def line(self, *key: str) -> int:
        """0 = not known."""
        return next((self.lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in self.lines), 0)


def read_file(path: Path, origin: Origin) -> ConfigFile | None:
    """The file; None: there is none. Raises `UserError` for one that cannot be read."""
    try:
        content = files.read_bytes(path)
        text = files.decoded(path, content)
        document = tomllib.loads(text)
    except MissingFileError:
        return None
    except (BadFileError, OSError) as error:
        reason = error.reason if isinstance(error, BadFileError) else error
        raise UserError(f"{path}: cannot be read: {reason}") from error
    except (ValueError, RecursionError) as error:  # ValueError: also for a number of thousands of digits
        raise UserError(f"{path}: not a TOML file: {error}") from error
    return ConfigFile(path, origin, content, document, toml_lines.lines_of(text))


def refuse(file: ConfigFile, key: tuple[str, ...], value: object, why: str) -> NoReturn:
    """Raises `UserError` with the place, the key and its value."""
    plain = tuple(part.partition("[")[0] for part in key)
    raise UserError(f"{file.place(*plain)}: {'.'.join(key)} = {values.shown(value)}: {why}")


# --- types ---

Text = Annotated[str, Meta(pattern=r"\S")]
TYPES: Mapping[Toml, Any] = {
    "string": Text,
    "number": int,
    "decimal": float,
    "boolean": bool,
    "array": tuple[Text, ...],
}


def converted(file: ConfigFile, prefix: tuple[str, ...], table: dict[str, Any], kind: type[Struct]) -> Struct:
    """The table as this struct. Raises `UserError` for the first key that is unknown or has a value of another type."""
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError:
        known = {field.name: field.type for field in msgspec.structs.fields(kind)}
        for key, value in table.items():
            if key not in known:
                why = f"unknown key{values.meant(key, known)}; the known keys are {', '.join(known)}"
                refuse(file, (*prefix, key), value, why)
            _refuse_other_types(file, (*prefix, key), value, known[key])
        raise


def _refuse_other_types(file: ConfigFile, key: tuple[str, ...], value: Any, kind: Any) -> None:
    """Raises for the innermost value that is not of this type."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        kind = next((each for each in get_args(kind) if each is not UnsetType), kind) if _is_optional(kind) else kind
        if get_origin(kind) is dict and isinstance(value, dict):
            for name, each in value.items():
                _refuse_other_types(file, (*key, name), each, get_args(kind)[1])
        if get_origin(kind) is tuple and isinstance(value, list):
            for number, each in enumerate(value):
                _refuse_other_types(file, (*key[:-1], f"{key[-1]}[{number}]"), each, get_args(kind)[0])
        refuse(file, key, value, _needed(kind, ".".join(key)))


def _is_optional(kind: Any) -> bool:
    return UnsetType in get_args(kind)


def _needed(kind: Any, key: str) -> str:
    if get_origin(kind) is dict:
        return f"a table is needed: [{key}]"
    if get_args(kind)[:1] == (dict[str, str],):
        return 'an array of tables is needed, e.g. [{ CLAUDE_CONFIG_DIR = "~/.claude-work" }]'
    names = {
        Text: "a string that is not blank",
        str: "a string",
        int: "a whole number",
        bool: "true or false",
        float: "a number",
    }
    return f"{names.get(kind, 'an array of strings')} is needed"
