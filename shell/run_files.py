"""Runs as their files show them: the list, the one that the user means, the state of one that is not running. Reads
only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from actors import values
from actors.edges import environments, git, run_dir
from actors.errors import LoopError, OperationalError, UserError, described
from actors.machines import hints
from actors.messages import AgentStatus, MailboxItem, Record, RunStatus
from actors.settings import Role, display_names
from shell import tables
from supervisor.control.protocol import ActorReport, HostReport, MailboxReport, Report

if TYPE_CHECKING:
    from actors.machines import turn
    from actors.machines.run import RunState
    from actors.settings import RunSettings

ROLES: tuple[Role, ...] = ("worker", "reviewer")
ACTORS = ("persistence", "bridge", "run", "worker", "reviewer")


class RunFiles(NamedTuple):
    """One run of this repository."""

    directory: Path
    manifest: run_dir.Manifest
    pid: int  # of its root; 0: it is not running
    damage: str = ""  # why its files are of no use

    @property
    def run_id(self) -> str:
        """The run's number, as the user knows it."""
        return self.directory.name

    @property
    def state(self) -> str:
        """The manifest's state; a killed run still says "working" there."""
        return "damaged" if self.damage else str(self.manifest.get("state", "?"))

    def text(self, key: str) -> str:
        """A value of the manifest, for the user."""
        return str(self.manifest.get(key, ""))


def home_runs() -> Path:
    """The directory of the runs of all repositories."""
    return run_dir.runs_root(environments.home())


def runs_here() -> Path:
    """The directory of this repository's runs."""
    return home_runs() / git.repository_id(Path.cwd())


def all_runs(repo_runs: Path) -> list[RunFiles]:
    """All runs: running ones first, then the newest, damaged ones last."""
    found = list(_runs(repo_runs))
    return sorted(
        found, key=lambda each: (each.pid != 0, not each.damage, each.text("createdAt"), each.run_id), reverse=True
    )


def _runs(repo_runs: Path) -> Iterator[RunFiles]:
    for directory in run_dir.directories(repo_runs):
        found = look_at(directory)
        if found is not None:
            yield found


def look_at(directory: Path) -> RunFiles | None:
    """The run in this directory; None when there is none. A run that has just begun has no manifest yet."""
    seen = run_dir.look(directory)
    if seen == run_dir.RunLook():
        return None
    pid = seen.holder.pid if seen.holder else 0
    return RunFiles(directory=directory, manifest=seen.manifest or {}, pid=pid, damage=seen.damage)


def check_whole(found: RunFiles) -> None:
    """Raises `OperationalError` for a run whose files are of no use."""
    if found.damage:
        raise OperationalError(f"run {found.run_id} is damaged: {found.damage}")


def choose(wanted: str, *, running: bool) -> RunFiles:
    """The run with this id, or "<repo id>/<run id>" of another repository; "" = the newest one that is running here,
    else the newest. `running`: raises `OperationalError` for one that is not. Raises `UserError` when there is none.
    """
    repo_runs = runs_here()
    if wanted:
        repo, _, run_id = wanted.rpartition("/")
        directory = run_dir.directory_of(environments.home(), repo or repo_runs.name, run_id)
        found = look_at(directory)
        if found is None:
            others = sorted(each.parent.name for each in home_runs().glob(f"*/{run_id}") if not repo)
            there = f"; elsewhere: {', '.join(f'{name}/{run_id}' for name in others)}" if others else ""
            raise UserError(f"no run {wanted!r} in {directory.parent}: loop runs lists them{there}")
    else:
        found = next(iter(all_runs(repo_runs)), None)
        if found is None:
            raise UserError(f'no run of this repository yet: loop "fix the failing test" starts one{_elsewhere()}')
    if running:
        check_running(found, wanted)
    return found


def check_running(found: RunFiles, wanted: str) -> None:
    """Raises `OperationalError` for a run that is not running; it says how to resume it. `wanted`: the argument of
    `choose`.
    """
    if not found.pid:
        elsewhere = "" if wanted else _elsewhere()
        raise OperationalError(f"run {found.run_id} is not running ({found.state}); {resume_hint(found)}{elsewhere}")


def run_lines(runs: Iterable[RunFiles]) -> list[str]:
    """The runs, one per line."""
    rows = [
        [
            each.run_id,
            f"{each.state} (process {each.pid})" if each.pid else each.state,
            each.text("mode"),
            each.text("updatedAt").replace("T", " ")[:19],
            each.damage or each.text("cwd"),
        ]
        for each in runs
    ]
    return tables.columns(rows)


def resume_hint(found: RunFiles) -> str:
    """How to resume a run that is not running."""
    from supervisor import submissions  # imported here: only a run that is not running needs it

    if submissions.read(found.directory) is not None:
        return "the next loop serve resumes it"
    return f"to resume it: {resume_command(found.directory, found.manifest)}"


def resume_command(directory: Path, manifest: run_dir.Manifest) -> str:
    """The command that resumes the run from the current directory."""
    is_here = directory.parent.name == git.repository_id(Path.cwd())
    return hints.resume(directory.name, "" if is_here else str(manifest.get("repository") or manifest.get("cwd", "")))


def _elsewhere() -> str:
    """The runs of other repositories that are running, for the user."""
    root = home_runs()
    repos = [each for each in run_dir.directories(root) if each != runs_here()]
    active = [f"{repo.name}/{each.run_id}" for repo in repos for each in _runs(repo) if each.pid]
    return f"; running elsewhere: {', '.join(sorted(active))}" if active else ""


# --- the state of a run that is not running ---------------------------------------------------------------------


