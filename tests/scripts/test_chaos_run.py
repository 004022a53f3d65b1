"""What the chaos does when a run's folder is not there any more."""

import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from scripts.chaos_run import in_a_world, note_down


def test_the_first_error_of_a_run_whose_folder_is_gone_is_the_one_that_is_shown() -> None:
    def play_there(base: Path) -> NoReturn:
        try:
            shutil.rmtree(base)
            raise RuntimeError("the first error")
        finally:
            note_down(base / "lines", ["of no use any more"])

    with pytest.raises(RuntimeError, match="the first error"):
        in_a_world(play_there, keep=False)
