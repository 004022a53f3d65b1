"""From options to a checked `RunOrder`: reads the configuration, the prompt's file, the run to resume; asks whether the
agents can run here. Nothing is started, and nothing is created before the last check has passed.
"""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from actors import values
from actors.adapters import BUILT_IN_NAMES, find_adapter
from actors.adapters.base import AgentSettings
from actors.edges import environments, files, git, run_dir, trust, worktree
from actors.edges.configuration import Configuration, read_configuration
from actors.edges.journal import FILE_NAME as JOURNAL
from actors.edges.journal import RUN_STREAM, has_events
from actors.errors import BadFileError, CircumstanceError, UserError
from actors.machines import durations
from actors.settings import Role, RunSettings
from shell import elsewhere, output
from shell.known_agents import with_known
from shell.options import BOTH, DEFAULT_AGENT, MAX_WAIT, Options
from shell.trust import Person
from supervisor.run_host import ALLOWED, SEEN
from supervisor.run_tree import RunOrder

PLAN = "PLAN.md"
SETTING_OF = {  # the option's name -> the setting's, where a run that goes on can be told its default
    "proof": "proof",
    "check_timeout": "check_timeout_s",
    "max_iterations": "max_iterations",
    "done": "done_signal",
    "review": "reviewers",
    "review_plan": "plan_reviewer",
    "exit": "open_ended",
}
COOLDOWN_MS = 30_000
RETRY_MS = 5_000
# A prompt whose name ends so is a file: it must be there when it has no blank in it.
TEXT_SUFFIXES = (".md", ".markdown", ".txt", ".text", ".rst", ".adoc", ".org")
MOST_COOLDOWN_MS = 24 * 3_600_000


@dataclass(frozen=True)
class TmuxPlace:
    """The tmux session that this loop runs in, started by another `loop`."""

    session: str
    workspace: bool  # the agents' own TUIs are there, too


@dataclass(frozen=True)
class _Agents:
    worker: str
    reviewer: str
    paired: bool


@dataclass(frozen=True)
class _Models:
    worker: str
    worker_review: str
    reviewer: str


@dataclass(frozen=True)
class _Task:
    text: str
    needs_plan: bool
    to_come: bool = False  # a person will give one


@dataclass(frozen=True)
class _Resumed:
    """The run to go on with: its directory, or only a session id that no run is known by."""

    directory: Path | None = None
    session_id: str = ""

    @property
    def begun(self) -> bool:
        """Whether there is a journal to go on with. A run of the original has none, nor has one that never started."""
        return self.directory is not None and has_events(self.directory / JOURNAL, RUN_STREAM)


