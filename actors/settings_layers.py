"""The values that count for a start, each with its origin: layers over the defaults of the table. Pure.

Later layers win: default, user configuration, repository configuration, environment, command line. A setting that
`adds` keeps the values of all layers. A repository may lower the user's limits, and raise none of them. On a resume the
run's own settings override all layers but environment and command line. A typed value counts even when it equals the
default. A changed configuration changes no run that has begun, except that its checks are added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from actors.setting_values import Value
from actors.settings_table import SETTINGS, TABLE

Origin = Literal[
    "default", "user configuration", "repository configuration", "environment", "command line", "this run before"
]
TYPED: tuple[Origin, ...] = ("environment", "command line")  # what a resume takes


class Sourced(NamedTuple):
    """A value and where it comes from. `path` and `line` for a file; line 0 = not known. `by`: the flag or variable."""

    name: str
    value: Value
    origin: Origin
    path: str = ""
    line: int = 0
    by: str = ""


class Settings:
    """The values that count, each with its origin; of a setting that adds up, all of them."""

    def __init__(self, found: Mapping[str, Sequence[Sourced]]) -> None:
        self._found = found

    def sources(self, name: str) -> Sequence[Sourced]:
        """Where the value comes from: one entry, or one per value of a setting that adds up. A default is a single
        entry.
        """
        return self._found[name]

    def is_typed(self, name: str) -> bool:
        """Whether it was given on the command line or in the environment."""
        return any(each.origin in TYPED for each in self._found[name])

    def value(self, name: str) -> Value:
        """Its value; for a setting that adds up, a tuple without repetitions."""
        if not SETTINGS[name].adds:
            return self._found[name][-1].value
        items = (item for each in self._found[name] for item in _items(each.value))
        return tuple(dict.fromkeys(items))

    def text(self, name: str) -> str:
        """A value that is a text; "" when there is none."""
        value = self.value(name)
        return value if isinstance(value, str) else ""

    def texts(self, name: str) -> tuple[str, ...]:
        """A value that adds up."""
        return _items(self.value(name))

    def switch(self, name: str) -> bool:
        """A value that is on or off."""
        return self.value(name) is True


def _items(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def merge(*layers: Iterable[Sourced]) -> Settings:
    """The settings of these layers over the defaults; later ones win."""
    found: dict[str, tuple[Sourced, ...]] = {row.name: () for row in TABLE}
    for layer in layers:
        for each in layer:
            before = found[each.name] if SETTINGS[each.name].adds else ()
            found[each.name] = (*before, each)
    defaults = {row.name: (Sourced(row.name, row.default, "default"),) for row in TABLE}
    return Settings({name: given or defaults[name] for name, given in found.items()})


def without_higher(
    user: Iterable[Sourced], repository: Iterable[Sourced]
) -> tuple[tuple[Sourced, ...], tuple[Sourced, ...]]:
    """The layer of a repository, and what is left out of it: limits that would raise the user's own."""
    limits = {each.name: each.value for each in user if SETTINGS[each.name].repository == "lower"}
    counts: list[Sourced] = []
    too_high: list[Sourced] = []
    for each in repository:
        limit, value = limits.get(each.name), each.value
        is_higher = isinstance(limit, int | float) and isinstance(value, int | float) and value > limit
        (too_high if is_higher else counts).append(each)
    return tuple(counts), tuple(too_high)


# The rows whose variable gives a value to the setting; the others are read where they are used.
WITH_VARIABLE = tuple(row for row in TABLE if row.variable and row.name not in ("run_id", "portable", "no_color"))


def from_environment(variables: Mapping[str, str]) -> Iterable[Sourced]:
    """The layer of the environment. Raises `UserError` in one line for an invalid value."""
    for row in WITH_VARIABLE:
        value = row.from_variable(row.variable, variables.get(row.variable, ""))
        if value is not None:
            yield Sourced(row.name, value, "environment", by=row.variable)


def described(source: Sourced) -> str:
    """The setting as the user gave it, for a message: `--review codex`, `review = codex in FILE:3`."""
    row = SETTINGS[source.name]
    value = row.show(source.value)
    if source.path:
        return f"{row.key} = {value} in {source.path}:{source.line}"
    return f"{source.by}={value}" if source.by else f"{row.flags[-1]} {value}"


def too_high(source: Sourced, users: Iterable[Sourced]) -> str:
    """Why a limit of the repository's file does not count, for the user."""
    own = next(described(each) for each in users if each.name == source.name)
    return f"{described(source)} does not count: a repository may only lower your own, {own}"
