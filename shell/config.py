"""`loop config`: each setting that counts here, its value and its origin; for a file, the line. Starts nothing.

The layers are those of a run. For a run to resume, its own settings, folded from its journal, override all layers but
the command line. The repository's file counts only when it is trusted; no question is asked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from actors.adapters import BUILT_IN_NAMES
from actors.edges import environments, git, run_dir, trust
from actors.edges.config_file import REPOSITORY_FILE, USER_FILE
from actors.edges.configuration import Configuration, escaped, read_configuration
from actors.setting_rows.prompts import WHAT as PROMPTS
from actors.setting_rows.proof import BOTH, CHECK_TIMEOUT_S
from actors.setting_rows.row import Setting
from actors.setting_values import Value
from actors.settings_layers import Sourced, from_environment, merge, too_high
from actors.settings_table import BY_KEY, SETTINGS, TABLE, TABLES
from shell import output, run_files
from shell.options import Options
from shell.resolve import allowed_before
from shell.resumed import current_directory, find_resumed, wanted_id

if TYPE_CHECKING:
    from actors.settings import RunSettings

_NONE = "-"  # a setting without a value
_WIDEST = 40  # a longer value pushes its origin to the right


def show_config(options: Options) -> int:
    """Runs `loop config` and returns an exit status. Raises `LoopError`, which names file, line and key for a mistake
    in a file.
    """
    home, cwd = environments.home(), current_directory()
    repository = git.top_level(cwd) or cwd
    resumed = find_resumed(options, run_dir.runs_root(home) / git.repository_id(cwd), wanted_id())
    configuration = read_configuration(
        home,
        repository,
        BUILT_IN_NAMES,
        lambda file: (
            options.value("trust") is True
            or file.sha256 == allowed_before(resumed)
            or trust.is_trusted(home, cwd, file)
        ),
    )
    before = run_files.settings_of(resumed.directory) if resumed.directory is not None else None
    rows = list(rows_of(configuration, environments.handed_on(), options, before))
    assert options.invocation is not None
    if options.invocation.json:
        output.say_json_text(json.dumps(_as_object(configuration, rows, home, repository), indent=2))
        return os.EX_OK
    output.say_lines(_lines(rows, home))
    for limit in configuration.too_high:
        output.note(too_high(limit, configuration.user))
    if configuration.repository_file is not None and not configuration.is_allowed:
        output.note(f"{configuration.repository_file.path} is not trusted, so it does not count: see loop trust --show")
    return os.EX_OK


class Shown(NamedTuple):
    """A setting's name for the user, one value of it as it is written, and its origin."""

    name: str
    text: str
    value: Value
    source: Sourced


def rows_of(
    configuration: Configuration, environment: Mapping[str, str], options: Options, before: RunSettings | None
) -> Iterator[Shown]:
    """Each setting that has a key, and every other one that differs from its default. A setting that adds up has
    several rows.
    """
    in_tables = [
        each._replace(name=row.name) for row in TABLE for each in configuration.agent_keys if each.name == row.key
    ]
    files = (*configuration.user, *configuration.repository, *in_tables)
    own: Iterable[Sourced] = ()
    if before is not None:  # of the files, a resume takes the checks, what is fresh, and what is not the run's
        files = tuple(each for each in files if _is_taken(SETTINGS[each.name]))
        own = _of_run(before)
    settings = merge(files, own, from_environment(environment), options.layer())
    for row in TABLE:
        for source in settings.sources(row.name):
            if row.key or (source.origin != "default" and row.name != "prompt"):
                name = _label(row, source)
                yield from (Shown(name, text, value, source) for text, value in _values(row, source.value))
    for each in configuration.agent_keys:
        if each.name not in {row.key for row in TABLE}:
            text = ", ".join(each.value) if isinstance(each.value, tuple) else str(each.value)
            yield Shown(each.name, text, each.value, each)


