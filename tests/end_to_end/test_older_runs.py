"""A run of an older version, interrupted by kill -9, is really resumed by this one.

`tests/recordings/interrupted` is what was left of it (version de6c834, embedded agents, the demo's scenario): the run's
directory, the agents' own transcripts, and the files of the repository. It was killed in its second iteration, in the
middle of a turn, after a review had failed and a mail was answered. "/PROJECT" stands for where it was.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from actors.edges.git import repository_id
from tests.end_to_end.conftest import World
from tests.end_to_end.test_kills import assert_nothing_lost_or_repeated, prompts_in_transcripts

RECORDING = Path(__file__).parents[1] / "recordings" / "interrupted"
WAS_AT = "/PROJECT"


def put(recording: Path, world: World) -> None:
    """The run as if it had been interrupted here."""
    for name, text in json.loads((recording / "project.json").read_text()).items():
        (world.project / name).write_text(text)
    copies = {
        world.home / ".loop-embedded": recording / "agents",
        world.home / ".loop" / "runs" / repository_id(world.project) / "1": recording / "run",
    }
    for place, source in copies.items():
        place.mkdir(parents=True, mode=0o700)
        for path in source.iterdir():
            content = path.read_bytes()
            if path.suffix != ".sqlite":
                content = content.replace(WAS_AT.encode(), str(world.project).encode())
            (place / path.name).write_bytes(content)


def events(directory: Path) -> list[tuple[str, str, str]]:
    """All that is journalled, in the order in which each stream has it."""
    with closing(sqlite3.connect(f"file:{directory / 'journal.sqlite'}?mode=ro", uri=True)) as db:
        return db.execute("SELECT stream, kind, body FROM events ORDER BY stream, version").fetchall()


def test_an_interrupted_run_of_an_older_version_is_resumed_to_its_end_and_no_turn_is_repeated(embedded: World):
    put(RECORDING, embedded)
    before = events(embedded.run_directory())
    asked = prompts_in_transcripts(embedded.home)
    loop = embedded.run("--run-id", "1")
    assert loop.process.returncode == 0, loop.output
    assert_nothing_lost_or_repeated(embedded)
    after = events(embedded.run_directory())
    for stream in ("run", "turns/worker", "turns/reviewer", "mail"):
        old = [each for each in before if each[0] == stream]
        assert old
        assert [each for each in after if each[0] == stream][: len(old)] == old
    settled = [json.loads(body)["turn_id"] for stream, kind, body in after if (stream, kind) == ("run", "TurnSettled")]
    assert len(settled) == len(set(settled))
    assert asked.keys() < prompts_in_transcripts(embedded.home).keys()
