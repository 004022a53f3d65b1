"""Users look at the mail between the agents and change it: at the prompt, by one-shot commands, and after the end."""

import json
import re
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from actors.messages import MailRecord
from shell.control_client import ControlClient, control_endpoint
from supervisor.control.protocol import MailReport, ShowMail
from tests.end_to_end.conftest import Loop, World
from tests.end_to_end.terminal import Terminal
from tests.lab.world import PATIENCE_S

# The worker's own review waits for the file `go`. Meanwhile the reviewer sends three messages: the first waits in the
# worker's session, the others behind it in the bridge.
SCENARIO = """
[[turn]]
role = "worker"
when = "^Review round 1"
step = [{ run = "until [ -e go ]; do sleep 0.05; done" }, { say = "fine\\n<review>PASS</review>" }]

[[turn]]
role = "reviewer"
when = "^Review round 1"
step = [
    { send = { target = "worker", message = "the first message" } },
    { send = { target = "worker", message = "the second message" } },
    { send = { target = "worker", message = "the third message" } },
    { say = "not yet\\n<review>FAIL</review>" },
]

[[turn]]
role = "worker"
when = "^Iteration 2"
step = [{ run = "until [ -e go-on ]; do sleep 0.05; done" }, { say = "done\\n<promise>DONE</promise>" }]

[[turn]]
when = "^Iteration"
step = [{ say = "done\\n<promise>DONE</promise>" }]

[[turn]]
when = "^Review round"
step = [{ say = "fine\\n<review>PASS</review>" }]

[[turn]]
when = "^Message from"
aside = true
step = [{ say = "understood" }]

[[turn]]
when = "^Draft pull request"
step = [{ say = "no" }]
"""

Sent = dict[str, MailRecord]  # by the second word of its text, which no edit changes here


