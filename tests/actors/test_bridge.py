"""The bridge as a process: a real journal, a real MCP client, and session owners that the test plays."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import queue
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import httpx2
import msgspec
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from actors import starts
from actors.access import BridgeAccess
from actors.adapters import claude, codex
from actors.adapters.base import AgentSettings
from actors.embedded.scenario_file import parse_scenario
from actors.errors import ProtocolError, UserError
from actors.machines import mail
from actors.machines.stored import by_stored_name, stored_name
from actors.messages import (
    ActorUp,
    AgentContact,
    Append,
    Apply,
    ChangeMailRequest,
    DeliverMail,
    ListMailRequest,
    Load,
    MailAcceptedReport,
    MailFailedReport,
    MailHandledReport,
    MailSeenReport,
    OtherWorkDone,
    Progress,
    Ready,
    Record,
    SessionOpened,
    ShowMailRequest,
    StopActor,
)
from supervisor.launchers import Exited, SpawnRequest, make_launcher
from tests.actors.adapters.acp_rig import opened, run
from tests.actors.edges.test_bridge_shim import said_text, started
from tests.actors.edges.test_mcp_endpoint import tool_call
from tests.lab.model_server import ModelServer
from tests.lab.offline_home import agent_environment, prepare_home
from tests.patience import PATIENCE_S

RUN = "sample-12ab/1"
TOKENS = {"worker": "worker's token", "reviewer": "reviewer's token"}
PLAIN_ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "IS_SANDBOX": "1"}
CONTACT = mail.AgentWorked | mail.AgentCame | mail.AgentAbsent


class Owner:
    """A session owner that the test plays: what it is told to do lies in `orders`."""

    def __init__(self, world, role):
        self.inbox = type(world.console_inbox)()
        self.bridge = world.router.open_local(RUN, role, self.inbox.put).ref("bridge")

    def delivery(self):
        return self.inbox.next(DeliverMail)

    def nothing_ordered(self):
        return self.inbox.queue.empty()

    def says(self, receipt, delivery, **more):
        self.bridge.tell(receipt(mail_id=delivery.mail_id, **more))


class Cradle:
    """Starts the processes of all tests here from one forkserver that has their imports: milliseconds, not a second."""

    def __init__(self, directory):
        self.events = queue.SimpleQueue()
        self.launcher = make_launcher(
            self.events.put,
            runtime_dir=directory,
            preload=("actors.actor_process", "actors.persistence", "actors.bridge", "actors.edges.mcp_endpoint"),
        )
        self.worlds = itertools.count(1)

    def start(self, world, number, name, actor, incarnation=1, **options):
        world.router.set_live(RUN, name, incarnation)
        start = starts.ProcessStart(
            run=RUN,
            name=name,
            incarnation=incarnation,
            endpoint=world.router.endpoint,
            actor=actor,
            start=options,
            log=starts.LogSettings(level="DEBUG"),
        )
        request = SpawnRequest(
            child=f"{number}/{name}",
            incarnation=incarnation,
            entry="actors.actor_process:main",
            arguments=starts.encode(start),
            listens=name == "bridge",
            log_path=world.directory / f"{name}.log",
        )
        self.launcher.start(request)

    def kill(self, number, name, incarnation):
        self.launcher.kill(f"{number}/{name}", incarnation)

    def ended(self, number, name, incarnation):
        """How this process ended; waits for it."""
        while True:
            event = self.events.get(timeout=PATIENCE_S)
            if isinstance(event, Exited) and (event.child, event.incarnation) == (f"{number}/{name}", incarnation):
                return event


@pytest.fixture(scope="module")
def cradle(tmp_path_factory):
    cradle = Cradle(tmp_path_factory.mktemp("cradle"))
    yield cradle
    cradle.launcher.close()


class Pair:
    """A bridge between two agents, with its journal and its owners."""

    def __init__(self, cradle, world, agents, **more):
        self.cradle, self.world, self.agents = cradle, world, agents
        self.number = next(cradle.worlds)
        self.worker, self.reviewer = Owner(world, "worker"), Owner(world, "reviewer")
        self.run_dir = world.directory / "run"
        self.run_dir.mkdir()
        self.start("persistence", "PersistenceActor", directory=str(self.run_dir), generation=1, manifest={})
        self.ready("persistence")
        self.incarnation, self.url = 0, ""
        self.start_bridge(**more)

    def start(self, name, actor, incarnation=1, **options):
        self.cradle.start(self.world, self.number, name, f"actors.{name}:{actor}", incarnation, **options)

    def ready(self, name):
        inbox = self.world.supervisor_inbox.queue
        while True:
            message, sender = inbox.get(timeout=PATIENCE_S)
            if isinstance(message, Ready) and sender.name == name:
                return message

    def launch_bridge(self, **more):
        self.incarnation += 1
        self.start("bridge", "BridgeActor", self.incarnation, agents=self.agents, tokens=TOKENS, run_id="7", **more)

    def start_bridge(self, **more):
        self.launch_bridge(**more)
        self.url = self.ready("bridge").detail
        self.world.router.broadcast(RUN, ActorUp(name="bridge", incarnation=self.incarnation))

    def kill_bridge(self):
        self.cradle.kill(self.number, "bridge", self.incarnation)
        self.ended_bridge()

    def ended_bridge(self):
        return self.cradle.ended(self.number, "bridge", self.incarnation)

    def call(self, role, tool, **arguments):
        """What the agent of this role gets as text; raises what its client raises."""

        async def run():
            headers = {"Authorization": f"Bearer {TOKENS[role]}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http,
                Client(streamable_http_client(self.url, http_client=http), mode="legacy") as client,
            ):
                try:
                    return await client.call_tool(tool, arguments)
                except MCPError as error:
                    return error

        answer = asyncio.run(run())
        if isinstance(answer, MCPError):
            raise answer
        return answer.content[0].text

    def send(self, text, role="worker", target="claude"):
        return self.call(role, "send_message", target=target, message=text)

    def status(self, role="worker"):
        return json.loads(self.call(role, "bridge_status"))

    def status_when(self, role, test):
        """The first status that passes; each question is a round through the bridge."""
        deadline = time.monotonic() + PATIENCE_S
        while not test(status := self.status(role)):
            if time.monotonic() > deadline:
                raise TimeoutError(status)
        return status

    def ask(self, message):
        """As the console does."""
        return self.world.console.ref("bridge").ask(message, timeout_s=PATIENCE_S)

    def change(self, action, mail_id, text="", change_id=None):
        change_id = change_id or str(uuid.uuid4())
        return self.ask(ChangeMailRequest(change_id=change_id, action=action, mail_id=mail_id, text=text)).mail

    def listed(self):
        return [(one.text, one.status) for one in self.ask(ListMailRequest()).mails]

    def write_journal(self, events):
        """In the name of a bridge, while there is none."""
        self.incarnation += 1
        persistence = self.world.console.ref("persistence")
        known = persistence.ask(Load(stream="mail", epoch=self.incarnation), timeout_s=PATIENCE_S).records
        records = [
            Record(
                event_id=str(uuid.uuid4()),
                at_ms=event.at_ms,
                kind=stored_name(type(event)),
                body=msgspec.json.encode(event).decode(),
            )
            for event in events
        ]
        append = Append(stream="mail", epoch=self.incarnation, expected_version=len(known), records=records)
        persistence.ask(append, timeout_s=PATIENCE_S)

    def journal(self):
        kinds = by_stored_name(mail.EVENTS)
        answer = self.world.console.ref("persistence").ask(
            Load(stream="mail", epoch=self.incarnation), timeout_s=PATIENCE_S
        )
        return [msgspec.json.decode(record.body, type=kinds[record.kind]) for record in answer.records]

    def kinds(self):
        """What happened to mail."""
        return [stored_name(type(event)) for event in self.journal() if not isinstance(event, CONTACT)]

    def close(self):
        for name, incarnation in (("bridge", self.incarnation), ("persistence", 1)):
            self.cradle.kill(self.number, name, incarnation)


@pytest.fixture
def pair(cradle, world):
    pair = Pair(cradle, world, {"worker": "codex", "reviewer": "claude"})
    yield pair
    pair.close()


@pytest.fixture
def patient_pair(cradle, world):
    """A call of its first bridge waits for the owner's word however long the machine takes; there is one each time."""
    pair = Pair(cradle, world, {"worker": "codex", "reviewer": "claude"}, receipt_patience_s=PATIENCE_S)
    yield pair
    pair.close()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