def order_run(options: Options, *, only_reserve: bool = False, place: TmuxPlace | None = None) -> RunOrder:
    """The order for what was typed here and now. Raises `UserError` (which includes an agent that cannot run).

    `only_reserve`: all is checked and the run gets its id, but its worktree is left to the loop that will run it.
    `place`: where that loop runs.
    """
    environment = environments.handed_on()
    environments.check_open_files(environments.FILES_OF_A_ROOT)
    cwd = _current_directory()
    home = environments.home()
    values.text("the home directory", str(home))
    repository = git.top_level(cwd)
    repo_runs = run_dir.runs_root(home) / git.repository_id(cwd)
    asked_id = wanted_id()
    resumed = _resumed(options, repo_runs, asked_id)
    person = Person(home, cwd, can_be_asked=_can_be_asked(options), has_said_yes=options.trust)
    configuration = read_configuration(
        home, repository or cwd, BUILT_IN_NAMES, lambda file: file.sha256 == _allowed_before(resumed) or person(file)
    )
    in_file = configuration.agents.keys() - configuration.repository_agents.keys()
    configuration = with_known(configuration, _named(options, resumed), home, environment.get("PATH"))
    agents = _agents(options, configuration, resumed)
    reviewers = _reviewers(options, agents)
    plan_reviewer = _plan_reviewer(options, agents)
    task = _task(options, cwd, home, resumed)
    models = _models(options, agents, environment)
    has_prompt = _has_prompt(options)
    settings = RunSettings(
        run_uid=str(uuid.uuid4()),
        task=task.text,
        needs_plan=task.needs_plan,
        worker=agents.worker,
        reviewer=agents.reviewer,
        paired=agents.paired,
        reviewers=reviewers,
        plan_reviewer=plan_reviewer,
        proof=options.proof,
        checks=(*configuration.checks, *options.checks),
        check_timeout_s=options.check_timeout_s,
        done_signal=options.done,
        max_iterations=options.max_iterations,
        cooldown_ms=_cooldown_ms(environment),
        max_wait_ms=_max_wait_ms(options, resumed),
        retry_ms=_retry_ms(environment),
        worker_model=models.worker,
        worker_review_model=models.worker_review,
        reviewer_model=models.reviewer,
        interactive=has_prompt,
        given=_given(options, environment),
        asks_again=True,
        binds_to_tree=True,
        looks_for_pull_request=True,
        open_ended=_is_open_ended(options, task, place, has_prompt=has_prompt),
    )
    _check(settings)
    _preflight(agents, configuration, cwd, environment)
    if resumed.directory is not None and resumed.directory.parent != repo_runs:
        _say(f"run {resumed.directory.name} was in another place, which is gone: it goes on here, in {cwd}")
        resumed = replace(resumed, directory=elsewhere.bring(resumed.directory, repo_runs))
    directory = resumed.directory
    own = _own_place(resumed)
    if own is not None and not own.is_dir() and not _is_in_worktree(own, cwd, directory):
        own = None
    goes_on = own is not None and own.is_dir() and (not options.worktree or git.is_linked_worktree(cwd))
    made: worktree.Made | None = None
    if (options.worktree or own is not None) and not goes_on:
        directory, cwd, made = _enter_worktree(
            cwd, repository, repo_runs, directory, asked_id, own=own, only_reserve=only_reserve
        )
    else:
        if own is not None and own != cwd:
            _say(f"it goes on where it was: {own}")
            cwd = own
        if (note := git.branch_note(cwd)) is not None:
            _say(note)
    if directory is None:
        directory = run_dir.new_run_directory(repo_runs, asked_id)
    with taken_back(directory, made):
        for other in () if only_reserve else elsewhere.neighbours(repo_runs, cwd, directory):
            _say(
                f"run {other} works in this directory as well: loop shell {other} attaches to it, "
                "and --worktree gives a run a directory of its own"
            )
        manifest = run_dir.read_manifest(directory) or {}
        tree = git.top_level(cwd) or cwd
        return RunOrder(
            key=f"{repo_runs.name}/{directory.name}",
            run_id=directory.name,
            repo_id=repo_runs.name,
            directory=directory,
            cwd=cwd,
            environment=environment,
            worker=agents.worker,
            reviewer=agents.reviewer,
            paired=agents.paired,
            settings=settings,
            worker_model=models.worker,
            reviewer_model=models.reviewer,
            raw_output=options.format == "raw",
            headless=options.headless or not sys.stdin.isatty(),
            has_prompt=has_prompt,
            configured=dict(configuration.agents),
            carried_agents={
                name: configuration.agents[name]
                for name in (agents.worker, agents.reviewer)
                if name in configuration.agents and name not in in_file
            },
            allowed_sha256=configuration.allowed_sha256,
            repository=git.main_top_level(cwd) or cwd,
            tree=tree,
            tree_sha256=_tree_sha256(tree, manifest),
            session_ids=_session_ids(agents, manifest, resumed),
            worktree=str(git.linked_worktree(cwd) or ""),
            made=made,
            workspace_name=worktree.name_of(git.main_top_level(cwd) or cwd, directory.name),
            tmux_session=place.session if place else "",
            workspace=place.workspace if place else options.tmux and _have_tuis(agents, configuration),
        )


