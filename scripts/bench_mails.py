"""The rows `mail` and `messages` of scripts/bench: what mail costs when there is much of it."""

from __future__ import annotations

import json
import signal
import statistics
import time
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from actors.edges import run_dir
from actors.edges.journal import FILE_NAME, Journal
from actors.machines import mail
from actors.machines.stored import stored_name
from actors.messages import Record
from scripts.bench_rig import console, hanging_run, print_latency
from supervisor.control.protocol import Inspect, ShowMail

# Evaluated in the bridge: mail that is sent and dropped, in one step each.
FINISHED_MAIL = """[
    actor._happen([
        post(actor._state, mail_id=f"{{n:08}}", sender="worker", target="reviewer", text=f"{{n}} " + "x" * 500,
             names=actor._names, now_ms=1),
        dropped(mail_id=f"{{n:08}}", change_id=str(n), target="reviewer", was="queued", reason="", at_ms=1),
    ])
    for mail in [__import__("actors.machines.mail").machines.mail]
    for post, dropped in [(mail.post, mail.MailDropped)]
    for n in range({begin}, {end})
] and None"""


def bench_mail() -> None:
    with hanging_run() as world, console(world) as client:
        for begin, end in ((0, 100), (100, 1_500), (1_500, 10_000)):
            for start in range(begin, end, 20):
                expression = FINISHED_MAIL.format(begin=start, end=start + 20)
                client.ask(Inspect(actor="bridge", expression=expression))
            print_latency(f"mail list {end}", lambda: client.ask(ShowMail()), rounds=200)
            print_latency(f"mail show, {end}", lambda: client.ask(ShowMail(mail_id="00000007")), rounds=200)


MEASURED_MAILS = 10  # in one question to the bridge; each is made durable, and has its line in the transcript


def bench_messages() -> None:
    """Keeps all runs open and asks them in turn, so that a slow moment of the machine hits all."""
    with ExitStack() as stack:
        runs = {}
        for size in (10, 1_000, 10_000, 100_000):
            world = stack.enter_context(hanging_run())
            world.loops[0].signal(signal.SIGKILL)
            world.loops[0].process.wait()
            world.wait_until_empty(5)
            write_mails(world.run_directory(), size)
            world.start("--agent", "embedded", "--run-id", "1").wait_for("are ready")
            runs[size] = stack.enter_context(console(world))
        times: dict[int, list[float]] = {size: [] for size in runs}
        for place in range(30):
            for size, client in runs.items():
                begin = size + place * MEASURED_MAILS
                expression = FINISHED_MAIL.format(begin=begin, end=begin + MEASURED_MAILS)
                begun = time.perf_counter()
                client.ask(Inspect(actor="bridge", expression=expression))
                times[size].append((time.perf_counter() - begun) / MEASURED_MAILS)
        first = statistics.median(times[10])
        for size, found in times.items():
            median = statistics.median(found)
            print(f"messages, after {size:>7}: {1_000 * median:6.2f} ms a mail, {median / first:.2f}x of after 10")


def write_mails(directory: Path, count: int) -> None:
    """Writes sent and handled mail into the journal of a run without a root."""
    records, lines = [], []
    for n in range(count):
        mail_id, text = f"{n:08}", f"{n} " + "x" * 500
        events: list[mail.Event] = [
            mail.MailQueued(mail_id=mail_id, sender="worker", target="reviewer", text=text, at_ms=n),
            mail.MailHandled(mail_id=mail_id, at_ms=n),
        ]
        records += [
            Record(
                event_id=f"{n}-{place}",
                at_ms=n,
                kind=stored_name(type(event)),
                body=msgspec.json.encode(event).decode(),
            )
            for place, event in enumerate(events)
        ]
        lines.append(json.dumps({"at": run_dir.iso(n), "from": "embedded", "to": "embedded-reviewer", "message": text}))
    with closing(Journal(directory / FILE_NAME, generation=1)) as journal:
        already = sum(1 for _ in journal.read("mail"))
        journal.append("mail", epoch=999, expected_version=already, records=records, lines=lines)