# --- one mail ---


def test_a_message_is_accepted_for_delivery_when_the_owner_of_the_session_has_it(patient_pair, pool):
    sent = pool.submit(patient_pair.send, "please review")
    delivery = patient_pair.reviewer.delivery()
    assert delivery.sender == "codex"
    assert delivery.attempt == 1
    assert delivery.text.startswith("Message from codex")
    assert "please review" in delivery.text
    patient_pair.reviewer.says(MailAcceptedReport, delivery)
    assert sent.result(PATIENCE_S).startswith(f"accepted for delivery, id {delivery.mail_id}")
    assert patient_pair.kinds() == ["MailQueued", "DeliveryStarted", "MailAccepted"]


def test_a_message_is_only_queued_while_its_owner_says_nothing(pair):
    text = pair.send("please review")
    delivery = pair.reviewer.delivery()
    assert text == f"queued, id {delivery.mail_id}: on its way to claude."
    assert pair.status()["to_peer"]["on_the_way"] == [delivery.mail_id]


def test_what_becomes_of_a_mail_is_seen_in_the_status_of_both(patient_pair, pool):
    sent = pool.submit(patient_pair.send, "please review")
    delivery = patient_pair.reviewer.delivery()
    patient_pair.reviewer.says(MailSeenReport, delivery)
    assert sent.result(PATIENCE_S) == f"delivered, id {delivery.mail_id}: claude has it."
    status = patient_pair.status("worker")
    assert (status["run"], status["you"]["name"], status["peer"]["name"]) == ("7", "codex", "claude")
    assert status["to_peer"]["seen"] == [delivery.mail_id]
    patient_pair.reviewer.says(MailHandledReport, delivery)
    status = patient_pair.status_when("reviewer", lambda status: status["to_you"]["handled"])
    assert (status["you"]["name"], status["to_you"]["seen"], status["to_you"]["handled"]) == ("claude", [], 1)


