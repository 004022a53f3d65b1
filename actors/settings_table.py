"""The table of all settings: one row per setting, with flag, key and variable. Pure.

A setting is added to the module of its group in `actors.setting_rows`, and as a field of `actors.settings.RunSettings`
when the run needs it. The command line, the configuration files, `loop --help`, `loop config`, the README's tables and
docs/configuration.md read this table. `actors.settings_layers` merges the values of a start.

Imports nothing heavy, since `loop --help` reads it. So `RunSettings`, which needs msgspec, has its own module.
"""

from __future__ import annotations

from collections.abc import Mapping

from actors.setting_rows import agents, hooks, limits, notify, output, prompts, proof, start, task
from actors.setting_rows.row import Setting

TABLE: tuple[Setting, ...] = (
    *(*task.ROWS, *agents.ROWS, *proof.ROWS, *limits.ROWS, *start.ROWS, *output.ROWS),
    *(*notify.ROWS, *hooks.ROWS, *prompts.ROWS),
)

SETTINGS: Mapping[str, Setting] = {row.name: row for row in TABLE}
BY_FLAG: Mapping[str, Setting] = {flag: row for row in TABLE for flag in row.flags}
BY_KEY: Mapping[str, Setting] = {row.key: row for row in TABLE if row.key and "." not in row.key}
# The keys of the tables that a configuration file may have, by table; `[agents.NAME]` has a reader of its own.
TABLES: Mapping[str, Mapping[str, Setting]] = {
    table: {row.key.partition(".")[2]: row for row in TABLE if row.key.startswith(f"{table}.")}
    for table in ("notify", "hooks", "prompts", "join")
}
