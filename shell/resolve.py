"""Turns options into a checked `RunSpec`: reads the configuration, the prompt's file and the run to resume, and checks
that the agents can run here. It starts nothing, and creates nothing before the last check has passed.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from actors import values
from actors.adapters import BUILT_IN_NAMES, find_adapter
from actors.adapters.base import AgentSettings
from actors.edges import environments, git, run_dir, trust, worktree
from actors.edges.configuration import Configuration, read_configuration
from actors.errors import UserError
from actors.hosts import Host, placed
from actors.settings import Role, RunSettings
from actors.settings_layers import Settings, from_environment, merge, too_high
from shell import countable, elsewhere, output, run_files
from shell.options import Options
from shell.pairing import agents_of, with_known
from shell.resumed import Resumed, current_directory, find_resumed, is_in_worktree, own_place, wanted_id
from shell.run_settings import Agents, settings_of
from shell.task_text import Task, read_task
from shell.trust import Person
from supervisor.run_manifest import ALLOWED, SEEN
from supervisor.run_tree import RunSpec


@dataclass(frozen=True)
class TmuxPlace:
    """The tmux session of this loop, started by another `loop`."""

    session: str
    workspace: bool  # the agents' own TUIs are there, too


@dataclass(frozen=True)
class _Start:
    """Where and with what `loop` was started."""

    options: Options
    environment: dict[str, str]
    cwd: Path
    home: Path
    repository: Path | None
    repo_runs: Path  # the directory of this repository's runs
    asked_id: str | None
    resumed: Resumed


@dataclass(frozen=True)
class _Place:
    """Where the run works. `directory`: the run's own; None: it has none yet."""

    directory: Path | None
    cwd: Path
    made: worktree.Made | None = None


@dataclass(frozen=True)
class _Found:
    """What is to run, and with which agents. `in_file`: the agents of the user's own configuration."""

    configuration: Configuration
    in_file: frozenset[str]
    settings: Settings
    agents: Agents
    places: dict[Role, Host]
    run_settings: RunSettings


def resolve_run(
    options: Options, *, only_reserve: bool = False, place: TmuxPlace | None = None, has_operator: bool = False
) -> RunSpec:
    """The spec of the typed run. Raises `UserError`, also for an agent that cannot run.

    `only_reserve`: checks everything and reserves the run's id, but leaves the worktree to the loop that will run it.
    `place`: the tmux session of that loop. `has_operator`: a console answers the run's questions, without a terminal.
    """
    start = _look_around(options)
    configuration, in_file, settings = _configured(start)
    agents = agents_of(settings, configuration, start.resumed)
    places = placed((*start.resumed.places, *settings.texts("places")), configuration.hosts)
    if typed := settings.texts("places"):
        from shell import host_names

        host_names.check(typed, configuration.hosts, start.cwd)
    run_settings = _run_settings(start, settings, configuration, agents, place, has_operator=has_operator)
    _preflight(agents, places, configuration, start.cwd, start.environment)
    _check_countable(run_settings, configuration, start.resumed)
    found = _Found(configuration, in_file, settings, agents, places, run_settings)
    start = _brought_here(start)
    works = _working_place(start, only_reserve=only_reserve)
    directory = works.directory or run_dir.new_run_directory(start.repo_runs, start.asked_id)
    with taken_back(directory, works.made):
        if not only_reserve:
            _name_neighbours(start.repo_runs, works.cwd, directory)
        return _spec(start, directory, works, found, place)


def _look_around(options: Options) -> _Start:
    environment = environments.handed_on()
    environments.check_open_files(environments.FILES_OF_A_ROOT)
    cwd = current_directory()
    home = environments.home()
    values.text("the home directory", str(home))
    repo_runs = run_dir.runs_root(home) / git.repository_id(cwd)
    asked_id = wanted_id()
    return _Start(
        options=options,
        environment=environment,
        cwd=cwd,
        home=home,
        repository=git.top_level(cwd),
        repo_runs=repo_runs,
        asked_id=asked_id,
        resumed=find_resumed(options, repo_runs, asked_id),
    )


def _configured(start: _Start) -> tuple[Configuration, frozenset[str], Settings]:
    """The configuration, the agents of the user's own file, and the settings of all layers. The user may be asked to
    trust the repository's part.
    """
    options, resumed = start.options, start.resumed
    can_be_asked = _can_be_asked(options)
    person = Person(start.home, start.cwd, can_be_asked=can_be_asked, has_said_yes=options.value("trust") is True)
    configuration = read_configuration(
        start.home,
        start.repository or start.cwd,
        BUILT_IN_NAMES,
        lambda file: file.sha256 == allowed_before(resumed) or person(file),
    )
    in_file = frozenset(configuration.agents.keys() - configuration.repository_agents.keys())
    typed = options.layer()
    settings = merge(configuration.user, configuration.repository, from_environment(start.environment), typed)
    for limit in configuration.too_high if not resumed.begun else ():  # a run that has begun has its own
        if not settings.is_typed(limit.name):
            output.note(too_high(limit, configuration.user))
    configuration = with_known(configuration, settings, resumed, start.home, start.environment.get("PATH"))
    return configuration, in_file, settings


