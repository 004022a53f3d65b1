"""The persistence process against what a power cut, a full disk or an old incarnation does to its files."""

import json
import os
import queue
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.errors import JournalConflictError
from actors.machines import run
from actors.messages import Append, Appended, Load, Loaded, Note, Progress, Record, StartTurnRequest
from actors.settings import RunSettings
from tests.actors.conftest import PATIENCE_S, World
from tests.lab.world import SCENARIOS

MANIFEST = {"runId": "1", "agents": {"worker": "codex", "reviewer": "claude"}}
STARTED = run.RunStarted(
    settings=RunSettings(
        run_uid="0e9f3a34-8c28-4a34-9d6b-1f4e3f0d8a11",
        task="Fix it.",
        needs_plan=False,
        worker="codex",
        reviewer="claude",
    ),
    generation=1,
)


def record(event: run.Event, name: str) -> Record:
    return Record(event_id=name, at_ms=1, kind=type(event).__name__, body=msgspec.json.encode(event).decode())


class Rig:
    """A persistence process and its run directory; the console is the writer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.directory = world.directory / "run"
        self.directory.mkdir()
        self.incarnation = 0

    def start(self) -> "Rig":
        self.incarnation += 1
        self.child = self.world.start(
            "persistence",
            self.incarnation,
            actor="actors.persistence:PersistenceActor",
            directory=str(self.directory),
            generation=1,
            manifest=MANIFEST,
        )
        return self

    def kill(self) -> None:
        self.child.process.kill()
        self.world.bury(self.child)

    def ask(self, message):
        return self.world.console.ref("persistence").ask(message, timeout_s=PATIENCE_S)

    def begin(self) -> "Rig":
        """A run that works, with two lines in its transcript: one of an event, one of a mail."""
        self.ask(Append(stream="run", epoch=1, expected_version=0, records=[record(STARTED, "started")]))
        self.note("hello", "m1")
        return self

    def note(self, text: str, note_id: str) -> None:
        before = len(self.lines())
        self.world.console.ref("persistence").tell(
            Note(sender="codex", recipient="claude", text=text, at_ms=1, note_id=note_id)
        )
        self.ask(Load(stream="any", epoch=1))  # served after the note
        assert len(self.lines()) == before + 1

    def lines(self) -> list[dict]:
        path = self.directory / "transcript.jsonl"
        content = path.read_text() if path.exists() else ""
        assert content == "" or content.endswith("\n")
        return [json.loads(line) for line in content.splitlines()]

    def stream(self, name: str = "run") -> list[str]:
        answer = self.ask(Load(stream=name, epoch=1))
        assert isinstance(answer, Loaded)
        return [entry.event_id for entry in answer.records]

    def manifest(self) -> dict:
        return json.loads((self.directory / "manifest.json").read_text())


@pytest.fixture
def rig(world: World) -> Iterator[Rig]:
    yield (made := Rig(world))
    print(made.child.log())  # shown by pytest when the test has failed


def test_an_answer_that_died_with_its_process_is_given_by_the_next_one(rig: Rig):
    rig.start().begin().kill()
    rig.start()
    again = rig.ask(Append(stream="run", epoch=1, expected_version=0, records=[record(STARTED, "started")]))
    assert again == Appended(stream="run", version=1)
    assert rig.stream() == ["started"]
    assert len(rig.lines()) == 2


def test_a_torn_log_costs_nothing_that_was_answered(rig: Rig):
    rig.start().begin()
    torn = rig.directory.with_name("torn")
    shutil.copytree(rig.directory, torn)  # as a power cut leaves it: the log was never moved into the database
    log = torn / "journal.sqlite-wal"
    log.write_bytes(log.read_bytes() + log.read_bytes()[-6000:-1000])
    rig.kill()
    rig.directory = torn
    rig.start()
    assert rig.stream() == ["started"]
    assert [line.get("message") for line in rig.lines()] == [None, "hello"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-7],
        lambda content: content.splitlines(keepends=True)[0],
        lambda content: b"",
        lambda content: b"\0" * len(content),
        lambda content: content + b'{"at": "2026',
    ],
    ids=["torn line", "line missing", "emptied", "zeros", "half a line more"],
)
def test_a_damaged_transcript_is_made_whole_from_the_journal(rig: Rig, damage):
    rig.start().begin()
    whole = (rig.directory / "transcript.jsonl").read_bytes()
    rig.kill()
    (rig.directory / "transcript.jsonl").write_bytes(damage(whole))
    rig.start()
    assert (rig.directory / "transcript.jsonl").read_bytes() == whole


def test_lines_of_the_original_stay_before_ours_whatever_happens_to_ours(rig: Rig):
    (rig.directory / "transcript.jsonl").write_text('{"original": 1}\n{"torn')
    rig.start().begin().kill()
    (rig.directory / "transcript.jsonl").write_text('{"original": 1}\n{"not": "ours"}\n')
    rig.start()
    assert [line.get("original") for line in rig.lines()] == [1, None, None]
    assert rig.lines()[2]["message"] == "hello"


@pytest.mark.parametrize("manifest", ['{"state": "wor', "", None], ids=["torn", "empty", "missing"])
def test_a_manifest_that_was_replaced_half_way_is_written_anew_and_nothing_is_left_over(rig: Rig, manifest):
    rig.start().begin().kill()
    (rig.directory / ".manifest.tmp").write_text('{"runId": "1", "stat')
    if manifest is None:
        (rig.directory / "manifest.json").unlink()
    else:
        (rig.directory / "manifest.json").write_text(manifest)
    rig.start()
    assert rig.manifest()["state"] == "working"
    assert rig.manifest()["runId"] == "1"
    assert [path.name for path in rig.directory.glob("*.tmp")] + [path.name for path in rig.directory.glob(".*")] == []


def test_a_writer_that_was_replaced_is_refused_and_nothing_is_written(rig: Rig):
    rig.start().begin()
    rig.ask(Load(stream="run", epoch=2))
    with pytest.raises(JournalConflictError, match="newer incarnation than #1"):
        rig.ask(Append(stream="run", epoch=1, expected_version=1, records=[record(run.PauseRequested(), "late")]))
    assert rig.ask(Load(stream="run", epoch=2)).records[-1].event_id == "started"
    assert rig.manifest()["state"] == "working"


def test_a_refused_event_does_not_show_in_the_manifest(rig: Rig):
    rig.start().begin()
    pause = record(run.PauseRequested(), "pause")
    with pytest.raises(JournalConflictError):
        rig.ask(Append(stream="run", epoch=1, expected_version=7, records=[pause]))
    rig.ask(Append(stream="run", epoch=1, expected_version=1, records=[record(run.RunResumed(generation=2), "r")]))
    assert rig.manifest()["state"] == "working"


def test_the_process_of_a_session_that_was_replaced_ends(rig: Rig, tmp_path: Path):
    rig.start()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "LOOP_EMBEDDED_SCENARIO": str(SCENARIOS / "bench.toml"),
    }
    reviewer = rig.world.start(
        "reviewer",
        actor="actors.agent:AgentActor",
        role="reviewer",
        agent="embedded",
        label="embedded-reviewer",
        cwd=str(tmp_path),
        environment=environment,
        run_id="1",
        directory=str(rig.directory),
        records=str(tmp_path / "records"),
        retry_ms=1_000,
        max_wait_ms=1_000,
    )
    rig.world.console_inbox.next(Progress, lambda progress: progress.kind == "session")
    rig.ask(Load(stream="turns/reviewer", epoch=2))
    rig.world.console.ref("reviewer").tell(StartTurnRequest(turn_id="t", purpose="review", prompt="Review round 1"))
    assert reviewer.exit_code() == 70
    assert "was taken over by a newer incarnation than #1" in reviewer.log()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can take the disk from another process")
def test_a_full_disk_holds_the_writers_until_there_is_room_and_loses_nothing(rig: Rig):
    rig.start().begin()
    unlimited = resource.prlimit(rig.child.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(rig.child.process.pid, resource.RLIMIT_FSIZE, (100, unlimited[1]))
    answers: queue.SimpleQueue = queue.SimpleQueue()
    order = Append(
        stream="run", epoch=1, expected_version=1, records=[record(run.StopRequested(reason="enough"), "stop")]
    )
    asking = threading.Thread(target=lambda: answers.put(rig.ask(order)))
    asking.start()
    trouble = rig.world.console_inbox.next(Progress, lambda progress: progress.kind == "error")
    assert trouble.text.startswith("the journal cannot be written: ")
    assert answers.empty()
    resource.prlimit(rig.child.process.pid, resource.RLIMIT_FSIZE, unlimited)
    assert answers.get(timeout=PATIENCE_S) == Appended(stream="run", version=2)
    asking.join()
    rig.world.console_inbox.next(Progress, lambda progress: "writes succeed again" in progress.text)
    assert rig.child.process.poll() is None
    assert rig.stream() == ["started", "stop"]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can take the disk from another process")
def test_a_transcript_that_found_no_room_is_completed_with_the_next_event(rig: Rig):
    rig.start().begin()
    whole = rig.lines()
    unlimited = resource.prlimit(rig.child.process.pid, resource.RLIMIT_FSIZE)
    large = (rig.directory / "journal.sqlite-wal").stat().st_size * 2
    transcript = rig.directory / "transcript.jsonl"
    with transcript.open("ab") as file:
        file.truncate(large - 20)  # a hole: long, and no room for a whole line after it
    resource.prlimit(rig.child.process.pid, resource.RLIMIT_FSIZE, (large, unlimited[1]))
    rig.world.console.ref("persistence").tell(
        Note(sender="codex", recipient="claude", text="no room", at_ms=1, note_id="m2")
    )
    trouble = rig.world.console_inbox.next(Progress, lambda progress: progress.kind == "error")
    assert "the run's files cannot be written" in trouble.text
    resource.prlimit(rig.child.process.pid, resource.RLIMIT_FSIZE, unlimited)
    rig.ask(Append(stream="run", epoch=1, expected_version=1, records=[record(run.StopRequested(reason="x"), "stop")]))
    assert rig.lines()[: len(whole)] == whole
    assert [line.get("message") for line in rig.lines()][len(whole)] == "no room"


def test_a_stopped_process_keeps_the_lock_and_a_second_one_says_so(rig: Rig):
    rig.start().begin()
    os.kill(rig.child.process.pid, signal.SIGSTOP)
    started = rig.world.launch(
        "persistence",
        2,
        actor="actors.persistence:PersistenceActor",
        directory=str(rig.directory),
        generation=1,
        manifest=MANIFEST,
    )
    rig.child.process.kill()
    rig.child.process.wait()
    ready = rig.world.supervisor_inbox.queue.get(timeout=PATIENCE_S)
    assert ready is not None
    assert started.process.poll() is None
    assert [entry.event_id for entry in rig.ask(Load(stream="run", epoch=1)).records] == ["started"]