def test_people_and_the_transcript_learn_who_wrote_what_to_whom(pair, pool):
    pool.submit(pair.send, "please review")
    progress = pair.world.console_inbox.next(Progress, lambda progress: progress.kind == "mail")
    assert (progress.agent, progress.text) == ("codex", "codex -> claude: please review")
    pair.reviewer.says(MailAcceptedReport, pair.reviewer.delivery())
    pair.send("yes", role="reviewer", target="CODEX")
    lines = [json.loads(line) for line in (pair.run_dir / "transcript.jsonl").read_text().splitlines()]
    first = lines[0]
    assert (first["from"], first["to"], first["message"]) == ("codex", "claude", "please review")


@pytest.mark.parametrize(
    ("target", "message", "said"),
    [
        ("", "x", "target is empty"),
        ("bob", "x", "target 'bob' is unknown: name one of 'codex' (the worker), 'claude' (the reviewer)"),
        ("claude", " ", "message is empty"),
        ("Codex", "x", "target is the sender itself"),
    ],
)
def test_a_call_that_makes_no_sense_is_refused_and_leaves_no_trace(pair, target, message, said):
    with pytest.raises(MCPError) as error:
        pair.send(message, target=target)
    assert error.value.code == -32602
    assert said in str(error.value)
    assert pair.kinds() == []


