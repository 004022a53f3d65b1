"""PersistenceActor: the only writer of the run directory. Runs in the persistence process.

It makes events durable for their writers. It keeps manifest.json and transcript.jsonl, the projections in the
original's format, in step with them. It decides nothing: the projection is pure (machines/projection).
"""

from __future__ import annotations

import json
import time
import uuid
from typing import cast

import msgspec

from actors import run_states
from actors.actor_process import ActorContext, ProcessActor, Sender
from actors.edges import run_dir
from actors.edges.journal import FILE_NAME, RUN_STREAM, Journal
from actors.errors import JournalError, JournalUnusableError, LoopError, ProtocolError
from actors.machines import projection, run
from actors.machines.stored import by_stored_name, stored_name
from actors.messages import Append, Appended, Load, Loaded, Message, Note, Record, SessionOpened
from actors.starts import StartPersistence

# A full disk: all writers wait for this actor, which waits for free space. The writer is refused before it, or this
# actor, counts as stuck (supervisor/spec.ChildSpec.stuck_after_s); its next incarnation waits again.
DISK_PATIENCE_S = 40.0
DISK_RETRY_S = 0.5


class PersistenceActor(ProcessActor[StartPersistence]):
    """The journal of one run, and its two files."""

    start_type = StartPersistence

    def __init__(self, context: ActorContext[StartPersistence]) -> None:
        super().__init__(context)
        self._directory = context.start.directory

    def on_start(self) -> None:
        """Opens the journal, completes the transcript from it, and brings the manifest up to date."""
        self._journal = Journal(self._directory / FILE_NAME, generation=self.context.start.generation)
        self._transcript = run_dir.TranscriptFile(self._directory)
        if self._journal.fact("foreign_lines") is None:
            self._journal.set_fact("foreign_lines", str(len(self._transcript.whole_lines())))
        self._state = run.initial()
        for record in self._journal.read(RUN_STREAM):
            self._fold(record)
        self._manifest: run_dir.Manifest = {
            **(run_dir.read_manifest(self._directory) or {}),
            **self.context.start.manifest,
        }
        self._behind = True  # whether transcript.jsonl may lack lines that the journal has
        self._no_room = ""  # why the last attempt to write failed
        self._show([])

    def on_stop(self) -> None:
        """Closes the files. Everything is durable already."""
        self._transcript.close()
        self._journal.close()

    def receive(self, message: Message, sender: Sender) -> Message | None:  # noqa: ARG002 - all are served alike
        """Answers Append and Load; acknowledges Note and SessionOpened once they are durable.

        A failed write is retried for `DISK_PATIENCE_S`; then it raises JournalError.
        """
        deadline = time.monotonic() + DISK_PATIENCE_S
        while True:
            try:
                answer = self._serve(message)
            except JournalUnusableError:
                raise
            except JournalError as error:
                self._tell_room(str(error))
                if time.monotonic() > deadline:
                    raise
                time.sleep(DISK_RETRY_S)  # nothing can proceed before there is room, and no event reports it
            else:
                return answer

    def _serve(self, message: Message) -> Message | None:
        match message:
            case Append():
                return self._append(message)
            case Load():
                records, more = self._journal.load(message.stream, message.epoch, message.after)
                return Loaded(stream=message.stream, records=records, more=more)
            case Note():
                self._note(message)
            case SessionOpened():
                self._session_opened(message)
            case _:
                raise ProtocolError(f"persistence does not take {type(message).__name__}")
        return None

    def _append(self, message: Append) -> Appended:
        repeated = self._journal.version_of(message.records[0].event_id)
        if repeated is not None:
            return Appended(stream=message.stream, version=repeated + len(message.records) - 1)
        before = self._state
        lines: list[str] = []
        try:
            if message.stream == RUN_STREAM:
                lines = [_json_line(entry) for record in message.records for entry in self._fold(record)]
            version = self._journal.append(
                message.stream, message.epoch, message.expected_version, message.records, lines
            )
        except LoopError:
            self._state = before
            raise
        if any(record.kind == PLACED for record in message.records):
            self._manifest["places"] = dict(self._state.places)
        if message.stream == RUN_STREAM or self._no_room:
            self._show(lines)
        return Appended(stream=message.stream, version=version)

    def _fold(self, record: Record) -> list[dict[str, object]]:
        event = _event(record)
        before = self._state
        self._state, _commands = run.decide(before, event, record.at_ms)
        return projection.project(before, event, self._state, run_dir.iso(record.at_ms))

    def _note(self, message: Note) -> None:
        line = _json_line(
            {
                "at": run_dir.iso(message.at_ms),
                "from": message.sender,
                "to": message.recipient,
                "message": message.text,
            }
        )
        source = message.note_id or str(uuid.uuid4())
        if self._journal.note(source, line):
            self._show([line])

    def _session_opened(self, message: SessionOpened) -> None:
        sessions = cast("dict[str, str]", self._manifest.get("sessions") or {})
        self._manifest["sessions"] = {**sessions, message.role: message.session_id}
        agents = cast("dict[str, str]", self._manifest["agents"])
        key = run_dir.SESSION_KEYS.get(message.agent)
        # Where both roles are played by the same program, the original's key is the worker's.
        if key is not None and (message.role == "worker" or agents["worker"] != message.agent):
            self._manifest[key] = message.session_id
        self._show([])

    def _show(self, lines: list[str]) -> None:
        """Updates the two projections. What finds no room now is completed from the journal next time."""
        try:
            if self._behind:
                self._transcript.restore(int(self._journal.fact("foreign_lines") or 0), self._journal.lines())
            else:
                self._transcript.append(lines)
            self._behind = False
            self._write_manifest()
        except OSError as error:
            self._behind = True
            self._tell_room(f"the run's files cannot be written: {error}")
        else:
            self._tell_room("")

    def _tell_room(self, trouble: str) -> None:
        """Tells the user once that writes fail, and once that they succeed again."""
        if bool(trouble) is not bool(self._no_room):
            if trouble:
                self.show_progress("error", f"{trouble}; retrying until it works")
            else:
                self.show_progress("note", "writes succeed again")
        self._no_room = trouble

    def _write_manifest(self) -> None:
        state = projection.manifest_state(self._state)
        self._manifest = {
            **self._manifest,
            "state": state,
            "status": run_states.status_of(state),
            "updatedAt": run_dir.iso(self.context.clock()),
        }
        self._manifest.pop("pullRequest", None)  # a new task has none of its own yet
        if self._state.pull_request is not None:
            self._manifest["pullRequest"] = self._state.pull_request.url
        run_dir.write_manifest(self._directory, self._manifest)


def _event(record: Record) -> run.Event:
    try:
        return msgspec.json.decode(record.body, type=EVENT_TYPES[record.kind])
    except KeyError as error:
        raise JournalUnusableError(
            f"event kind {record.kind!r} of the run is unknown to this version of loop: update loop"
        ) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise JournalUnusableError(
            f"event {record.kind} of the run was written by another version of loop ({error})"
        ) from error


def _json_line(entry: dict[str, object]) -> str:
    return json.dumps(entry, ensure_ascii=False)


PLACED = stored_name(run.AgentPlaced)
EVENT_TYPES = by_stored_name(run.EVENTS)