class Console:
    """Asks run 1 about its mail, and gives orders by one-shot commands."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.client = ControlClient(control_endpoint(world.run_directory()), alive=lambda: True)

    def mail(self, *words: str) -> Loop:
        return self.world.run("mail", *words, "--run", "1")

    def list(self) -> Sent:
        report = self.client.ask(ShowMail())
        assert isinstance(report, MailReport)
        return {each.text.split()[1]: each for each in report.mails}

    def list_when(self, test: Callable[[Sent], bool]) -> Sent:
        """The first list that passes; each question is a round through the bridge."""
        deadline = time.monotonic() + PATIENCE_S
        while not test(mails := self.list()):
            if time.monotonic() > deadline:
                raise TimeoutError(mails)
        return mails


@pytest.fixture
def loop(world: World) -> Loop:
    """A run whose agents wait for the files."""
    scenario = world.base / "mail.toml"
    scenario.write_text(SCENARIO)
    world.play_embedded(scenario)
    (world.project / "TASK.md").write_text("Do nothing.")
    return world.start("--agent", "embedded", "-p", "TASK.md")


@pytest.fixture
def desk(world: World, loop: Loop) -> Iterator[Console]:
    loop.wait_for("the third message")
    desk = Console(world)
    desk.list_when(lambda mails: [each.status for each in mails.values()] == ["accepted", "queued", "queued"])
    yield desk
    desk.client.close()


@pytest.fixture
def prompt(world: World, desk: Console) -> Iterator[Terminal]:
    terminal = Terminal(world, "shell", "1")
    terminal.expect("loop>")
    yield terminal
    terminal.end()


def prompts(world: World) -> list[str]:
    """All that the agents were sent, from their own transcripts."""
    lines = [
        json.loads(line)
        for path in (world.home / ".loop-embedded").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return [line["text"] for line in lines if line["kind"] == "prompt"]


def test_a_person_holds_edits_releases_drops_and_requeues_mail_at_the_prompt(
    world: World, loop: Loop, desk: Console, prompt: Terminal
) -> None:
    ids = {name: each.mail_id[:8] for name, each in desk.list().items()}
    second, third = ids["second"], ids["third"]
    prompt.ask("mail", rf"{second}  queued +embedded-reviewer -> embedded .* the second message")
    prompt.ask(f"mail hold {second}", f"mail {second} .* is held: the second message")
    prompt.ask(f"mail hold {second}", f"error: mail {second} is held: only mail that is queued can be held")
    prompt.ask(f"mail hold {ids['first']}", f"error: mail {ids['first']} is accepted: only mail that is queued can be")
    prompt.ask(f"mail edit {second} the second one, by a person", "is held: the second one, by a person")
    prompt.ask(f"mail drop {third} out of date", f"mail {third} .* is dropped: the third message  .out of date")
    (world.project / "go").touch()
    desk.list_when(lambda mails: mails["first"].status == "handled")
    assert desk.list()["second"].status == "held"
    prompt.ask(f"mail release {second}", f"mail {second} .* is in flight")
    prompt.ask(f"mail requeue {third}", f"mail {third} .* is (queued|in flight)")
    desk.list_when(lambda mails: mails["second"].status == "accepted")
    (world.project / "go-on").touch()
    assert loop.wait() == 0, loop.output
    sent = [text for text in prompts(world) if text.startswith("Message from")]
    assert "the first message" in sent[0]
    assert "the second one, by a person" in sent[1]
    assert not [text for text in sent if "the second message" in text]


def test_ids_of_mail_are_completed_and_bad_orders_cost_one_line(desk: Console, prompt: Terminal) -> None:
    ids = {name: each.mail_id for name, each in desk.list().items()}
    second = ids["second"]
    prompt.expect(f"queued, id {ids['third']}")  # the last of the old news that has an id in it
    typed = next(second[:end] for end in range(8) if sum(each.startswith(second[:end]) for each in ids.values()) == 1)
    prompt.child.send(f"mail show {typed}\t")
    prompt.expect(second[len(typed) : 8])
    prompt.ask("", f"mail {second}  embedded-reviewer -> embedded  queued")
    prompt.ask("mail hodl 1", r"error: mail has no 'hodl' \(did you mean hold\?\): mail list | show ID")
    prompt.ask("mail hold", "error: mail hold needs the ID of a mail .mail list shows them.:")
    prompt.ask("mail hold zzz", "error: no mail has the id 'zzz': see mail list")
    prompt.ask("help mail", "requeue: delivers a dead, suppressed, dropped or held mail as if it were sent now")
    prompt.expect("loop>")


def test_one_shot_commands_change_mail_too(desk: Console) -> None:
    second = desk.list()["second"].mail_id
    held = desk.mail("hold", second[:8], "--json")
    assert (json.loads(held.output)["mail_id"], json.loads(held.output)["status"]) == (second, "held")
    again = desk.mail("hold", second[:8])
    assert again.process.returncode == 2
    assert re.fullmatch(r"\[loop\] error: mail \w{8} is held: only mail that is queued can be held", again.output)
    assert desk.mail("edit", second[:8], "a", "second", "text").output.endswith("is held: a second text")
    shown = desk.mail("show", second[:8]).lines
    assert shown[-1] == "  | a second text"
    assert [line.split(" ago ")[1].strip() for line in shown[1:-1]] == [
        "queued",
        "held by the user",
        "edited by the user",
    ]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_mail_of_a_run_that_crashed_or_ended_can_be_read_and_not_changed(
    world: World, loop: Loop, desk: Console, number: int
) -> None:
    second = desk.list()["second"].mail_id
    desk.mail("hold", second[:8])
    live = json.loads(desk.mail("list", "--json").output)
    loop.signal(number)
    loop.wait()
    world.wait_until_empty()
    assert json.loads(desk.mail("list", "--json").output) == live | {"running": False}
    assert desk.mail("list").lines[-1] == "(from the files: the run is not running)"
    assert desk.mail("show", second[:8]).lines[0].startswith(f"mail {second}  embedded-reviewer -> embedded  held")
    refused = desk.mail("release", second[:8])
    assert refused.process.returncode == 1
    assert "its mail can only be read; to resume it: loop --run-id 1" in refused.output


def test_a_task_that_begins_with_mail_is_asked_about(world: World) -> None:
    loop = world.run("mail", "the", "results")
    assert loop.process.returncode == 2
    assert "loop mail has no 'the'" in loop.output
    assert 'put in quotes: loop "mail ..."' in loop.output