def _is_taken(row: Setting) -> bool:
    """Whether a resume takes the value of a file."""
    return row.adds or row.fresh or not row.field


def _label(row: Setting, source: Sourced) -> str:
    """The key in a configuration file, if the setting has one; else the flag or the variable."""
    if row.key in BY_KEY or row.key.partition(".")[0] in TABLES or source.path:
        return row.key
    return ", ".join(row.flags if row.means else row.flags[-1:]) or row.variable


def _values(row: Setting, value: Value) -> Iterable[tuple[str, Value]]:
    if isinstance(value, tuple) and value:
        return [(item, item) for item in value]
    if value in (None, "", ()):
        return [(row.shown or _NONE, None)]
    if row.shown and value == row.default and not isinstance(value, bool):
        return [(row.shown, value if row.toml == "number" else row.show(value))]
    if isinstance(value, bool):
        return [("true" if value else "false", value)]
    text = row.show(value)
    return [(text, value if row.toml == "number" else text)]


def _of_run(before: RunSettings) -> Iterable[Sourced]:
    """The layer of the run to resume: its fields, turned back into settings."""
    names = [{"worker": before.worker, "reviewer": before.reviewer}[role] for role in before.reviewers]
    plan = {None: "none", "reviewer": "other"}.get(before.plan_reviewer, before.worker)
    computed: dict[str, Value] = {
        "agent": before.worker,
        "peer": before.reviewer,
        "review": names[0] if len(names) == 1 else BOTH,
        "review_plan": plan,
        "check_timeout": before.check_timeout_s or CHECK_TIMEOUT_S,  # 0 in older journals
        "models": tuple(
            f"{agent}={model}"
            for agent, model in ((before.worker, before.worker_model), (before.reviewer, before.reviewer_model))
            if model
        ),
        "only": before.worker,
    }
    computed |= {f"prompt_{name}": "as the run began with it" if name in before.prompts else None for name in PROMPTS}
    absent = {"exit", *(["only"] if before.paired else ["peer", "review"]), *([] if computed["models"] else ["models"])}
    for row in TABLE:
        if (row.field or row.name in computed) and row.name not in absent and not row.fresh:
            value = computed[row.name] if row.name in computed else getattr(before, row.field)
            yield Sourced(row.name, value, "this run before")


# --- as it is shown ---------------------------------------------------------------------------------------------------


def _lines(rows: Sequence[Shown], home: Path) -> list[str]:
    cells = [(row.name, escaped(row.text), _origin(row.source, home)) for row in rows]
    widths = [min(max(len(cell[column]) for cell in cells), _WIDEST) for column in (0, 1)]
    return [f"{name:<{widths[0]}}  {text:<{widths[1]}}  {origin}" for name, text, origin in cells]


def _origin(source: Sourced, home: Path) -> str:
    if source.path:
        path = f"~/{USER_FILE}" if source.path == str(home / USER_FILE) else escaped(source.path)
        return f"{source.origin}: {path}{f':{source.line}' if source.line else ''}"
    return f"{source.origin}: {source.by}" if source.by else source.origin


def _as_object(configuration: Configuration, rows: Sequence[Shown], home: Path, repository: Path) -> dict[str, object]:
    """The rows as JSON. Names both files, also missing ones, since the user can write the next setting there."""
    asked = configuration.repository_file
    return {
        "files": [
            {"path": _path(home / USER_FILE), "origin": "user configuration", "counts": True},
            {
                "path": _path(repository / REPOSITORY_FILE),
                "origin": "repository configuration",
                "counts": asked is None or configuration.is_allowed,
            },
        ],
        "settings": [
            {
                "name": row.name,
                "value": row.value,
                "origin": row.source.origin,
                "file": escaped(row.source.path) or None,
                "line": row.source.line or None,
                "variable": row.source.by or None,
            }
            for row in rows
        ],
    }


def _path(path: Path) -> str:
    return os.fsencode(path).decode(errors="backslashreplace")
