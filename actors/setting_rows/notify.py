"""Who is told of a run's changes, and how: the rows of the group "notify". Pure."""

from __future__ import annotations

from actors import setting_values
from actors.setting_rows.row import Setting

ROWS: tuple[Setting, ...] = (
    Setting(
        "notify_command",
        "notify",
        "a shell command for each notification; it gets JSON on standard input, and LOOP_* variables",
        parse=setting_values.command,
        default="",
        field="notify_command",
        fresh=True,
        key="notify.command",
    ),
    Setting(
        "notify_webhook",
        "notify",
        "an address that gets each notification as JSON, by POST",
        parse=setting_values.web_address,
        default="",
        field="notify_webhook",
        fresh=True,
        key="notify.webhook",
    ),
    Setting(
        "notify_desktop",
        "notify",
        "whether the desktop shows each notification (notify-send, osascript)",
        default=False,
        shown="false",
        field="notify_desktop",
        fresh=True,
        key="notify.desktop",
        toml="boolean",
    ),
)