def test_two_agents_of_one_name_are_told_apart(cradle, world):
    pair = Pair(cradle, world, {"worker": "codex", "reviewer": "codex"})
    try:
        assert pair.send("hello", target="codex-reviewer").startswith("queued")
        assert pair.reviewer.delivery().sender == "codex"
        assert pair.send("hello back", role="reviewer", target="codex").startswith("queued")
        assert pair.worker.delivery().sender == "codex-reviewer"
    finally:
        pair.close()


def test_an_echo_is_not_delivered_and_the_sender_is_told(pair):
    pair.send("looks good")
    pair.reviewer.says(MailHandledReport, pair.reviewer.delivery())
    assert pair.send(" looks  good", role="reviewer", target="codex").startswith("suppressed, id ")
    assert "MailSuppressed" in pair.kinds()
    assert pair.worker.nothing_ordered()


def test_the_recipient_can_fetch_what_waits(pair):
    pair.send("first")
    pair.reviewer.delivery()
    assert "1 earlier message to claude goes first" in pair.send("second")
    text = pair.call("reviewer", "receive_messages")
    assert "[1 of 1] from codex, id " in text
    assert "second" in text
    assert "first" not in text
    assert "One more is on its way to you as a prompt" in text
    assert pair.call("reviewer", "receive_messages").startswith("No messages wait for you.")


def test_after_twelve_hops_mail_is_held_back_until_other_work_was_done(patient_pair, pool):
    for number in range(mail.MAX_HOPS):
        sent = pool.submit(patient_pair.send, f"message {number}")
        patient_pair.reviewer.says(MailHandledReport, patient_pair.reviewer.delivery())
        assert sent.result(PATIENCE_S).startswith("delivered")
    assert "waits until a turn of the loop has ended" in patient_pair.send("one too many")
    patient_pair.worker.bridge.tell(OtherWorkDone(what="work turn ended"))
    assert "one too many" in patient_pair.reviewer.delivery().text


# --- failures ---


def test_a_delivery_that_failed_is_tried_again_by_itself(patient_pair, pool):
    sent = pool.submit(patient_pair.send, "please review")
    first = patient_pair.reviewer.delivery()
    patient_pair.reviewer.says(MailFailedReport, first, reason="no session yet")
    assert "a first attempt to deliver it failed" in sent.result(PATIENCE_S)
    second = patient_pair.reviewer.delivery()
    assert (second.mail_id, second.attempt, second.text) == (first.mail_id, 2, first.text)


def test_an_owner_that_comes_back_gets_its_outstanding_mail_again(pair):
    pair.send("please review")
    first = pair.reviewer.delivery()
    pair.world.router.broadcast(RUN, ActorUp(name="reviewer", incarnation=2))
    again = pair.reviewer.delivery()
    assert again == first


def test_a_mail_that_cannot_be_delivered_becomes_a_dead_letter_and_can_be_requeued(pair):
    pair.send("please review")
    first = pair.reviewer.delivery()
    pair.reviewer.says(MailFailedReport, first, reason="no agent")
    assert pair.reviewer.delivery().attempt == 2  # after a second
    pair.kill_bridge()
    # What would take eight minutes: the attempts up to the last but one.
    failure = mail.DeliveryFailed(mail_id=first.mail_id, reason="no agent", at_ms=0)
    attempts = [
        [failure, mail.DeliveryStarted(mail_id=first.mail_id, attempt=attempt, at_ms=0)]
        for attempt in range(3, mail.MAX_ATTEMPTS)
    ]
    pair.write_journal([*itertools.chain(*attempts), failure])
    pair.start_bridge()
    last = pair.reviewer.delivery()
    assert (last.mail_id, last.attempt) == (first.mail_id, mail.MAX_ATTEMPTS)
    pair.reviewer.says(MailFailedReport, last, reason="the agent is gone")
    told = pair.world.console_inbox.next(Progress, lambda progress: progress.kind == "error")
    assert told.text == (f"mail {first.mail_id} is a dead letter: 10 attempts failed, the last one: the agent is gone")
    assert pair.kinds()[-2:] == ["DeliveryFailed", "MailDied"]
    assert pair.listed() == [("please review", "dead")]
    assert pair.status()["to_peer"]["dead"] == 1
    assert pair.change("requeue", first.mail_id).status == "in flight"
    again = pair.reviewer.delivery()
    assert (again.mail_id, again.text, again.attempt) == (first.mail_id, first.text, 1)
    pair.reviewer.says(MailHandledReport, again)
    pair.status_when("worker", lambda status: status["to_peer"]["handled"])
    assert pair.listed() == [("please review", "handled")]


