"""What is printed, and how: the rows of the group "output". Pure."""

from __future__ import annotations

from actors import setting_values
from actors.setting_rows.row import Setting

ROWS: tuple[Setting, ...] = (
    Setting(
        "headless",
        "output",
        "no prompt and no questions, one line per record, as without a terminal",
        ("--headless",),
        default=False,
    ),
    Setting(
        "format",
        "output",
        "pretty: what happens, for reading; raw: the agents' own JSON events",
        ("--format",),
        value="pretty|raw",
        default="pretty",
        choices=("pretty", "raw"),
    ),
    Setting(
        "log_format",
        "output",
        "output format when there is no prompt; json: one object per line",
        ("--log-format",),
        value="text|json",
        default="text",
        choices=("text", "json"),
    ),
    Setting(
        "update_hint",
        "output",
        "whether the start of a run tells of a newer version of loop",
        default=True,
        shown="true",
        key="update_hint",
        toml="boolean",
        repository="never",
        variable="LOOP_UPDATE_HINT",
        from_variable=setting_values.variable_switch,
        variable_help="0: no hint about newer versions",
    ),
    Setting("no_color", "output", "any value: no colors", variable="NO_COLOR"),
    Setting("version", "output", "print the version", ("-v", "--version"), default=False),
    Setting("help", "output", "print this help", ("-h", "--help"), default=False),
)
