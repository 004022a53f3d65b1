"""How a program of ours ends: its exit status, and one line on stderr per error. Imports nothing heavy.

0 completed, 1 failed or stopped before it was done, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from actors.errors import LoopError, UserError
from shell import output

EXIT_COMPLETED = 0
EXIT_NOT_DONE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
CWD_IS_GONE = "the current directory is gone: change to another one"


def reported(work: Callable[[], int]) -> int:
    """Runs `work` and returns its exit status; prints an error in one line."""
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
    except BrokenPipeError:  # the reader of our output has closed it
        _discard_output()
        return EXIT_NOT_DONE
    except OSError as error:  # a disk, a directory or a descriptor that failed us before anything was started
        where = f": {error.filename}" if error.filename else ""
        said = CWD_IS_GONE if not where and _is_gone() else f"{(error.strerror or str(error)).lower()}{where}"
        output.note(f"error: {said}")
        _discard_output()
        return EXIT_NOT_DONE


def _is_gone() -> bool:
    """Whether the current directory was removed."""
    try:
        os.getcwd()  # noqa: PTH109 - Path would be imported for this alone
    except OSError:
        return True
    return False


def _discard_output() -> None:
    """Drops unwritten output. Python would try it again at exit, and change the exit status to 120."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