# --- users ---


def two_mails(pair):
    """One is in flight, and one waits behind it."""
    pair.send("first")
    first = pair.reviewer.delivery()
    pair.send("second")
    (second,) = [one.mail_id for one in pair.ask(ListMailRequest()).mails if one.text == "second"]
    return first, second


def test_a_person_sees_all_mail(pair):
    first, second = two_mails(pair)
    assert pair.listed() == [("first", "in flight"), ("second", "queued")]
    one = pair.ask(ShowMailRequest(mail_id=second[:8])).mail
    assert (one.mail_id, one.sender, one.recipient, one.text) == (second, "codex", "claude", "second")
    assert [moment.what for moment in one.moments] == ["queued"]
    pair.reviewer.says(MailHandledReport, first)
    pair.status_when("worker", lambda status: status["to_peer"]["handled"])
    assert pair.listed() == [("first", "handled"), ("second", "in flight")]


def test_a_person_holds_edits_and_releases_a_mail_and_each_act_is_journalled(pair):
    first, second = two_mails(pair)
    assert pair.change("hold", second).status == "held"
    assert pair.status("reviewer")["to_you"]["held_by_a_human"] == [second]
    assert "No messages wait" in pair.call("reviewer", "receive_messages")
    pair.reviewer.says(MailSeenReport, first)
    assert pair.change("edit", second, "the second").text == "the second"
    assert pair.reviewer.nothing_ordered()
    assert pair.change("release", second).status == "in flight"
    assert "(The human has edited this message.)\n\nthe second\n" in pair.reviewer.delivery().text
    assert [kind for kind in pair.kinds() if kind in ("MailHeld", "MailEdited", "MailReleased")] == [
        "MailHeld",
        "MailEdited",
        "MailReleased",
    ]


def test_a_person_drops_a_mail_and_others_are_told(pair):
    first, second = two_mails(pair)
    assert pair.change("drop", second, "out of date").reason == "out of date"
    pair.world.console_inbox.next(
        Progress, lambda progress: progress.text == f"mail {second} was dropped by the user: out of date"
    )
    pair.reviewer.says(MailHandledReport, first)
    pair.status_when("worker", lambda status: status["to_peer"]["handled"])
    assert pair.reviewer.nothing_ordered()


def test_a_held_mail_stays_held_in_the_next_bridge_and_the_same_order_is_not_carried_out_twice(pair):
    _, second = two_mails(pair)
    pair.change("hold", second, change_id="once")
    pair.kill_bridge()
    pair.start_bridge()
    assert pair.change("hold", second, change_id="once").status == "held"
    with pytest.raises(UserError, match=f"mail {second[:8]} is held: only mail that is queued can be held"):
        pair.change("hold", second)
    assert pair.kinds().count("MailHeld") == 1


def test_an_order_about_a_mail_that_does_not_exist_is_refused(pair):
    with pytest.raises(UserError, match="no mail has the id '123'"):
        pair.ask(ShowMailRequest(mail_id="123"))


