"""The program in a tmux session's console pane: becomes the loop that `shell.tmux` was asked for.

`python -m shell.in_tmux FILE`: words and environment are in the file, which is removed once it is read.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from actors.edges import environments
from shell.exits import reported
from shell.follow import run
from shell.options import parse
from shell.resolve import TmuxPlace


def main(path: Path) -> int:
    """Runs `loop` with the typed words, without another session. Returns an exit status."""
    content = json.loads(path.read_text("utf-8"))
    path.unlink()
    terminal = environments.own("TERM", "TMUX", "TMUX_PANE")
    os.environ.clear()
    os.environ.update(content["environment"] | terminal)
    place = TmuxPlace(content["session"], content["workspace"])
    return reported(lambda: run(parse(content["words"]), place))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
