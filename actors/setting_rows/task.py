"""What is to be done: the rows of the group "task". Pure."""

from __future__ import annotations

from actors import setting_values
from actors.setting_rows.row import Setting

DONE_SIGNAL = "<promise>DONE</promise>"

ROWS: tuple[Setting, ...] = (
    Setting(
        "prompt",
        "task",
        "the task, or the path of a .md file that holds it; loop makes PLAN.md from plain text first",
        ("-p", "--prompt"),
        value="TEXT|FILE.md",
        parse=setting_values.text,
        shown="PLAN.md",
    ),
    Setting(
        "proof",
        "task",
        "how to prove that the task is done",
        ("--proof",),
        value="TEXT",
        parse=setting_values.text,
        default="",
        field="proof",
        key="proof",
    ),
    Setting(
        "done",
        "task",
        "the line by which the worker says that it is done",
        ("-d", "--done"),
        value="SIGNAL",
        default=DONE_SIGNAL,
        field="done_signal",
        key="done",
    ),
)
