"""Checks whether a disturbed run lost, repeated or mixed up anything: compares its files with the agents' transcripts.

It only reads. The agents' transcripts are the evidence: they hold what the agents were told, whatever `loop` believes
to have sent. Scenarios that name role and round in each verdict (chaos.toml) can be checked for mix-ups.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from actors.adapters.claude_events import text_of
from actors.adapters.claude_reading import message_id
from actors.edges import run_dir
from actors.machines.continuations import CONTINUED
from actors.settings import Role

ROLES: tuple[Role, ...] = ("worker", "reviewer")
_MAIL_HEAD = "Message from "
_VERDICT = re.compile(r"(worker|reviewer)-verdict-(\d+)")
_ROUND = re.compile(r"Review round (\d+)")
_ASKED_AGAIN = re.compile(r"Review round \d+: verdict")  # asks a review without a verdict again: the same review
_LEFT_OUT = re.compile(r"review round \d+: .*'s turn (?:failed|was limited): ")  # no review: its reviewer cannot work
_ITERATION = re.compile(r"Iteration (\d+)")
_MARKER = re.compile(r"\s*\(message ([0-9a-f-]{36})\)\s*$")  # in a prompt to an agent that does not keep our ids
_ADDED_BY_CODEX = ("<environment_context>", "<user_instructions>", "# AGENTS.md instructions", "<turn_aborted>")
_ADDED_BY_GEMINI = "<session_context>"
_ADDED_BY_CLAUDE = ("[Request interrupted by user", "<task-notification>")


@dataclass
class Findings:
    """The faults, in words. All empty: there are none."""

    lost: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)  # out of order, mixed up, damaged, not completed

    def __iter__(self) -> Iterator[str]:
        for kind in ("lost", "repeated", "broken"):
            yield from (f"{kind}: {what}" for what in getattr(self, kind))


class Prompt(NamedTuple):
    """A user message in an agent's transcript. `id` is "" where that agent keeps none."""

    id: str
    text: str

    @property
    def head(self) -> str:
        """Its first line."""
        return self.text.strip().partition("\n")[0]


class Event(NamedTuple):
    """One journalled event."""

    kind: str
    body: dict[str, Any]


def inspect(home: Path, directory: Path, mails: Iterable[str] | None = None, away: Sequence[Path] = ()) -> Findings:
    """Inspects the finished run in `directory`.

    `mails`: the texts that must have been sent, once each. None: the agents may have restarted turns. `away`: the home
    directories on other hosts.
    """
    found = Findings()
    journal = directory / "journal.sqlite"
    if not journal.exists():
        found.lost.append("there is no journal")
        return found
    with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as db:
        damage = db.execute("PRAGMA integrity_check").fetchone()[0]
        if damage != "ok":
            found.broken.append(f"journal: {damage}")
        lines = [row[0] for row in db.execute("SELECT line FROM transcript ORDER BY number")]
        streams = {name: list(_events(db, name)) for name in ("run", "mail", *(f"turns/{role}" for role in ROLES))}
    prompts = {role: list(_prompts((home, *away), streams[f"turns/{role}"])) for role in ROLES}
    _files(directory, lines, found)
    for role in ROLES:
        _turns(role, streams[f"turns/{role}"], prompts[role], found)
        _mails(role, streams["mail"], prompts[role], found)
    if mails is not None:
        if not any(_lost_its_place(streams[f"turns/{role}"]) for role in ROLES):
            _all_sent(streams["mail"], mails, found)
        _none_died(streams["mail"], found)
    _verdicts(streams, directory, found)
    return found


def _lost_its_place(turns: list[Event]) -> bool:
    """Whether the provider delayed a turn, and another turn came before it resumed.

    The scripted model then takes the rest of one turn for a part of the other, and repeats or skips calls: it knows
    only the conversation, not which turn has ended.
    """
    heads: dict[str, str] = {}
    put_off = ""
    for event in turns:
        turn_id = event.body.get("turn_id", "")
        if event.kind == "TurnIntended":
            heads[turn_id] = event.body["prompt"].strip().partition("\n")[0].removesuffix(CONTINUED)
        elif event.kind == "TurnDeferred" or (
            event.kind == "TurnConcluded" and event.body["outcome"]["status"] == "limited"
        ):
            put_off = heads[turn_id]
        elif event.kind == "TurnSubmitted" and put_off:
            if heads[turn_id] != put_off:
                return True
            put_off = ""
    return False