def lives_in_tmux(options: Options) -> bool:
    """Whether the run that is to go on had its agents' TUIs in a tmux session, and can have them there again."""
    if options.headless or not (options.run_id or options.session):
        return False
    repo_runs = run_dir.runs_root(environments.home()) / git.repository_id(_current_directory())
    directory = _resumed(options, repo_runs, None).directory
    return directory is not None and (run_dir.read_manifest(directory) or {}).get("workspace") is True


def _have_tuis(agents: _Agents, configuration: Configuration) -> bool:
    names = (agents.worker, agents.reviewer)
    return agents.paired and all(find_adapter(name, configuration.agents).side for name in names)


def _current_directory() -> Path:
    try:
        found = Path.cwd()
    except FileNotFoundError as error:
        raise CircumstanceError("the current directory is gone: change to another one") from error
    values.text("the current directory's name", str(found))
    return found


def _check(settings: RunSettings) -> None:
    """The last look before anything is made: what comes from files and variables, beside what was typed."""
    values.text("the task", settings.task, most_bytes=values.MOST_TASK_BYTES)
    values.line("LOOP_CODEX_MODEL", settings.worker_model)
    values.line("LOOP_CODEX_MODEL", settings.reviewer_model)


def _agents(options: Options, configuration: Configuration, resumed: _Resumed) -> _Agents:
    """Those that were asked for; a run that goes on keeps its own, since the sessions are theirs."""
    kept = _kept_agents(resumed, configuration)
    if kept is None:
        return _asked_agents(options, configuration)
    whose = f"{kept.worker} and {kept.reviewer}" if kept.paired else f"{kept.worker} alone"
    other = ""
    if options.peer and find_adapter(options.peer, configuration.agents).name != kept.reviewer:
        other = f"--peer {options.peer}"
    if options.only or options.agent:
        asked = _asked_agents(options._replace(peer=""), configuration)
        if (asked.worker, asked.paired) != (kept.worker, kept.paired):
            other = f"--{options.only}-only" if options.only else f"--agent {options.agent}"
    if other:
        assert resumed.directory is not None
        raise UserError(f"{other}: run {resumed.directory.name} is one of {whose}; leave it out, or start a new run")
    return kept


def _asked_agents(options: Options, configuration: Configuration) -> _Agents:
    if options.only and options.peer:
        raise UserError(f"--peer {options.peer}: --{options.only}-only has no peer; leave one of them out")
    if options.only:
        return _Agents(options.only, options.only, paired=False)
    worker = find_adapter(options.agent or DEFAULT_AGENT, configuration.agents)
    reviewer = find_adapter(options.peer or worker.peer, configuration.agents)
    return _Agents(worker.name, reviewer.name, paired=True)


def _named(options: Options, resumed: _Resumed) -> list[str]:
    """Every agent that the words, or the run that goes on, name."""
    manifest = run_dir.read_manifest(resumed.directory) if resumed.directory is not None else None
    kept = (manifest or {}).get("agents")
    return [options.agent or DEFAULT_AGENT, options.peer, *(map(str, kept.values()) if isinstance(kept, dict) else ())]


def _kept_agents(resumed: _Resumed, configuration: Configuration) -> _Agents | None:
    if resumed.directory is None or not resumed.begun:
        return None
    manifest = run_dir.read_manifest(resumed.directory) or {}
    names = manifest.get("agents")
    if not isinstance(names, dict) or not {"worker", "reviewer"} <= names.keys():
        return None
    worker, reviewer = (find_adapter(str(names[role]), configuration.agents).name for role in ("worker", "reviewer"))
    return _Agents(worker, reviewer, paired=manifest.get("mode") != "single")