def _run_settings(
    start: _Start,
    settings: Settings,
    configuration: Configuration,
    agents: Agents,
    place: TmuxPlace | None,
    *,
    has_operator: bool,
) -> RunSettings:
    """What the run is to do."""
    options = start.options
    task = read_task(options, start.cwd, start.home, start.resumed)
    has_prompt = _has_prompt(options)
    run_settings = settings_of(
        settings,
        agents,
        {name: agent.reviewer_model for name, agent in configuration.agents.items()},
        run_uid=str(uuid.uuid4()),
        task=task.text,
        needs_plan=task.needs_plan,
        interactive=has_prompt or has_operator,
        open_ended=_is_open_ended(options, task, place, has_prompt=has_prompt),
        keeps_its_wait=start.resumed.begun,
        prices=configuration.prices,
        prompts=configuration.prompts,
    )
    values.text("the task", task.text, most_bytes=values.MOST_TASK_BYTES)
    return run_settings


def _check_countable(settings: RunSettings, configuration: Configuration, resumed: Resumed) -> None:
    """Refuses a limit of money that nothing can count."""
    countable.check(
        settings,
        limit_usd=_limit_usd(settings, resumed),
        reports_cost=lambda name: find_adapter(name, configuration.agents).reports_cost,
        models={name: agent.model for name, agent in configuration.agents.items()},
        tell=output.note,
    )


def _brought_here(start: _Start) -> _Start:
    """The run to resume, with its files below this repository's runs."""
    directory = start.resumed.directory
    if directory is None or directory.parent == start.repo_runs:
        return start
    output.note(f"run {directory.name} was in another place, which is gone: it continues here, in {start.cwd}")
    resumed = replace(start.resumed, directory=elsewhere.bring(directory, start.repo_runs))
    return replace(start, resumed=resumed)


def _working_place(start: _Start, *, only_reserve: bool) -> _Place:
    """Where the run works: in the place that it has, in a new worktree, or where `loop` was started."""
    options, resumed, cwd = start.options, start.resumed, start.cwd
    own = own_place(resumed)
    if own is not None and not own.is_dir() and not is_in_worktree(own, cwd, resumed.directory):
        own = None
    goes_on = own is not None and own.is_dir() and (not options.worktree or git.is_linked_worktree(cwd))
    if (options.worktree or own is not None) and not goes_on:
        return _enter_worktree(start, own, only_reserve=only_reserve)
    if own is not None and own != cwd:
        output.note(f"it continues where it was: {own}")
        cwd = own
    if (note := git.branch_note(cwd)) is not None:
        output.note(note)
    return _Place(resumed.directory, cwd)


def _name_neighbours(repo_runs: Path, cwd: Path, directory: Path) -> None:
    for other in elsewhere.neighbours(repo_runs, cwd, directory):
        output.note(
            f"run {other} works in this directory as well: loop shell {other} attaches to it, "
            "and --worktree gives a run a directory of its own"
        )


def _spec(
    start: _Start,
    directory: Path,
    works: _Place,
    found: _Found,
    place: TmuxPlace | None,
) -> RunSpec:
    """All of it as the run gets it. Tells the user when the repository's configuration has changed."""
    options, resumed, cwd = start.options, start.resumed, works.cwd
    agents, configuration = found.agents, found.configuration
    manifest = resumed.manifest if directory == resumed.directory else {}
    tree = git.top_level(cwd) or cwd
    main = git.main_top_level(cwd) or cwd
    return RunSpec(
        key=f"{start.repo_runs.name}/{directory.name}",
        run_id=directory.name,
        repo_id=start.repo_runs.name,
        directory=directory,
        cwd=cwd,
        environment=start.environment,
        asked=found.run_settings,
        raw_output=options.is_raw,
        headless=options.headless or not sys.stdin.isatty(),
        has_prompt=_has_prompt(options),
        configured=dict(configuration.agents),
        places=found.places,
        hosts=dict(configuration.hosts),
        moves=resumed.moves(found.settings.texts("places")),
        carried_agents={
            name: configuration.agents[name]
            for name in (agents.worker, agents.reviewer)
            if name in configuration.agents and name not in found.in_file
        },
        allowed_sha256=configuration.allowed_sha256,
        repository=main,
        tree=tree,
        tree_sha256=_tree_sha256(tree, manifest),
        session_ids=_session_ids(agents, manifest, resumed),
        session_is_named=bool(resumed.session_id),
        worktree=str(git.linked_worktree(cwd) or ""),
        made=works.made,
        workspace_name=worktree.name_of(main, directory.name),
        tmux_session=place.session if place else "",
        workspace=place.workspace if place else options.tmux and _have_tuis(agents, configuration),
    )