def report(found: RunFiles, now_ms: int) -> Report:
    """The report from the journal, as far as it can be read; for a run of the original, from the manifest.

    Raises `OperationalError` for a damaged run, whatever is wrong in its journal.
    """
    check_whole(found)
    try:
        return _report(found, now_ms)
    except LoopError:
        raise
    except Exception as error:  # foreign events can be anything: the other runs are still shown
        raise OperationalError(f"run {found.run_id} is damaged: its journal: {described(error)}") from error


def _report(found: RunFiles, now_ms: int) -> Report:
    # Imported here: a running run is not shown from its files.
    from actors.edges.journal_reader import read_streams
    from actors.machines import run
    from actors.machines.run_status import run_status

    streams = read_streams(found.directory, ("run", *(f"turns/{role}" for role in ROLES)))
    status: RunStatus | None = None
    agents: list[AgentStatus] = []
    if streams["run"]:
        state = run.fold(events(streams["run"], run.EVENTS))
        status = run_status(state, now_ms)
        names: dict[Role, str] = {"worker": state.run.worker, "reviewer": state.run.reviewer}
        labels = display_names(state.run.worker, state.run.reviewer)
        agents = [_agent(role, names[role], labels[role], _ledger(streams[f"turns/{role}"])) for role in ROLES]
    return Report(
        at_ms=now_ms,
        run_id=found.run_id,
        key=f"{found.directory.parent.name}/{found.run_id}",
        directory=str(found.directory),
        cwd=found.text("cwd"),
        root_pid=0,
        started_at_ms=0,
        status=status,
        actors=[ActorReport(name=name, state="dead", why="the run is not running") for name in ACTORS],
        agents=agents,
        dead_letters=0,
        consoles=0,
        worktree=found.text("worktree"),
        hosts=_hosts(found.manifest.get("places")),
    )


def _hosts(places: object) -> list[HostReport]:
    """The hosts on which a resumed run has its agents."""
    placed = {str(role): str(name) for role, name in places.items()} if isinstance(places, dict) else {}
    return [
        HostReport(name=name, actors=[role for role, at in placed.items() if at == name], state="idle", since_ms=0)
        for name in dict.fromkeys(placed.values())
    ]


def settings_of(directory: Path) -> RunSettings | None:
    """The run's settings from its journal; None when it has not begun. Raises `LoopError`."""
    state = state_of(directory)
    return state.settings if state is not None else None


def state_of(directory: Path) -> RunState | None:
    """What the run's journal comes to; None when it has not begun. Raises `LoopError`."""
    from actors.edges.journal_reader import read_streams
    from actors.machines import run

    records = read_streams(directory, ("run",))["run"]
    return run.fold(events(records, run.EVENTS)) if records else None


def _agent(role: Role, name: str, label: str, ledger: turn.Ledger) -> AgentStatus:
    return AgentStatus(
        role=role,
        agent=name,
        label=label,
        session_id=ledger.session_id,
        can_steer=False,
        turn_id="",
        purpose="",
        since_ms=0,
        waiting=len(ledger.open),
        turns=ledger.turns,
        usage=ledger.spent,
        account=f"account {ledger.account + 1}" if ledger.used_up else "",
    )


def check_actor(name: str) -> None:
    """Raises `UserError` for a name that no actor has."""
    if name not in ACTORS:
        raise UserError(f"no actor {name!r}{values.meant(name, ACTORS)}: there are {', '.join(ACTORS)}")


def mailbox(found: RunFiles, actor: str, now_ms: int) -> MailboxReport:
    """What the actor will do when the run resumes. Messages that were under way are sent again then."""
    check_actor(actor)
    check_whole(found)
    waiting: list[MailboxItem] = []
    handled: list[MailboxItem] = []
    if actor in ROLES:
        from actors.edges.journal_reader import read_streams

        records = read_streams(found.directory, (f"turns/{actor}",))[f"turns/{actor}"]
        ledger = _ledger(records)
        times = {str(_field(record, "turn_id")): record.at_ms for record in records if record.kind == "TurnIntended"}
        waiting = [
            MailboxItem(
                id=entry.turn_id,
                kind=f"{entry.purpose} turn, {entry.status}",
                sender="journal",
                age_ms=now_ms - times.get(entry.turn_id, now_ms),
            )
            for entry in ledger.open.values()
        ]
        ended = [record for record in records if record.kind == "TurnConcluded"]
        handled = [
            MailboxItem(
                id=str(_field(record, "turn_id")), kind="turn, settled", sender="journal", age_ms=now_ms - record.at_ms
            )
            for record in reversed(ended[-20:])
        ]
    return MailboxReport(actor=actor, state="dead", waiting=waiting, handling=None, handled=handled, dead_letters=[])


def _ledger(records: list[Record]) -> turn.Ledger:
    from actors.machines import turn

    ledger = turn.Ledger()
    for event in events(records, turn.EVENTS):
        ledger = turn.apply(ledger, event)
    return ledger


def events(records: list[Record], types: tuple[type[Any], ...]) -> list[Any]:
    """The events of these records. Raises `OperationalError` for one of another version."""
    from actors.machines.stored import by_stored_name

    known = by_stored_name(types)
    try:
        return [msgspec.json.decode(record.body, type=known[record.kind]) for record in records]
    except KeyError as error:
        raise OperationalError(
            f"the run's journal cannot be read: the event {error} is unknown to this version of loop: "
            "update loop, then resume"
        ) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise OperationalError(f"the journal was written by another version of loop ({error})") from error


def _field(record: Record, name: str) -> object:
    """A field of the record; "" when it cannot be read. The other fields may be of another version."""
    try:
        return msgspec.json.decode(record.body).get(name, "")
    except (ValueError, RecursionError):
        return ""