def _reviewers(options: Options, agents: _Agents) -> tuple[Role, ...]:
    if not agents.paired:
        return ("reviewer",)
    if options.review == BOTH:
        return ("worker", "reviewer")
    return (_role_of("--review", options.review, agents),)


def _plan_reviewer(options: Options, agents: _Agents) -> Role | None:
    if options.review_plan == "none":
        return None
    if options.review_plan == "other" or not agents.paired:
        return "reviewer"
    return _role_of("--review-plan", options.review_plan, agents)


def _role_of(flag: str, agent: str, agents: _Agents) -> Role:
    if agent == agents.reviewer:
        return "reviewer"
    if agent == agents.worker:
        return "worker"
    raise UserError(f"{flag} {agent}: this run has only {agents.worker} and {agents.reviewer}; leave it out")


def _resumed(options: Options, repo_runs: Path, wanted_id: str | None) -> _Resumed:
    if options.run_id:
        directory = repo_runs / run_dir.check_run_id(options.run_id)
        run_dir.check_whole(directory)
        if run_dir.read_manifest(directory) is None:
            moved = elsewhere.moved_run(repo_runs, options.run_id)
            if moved is None:
                raise elsewhere.unknown_run(repo_runs, options.run_id)
            run_dir.check_whole(moved)
            return _Resumed(moved)
        return _Resumed(directory)
    if options.session:
        if run_dir.RUN_ID.fullmatch(options.session):
            run_dir.check_whole(repo_runs / options.session)
        found = None if options.only else run_dir.find_run(repo_runs, options.session)
        if found:
            run_dir.check_whole(found)
        if found is None and not options.only and (error := elsewhere.known_session(repo_runs, options.session)):
            raise error
        return _Resumed(found) if found else _Resumed(session_id=options.session)
    if wanted_id is not None:
        run_dir.check_whole(repo_runs / wanted_id)
    if wanted_id is not None and run_dir.read_manifest(repo_runs / wanted_id) is not None:
        return _Resumed(repo_runs / wanted_id)
    return _Resumed()


def _own_place(resumed: _Resumed) -> Path | None:
    """Where a run that goes on has worked so far. What its agents have done is there, and so are their sessions:
    Claude Code keeps them by directory.
    """
    if resumed.directory is None or not resumed.begun:
        return None
    place = (run_dir.read_manifest(resumed.directory) or {}).get("cwd")
    return Path(place) if isinstance(place, str) and place else None


def _is_in_worktree(own: Path, cwd: Path, directory: Path | None) -> bool:
    """Whether `own` was in the run's worktree, which can then be made again."""
    top = git.main_top_level(cwd)
    return top is not None and directory is not None and worktree.name_of(top, directory.name) in own.parts


def _session_ids(agents: _Agents, manifest: run_dir.Manifest, resumed: _Resumed) -> dict[Role, str]:
    """For sessions that no journal of ours knows: a run of the original, or an id given by hand."""
    if resumed.session_id:
        return {"worker": resumed.session_id}
    known = run_dir.session_ids(manifest)
    roles: dict[Role, str] = {"worker": agents.worker, "reviewer": agents.reviewer}
    return {role: known[name] for role, name in roles.items() if name in known and agents.paired}


def _task(options: Options, cwd: Path, home: Path, resumed: _Resumed) -> _Task:
    """What is to be done; blank only when a run with a journal goes on with its own task."""
    begun = resumed.begun
    prompt = options.task
    if prompt is not None:
        path = _named_file(prompt, cwd, home)
        return _Task(prompt, needs_plan=True) if path is None else _Task(_read(path), needs_plan=False)
    if begun:
        return _Task("", needs_plan=False)
    if resumed.directory is not None and (resumed.directory / JOURNAL).exists():
        raise UserError(
            f"run {resumed.directory.name} was ended before it had begun: "
            f'give its task again, as in loop --run-id {resumed.directory.name} "fix the failing test"'
        )
    if options.command == "workspace" or (options.tmux and not options.proof):
        return _Task("", needs_plan=False, to_come=True)
    if os.path.lexists(cwd / PLAN):
        return _Task(_read(cwd / PLAN), needs_plan=False)
    raise UserError(
        'no task: give it as text (loop "fix the failing test"), as a file (loop --prompt TASK.md), '
        f"or as {PLAN} in {cwd}"
    )