def _limit_usd(settings: RunSettings, resumed: Resumed) -> float | None:
    """The money that the run may cost; of a run that has begun, its own limit, unless one was typed."""
    if not resumed.begun or resumed.directory is None or "max_cost_usd" in settings.given:
        return settings.max_cost_usd
    before = run_files.settings_of(resumed.directory)
    return before.max_cost_usd if before is not None else None


def _have_tuis(agents: Agents, configuration: Configuration) -> bool:
    names = (agents.worker, agents.reviewer)
    return agents.paired and all(find_adapter(name, configuration.agents).side for name in names)


def _is_open_ended(options: Options, task: Task, place: TmuxPlace | None, *, has_prompt: bool) -> bool:
    """Whether the run waits for the next task when one is completed. A workspace does, unless `--exit` is given. A run
    that is resumed with its task does what it did before.
    """
    in_workspace = place is not None and place.workspace and has_prompt
    return options.value("exit") is not True and (task.to_come or (in_workspace and bool(task.text)))


def _session_ids(agents: Agents, manifest: run_dir.Manifest, resumed: Resumed) -> dict[Role, str]:
    """The session ids that no journal of ours knows: of a run of the original loop, or given by hand."""
    if resumed.session_id:
        return {"worker": resumed.session_id}
    known = run_dir.session_ids(manifest)
    roles: dict[Role, str] = {"worker": agents.worker, "reviewer": agents.reviewer}
    return {role: known[name] for role, name in roles.items() if name in known and agents.paired}


def _has_prompt(options: Options) -> bool:
    """Whether a user at a terminal reads the output and can type."""
    return sys.stdin.isatty() and sys.stdout.isatty() and options.is_interactive


def _preflight(
    agents: Agents, places: dict[Role, Host], configuration: Configuration, cwd: Path, environment: dict[str, str]
) -> None:
    """Refuses agents that cannot start here; what a host lacks is said when the actor starts there."""
    for host in places.values():
        if host.join:
            from actors.edges import join_keys

            join_keys.ready_for(environments.home(), host.name)
    here: dict[Role, str] = {"worker": agents.worker, "reviewer": agents.reviewer}
    for name in dict.fromkeys(name for role, name in here.items() if role not in places):
        find_adapter(name, configuration.agents).preflight(AgentSettings(name=name, cwd=cwd, environment=environment))


def _can_be_asked(options: Options) -> bool:
    """Whether a user can be asked before anything is created; also at `loop submit`."""
    return sys.stdin.isatty() and sys.stderr.isatty() and (options.is_interactive or options.command == "submit")


def allowed_before(resumed: Resumed) -> str:
    """The SHA-256 of the `.loop.toml` that the run to resume was allowed to use."""
    return str(resumed.manifest.get(ALLOWED, ""))


def _tree_sha256(tree: Path, manifest: run_dir.Manifest) -> str:
    """The SHA-256 of the `.loop.toml` where the run works. Tells the user when it has changed since the last start."""
    now = trust.digest(tree)
    if manifest.get(SEEN, now) != now:
        output.note(trust.changed_line(tree))
    return now


def _enter_worktree(start: _Start, own: Path | None, *, only_reserve: bool) -> _Place:
    """A new worktree, or the one that the run has had, which is `own`."""
    cwd, repository, directory = start.cwd, start.repository, start.resumed.directory
    if repository is None:
        raise UserError(worktree.refusal(cwd))
    if git.is_linked_worktree(cwd):
        main = git.main_top_level(cwd)
        if own is None or main is None:
            output.note("--worktree skipped: this is a worktree already")
            return _Place(directory, cwd)
        repository = main
    if directory is None:
        directory = run_dir.new_run_directory(
            start.repo_runs, start.asked_id, is_free=lambda run_id: worktree.is_free(repository, run_id)
        )
    if only_reserve:
        return _Place(directory, cwd)
    with taken_back(directory, None):
        place = worktree.enter(cwd, repository, directory.name)
    for note in place.notes:
        output.note(note)
    goes_on = own is not None and own.is_dir() and is_in_worktree(own, cwd, directory)
    return _Place(directory, own if own is not None and goes_on else place.cwd, place.made)


@contextmanager
def taken_back(directory: Path, made: worktree.Made | None) -> Iterator[None]:
    """Removes what was made for a run that has not begun, when the block raises, Ctrl-C included.

    A run with a manifest has begun. A new run's directory is empty until then; a directory with contents stays.
    """
    try:
        yield
    except BaseException:
        if made is not None and not (directory / "manifest.json").exists():
            worktree.unmake(made)
        with suppress(OSError):
            directory.rmdir()
        raise
