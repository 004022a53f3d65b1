"""Turns the settings of a start into those of its run: names become roles, and typed settings are noted. Pure.

A row whose value goes into its field unchanged needs no code here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from actors.errors import UserError
from actors.setting_rows.proof import BOTH
from actors.settings import Price, Role, RunSettings
from actors.settings_layers import Settings, described
from actors.settings_table import TABLE

# What every run has today, and older journals lack: a resume brings an older run up to date.
_OF_TODAY = {
    "asks_again": True,
    "binds_to_tree": True,
    "counts_at_start": True,
    "counts_verdicts": True,
    "grants_turns": True,
    "keeps_checkpoints": True,
    "keeps_findings": True,
    "looks_at_limits": True,
    "looks_for_pull_request": True,
    "trusts_resets": True,
}


class Agents(NamedTuple):
    """The names of the two agents. Not paired: one agent, which reviews in a second session."""

    worker: str
    reviewer: str
    paired: bool


def settings_of(
    settings: Settings,
    agents: Agents,
    reviewer_models: Mapping[str, str],
    *,
    run_uid: str,
    task: str,
    needs_plan: bool,
    interactive: bool,
    open_ended: bool,
    keeps_its_wait: bool,
    prices: Mapping[str, Price] | None = None,
    prompts: Mapping[str, str] | None = None,
) -> RunSettings:
    """The run's settings. Raises `UserError` for an agent that the run does not have.

    `reviewer_models` are those of the configuration, by agent. `keeps_its_wait`: a begun run keeps its wait for a
    provider, also with a new task, unless a wait was typed. `prompts`: the texts in place of built-in ones.
    """
    as_they_are = {row.field: settings.value(row.name) for row in TABLE if row.field}
    models = _models(settings, agents, reviewer_models)
    others: dict[str, object] = {
        "run_uid": run_uid,
        "task": task,
        "needs_plan": needs_plan,
        "worker": agents.worker,
        "reviewer": agents.reviewer,
        "paired": agents.paired,
        "reviewers": _reviewers(settings, agents),
        "plan_reviewer": _plan_reviewer(settings, agents),
        **{name: model for name, (model, _) in models.items()},
        "at_limit": _at_limit(settings),
        "hooks": _hooks(settings),
        "prompts": dict(prompts or {}),
        "interactive": interactive,
        "prices": prices or {},
        "open_ended": open_ended,
        "given": _given(settings, {name for name, (_, is_typed) in models.items() if is_typed}, open_ended=open_ended),
        "only_given": True,
        **_OF_TODAY,
    }
    if keeps_its_wait and not settings.is_typed("max_wait"):
        others["max_wait_ms"] = None
    return msgspec.convert(as_they_are | others, RunSettings)


def _hooks(settings: Settings) -> dict[str, str]:
    """The commands that are configured, by their moments."""
    rows = [row for row in TABLE if row.field == "hooks"]
    return {row.key.partition(".")[2]: settings.text(row.name) for row in rows if settings.text(row.name)}


def _given(settings: Settings, models: set[str], *, open_ended: bool) -> tuple[str, ...]:
    """The fields that a resume takes: those of typed settings, also where the value is the default; and fresh ones."""
    typed = {row.field for row in TABLE if row.field and row.resumes and (row.fresh or settings.is_typed(row.name))}
    return tuple(sorted({*typed, *models, *_OF_TODAY, *(["open_ended"] if open_ended else [])}))


def _at_limit(settings: Settings) -> str:
    if not settings.switch("no_wait"):
        return settings.text("at_limit")
    if settings.is_typed("at_limit") and settings.text("at_limit") != "stop":
        raise UserError(f"--no-wait and --at-limit {settings.text('at_limit')} exclude each other: give one of them")
    return "stop"


def _reviewers(settings: Settings, agents: Agents) -> tuple[Role, ...]:
    if not agents.paired:
        return ("reviewer",)
    if settings.text("review") == BOTH:
        return ("worker", "reviewer")
    return (_role_of("review", settings, agents),)


def _plan_reviewer(settings: Settings, agents: Agents) -> Role | None:
    if settings.text("review_plan") == "none":
        return None
    if settings.text("review_plan") == "other" or not agents.paired:
        return "reviewer"
    return _role_of("review_plan", settings, agents)


def _role_of(name: str, settings: Settings, agents: Agents) -> Role:
    agent = settings.text(name)
    if agent == agents.reviewer:
        return "reviewer"
    if agent == agents.worker:
        return "worker"
    said = described(settings.sources(name)[-1])
    raise UserError(f"{said}: this run has only {agents.worker} and {agents.reviewer}; leave it out")


def _models(settings: Settings, agents: Agents, reviewer_models: Mapping[str, str]) -> dict[str, tuple[str, bool]]:
    """The model of each field, and whether it was typed. The `model` of an agent's table is not here: its adapter uses
    it where this says nothing.
    """
    work = {name: settings.text(f"{name}_model") for name in ("codex", "claude")}
    for pair in settings.texts("models"):
        name, _, model = pair.partition("=")
        if name not in agents[:2]:
            raise UserError(f"--model {pair}: the run's agents are {agents.worker} and {agents.reviewer}")
        work[name] = model
    review = {name: settings.text(f"{name}_reviewer_model") for name in ("codex", "claude")}

    def reviewing(agent: str, otherwise: str) -> tuple[str, bool]:
        typed, own = review.get(agent, ""), reviewer_models.get(agent, "")
        return (typed or own or otherwise, bool(typed or (otherwise and not own)))

    worker = work.get(agents.worker, "")
    return {
        "worker_model": (worker, bool(worker)),
        "worker_review_model": reviewing(agents.worker, ""),
        "reviewer_work_model": (peer := work.get(agents.reviewer, ""), bool(peer)),
        "reviewer_model": reviewing(agents.reviewer, work.get(agents.reviewer, "")),
    }