def test_only_people_may_look_at_mail_and_change_it(pair):
    _, second = two_mails(pair)
    for message in (
        ListMailRequest(),
        ShowMailRequest(mail_id=second),
        ChangeMailRequest(change_id="c", action="drop", mail_id=second),
    ):
        with pytest.raises(ProtocolError, match="from 'worker' refused: only the user may do that"):
            pair.worker.bridge.ask(message, timeout_s=PATIENCE_S)
    assert "MailDropped" not in pair.kinds()


# --- an agent that does not come ---

ABSENT = "claude has not contacted the bridge: it cannot write to codex"


def contacts(pair):
    return [event for event in pair.journal() if isinstance(event, CONTACT)]


def turn_settled(owner, session_id="s-1"):
    owner.bridge.tell(OtherWorkDone(what="work turn ended", finished_in=session_id))


def test_an_agent_that_has_worked_and_never_come_is_told_of_once_and_asked_for_no_answer(pair):
    turn_settled(pair.reviewer)
    assert pair.world.console_inbox.next(AgentContact).problem.startswith(ABSENT)
    turn_settled(pair.reviewer)
    pair.kill_bridge()
    pair.start_bridge()
    assert pair.world.console_inbox.next(AgentContact).problem.startswith(ABSENT)  # for `status`, it is no news
    turn_settled(pair.reviewer)
    pair.send("please review")
    assert pair.reviewer.delivery().text.endswith('You have no way to write to "codex", and no answer is expected.')
    assert pair.status()["peer"]["can_write_to_you"] is False
    assert [type(event).__name__ for event in contacts(pair)] == ["AgentWorked", "AgentAbsent", "AgentCame"]
    assert contacts(pair)[-1].role == "worker"
    pair.status("reviewer")
    pair.world.console_inbox.next(Progress, lambda told: told.text == "claude has contacted the bridge")


def test_an_agent_that_comes_is_not_told_of_though_the_bridge_is_restarted(pair):
    pair.status("reviewer")
    pair.kill_bridge()
    pair.start_bridge()
    turn_settled(pair.reviewer)
    turn_settled(pair.worker)  # who has not: it is heard after the reviewer
    assert pair.world.console_inbox.next(AgentContact).role == "worker"
    assert [(type(event).__name__, event.role) for event in contacts(pair)] == [
        ("AgentCame", "reviewer"),
        ("AgentWorked", "worker"),
        ("AgentAbsent", "worker"),
    ]


def test_an_agent_that_is_awaited_when_the_bridge_dies_is_looked_for_by_the_next(pair):
    pair.kill_bridge()
    pair.write_journal([mail.AgentWorked(role="reviewer", session_id="s-1", at_ms=0)])
    pair.start_bridge()
    told = pair.world.console_inbox.next(Progress, lambda told: told.text.startswith(ABSENT))
    assert (told.kind, told.source) == ("note", "bridge")


# --- the bridge is killed ---


def test_a_new_bridge_serves_the_same_address_and_orders_again_what_was_outstanding(pair):
    url = pair.url
    pair.send("please review")
    first = pair.reviewer.delivery()
    pair.kill_bridge()
    pair.start_bridge()
    assert pair.url == url
    assert pair.reviewer.delivery() == first
    assert pair.status()["to_peer"]["on_the_way"] == [first.mail_id]


def test_a_call_made_while_there_is_no_bridge_is_answered_by_the_next_one(pair, pool):
    pair.kill_bridge()
    sent = pool.submit(pair.send, "please review")
    pair.launch_bridge(receipt_patience_s=PATIENCE_S)
    delivery = pair.reviewer.delivery()
    pair.reviewer.says(MailAcceptedReport, delivery)
    assert sent.result(PATIENCE_S).startswith(f"accepted for delivery, id {delivery.mail_id}")
    assert pair.kinds().count("MailQueued") == 1


