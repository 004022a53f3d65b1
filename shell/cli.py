"""`loop`: from the typed words to an exit status. It checks everything before it starts anything.

Exit status: 0 completed, 1 failed or stopped before it was done, 2 usage, 130 interrupted. Imports nothing heavy at the
top, so that --help and --version are quick; this process imports an agent's SDK only to check it.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence

from actors.edges import environments
from actors.errors import UserError
from shell import output
from shell.commands.grammar import AT_PROMPT_ALONE
from shell.exits import EXIT_COMPLETED, reported
from shell.follow import check_packages, keep_standard_streams_open, run
from shell.options import Options, help_text, parse

_OBJECTS_BETWEEN_LOOKS = 50_000  # a whole start of a command makes fewer; Python's own number is 700


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `loop`. Returns an exit status."""
    words = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        _collect_seldom()
    return reported(lambda: _command(parse(words), words))


def _collect_seldom() -> None:
    """Looks for garbage seldom, and not at the end: what a start imports stays until the end, and each look at it costs
    as much as a few imports. For the program alone; who calls `main` keeps its own thresholds.
    """
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS)
    atexit.register(gc.freeze)


def main_claude_only() -> int:
    """`claude-loop` = `loop --claude-only`."""
    return main(["--claude-only", *sys.argv[1:]])


def main_codex_only() -> int:
    """`codex-loop` = `loop --codex-only`."""
    return main(["--codex-only", *sys.argv[1:]])


def _command(options: Options, words: Sequence[str]) -> int:
    if options.command in ("run", "workspace") and options.is_interactive:
        from shell.newer import say_if_newer

        say_if_newer(environments.home())
    match options.command:
        case "help":
            output.say(_help(options))
            return EXIT_COMPLETED
        case "version":
            output.say(_version())
            return EXIT_COMPLETED
        case "subcommand":
            assert options.invocation is not None
            if options.invocation.name == "doctor":  # it reports a wrong package itself
                from shell.doctor import examine

                return examine(options.invocation)
            if options.invocation.name == "update":  # it works in a broken installation
                from shell.update import update

                return update()
            check_packages()
            from shell.one_shot import run_subcommand

            return run_subcommand(options.invocation)
        case "submit":
            check_packages()
            from shell.submit import submit

            return submit(options)
        case "acp":
            check_packages()
            from shell.acp.server import serve

            return serve(words[1:])
        case "config":
            check_packages()
            from shell.config import show_config

            return show_config(options)
        case "workspace":
            return _open_workspace(options, words)
        case _:
            if options.tmux:
                return _run_in_tmux(options, words)
            status = _go_on_in_tmux(options, words)
            return run(options) if status is None else status


def _open_workspace(options: Options, words: Sequence[str]) -> int:
    """`loop` alone. Where no session is possible, the prompt in this terminal asks for the task."""
    from shell.tmux import NoTmuxError

    try:
        return _run_in_tmux(options, words)
    except NoTmuxError as error:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UserError('no task: give one, as in loop "fix the failing test", or see loop --help') from error
        output.note(f"no workspace: {error}")
        return run(options.but(tmux=False))


def _go_on_in_tmux(options: Options, words: Sequence[str]) -> int | None:
    """Resumes a run whose agents had their TUIs in a session in a session again, if possible. None: it is not such a
    run.
    """
    if not (options.run_id or options.session):
        return None
    from shell.resumed import lives_in_tmux
    from shell.tmux import NoTmuxError

    if not lives_in_tmux(options):
        return None
    try:
        return _run_in_tmux(options.but(tmux=True), words)
    except NoTmuxError as error:
        output.note(f"without the agents' own windows: {error}")
        return None


def _help(options: Options) -> str:
    if options.invocation is None or options.invocation.name not in AT_PROMPT_ALONE:
        return help_text(options.invocation)
    from shell.at_prompt import help_of

    return f"{help_of(options.invocation.name)}\n  typed at the loop> prompt, which loop shell attaches to a run"


def _version() -> str:
    from importlib.metadata import version

    return version("pairloop")


def _run_in_tmux(options: Options, words: Sequence[str]) -> int:
    """Starts the run in tmux. Checks everything first, here, where the user sees a refusal."""
    check_packages()
    keep_standard_streams_open()
    from shell import tmux
    from shell.resolve import resolve_run, taken_back

    tmux.check(environments.handed_on(), new=not (options.run_id or options.session))
    spec = resolve_run(options, only_reserve=True)
    environment = environments.handed_on() | {environments.RUN_ID: spec.run_id}
    with taken_back(spec.directory, spec.made):
        return tmux.start(words, spec.directory, environment, spec.workspace_name, tuis=spec.workspace)


if __name__ == "__main__":
    sys.exit(main())
