"""`loop`: from the words that were typed to an exit status. Everything is checked before anything is started.

Exit status: 0 completed, 1 failed or stopped before it was done, 2 usage, 130 interrupted. Imports nothing heavy at
the top, so that --help and --version are quick; no agent's SDK is imported in this process, but for its check.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from actors.edges import environments
from actors.errors import LoopError, UserError
from shell import output
from shell.options import Options, help_text, parse

if TYPE_CHECKING:
    from shell.own_prompt import OwnPrompt
    from shell.run_order import TmuxPlace
    from shell.terminal import TerminalConsole
    from supervisor.run_tree import RunOrder

EXIT_COMPLETED = 0
EXIT_NOT_DONE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """`loop`."""
    words = sys.argv[1:] if arguments is None else arguments
    return _reported(lambda: _command(parse(words), words))


def _reported(work: Callable[[], int]) -> int:
    """Its exit status; what goes wrong is one line."""
    try:
        return work()
    except UserError as error:
        output.note(f"error: {error}")
        return EXIT_USAGE
    except LoopError as error:
        output.note(f"error: {error}")
        return EXIT_NOT_DONE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # whoever read our output has seen enough
        _discard_output()
        return EXIT_NOT_DONE
    except OSError as error:  # a disk, a directory or a descriptor that failed us before anything was started
        where = f": {error.filename}" if error.filename else ""
        output.note(f"error: {(error.strerror or str(error)).lower()}{where}")
        _discard_output()
        return EXIT_NOT_DONE


def _discard_output() -> None:
    """What could not be written would be tried again at the very end, and change the exit status to 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main_claude_only() -> int:
    """`claude-loop` = `loop --claude-only`."""
    return main(["--claude-only", *sys.argv[1:]])


def main_codex_only() -> int:
    """`codex-loop` = `loop --codex-only`."""
    return main(["--codex-only", *sys.argv[1:]])


def main_in_tmux(words: Sequence[str], place: TmuxPlace) -> int:
    """In a session that `--tmux` has made: the same words, and not another session."""
    return _reported(lambda: _run(parse(words), place))


def _command(options: Options, words: Sequence[str]) -> int:
    if options.command in ("run", "workspace") and options.is_for_people:
        from shell.newer import say_if_newer

        say_if_newer(environments.home())
    match options.command:
        case "help":
            output.say(help_text(options.errand))
            return EXIT_COMPLETED
        case "version":
            output.say(_version())
            return EXIT_COMPLETED
        case "errand":
            assert options.errand is not None
            if options.errand.name == "doctor":  # it says so itself when a package is the wrong one
                from shell.doctor import examine

                return examine(options.errand)
            _check_packages()
            from shell.errands import run_errand

            return run_errand(options.errand)
        case "submit":
            _check_packages()
            from shell.submit import submit

            return submit(options)
        case "workspace":
            return _open_workspace(options, words)
        case "update":
            from shell.update import update

            return update()
        case _:
            if options.tmux:
                return _run_in_tmux(options, words)
            status = _go_on_in_tmux(options, words)
            return _run(options) if status is None else status


def _open_workspace(options: Options, words: Sequence[str]) -> int:
    """`loop` alone. Where there can be no session, the prompt below which the task is asked for does as well."""
    from shell.tmux import NoTmuxError

    try:
        return _run_in_tmux(options, words)
    except NoTmuxError as error:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UserError('no task: give one, as in loop "fix the failing test", or see loop --help') from error
        output.note(f"no workspace: {error}")
        return _run(options._replace(tmux=False))


def _go_on_in_tmux(options: Options, words: Sequence[str]) -> int | None:
    """A run whose agents had their TUIs in a session has them there again, unless it cannot; None: it is not one."""
    if not (options.run_id or options.session):
        return None
    from shell.run_order import lives_in_tmux
    from shell.tmux import NoTmuxError

    if not lives_in_tmux(options):
        return None
    try:
        return _run_in_tmux(options._replace(tmux=True), words)
    except NoTmuxError as error:
        output.note(f"without the agents' own windows: {error}")
        return None


def _version() -> str:
    from importlib.metadata import version

    return version("pairloop")


def _keep_standard_streams_open() -> None:
    """A stream that was closed (`loop >&-`) is the null device from here on.

    Otherwise the next file that is opened, be it the journal, gets its number, and what is printed goes into it.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)  # our processes need them as much
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))


def _run(options: Options, place: TmuxPlace | None = None) -> int:
    _check_packages()
    _keep_standard_streams_open()
    from shell.run_order import order_run

    return _follow(order_run(options, place=place), options)


def _run_in_tmux(options: Options, words: Sequence[str]) -> int:
    """Everything is checked here first, where a refusal can be seen."""
    _check_packages()
    _keep_standard_streams_open()
    from shell import tmux
    from shell.run_order import order_run, taken_back

    tmux.check(environments.handed_on(), new=not (options.run_id or options.session))
    order = order_run(options, only_reserve=True)
    environment = environments.handed_on() | {environments.RUN_ID: order.run_id}
    with taken_back(order.directory, order.made):
        return tmux.start(words, order.directory, environment, order.workspace_name, tuis=order.workspace)


def _console(order: RunOrder, options: Options) -> OwnPrompt | TerminalConsole:
    """A prompt for people; prompt_toolkit is not imported for others."""
    if order.has_prompt:
        from shell.own_prompt import OwnPrompt

        return OwnPrompt(order.directory)
    from shell.terminal import TerminalConsole

    return TerminalConsole(order.run_id, raw=order.raw_output, as_json=options.log_format == "json")


def _follow(order: RunOrder, options: Options) -> int:
    from actors.machines import hints
    from shell.run_order import taken_back
    from supervisor.root import run_root

    console = _console(order, options)
    try:
        with taken_back(order.directory, order.made):
            ending = run_root(order, console)
    finally:
        console.close()
    result = ending.result
    output.note(f"run {order.run_id} {result.state}{': ' + result.detail if result.detail else ''}")
    output.note(f"its files: {order.directory}")
    if result.state == "completed":
        return EXIT_COMPLETED
    # Who is in the terminal is still in the repository; the reader of a pane may be anywhere.
    resume = order.resume_anywhere if order.tmux_session else hints.resume(order.run_id)
    output.note(f"to go on: {resume}")
    return EXIT_INTERRUPTED if ending.interrupted or console.interrupted else EXIT_NOT_DONE


def _check_packages() -> None:
    import supervisor

    if getattr(supervisor, "OWNER", None) != "pairloop":
        raise UserError(
            f"the package 'supervisor' that is imported is another project's ({supervisor.__file__}): "
            "install pairloop into an environment of its own (venv, pipx or uv tool)"
        )


if __name__ == "__main__":
    sys.exit(main())