def test_a_call_that_was_being_served_breaks_and_can_be_repeated_without_a_second_mail(patient_pair, pool):
    broken = pool.submit(patient_pair.send, "please review")
    delivery = patient_pair.reviewer.delivery()  # it is durable, and the call is waiting for the owner's receipt
    patient_pair.kill_bridge()
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of a broken connection
        broken.result(PATIENCE_S)
    repeated = pool.submit(patient_pair.send, "please review")
    patient_pair.start_bridge()
    assert repeated.result(PATIENCE_S).startswith(f"queued before, id {delivery.mail_id}")
    assert patient_pair.reviewer.delivery() == delivery
    assert patient_pair.reviewer.nothing_ordered()
    assert patient_pair.kinds() == ["MailQueued", "DeliveryStarted", "BridgeRestarted", "CallRepeated"]


def test_an_agent_over_stdio_notices_no_kill_of_the_bridge_and_sends_nothing_twice(pair, pool):
    with started(pair.url, TOKENS["worker"]) as agent:
        served = pool.submit(agent.ask, tool_call("send_message", target="claude", message="please review"))
        delivery = pair.reviewer.delivery()  # it is durable, and the call is waiting for the owner's receipt
        pair.kill_bridge()
        pair.start_bridge()
        assert said_text(served.result(PATIENCE_S)).startswith(f"queued before, id {delivery.mail_id}")
        pair.reviewer.says(MailHandledReport, pair.reviewer.delivery())
        pair.status_when("worker", lambda status: status["to_peer"]["handled"])
        pair.kill_bridge()
        waiting = pool.submit(agent.ask, tool_call("send_message", target="claude", message="another"))
        pair.launch_bridge()
        delivery = pair.reviewer.delivery()
        assert f"id {delivery.mail_id}" in said_text(waiting.result(PATIENCE_S))
    assert pair.reviewer.nothing_ordered()
    assert [event.text for event in pair.journal() if isinstance(event, mail.MailQueued)] == [
        "please review",
        "another",
    ]


def test_an_agent_that_was_started_again_before_it_was_answered_may_repeat_its_call(pair, pool):
    sent = pool.submit(pair.send, "please review")
    delivery = pair.reviewer.delivery()  # it is durable; the agent dies before it is told
    sent.result(PATIENCE_S)
    pair.worker.bridge.tell(SessionOpened(role="worker", agent="codex", session_id="s"))
    assert pair.send("please review").startswith(f"queued before, id {delivery.mail_id}")
    assert pair.reviewer.nothing_ordered()
    assert pair.kinds() == ["MailQueued", "DeliveryStarted", "AgentRestarted", "CallRepeated"]


def test_mail_that_was_fetched_from_a_bridge_that_died_comes_again_with_a_note(pair):
    pair.send("first")
    first = pair.reviewer.delivery()
    pair.send("second")
    pair.call("reviewer", "receive_messages")
    pair.kill_bridge()
    pair.start_bridge()
    assert pair.reviewer.delivery() == first
    pair.reviewer.says(MailSeenReport, first)
    again = pair.reviewer.delivery()
    assert "second" in again.text
    assert "You may have read this before" in again.text


def test_a_storm_of_kills_loses_repeats_and_reorders_nothing(pair, pool):
    texts = [f"message {number}" for number in range(8)]

    def send_all():
        for text in texts:
            for _ in range(20):
                try:
                    pair.send(text)
                    break
                except Exception:  # the connection broke: an agent calls again
                    continue

    sending = pool.submit(send_all)
    arrived = []
    while len(arrived) < len(texts):
        delivery = pair.reviewer.delivery()
        if delivery.mail_id not in [mail_id for mail_id, _ in arrived]:
            arrived.append((delivery.mail_id, delivery.text))
            if len(arrived) % 2:
                pair.kill_bridge()
                pair.launch_bridge()
        pair.reviewer.says(MailHandledReport, delivery)
    sending.result(PATIENCE_S)
    assert [next(text for text in texts if text in body) for _, body in arrived] == texts
    queued = [event.text for event in pair.journal() if isinstance(event, mail.MailQueued)]
    assert queued == texts


