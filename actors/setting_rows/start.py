"""How a run starts, and which one: the rows of the group "start". Pure."""

from __future__ import annotations

from actors import setting_values
from actors.setting_rows.row import Setting

ROWS: tuple[Setting, ...] = (
    Setting(
        "places",
        "start",
        "where an agent works: worker=HOST or reviewer=HOST, a host that ssh knows, or home; can be repeated",
        ("--place",),
        value="ACTOR=HOST",
        parse=setting_values.line,
        default=(),
        shown="home",
        adds=True,
    ),
    Setting(
        "join_listen",
        "start",
        "the address of this machine at which hosts with join = true dial in; a port alone is of loopback",
        parse=setting_values.listened,
        default="",
        key="join.listen",
        repository="never",
    ),
    Setting(
        "run_id",
        "start",
        "resume this run, with its agents, where it was; options that you do not repeat keep their values",
        ("--run-id",),
        value="ID",
        variable="LOOP_RUN_ID",
        variable_help="as --run-id, but the run may be a new one",
    ),
    Setting(
        "session",
        "start",
        "resume the run of this run id, Claude session id or Codex thread id; "
        "with a single agent: resume this session of it",
        ("--session",),
        value="ID",
    ),
    Setting(
        "tmux",
        "start",
        "run in a tmux session, which survives the terminal: Claude and Codex side by side, loop> below; "
        "without prompt and proof it waits for the first task",
        ("--tmux",),
        default=False,
    ),
    Setting(
        "exit",
        "start",
        "end the workspace when its task is completed; without it, it stays open for the next task, until Ctrl-D",
        ("--exit",),
        default=False,
        field="open_ended",
    ),
    Setting(
        "worktree",
        "start",
        "work in a git worktree and on a branch of its own",
        ("--worktree",),
        default=False,
    ),
    Setting(
        "trust",
        "start",
        "allow in this run what the repository's .loop.toml now says; see loop trust",
        ("--trust",),
        default=False,
    ),
    Setting(
        "portable",
        "start",
        "1: start actors without forking, as on systems that cannot fork safely",
        variable="LOOP_PORTABLE",
    ),
)
