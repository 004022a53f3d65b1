"""What all runs of one root share (`RootServices`), and one run of them (`RunInstance`). Lives in the root process.

A `RootServices` has the router and the launcher. A `RunInstance` is a sub-tree of its own: supervisor, control server,
endpoints. What one run does, or how it ends, does not affect the others. Neither class knows signals or terminals.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from actors.actor_process import Sender
from actors.clock import wall_ms
from actors.errors import LoopError
from actors.hosts import HOME, Host
from actors.messages import ActorPlaced, Message, Notable, Progress, ProgressKind, QuestionAsked, RunStatus
from actors.settings import Role
from actors.starts import LogSettings
from supervisor.actor import FromActor, SupervisorActor, SupervisorOptions, stop_run
from supervisor.control.handlers import ControlHandler
from supervisor.control.protocol import Ended, HostReport, Shown
from supervisor.control.server import ControlServer
from supervisor.hosts import placing
from supervisor.hosts.far_log import FarLog
from supervisor.hosts.home_side import HomeSide
from supervisor.hosts.host_launcher import HostLauncher
from supervisor.hosts.kept_leases import KeptLeases
from supervisor.hosts.kept_moves import KeptMove, KeptMoves
from supervisor.hosts.links import Links
from supervisor.hosts.moving import Mover
from supervisor.hosts.placing import PlacingLauncher
from supervisor.launchers import Event, make_launcher
from supervisor.leases import Lease, control_path
from supervisor.notifier import Notifier
from supervisor.router import Router
from supervisor.run_manifest import first_manifest, write_state
from supervisor.run_tree import CHILDREN, DRIVER, PRELOAD, RunSpec, RunTree, bridge_of, launch_name
from supervisor.tree_protocol import PlaceGivenUp, RunResult

if TYPE_CHECKING:
    from supervisor.forkserver_launcher import EarlyForkserver
    from supervisor.hosts.early_links import EarlyLinks
    from supervisor.hosts.fence import Fence

LAST_WORDS_S = 13.0  # a notification that is being sent has less time than that


class Console(Protocol):
    """The root's own console. `show` and `opened` must return immediately."""

    def opened(self, endpoint: str) -> None:
        """Main thread: consoles may connect to this address from now on. Called once, before the run starts."""

    def show(self, progress: Progress) -> None:
        """ControlServer's thread: something happened."""


class RootServices:
    """Router and launcher. `runtime`: for sockets; `records`: for the launcher. Created in the main thread.

    `preload`: modules that the launcher imports for the actors. `early` and `forkserver`: what was
    begun before.
    """

    def __init__(
        self,
        runtime: Path,
        records: Path,
        preload: Sequence[str] = PRELOAD,
        early: EarlyLinks | None = None,
        forkserver: EarlyForkserver | None = None,
    ) -> None:
        self._runs: dict[str, RunInstance] = {}
        self.router = Router(runtime)
        sockets = early.sockets if early is not None else None
        self.launcher = PlacingLauncher(
            make_launcher(self.from_launcher, runtime_dir=records, preload=preload, sockets=sockets, early=forkserver)
        )
        self.notifier = Notifier()
        self.links = early.links if early is not None else Links()

    def add(self, key: str, run: RunInstance) -> None:
        """Registers a run: from now on it gets the events of its children."""
        self._runs[key] = run

    def remove(self, key: str) -> None:
        """Forgets a run that is over."""
        self._runs.pop(key, None)
        self.router.forget_run(key)
        for child in CHILDREN:
            self.launcher.forget(launch_name(key, child))

    def close(self, *, last_words_s: float = LAST_WORDS_S) -> None:
        """Kills what is left of all runs. The last notifications are sent first, for `last_words_s` at most."""
        self.notifier.close(last_words_s)
        self.launcher.close()
        self.links.close()
        self.router.close()

    def from_launcher(self, event: Event) -> None:
        """Any launcher's thread: hands the event to its run."""
        run = self._runs.get(event.child.rpartition("/")[0])
        if run is not None:
            run.from_launcher(event)