def _named_file(prompt: str, cwd: Path, home: Path) -> Path | None:
    """The file that the prompt names; None when it is the task itself.

    A name ends like a text file. With blanks in it, it is a sentence unless there is such a file. A file whose name
    says nothing is not read, but the user is told.
    """
    if len(prompt) > os.pathconf("/", "PC_PATH_MAX") or "\n" in prompt:
        return None
    path = home / prompt[2:] if prompt.startswith("~/") else cwd / prompt
    with suppress(OSError):  # a sentence may be too long for a name
        if not prompt.lower().endswith(TEXT_SUFFIXES):
            if path.is_file():
                _say(f"{prompt!r} is taken as the task itself, though a file has that name; a task file is called .md")
            return None
        if path.is_file():
            return path
    return None if re.search(r"\s", prompt) else path


def _read(path: Path) -> str:
    try:
        text = files.read_text(path, values.MOST_TASK_BYTES)
    except (BadFileError, OSError) as error:
        reason = error.reason if isinstance(error, BadFileError) else error.strerror
        raise UserError(f"cannot read the task from {path}: {reason}") from error
    if not text.strip():
        raise UserError(f"the task in {path} is empty: write there what is to be done")
    return text


def _models(options: Options, agents: _Agents, environment: Mapping[str, str]) -> _Models:
    work = {"codex": options.codex_model or environment.get("LOOP_CODEX_MODEL", ""), "claude": options.claude_model}
    for name, model in options.models:
        if name not in (agents.worker, agents.reviewer):
            raise UserError(f"--model {name}={model}: the run's agents are {agents.worker} and {agents.reviewer}")
        work[name] = model
    review = {"codex": options.codex_reviewer_model, "claude": options.claude_reviewer_model}
    return _Models(
        worker=work.get(agents.worker, ""),
        worker_review=review.get(agents.worker, ""),
        reviewer=review.get(agents.reviewer, "") or work.get(agents.reviewer, ""),
    )


def _is_open_ended(options: Options, task: _Task, place: TmuxPlace | None, *, has_prompt: bool) -> bool:
    """Whether the run waits for the next task when one is completed. A workspace does, for somebody sits there. One
    that goes on with its task stays what it was.
    """
    in_workspace = place is not None and place.workspace and has_prompt
    return not options.exit and (task.to_come or (in_workspace and bool(task.text)))