def spent_iterations(directory: Path) -> int:
    """How many iterations of the run in `directory` led to no review, where the scenario ends each with one.

    A turn that the provider refuses, or that is killed, must resume in the same iteration.
    """
    with closing(sqlite3.connect(f"file:{directory / 'journal.sqlite'}?mode=ro", uri=True)) as db:
        streams = [list(_events(db, f"turns/{role}")) for role in ROLES]
    prompts = [event.body["prompt"] for stream in streams for event in stream if event.kind == "TurnIntended"]
    iterations, rounds = (
        {hit[1] for prompt in prompts if (hit := pattern.match(prompt))} for pattern in (_ITERATION, _ROUND)
    )
    return len(iterations) - len(rounds)


def _events(db: sqlite3.Connection, stream: str) -> Iterator[Event]:
    for kind, body in db.execute("SELECT kind, body FROM events WHERE stream = ? ORDER BY version", (stream,)):
        yield Event(kind, json.loads(body))


# --- what the agents were told ------------------------------------------------------------------------------


def _prompts(homes: Sequence[Path], turns: Iterable[Event]) -> Iterator[Prompt]:
    """All user messages in all sessions that this role has had, in order. A session may have a copy in several homes:
    what is in two of them was told once.
    """
    for session_id in dict.fromkeys(event.body["session_id"] for event in turns if event.kind == "SessionBegan"):
        known: Counter[Prompt] = Counter()
        for home in homes:
            here: Counter[Prompt] = Counter()
            for prompt in told(home, session_id):
                here[prompt] += 1
                if here[prompt] > known[prompt]:
                    known[prompt] += 1
                    yield prompt


def told(home: Path, session_id: str) -> Iterator[Prompt]:
    """All user messages in the session, in order, from the store of the agent that has it."""
    for path in home.glob(f".loop-embedded/{session_id}.jsonl"):
        yield from _embedded(_entries(path))
    for path in home.glob(f".claude/projects/*/{session_id}.jsonl"):
        yield from _claude(_entries(path))
    for path in home.glob(f".codex/sessions/**/rollout-*{session_id}.jsonl"):
        yield from _codex(_entries(path))
    for path in home.glob(f".copilot/session-state/{session_id}/events.jsonl"):
        yield from _copilot(_entries(path))
    for path in home.glob(f".vibe/logs/session/unified/{session_id}"):
        yield from _vibe(path)
    yield from _gemini(
        entry
        for path in sorted(home.glob(f".gemini/tmp/*/chats/session-*-{session_id[:8]}.jsonl"))
        for entry in _entries(path)
    )


def told_in_run(home: Path, directory: Path) -> dict[Role, list[Prompt]]:
    """All user messages in all sessions of each role of the run in `directory`, in order."""
    with closing(sqlite3.connect(f"file:{directory / 'journal.sqlite'}?mode=ro", uri=True)) as db:
        return {role: list(_prompts((home,), list(_events(db, f"turns/{role}")))) for role in ROLES}