class RunInstance:
    """One run, started when the constructor returns. `ended` is called once, in the supervisor's thread, when all its
    processes are gone; call `close` after that. `on_purpose` is called before a stop that the user asked for. When an
    actor ends too often, the run is suspended until the user decides, if one is attached or with `waits_for_user`.
    `suspended` is then called with True, in the supervisor's thread, and with False when the run resumes. `begun` is
    called once, in the router's thread, when the journal has the run's settings.
    """

    def __init__(
        self,
        services: RootServices,
        spec: RunSpec,
        lease: Lease,
        console: Console,
        *,
        ended: Callable[[RunResult], None],
        on_purpose: Callable[[], None] = lambda: None,
        waits_for_user: bool = False,
        suspended: Callable[[bool], None] = lambda _is_suspended: None,
        begun: Callable[[], None] = lambda: None,
    ) -> None:
        self._services = services
        self._spec = spec
        self._ended = ended
        self._on_purpose = on_purpose
        self._suspended = suspended
        self._begun: Callable[[], None] | None = begun
        key = spec.key
        mail = services.router.open_local(key, "supervisor", self._to_supervisor)
        console_mail = services.router.open_local(key, "console", self._to_console)
        self._mail = mail
        self._known_hosts = {**spec.hosts, **{host.name: host for host in spec.places.values()}}
        self._hosts: dict[str, HostLauncher] = {}
        self._placing = threading.Lock()  # of `_hosts` and `_known_hosts`
        self._kept_moves = KeptMoves(spec.directory, spec.moves)
        self._kept_leases = KeptLeases(spec.directory)
        self._fence = self._make_fence() if self._kept_leases.has_earlier else None
        mover = Mover(
            spec.cwd,
            dict(self._known_hosts),
            place_of=lambda role: spec.place_names.get(role, ""),
            reach=lambda host: self._launcher_of(host).reach(),
            ask=lambda *asked: self._handler.ask_to_move(*asked),  # noqa: PLW0108 - it is made below
            announce=self.announce,
            keep=self._kept_moves.keep,
        )
        self._handler = ControlHandler(
            spec,
            services.router,
            ref=console_mail.ref,
            stop=self._stop_from_console,
            show=self._show,
            hosts=self._host_reports,
            move=mover.move,
        )
        self._control = ControlServer(control_path(lease.runtime), self._handler, console.show)
        console.opened(self._control.endpoint)
        services.add(key, self)
        for role, host in spec.places.items():
            services.launcher.place(launch_name(key, role), self._launcher_of(host))
        self._tree = RunTree(
            spec, lease.lock.generation, first_manifest(spec), services.launcher.listening_port, lease.runtime
        )
        self._supervisor = SupervisorActor.start(
            SupervisorOptions(
                key=key,
                tree=self._tree,
                router=services.router,
                launcher=services.launcher,
                tell=lambda name, message: mail.ref(name).tell(message),
                announce=self.announce,
                done=self._done,
                log=run_log(spec),
                publish=self._handler.children,
                has_operator=lambda: waits_for_user or spec.has_prompt or self._control.has_operator(),
                leases=lambda: {host.name: host.stop_after_s for host in list(self._known_hosts.values())},
                holds=self._holds,
                asks=self._asks,
                place=self._place,
                keep_move=self._keep_move,
            )
        )
        self._handler.supervised_by(self._supervisor)
        for role, move in spec.moves.items():
            threading.Thread(target=self._move_again, args=(mover, role, move), daemon=True).start()

    def stop(self, reason: str, *, now: bool) -> None:
        """Any thread. Gracefully: interrupts the turns and journals the stop. Now: stops the tree in order and journals
        nothing, so the run resumes like one that crashed.
        """
        if self._supervisor.is_alive():
            stop_run(self._supervisor, reason, now=now)

    def announce(self, kind: ProgressKind, text: str) -> None:
        """Any thread: shows the text to the user."""
        self._show(Progress(at_ms=wall_ms(), source="supervisor", agent="", kind=kind, text=text))

    def from_launcher(self, event: Event) -> None:
        """The launcher's thread."""
        if self._supervisor.is_alive():
            self._supervisor.tell(event)

    def close(self, result: RunResult | None) -> None:
        """Tells the consoles that the run has ended, and closes. Main thread, once."""
        self._supervisor.stop(block=False)
        if self._fence is not None:
            self._fence.close()
        for host in list(self._hosts.values()):
            host.close()
        self._control.close(Ended(state=result.state, detail=result.detail) if result else None)
        self._services.remove(self._spec.key)

    def _launcher_of(self, host: Host) -> HostLauncher:
        """Any thread. It makes its link at once."""
        spec, services = self._spec, self._services
        with self._placing:
            self._known_hosts.setdefault(host.name, host)
            if host.name not in self._hosts:
                side = HomeSide(
                    key=spec.key,
                    run_id=spec.run_id,
                    repository_id=spec.repo_id,
                    bus=Path(services.router.endpoint.removeprefix("ipc://")),
                    bridge_port=self._bridge_port,
                    tell=lambda text: self.announce("note", text),
                    log=FarLog(spec.key, host.name).take,
                    given_up=partial(self._give_up, host.name),
                    link=services.links.make,
                    leases=self._kept_leases,
                )
                self._hosts[host.name] = HostLauncher(services.from_launcher, host, side)
            return self._hosts[host.name]

    def _make_fence(self) -> Fence:
        from supervisor.hosts.fence import Fence

        spec, services = self._spec, self._services
        names = {str(role): role for role in spec.agents}
        fence = Fence(
            self._kept_leases,
            place_of=lambda actor: spec.place_names.get(names[actor], ""),
            reach=lambda name: self._launcher_of(self._known_hosts.get(name) or Host(name=name)).reach(),
            tell=lambda text: self.announce("note", text),
            report=services.from_launcher,
        )
        for role in spec.agents:
            services.launcher.fence(launch_name(spec.key, role), fence)
        return fence

    def _holds(self) -> dict[str, float]:
        fence = self._fence
        return {role: fence.longest_s(role) for role in self._spec.agents} if fence is not None else {}

    def _place(self, child: str, place: str, why: str) -> None:
        """Supervisor's thread: the child is down, and is started there next."""
        role: Role = next(each for each in self._spec.agents if each == child)
        host = self._known_hosts[place] if place else None
        self._tree.place(role, host)
        self._services.launcher.place(launch_name(self._spec.key, role), self._launcher_of(host) if host else None)
        self._mail.ref(DRIVER).tell(ActorPlaced(role=role, host=place, why=why))

    def _keep_move(self, child: str, place: str | None, now: bool) -> None:
        role: Role = next(each for each in self._spec.agents if each == child)
        self._kept_moves.keep(role, None if place is None else KeptMove(place, now))

    def _move_again(self, mover: Mover, role: Role, move: KeptMove) -> None:
        """A thread of its own: the root that was asked for the move has ended before it came true."""
        try:
            self.announce("note", mover.move(role, move.place or HOME, move.now))
        except LoopError as error:
            if not self._supervisor.is_alive():
                return  # the next root asks again
            self._kept_moves.keep(role, None)
            if self._spec.place_names.get(role, "") != move.place:  # else it has come true
                self.announce("error", str(error))

    def _give_up(self, host: str) -> None:
        """The host's launcher's thread: its actors are placed at home when their ends are reported."""
        moved = [role for role, name in self._spec.place_names.items() if name == host]
        if self._supervisor.is_alive():
            self._supervisor.tell(PlaceGivenUp(host))
        consequence = f": {' and '.join(moved)} continue at home" if moved else ""
        self.announce("error", f"host {host} is given up{consequence}")

    def _host_reports(self) -> list[HostReport]:
        linked = [host.report() for host in list(self._hosts.values())]
        return placing.reports(self._spec.place_names, self._spec.hosts, linked)

    def _bridge_port(self) -> int:
        spec = self._spec
        return self._services.launcher.listening_port(bridge_of(spec.key)) if spec.paired else 0

    def _stop_from_console(self, reason: str, now: bool) -> None:
        self._on_purpose()
        self.stop(reason, now=now)

    def _to_supervisor(self, message: Message, sender: Sender) -> None:
        if self._supervisor.is_alive():
            self._supervisor.tell(FromActor(message, sender))

    def _to_console(self, message: Message, _sender: Sender) -> None:
        match message:
            case Progress():
                self._show(message)
            case QuestionAsked():
                self._show_question(message.question)
            case _:
                if isinstance(message, RunStatus) and self._begun is not None:
                    self._begun()
                    self._begun = None
                self._handler.note(message)
                self._handler.tell_notable(self._notify)

    def _done(self, result: RunResult) -> None:
        """Supervisor's thread. A run that its supervisor gave up has no state that says so."""
        if result.state == "failed":
            self._notify(Notable(event="failed", detail=result.detail, key="failed"))
        self._ended(result)

    def _asks(self, question: str) -> None:
        """Supervisor's thread. No actor runs while a question is open."""
        self._handler.asks(question)
        self._handler.tell_notable(self._notify)
        if question:
            write_state(self._spec.directory, "input-required")
            self._show_question(question)
        self._suspended(bool(question))

    def _notify(self, notable: Notable | None) -> None:
        self._services.notifier.note(self._spec, notable)

    def _show_question(self, question: str) -> None:
        where = "" if self._spec.has_prompt else f" Answer in: loop shell {self._spec.key}"
        self.announce("question", question + where)

    def _show(self, progress: Progress) -> None:
        self._control.publish(Shown(progress=progress))


def run_log(spec: RunSpec) -> LogSettings:
    """Where and how a run logs: all its processes write into one file."""
    return LogSettings(stderr=False, file=str(spec.directory / "log"))