def _given(options: Options, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The settings that were typed. A run that goes on takes them over, also where they are the defaults."""
    names = {setting for option, setting in SETTING_OF.items() if option in options.given}
    variables = {"cooldown_ms": "LOOP_COOLDOWN_MS", "retry_ms": "LOOP_RETRY_MS"}
    return tuple(sorted({*names, *(name for name, each in variables.items() if _number(environment, each))}))


def _number(environment: Mapping[str, str], variable: str) -> str:
    """As it was typed; "" for anything but a number, which does not count."""
    text = environment.get(variable, "").strip()
    return text if text.isascii() and text.isdigit() else ""


def _cooldown_ms(environment: Mapping[str, str]) -> int:
    """`LOOP_COOLDOWN_MS`: 0 is allowed, what is no number falls back (behaviour.md); raises `UserError` above a day."""
    text = _number(environment, "LOOP_COOLDOWN_MS")
    if not text:
        return COOLDOWN_MS
    return values.whole_number("LOOP_COOLDOWN_MS", text, least=0, most=MOST_COOLDOWN_MS)


def _max_wait_ms(options: Options, resumed: _Resumed) -> int | None:
    """A run that goes on keeps its own unless another one was typed."""
    if options.max_wait_ms is not None or resumed.begun:
        return options.max_wait_ms
    return durations.parse(MAX_WAIT)


def _retry_ms(environment: Mapping[str, str]) -> int:
    """`LOOP_RETRY_MS`: as with `LOOP_COOLDOWN_MS`, but from 1: nobody is asked again without a wait."""
    text = _number(environment, "LOOP_RETRY_MS")
    if not text:
        return RETRY_MS
    return values.whole_number("LOOP_RETRY_MS", text, least=1, most=MOST_COOLDOWN_MS)


def _has_prompt(options: Options) -> bool:
    """Whether somebody sits there who reads what happens and can type."""
    return sys.stdin.isatty() and sys.stdout.isatty() and options.is_for_people


def _preflight(agents: _Agents, configuration: Configuration, cwd: Path, environment: dict[str, str]) -> None:
    for name in dict.fromkeys((agents.worker, agents.reviewer)):
        find_adapter(name, configuration.agents).preflight(AgentSettings(name=name, cwd=cwd, environment=environment))


def _can_be_asked(options: Options) -> bool:
    """Whether somebody sits there who can be asked before anything is made. `loop submit` is typed by one, too."""
    return sys.stdin.isatty() and sys.stderr.isatty() and (options.is_for_people or options.command == "submit")


def _allowed_before(resumed: _Resumed) -> str:
    """The content of `.loop.toml` that the run that goes on was allowed to use."""
    if resumed.directory is None:
        return ""
    return str((run_dir.read_manifest(resumed.directory) or {}).get(ALLOWED, ""))


def _tree_sha256(tree: Path, manifest: run_dir.Manifest) -> str:
    """Of the `.loop.toml` where the run works. Says so when it has changed since the run was here before."""
    now = trust.digest(tree)
    if manifest.get(SEEN, now) != now:
        _say(trust.changed_line(tree))
    return now


def wanted_id() -> str | None:
    """`LOOP_RUN_ID`, checked; None when it is not set."""
    wanted = environments.own(environments.RUN_ID).get(environments.RUN_ID, "").strip()
    return run_dir.check_run_id(wanted) if wanted else None


def _enter_worktree(
    cwd: Path,
    repository: Path | None,
    repo_runs: Path,
    directory: Path | None,
    wanted_id: str | None,
    *,
    own: Path | None,
    only_reserve: bool,
) -> tuple[Path | None, Path, worktree.Made | None]:
    """The run directory, if there is one now, the directory to work in, which is `own` again where the run has one,
    and what was made of it now.
    """
    if repository is None:
        raise UserError(worktree.refusal(cwd))
    if git.is_linked_worktree(cwd):
        main = git.main_top_level(cwd)
        if own is None or main is None:
            _say("--worktree skipped: this is a worktree already")
            return directory, cwd, None
        repository = main
    if directory is None:
        directory = run_dir.new_run_directory(
            repo_runs, wanted_id, is_free=lambda run_id: worktree.is_free(repository, run_id)
        )
    if only_reserve:
        return directory, cwd, None
    with taken_back(directory, None):
        place = worktree.enter(cwd, repository, directory.name)
    for note in place.notes:
        _say(note)
    goes_on = own is not None and own.is_dir() and _is_in_worktree(own, cwd, directory)
    return directory, own if own is not None and goes_on else place.cwd, place.made


@contextmanager
def taken_back(directory: Path, made: worktree.Made | None) -> Iterator[None]:
    """Within it whatever refuses a start, Ctrl-C included, takes back what was made for a run that has not begun.

    A run with a manifest has begun. A new run's directory is empty until then; what is in one stays.
    """
    try:
        yield
    except BaseException:
        if made is not None and not (directory / "manifest.json").exists():
            worktree.unmake(made)
        with suppress(OSError):
            directory.rmdir()
        raise


def _say(note: str) -> None:
    output.note(note)
