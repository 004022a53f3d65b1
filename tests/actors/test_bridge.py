"""The bridge as a process: a real journal, a real MCP client, and session owners that the test plays."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import cloudpickle
import httpx2
import msgspec
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from actors.host import StartArguments
from actors.logs import LogSettings
from actors.machines import mail
from actors.messages import (
    ActorUp,
    DeliverMail,
    Load,
    MailAccepted,
    MailAnswered,
    MailFailed,
    MailSeen,
    OtherWorkDone,
    Progress,
    Ready,
    StopActor,
)

RUN = "sample-12ab/1"
TOKENS = {"worker": "worker's token", "reviewer": "reviewer's token"}
MAIN = "import sys; from actors.host import main; main(sys.stdin.buffer.read(), int(sys.argv[1]), int(sys.argv[2]))"
PATIENCE_S = 20.0


class Owner:
    """A session owner that the test plays: what it is told to do lies in `orders`."""

    def __init__(self, world, role):
        self.inbox = type(world.console_inbox)()
        self.bridge = world.router.open_local(RUN, role, self.inbox.put).ref("bridge")

    def order(self):
        return self.inbox.next(DeliverMail)

    def nothing_ordered(self):
        return self.inbox.queue.empty()

    def says(self, receipt, order, **more):
        self.bridge.tell(receipt(mail_id=order.mail_id, **more))


class Pair:
    """A bridge between two agents, with its socket, its journal and its owners."""

    def __init__(self, world, agents):
        self.world, self.agents = world, agents
        self.sock = socket.socket()
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(128)
        self.url = f"http://127.0.0.1:{self.sock.getsockname()[1]}/mcp"
        self.worker, self.reviewer = Owner(world, "worker"), Owner(world, "reviewer")
        self.run_dir = world.directory / "run"
        self.run_dir.mkdir()
        self.processes = []
        self.lifelines = []
        self.launch(
            "persistence", "actors.persistence:PersistenceActor", directory=str(self.run_dir), generation=1, manifest={}
        )
        self.ready()
        self.incarnation = 0
        self.start_bridge()

    def launch(self, name, actor, incarnation=1, **options):
        self.world.router.set_live(RUN, name, incarnation)
        arguments = StartArguments(
            run=RUN,
            name=name,
            incarnation=incarnation,
            endpoint=self.world.router.endpoint,
            actor=actor,
            options=options,
            log=LogSettings(level="DEBUG"),
        )
        theirs, ours = os.pipe()
        with (self.world.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, str(theirs), str(self.sock.fileno())],
                stdin=subprocess.PIPE,
                stderr=log,
                pass_fds=[theirs, self.sock.fileno()],
            )
        os.close(theirs)
        with process.stdin:
            process.stdin.write(cloudpickle.dumps(arguments))
        self.processes.append(process)
        self.lifelines.append(ours)

    def ready(self):
        process = self.processes[-1]
        return self.world.supervisor_inbox.next(Ready, lambda ready: ready.pid == process.pid)

    def launch_bridge(self):
        self.incarnation += 1
        options = {"agents": self.agents, "tokens": TOKENS, "run_id": "7"}
        self.launch("bridge", "actors.bridge:BridgeActor", self.incarnation, **options)

    def start_bridge(self):
        self.launch_bridge()
        ready = self.ready()
        self.world.router.broadcast(RUN, ActorUp(name="bridge", incarnation=self.incarnation))
        return ready

    def kill_bridge(self):
        self.processes[-1].send_signal(signal.SIGKILL)
        self.processes[-1].wait(PATIENCE_S)

    def call(self, role, tool, **arguments):
        """What the agent of this role gets as text; raises what its client raises."""

        async def run():
            headers = {"Authorization": f"Bearer {TOKENS[role]}"}
            async with (
                httpx2.AsyncClient(headers=headers, timeout=60) as http,
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

    def journal(self):
        kinds = {event.__name__: event for event in mail.EVENTS}
        answer = self.world.console.ref("persistence").ask(Load(stream="mail", epoch=self.incarnation), timeout_s=10)
        return [msgspec.json.decode(record.body, type=kinds[record.kind]) for record in answer.records]

    def kinds(self):
        return [type(event).__name__ for event in self.journal()]

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait(PATIENCE_S)
        for lifeline in self.lifelines:
            os.close(lifeline)
        self.sock.close()


@pytest.fixture
def pair(world):
    pair = Pair(world, {"worker": "codex", "reviewer": "claude"})
    yield pair
    pair.close()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


# --- one mail ---


def test_a_message_is_accepted_for_delivery_when_the_owner_of_the_session_has_it(pair, pool):
    sent = pool.submit(pair.send, "please review")
    order = pair.reviewer.order()
    assert order.sender == "codex"
    assert order.attempt == 1
    assert order.text.startswith("Message from codex")
    assert "please review" in order.text
    pair.reviewer.says(MailAccepted, order)
    assert sent.result(PATIENCE_S).startswith(f"accepted for delivery, id {order.mail_id}")
    assert pair.kinds() == ["MailQueued", "DeliveryStarted", "MailAccepted"]


def test_a_message_is_only_queued_while_its_owner_says_nothing(pair):
    text = pair.send("please review")
    order = pair.reviewer.order()
    assert text == f"queued, id {order.mail_id}: on its way to claude."
    assert pair.status()["to_peer"]["on_the_way"] == [order.mail_id]


def test_what_becomes_of_a_mail_is_seen_in_the_status_of_both(pair, pool):
    sent = pool.submit(pair.send, "please review")
    order = pair.reviewer.order()
    pair.reviewer.says(MailSeen, order)
    assert sent.result(PATIENCE_S) == f"delivered, id {order.mail_id}: claude has it."
    status = pair.status("worker")
    assert (status["run"], status["you"]["name"], status["peer"]["name"]) == ("7", "codex", "claude")
    assert status["to_peer"]["seen"] == [order.mail_id]
    pair.reviewer.says(MailAnswered, order)
    pair.journal()
    status = pair.status("reviewer")
    assert (status["you"]["name"], status["to_you"]["seen"], status["to_you"]["answered"]) == ("claude", [], 1)


def test_people_and_the_transcript_learn_who_wrote_what_to_whom(pair, pool):
    pool.submit(pair.send, "please review")
    progress = pair.world.console_inbox.next(Progress, lambda progress: progress.kind == "mail")
    assert (progress.agent, progress.text) == ("codex", "codex -> claude: please review")
    pair.reviewer.says(MailAccepted, pair.reviewer.order())
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
    assert pair.journal() == []


def test_two_agents_of_one_name_are_told_apart(world):
    pair = Pair(world, {"worker": "codex", "reviewer": "codex"})
    try:
        assert pair.send("hello", target="codex-reviewer").startswith("queued")
        assert pair.reviewer.order().sender == "codex"
        assert pair.send("hello back", role="reviewer", target="codex").startswith("queued")
        assert pair.worker.order().sender == "codex-reviewer"
    finally:
        pair.close()


def test_an_echo_is_not_delivered_and_the_sender_is_told(pair):
    pair.send("looks good")
    pair.reviewer.says(MailAnswered, pair.reviewer.order())
    assert pair.send(" looks  good", role="reviewer", target="codex").startswith("suppressed, id ")
    assert pair.kinds()[-1] == "MailSuppressed"
    assert pair.worker.nothing_ordered()


def test_the_recipient_can_fetch_what_waits(pair):
    pair.send("first")
    pair.reviewer.order()
    assert "1 earlier message to claude goes first" in pair.send("second")
    text = pair.call("reviewer", "receive_messages")
    assert "[1 of 1] from codex, id " in text
    assert "second" in text
    assert "first" not in text
    assert "One more is on its way to you as a prompt" in text
    assert pair.call("reviewer", "receive_messages").startswith("No messages wait for you.")


def test_after_twelve_hops_mail_is_held_back_until_other_work_was_done(pair):
    for number in range(mail.MAX_HOPS):
        pair.send(f"message {number}")
        pair.reviewer.says(MailAnswered, pair.reviewer.order())
    assert "held back until a turn of the loop has ended" in pair.send("one too many")
    pair.worker.bridge.tell(OtherWorkDone(what="work turn ended"))
    assert "one too many" in pair.reviewer.order().text


# --- failures ---


def test_a_delivery_that_failed_is_tried_again_by_itself(pair, pool):
    sent = pool.submit(pair.send, "please review")
    first = pair.reviewer.order()
    pair.reviewer.says(MailFailed, first, reason="no session yet")
    assert "a first attempt to deliver it failed" in sent.result(PATIENCE_S)
    second = pair.reviewer.order()
    assert (second.mail_id, second.attempt, second.text) == (first.mail_id, 2, first.text)


def test_an_owner_that_comes_back_gets_its_outstanding_mail_again(pair):
    pair.send("please review")
    first = pair.reviewer.order()
    pair.world.router.broadcast(RUN, ActorUp(name="reviewer", incarnation=2))
    again = pair.reviewer.order()
    assert again == first


# --- the bridge is killed ---


def test_a_new_bridge_serves_the_same_address_and_orders_again_what_was_outstanding(pair):
    url = pair.url
    pair.send("please review")
    first = pair.reviewer.order()
    pair.kill_bridge()
    assert pair.start_bridge().detail == url
    assert pair.reviewer.order() == first
    assert pair.status()["to_peer"]["on_the_way"] == [first.mail_id]


def test_a_call_made_while_there_is_no_bridge_is_answered_by_the_next_one(pair, pool):
    pair.kill_bridge()
    sent = pool.submit(pair.send, "please review")
    pair.launch_bridge()
    order = pair.reviewer.order()
    pair.reviewer.says(MailAccepted, order)
    assert sent.result(PATIENCE_S).startswith(f"accepted for delivery, id {order.mail_id}")
    assert pair.kinds().count("MailQueued") == 1


def test_a_call_that_was_being_served_breaks_and_can_be_repeated_without_a_second_mail(pair, pool):
    broken = pool.submit(pair.send, "please review")
    order = pair.reviewer.order()  # it is durable, and the call is waiting for the owner's receipt
    pair.kill_bridge()
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the client makes of a broken connection
        broken.result(PATIENCE_S)
    repeated = pool.submit(pair.send, "please review")
    pair.start_bridge()
    assert repeated.result(PATIENCE_S).startswith(f"queued before, id {order.mail_id}")
    assert pair.reviewer.order() == order
    assert pair.reviewer.nothing_ordered()
    assert pair.kinds() == ["MailQueued", "DeliveryStarted", "BridgeRestarted", "CallRepeated"]


def test_mail_that_was_fetched_from_a_bridge_that_died_comes_again_with_a_note(pair):
    pair.send("first")
    first = pair.reviewer.order()
    pair.send("second")
    pair.call("reviewer", "receive_messages")
    pair.kill_bridge()
    pair.start_bridge()
    assert pair.reviewer.order() == first
    pair.reviewer.says(MailSeen, first)
    again = pair.reviewer.order()
    assert "second" in again.text
    assert "You may have read this before" in again.text


def test_a_storm_of_kills_loses_repeats_and_reorders_nothing(pair, pool):
    texts = [f"message {number}" for number in range(8)]
    killed = threading.Event()

    def send_all():
        for number, text in enumerate(texts):
            for _ in range(20):
                try:
                    pair.send(text)
                    break
                except Exception:  # the connection broke: an agent calls again
                    continue
            if number % 3 == 0:
                killed.clear()

    sending = pool.submit(send_all)
    arrived = []
    while len(arrived) < len(texts):
        order = pair.reviewer.order()
        if order.mail_id not in [mail_id for mail_id, _ in arrived]:
            arrived.append((order.mail_id, order.text))
            if len(arrived) % 2:
                pair.kill_bridge()
                pair.launch_bridge()
        pair.reviewer.says(MailAnswered, order)
    sending.result(60)
    assert [next(text for text in texts if text in body) for _, body in arrived] == texts
    queued = [event.text for event in pair.journal() if isinstance(event, mail.MailQueued)]
    assert queued == texts


def test_it_stops_in_time_when_asked(pair):
    pair.world.supervisor.ref("bridge").tell(StopActor(reason="the test is over", grace_s=3))
    assert pair.processes[-1].wait(PATIENCE_S) == 0