def _entries(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # torn when its agent was killed
            continue


def _embedded(entries: Iterable[dict[str, Any]]) -> Iterator[Prompt]:
    for entry in entries:
        if entry["kind"] == "prompt":
            yield Prompt(entry["id"], entry["text"])


def _claude(entries: Iterable[dict[str, Any]]) -> Iterator[Prompt]:
    for entry in entries:
        if not (name := message_id(entry)) or entry.get("isMeta") or entry.get("isCompactSummary"):
            continue
        content = (entry.get("message") or {}).get("content") or entry.get("attachment", {}).get("prompt")
        if isinstance(content, list) and any(block.get("type") == "tool_result" for block in content):
            continue
        text = text_of(content)
        if _MARKER.search(text):  # an agent that is driven over ACP
            yield _unmarked(text)
        elif not text.startswith(_ADDED_BY_CLAUDE):
            yield Prompt(name, text)


def _codex(entries: Iterable[dict[str, Any]]) -> Iterator[Prompt]:
    for entry in entries:
        said = entry.get("payload") or {}
        if entry.get("type") == "response_item" and said.get("type") == "message" and said.get("role") == "user":
            for part in said["content"]:
                text = part.get("text", "")
                if text and not text.startswith(_ADDED_BY_CODEX):
                    yield Prompt("", text)


def _copilot(entries: Iterable[dict[str, Any]]) -> Iterator[Prompt]:
    for entry in entries:
        if entry.get("type") == "user.message":
            yield _unmarked(entry["data"]["content"])


def _gemini(entries: Iterable[dict[str, Any]]) -> Iterator[Prompt]:
    """The prompts of Gemini CLI. It writes a changed message again, with the same id."""
    seen = set()
    for entry in entries:
        for message in entry.get("$set", {}).get("messages", [entry]):
            if message.get("type") != "user" or message["id"] in seen:
                continue
            seen.add(message["id"])
            content = message["content"]
            parts = [{"text": content}] if isinstance(content, str) else content
            text = "\n".join(part["text"] for part in parts if "text" in part)
            if text and not text.startswith(_ADDED_BY_GEMINI):
                yield _unmarked(text)


def _vibe(folder: Path) -> Iterator[Prompt]:
    """The prompts of Vibe: its newest snapshot, and the later entries of its journal."""
    current = json.loads((folder / "CURRENT").read_bytes())
    manifest = json.loads((folder / "generations" / current["generation"] / "manifest.json").read_bytes())
    for chunk in manifest["checkpoint"]["chunks"]:
        for entry in json.loads((folder / "chunks" / f"{chunk}.json").read_bytes()):
            message = entry.get("message") or {}
            if message.get("role") == "user":
                yield from _vibe_parts(message["content"])
    for entry in _entries(folder / manifest["recovery_journal_segment"]["path"]):
        payload = entry.get("payload") or {}
        if entry["sequence"] > manifest["snapshot_sequence"] and payload.get("method") == "turn/start":
            yield from _vibe_parts(payload["params"]["message"])


def _vibe_parts(content: list[dict[str, Any]]) -> Iterator[Prompt]:
    text = "\n".join(part["text"] for part in content if "text" in part)
    if _MARKER.search(text):  # the rest is its own text for its model
        yield _unmarked(text)


def _unmarked(text: str) -> Prompt:
    marker = _MARKER.search(text)
    return Prompt(marker[1], text[: marker.start()]) if marker else Prompt("", text)


# --- the invariants -----------------------------------------------------------------------------------------


def _files(directory: Path, lines: list[str], found: Findings) -> None:
    manifest = run_dir.read_manifest(directory)
    if manifest is None:
        found.broken.append("manifest.json cannot be read")
    elif (manifest["state"], manifest["status"]) != ("completed", "done"):
        found.broken.append(f"the manifest says {manifest['state']}, {manifest['status']}")
    text = (directory / "transcript.jsonl").read_text("utf-8")
    if text.splitlines() != lines or not text.endswith("\n"):
        found.broken.append("transcript.jsonl is not what the journal has")
    for line in lines:
        json.loads(line)


def _turns(role: Role, turns: list[Event], prompts: list[Prompt], found: Findings) -> None:
    """Checks that each prompt is there at most once, by id and by text; that finished ones are there; and no unknown
    ones.
    """
    ids = Counter(prompt.id for prompt in prompts if prompt.id)
    texts = Counter(prompt.text.strip() for prompt in prompts if not prompt.head.endswith(CONTINUED))
    intended = {event.body["turn_id"]: event.body for event in turns if event.kind == "TurnIntended"}
    wanted = Counter(
        turn["prompt"].strip() for turn in intended.values()
    )  # a turn that failed is tried again as another
    for what, count in [*ids.items(), *texts.items()]:
        if count > max(1, wanted[what]):
            found.repeated.append(f"{role} was told {count} times: {what[:60]!r}")
    submitted = {event.body["message_id"] for event in turns if event.kind == "TurnSubmitted"}
    for unknown in ids.keys() - submitted:
        found.broken.append(f"{role} has a prompt that nobody submitted: {unknown}")
    for event in turns:
        if event.kind == "TurnConcluded" and event.body["outcome"]["status"] == "finished":
            prompt = intended[event.body["turn_id"]]["prompt"].strip()
            head = prompt.partition("\n")[0].removesuffix(CONTINUED)
            if not any(told.text.strip() == prompt or told.head == head + CONTINUED for told in prompts):
                found.lost.append(f"{role} never had the prompt of a finished turn: {prompt[:60]!r}")


def _mails(role: Role, mails: list[Event], prompts: list[Prompt], found: Findings) -> None:
    """Checks that each mail for `role` is there once and in order. A continuation may repeat a mail, and says so."""
    queued = [event.body["text"] for event in mails if event.kind == "MailQueued" and event.body["target"] == role]
    told = [prompt.text for prompt in prompts if prompt.head.startswith(_MAIL_HEAD)]
    first_told = [text for text in told if not text.strip().partition("\n")[0].endswith(CONTINUED)]
    seen = [_named(text, queued) for text in first_told]
    for text in queued:
        if not any(text.strip() in each for each in told):
            found.lost.append(f"{role} never had the mail {text[:60]!r}")
    for text, count in Counter(seen).items():
        if count > queued.count(text):
            found.repeated.append(f"{role} had {count} times the mail {text[:60]!r}")
    if (order := [text for text in queued if text in seen]) != seen:
        found.broken.append(f"{role} had its mail in the order {seen}, sent was {order}")


def _named(text: str, queued: list[str]) -> str:
    return next((each for each in queued if each.strip() in text), f"unknown mail: {text[:200]}")


def _all_sent(mails: list[Event], expected: Iterable[str], found: Findings) -> None:
    queued = Counter(event.body["text"] for event in mails if event.kind == "MailQueued")
    for text, count in queued.items():
        if count > 1:
            found.repeated.append(f"queued {count} times: {text[:60]!r}")
    for text in expected:
        if not any(text in each for each in queued):
            found.lost.append(f"never queued: {text!r}")


def _none_died(mails: list[Event], found: Findings) -> None:
    for event in mails:
        if event.kind == "MailDied" and not event.body["reason"].startswith("seen, "):
            found.lost.append(f"a mail died: {event.body['reason']}")


def _verdicts(streams: dict[str, list[Event]], directory: Path, found: Findings) -> None:
    """Checks that the run's outcome of a turn is the one in the role's session; that each verdict belongs to its round;
    and that each review is one line of the transcript.
    """
    settled = {event.body["turn_id"]: event.body["outcome"] for event in streams["run"] if event.kind == "TurnSettled"}
    reviews = 0
    for role in ROLES:
        intended = {e.body["turn_id"]: e.body for e in streams[f"turns/{role}"] if e.kind == "TurnIntended"}
        for event in streams[f"turns/{role}"]:
            if event.kind != "TurnConcluded" or intended[event.body["turn_id"]]["purpose"] in {"mail", "human"}:
                continue
            turn, outcome = intended[event.body["turn_id"]], event.body["outcome"]
            if settled.get(turn["turn_id"], outcome) != outcome:
                found.broken.append(f"the run has another outcome than the {role} for {turn['prompt'][:30]!r}")
            asked = _ROUND.match(turn["prompt"])
            # A turn that failed for a known cause is no review: the run asks again.
            is_review = bool(asked) and not _ASKED_AGAIN.match(turn["prompt"])
            reviews += is_review and outcome["status"] in {"finished", "failed"} and not outcome.get("cause")
            said = _VERDICT.search(outcome.get("text", ""))
            if said and (not asked or said.groups() != (role, asked[1])):
                found.broken.append(f"the {role} answered {turn['prompt'][:20]!r} with {said[0]}")
    lines = [line for line in run_dir.read_transcript(directory) if line.get("kind") == "review"]
    lines = [line for line in lines if not _LEFT_OUT.match(str(line.get("reason", "")))]
    if len(lines) != reviews:
        found.broken.append(f"transcript.jsonl has {len(lines)} reviews, the sessions {reviews}")
    named = [hit[0] for line in lines if (hit := _VERDICT.search(str(line.get("reason", ""))))]
    for verdict, count in Counter(named).items():
        if count > 1:
            found.repeated.append(f"{count} review lines with {verdict}")
    mails = [line for line in run_dir.read_transcript(directory) if "from" in line]
    queued = sum(event.kind == "MailQueued" for event in streams["mail"])
    if len(mails) != queued:
        found.lost.append(f"transcript.jsonl has {len(mails)} messages, the bridge took {queued}")
