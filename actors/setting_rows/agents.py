"""Which agents and models work: the rows of the group "agents". Pure."""

from __future__ import annotations

from actors import setting_values
from actors.setting_rows.row import Setting

DEFAULT_AGENT = "codex"

ROWS: tuple[Setting, ...] = (
    Setting(
        "agent",
        "agents",
        "the worker: codex, claude, embedded, or an agent from the configuration",
        ("-a", "--agent"),
        value="NAME",
        default=DEFAULT_AGENT,
        field="worker",
        resumes=False,
        key="agent",
    ),
    Setting(
        "peer",
        "agents",
        "the reviewer; any agent can review for any other",
        ("--peer",),
        value="NAME",
        shown="the worker's own peer",
        field="reviewer",
        resumes=False,
        key="agents.NAME.peer",
    ),
    Setting(
        "only",
        "agents",
        "single-agent mode: one agent does the work and both reviews",
        ("--claude-only", "--codex-only"),
        means={"--claude-only": "claude", "--codex-only": "codex"},
        field="paired",
        resumes=False,
    ),
    Setting(
        "models",
        "agents",
        "model for any agent of the run; can be repeated",
        ("--model",),
        value="NAME=MODEL",
        parse=setting_values.model,
        default=(),
        shown="the agent's own",
        adds=True,
        key="agents.NAME.model",
    ),
    Setting(
        "codex_model",
        "agents",
        "model for Codex",
        ("--codex-model",),
        value="MODEL",
        shown="Codex's own",
        key="agents.codex.model",
        variable="LOOP_CODEX_MODEL",
    ),
    Setting(
        "claude_model",
        "agents",
        "model for Claude",
        ("--claude-model",),
        value="MODEL",
        shown="Claude's own",
        key="agents.claude.model",
    ),
    Setting(
        "codex_reviewer_model",
        "agents",
        "model for Codex when it reviews, plans included",
        ("--codex-reviewer-model",),
        value="MODEL",
        shown="--codex-model",
        key="agents.codex.reviewer_model",
    ),
    Setting(
        "claude_reviewer_model",
        "agents",
        "model for Claude when it reviews, plans included",
        ("--claude-reviewer-model",),
        value="MODEL",
        shown="--claude-model",
        key="agents.claude.reviewer_model",
    ),
)