SCENARIO = """
[[turn]]
when = "ask for a review"
step = [
    {send = {target = "PEER", message = "please review"}},
    {send = {target = "PEER", message = "please review"}},
    {say = "sent once", if_result = "queued before, id"},
]
"""


@pytest.mark.real_agents
@pytest.mark.parametrize("agent", [(codex, "worker", "claude"), (claude, "reviewer", "codex")], ids=["codex", "claude"])
def test_a_real_agent_whose_call_breaks_calls_again_and_its_mail_is_there_once(pair, pool, tmp_path, agent):
    program, role, peer = agent

    async def play(url):
        settings = AgentSettings(
            name="agent",
            cwd=tmp_path,
            environment=agent_environment(tmp_path / "home", url, None, PLAIN_ENVIRONMENT),
            bridge=BridgeAccess(url=pair.url, token=TOKENS[role]),
        )
        async with opened(program.factory, settings) as it:
            outcome = await it.agent.turn(str(uuid.uuid4()), "ask for a review")
            assert (outcome.status, outcome.text) == ("finished", "sent once")

    with ModelServer(parse_scenario(SCENARIO.replace("PEER", peer), "test_bridge")) as model:
        prepare_home(tmp_path / "home", model.url, codex_role=None)
        playing = pool.submit(run, play(model.url))
        target = pair.reviewer if role == "worker" else pair.worker
        delivery = target.delivery()
        pair.kill_bridge()  # the agent's call breaks, and its next one waits
        pair.start_bridge()
        playing.result(PATIENCE_S)
    assert target.delivery() == delivery
    assert target.nothing_ordered()
    assert pair.kinds().count("MailQueued") == 1


def do_in_bridge(pair, function):
    """As the console does with a person's function."""
    delivery = Apply(function=cloudpickle.dumps(function))
    return pair.world.supervisor.ref("bridge").ask(delivery, timeout_s=PATIENCE_S)


def test_a_bridge_that_waits_opens_its_endpoint_at_the_first_call(pair):
    pair.kill_bridge()
    pair.launch_bridge(waits=True)
    assert pair.ready("bridge").detail == pair.url
    assert do_in_bridge(pair, lambda bridge: bridge._endpoint).text == "None"
    assert "to_peer" in pair.status()
    assert do_in_bridge(pair, lambda bridge: bridge._endpoint is not None).text == "True"
    assert [type(event).__name__ for event in contacts(pair)] == ["AgentCame"]


def test_a_call_that_fails_by_a_bug_is_answered_with_an_error_and_the_bridge_lives(pair):
    pair.send("please review")
    do_in_bridge(pair, lambda bridge: bridge._names.pop("reviewer"))
    with pytest.raises(MCPError, match="the bridge failed at this call; its log says how"):
        pair.status()
    do_in_bridge(pair, lambda bridge: bridge._names.update(reviewer="claude"))
    assert pair.status()["to_peer"]["on_the_way"]
    assert "KeyError" in (pair.world.directory / "bridge.log").read_text()


def test_a_call_whose_decision_the_journal_refuses_ends_the_bridge(pair, pool):
    broken = pool.submit(pair.send, "please review")
    delivery = pair.reviewer.delivery()
    pair.reviewer.says(MailAcceptedReport, delivery)
    broken.result(PATIENCE_S)
    pair.world.console.ref("persistence").ask(Load(stream="mail", epoch=2), timeout_s=PATIENCE_S)  # it is replaced
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of a broken connection
        pair.send("please review this as well")
    assert pair.ended_bridge().code not in (0, None)
    pair.incarnation = 2
    assert pair.kinds().count("MailQueued") == 1


def test_it_stops_in_time_when_asked(pair):
    pair.world.supervisor.ref("bridge").tell(StopActor(reason="the test is over", grace_s=PATIENCE_S))
    assert pair.ended_bridge().code == 0
