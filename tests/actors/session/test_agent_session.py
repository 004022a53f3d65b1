"""The session against an agent in memory that keeps a transcript, as the real ones do."""

import asyncio
import itertools
import queue
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from actors.adapters.base import AgentEvent, EventSink, Schema
from actors.errors import AgentDiedError, AgentError, AgentUnavailableError, SessionNotFoundError
from actors.machines import turn
from actors.machines.review_answer import SCHEMA
from actors.messages import FoundTurn, Receipt, StartTurnRequest, TurnOutcome, Usage
from actors.session import AgentSession, SessionOptions, SessionStatus
from tests.patience import PATIENCE_S

DONE = TurnOutcome(status="finished", text="did it")


class Program:
    """What outlives a session: the agent's transcript, and how its program behaves."""

    def __init__(self) -> None:
        self.transcript: dict[str, tuple[str, str]] = {}  # message id -> (state, text)
        self.sessions: set[str] = set()
        self.opened = 0
        self.refuses: Callable[[int], Exception | None] = lambda _attempt: None
        self.dies_in: set[str] = set()  # prompts in whose turn it dies, once
        self.outcome = DONE
        self.outcomes: list[TurnOutcome] = []  # of the next turns, before `outcome`
        self.holds: set[str] = set()  # prompts whose turn waits until it is let go or interrupted
        self.holds_all = False
        self.can_steer = True
        self.is_deaf = False  # its first program does not answer an interruption
        self.is_stuck = False  # a held turn of its first program does not end with the program
        self.closes: Callable[[], Awaitable[None]] | None = None  # what the end of its first program waits for
        self.interrupted = TurnOutcome(status="interrupted")  # how an interrupted turn ends
        self.begins = ""  # a tool that runs as long as a held turn
        self.beats = False  # a held turn has a heartbeat
        self.asks = ""  # a question to the user, asked in a held turn
        self.background: tuple[str, ...] = ()  # tasks that keep a held turn open
        self.schemas: list[Schema | None] = []  # of the turns so far


class FakeAgent:
    def __init__(self, program: Program, sink: EventSink) -> None:
        self.program = program
        self.sink = sink
        self.can_steer = program.can_steer
        self._interrupted = asyncio.Event()
        self._background_ended = False

    async def open(self, session_id: str | None) -> str:
        self.program.opened += 1
        refusal = self.program.refuses(self.program.opened)
        if refusal is not None:
            raise refusal
        if session_id is not None and session_id not in self.program.sessions:
            raise SessionNotFoundError(f"no session {session_id}")
        name = session_id or f"session-{self.program.opened}"
        self.program.sessions.add(name)
        return name

    async def turn(self, turn_id: str, prompt: str, *, model: str = "", schema: Schema | None = None) -> TurnOutcome:
        self.program.schemas.append(schema)
        self.program.transcript[turn_id] = ("unfinished", prompt)
        self.sink(AgentEvent(kind="seen", message_id=turn_id))
        if prompt in self.program.dies_in:
            self.program.dies_in.remove(prompt)
            raise AgentDiedError("killed")
        if prompt in self.program.holds or self.program.holds_all:
            self._interrupted.clear()
            self.sink(AgentEvent(kind="say", text=f"holding {prompt}"))
            if self.program.begins:
                self.sink(AgentEvent(kind="tool", text=self.program.begins, begins="call"))
            while self.program.beats and not self._interrupted.is_set():
                self.sink(AgentEvent(kind="raw", is_heartbeat=True))
                await asyncio.sleep(0)
            if self.program.asks:
                self.sink(AgentEvent(kind="waits", text=self.program.asks))
            await self._interrupted.wait()
            return DONE if self._background_ended else self.program.interrupted
        self.program.transcript[turn_id] = ("finished", prompt)
        return self.program.outcomes.pop(0) if self.program.outcomes else self.program.outcome

    async def steer(self, message_id: str, text: str) -> bool:
        self.program.transcript[message_id] = ("unfinished", text)
        self.sink(AgentEvent(kind="seen", message_id=message_id))
        return True

    async def interrupt(self) -> None:
        if self.program.is_deaf and self.program.opened == 1:
            await asyncio.Event().wait()
        self._interrupted.set()

    def background(self) -> tuple[str, ...]:
        return () if self._interrupted.is_set() else self.program.background

    async def stop_background(self) -> None:
        if self.program.is_deaf and self.program.opened == 1:
            await asyncio.Event().wait()
        self._background_ended = True
        self._interrupted.set()

    async def find_turn(self, message_id: str, text: str = "", *, answered: str = "") -> FoundTurn:
        state, _ = self.program.transcript.get(message_id, ("absent", ""))
        return FoundTurn(state=state, outcome=DONE if state == "finished" else None)  # type: ignore[arg-type]

    async def close(self) -> None:
        if self.program.closes is not None and self.program.opened == 1:
            await self.program.closes()
        if not (self.program.is_stuck and self.program.opened == 1):
            self._interrupted.set()


class Stream:
    """A journal in memory."""

    def __init__(self) -> None:
        self.events: list[turn.LedgerEvent] = []

    def load(self) -> list[turn.LedgerEvent]:
        return list(self.events)

    def append(self, events: Any) -> None:
        self.events.extend(events)


class Listener:
    def __init__(self) -> None:
        self.told: queue.Queue[tuple[Any, ...]] = queue.Queue()
        self.asks = ""

    def session_opened(self, session_id: str) -> None:
        self.told.put(("opened", session_id))

    def turn_settled(self, turn_id: str, purpose: str, outcome: TurnOutcome) -> None:
        self.told.put(("ended", turn_id, outcome.status, outcome.error))

    def usage_grew(self, cost: turn.Cost) -> None:
        self.told.put(("usage", cost.turn_id, cost.purpose, cost.usage))

    def usage_seen(self, cost: turn.Cost) -> None:
        self.told.put(("so far", cost.turn_id, cost.usage))

    def turn_wanted(self, turn_id: str, purpose: str, after: str) -> None:
        self.told.put(("wants", turn_id, purpose, after))

    def mail_receipt(self, mail_id: str, receipt: Receipt, reason: str = "") -> None:
        self.told.put(("mail", mail_id, receipt, reason))

    def human_heard(self, message_id: str, how: str, detail: str) -> None:
        self.told.put(("human", message_id, how, detail))

    def session_changed(self, status: SessionStatus) -> None:
        if status.asks != self.asks:
            self.asks = status.asks
            self.told.put(("asks", status.asks))

    def agent_event(self, event: AgentEvent) -> None:
        self.told.put((event.kind, event.text))

    def session_crashed(self, error: BaseException) -> None:
        self.told.put(("crashed", repr(error)))

    def wait_for(self, *head: Any) -> tuple[Any, ...]:
        """The next thing told that begins so; what comes before it is passed over."""
        while True:
            told = self.told.get(timeout=PATIENCE_S)
            assert told[0] != "crashed", told
            if told[: len(head)] == head:
                return told

    def wait_for_note(self, part: str) -> str:
        """The next note with `part` in it."""
        while True:
            note = str(self.wait_for("note")[1])
            if part in note:
                return note


class Rig:
    def __init__(self) -> None:
        self.program = Program()
        self.stream = Stream()
        self.sessions: list[AgentSession] = []
        self.agents: list[FakeAgent] = []
        self.accounts: list[int] = []  # of each start of the program

    def start(self, **options: Any) -> tuple[AgentSession, Listener]:
        listener = Listener()
        session = AgentSession(
            SessionOptions(
                make_agent=self._make_agent,
                stream=self.stream,  # type: ignore[arg-type]
                listener=listener,
                **options,
            )
        )
        self.sessions.append(session)
        session.start()
        return session, listener

    def _make_agent(self, sink: EventSink, account: int) -> FakeAgent:
        self.agents.append(FakeAgent(self.program, sink))
        self.accounts.append(account)
        return self.agents[-1]

    def prompts(self) -> list[str]:
        return [text for _, text in self.program.transcript.values()]


def request(name: str, purpose: str = "work") -> StartTurnRequest:
    return StartTurnRequest(turn_id=name, purpose=purpose, prompt=f"do {name}")  # type: ignore[arg-type]


def test_a_turn_runs_once_however_often_it_is_asked_for(rig: Rig):
    session, listener = rig.start()
    for _ in range(3):
        session.start_turn(request("a"))
        assert listener.wait_for("ended")[1:3] == ("a", "finished")
    assert rig.prompts() == ["do a"]


def test_a_review_is_asked_for_in_its_form_and_its_typed_answer_is_shown_as_text(rig: Rig):
    session, listener = rig.start()
    session.start_turn(replace(request("a", "review"), typed=True))
    listener.wait_for("ended")
    session.start_turn(request("b", "review"))
    listener.wait_for("ended")
    assert rig.program.schemas == [SCHEMA, None]
    rig.agents[0].sink(AgentEvent(kind="say", text='{"verdict": "pass", "summary": "All is well."}'))
    assert listener.wait_for("say")[1] == "All is well.\n<review>PASS</review>"


def test_the_session_id_is_durable_before_the_first_prompt(rig: Rig):
    session, listener = rig.start()
    session.start_turn(request("a"))
    listener.wait_for("ended")
    kinds = [type(event).__name__ for event in rig.stream.events]
    assert kinds.index("SessionBegan") < kinds.index("TurnSubmitted")


def test_a_turn_during_which_the_agent_dies_is_continued_without_its_prompt(rig: Rig):
    rig.program.dies_in = {"do a"}
    session, listener = rig.start()
    session.start_turn(request("a"))
    assert listener.wait_for("ended")[1:3] == ("a", "finished")
    first, second = rig.prompts()
    assert first == "do a"
    assert second.startswith("do a (continued)")
    assert second.count("do a") == 1


def test_a_new_session_adopts_what_finished_while_nobody_listened(rig: Rig):
    rig.stream.events = [
        turn.SessionBegan(session_id="s"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
        turn.TurnSubmitted(turn_id="a", message_id="a"),
    ]
    rig.program.sessions = {"s"}
    rig.program.transcript = {"a": ("finished", "do a")}
    _, listener = rig.start()
    assert listener.wait_for("ended")[1:3] == ("a", "finished")
    assert rig.prompts() == ["do a"]


def test_a_new_session_sends_what_was_never_taken_in(rig: Rig):
    rig.stream.events = [
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
        turn.TurnSubmitted(turn_id="a", message_id="a"),
    ]
    _, listener = rig.start()
    listener.wait_for("ended", "a", "finished")
    assert rig.prompts() == ["do a"]


def test_mail_that_came_too_late_for_its_turn_goes_on_after_the_program_was_killed(rig: Rig):
    rig.stream.events = [
        turn.SessionBegan(session_id="s"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
        turn.TurnSubmitted(turn_id="a", message_id="a"),
        turn.TurnIntended(turn_id="m", purpose="mail", prompt="hello"),
        turn.TurnSubmitted(turn_id="m", message_id="m", carrier="a"),
        turn.TurnSeen(turn_id="m"),
    ]
    rig.program.sessions = {"s"}
    rig.program.transcript = {"a": ("finished", "do a"), "m": ("unfinished", "hello")}
    _, listener = rig.start()
    listener.wait_for("ended", "a", "finished")
    listener.wait_for("mail", "m", "handled")
    assert rig.prompts()[:2] == ["do a", "hello"]
    assert rig.prompts()[2].startswith("hello (continued)")


def test_mail_to_an_idle_agent_is_a_turn_of_its_own(rig: Rig):
    session, listener = rig.start()
    session.deliver("m", "hello")
    assert [listener.wait_for("mail")[2] for _ in range(2)] == ["accepted", "seen"]
    listener.wait_for("mail", "m", "handled")


def test_mail_reaches_a_running_work_turn_and_waits_for_the_end_of_a_review(rig: Rig):
    rig.program.holds = {"do w", "do r"}
    session, listener = rig.start()
    session.start_turn(request("w"))
    listener.wait_for("say", "holding do w")
    session.deliver("m1", "during work")
    listener.wait_for("mail", "m1", "seen")
    session.interrupt("w", "enough")
    listener.wait_for("ended", "w", "interrupted")
    session.start_turn(request("r", "review"))
    listener.wait_for("say", "holding do r")
    session.deliver("m2", "during review")
    listener.wait_for("mail", "m2", "accepted")
    session.interrupt("r", "enough")
    assert listener.wait_for("ended")[1] == "r"
    listener.wait_for("mail", "m2", "handled")
    assert rig.prompts() == ["do w", "during work", "do r", "during review"]


def test_mail_that_an_unavailable_agent_never_got_fails_and_may_be_brought_again(rig: Rig):
    rig.program.refuses = lambda attempt: AgentUnavailableError("not logged in") if attempt <= 2 else None
    session, listener = rig.start()
    session.deliver("m", "hello")
    assert listener.wait_for("mail", "m", "failed")[3] == "not logged in"
    session.deliver("m", "hello")
    listener.wait_for("mail", "m", "handled")
    assert rig.prompts() == ["hello"]


def test_mail_whose_turn_failed_was_seen_and_says_why(rig: Rig):
    rig.program.outcome = TurnOutcome(status="failed", error="overloaded")
    session, listener = rig.start()
    session.deliver("m", "hello")
    listener.wait_for("mail", "m", "seen")
    assert listener.wait_for("mail", "m", "failed")[3] == "overloaded"
    session.deliver("m", "hello")
    listener.wait_for("mail", "m", "handled")
    assert rig.prompts() == ["hello"]


def test_a_program_that_does_not_start_is_tried_again_and_then_the_turn_fails_with_the_reason(rig: Rig):
    rig.program.refuses = lambda attempt: AgentError("port taken") if attempt <= 2 else None
    session, listener = rig.start()
    session.start_turn(request("a"))
    listener.wait_for("ended", "a", "finished")
    assert rig.program.opened == 3
    assert rig.prompts() == ["do a"]


def test_a_turn_of_an_agent_that_cannot_run_here_fails_at_once_with_the_next_step(rig: Rig):
    rig.program.refuses = lambda _attempt: AgentUnavailableError("not logged in: run codex login")
    session, listener = rig.start()
    session.start_turn(request("a"))
    assert listener.wait_for("ended", "a", "failed")[3] == "not logged in: run codex login"


def test_nothing_starts_while_held_and_it_goes_on_afterwards(rig: Rig):
    session, listener = rig.start()
    session.hold(held=True)
    session.deliver("m", "hello")
    listener.wait_for("mail", "m", "accepted")
    assert rig.prompts() == []
    session.hold(held=False)
    listener.wait_for("mail", "m", "handled")


def test_a_turn_that_has_not_begun_is_broken_off_without_being_sent(rig: Rig):
    session, listener = rig.start()
    session.hold(held=True)
    session.start_turn(request("a"))
    session.interrupt("a", "stopped")
    assert listener.wait_for("ended", "a", "interrupted")[3] == "stopped"
    assert rig.prompts() == []


def test_a_session_that_is_gone_is_replaced_and_said_to_be(rig: Rig):
    rig.stream.events = [
        turn.SessionBegan(session_id="gone"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
        turn.SessionTurnSettled(turn_id="a", outcome=DONE),
    ]
    session, listener = rig.start()
    assert "session gone is gone" in listener.wait_for("note")[1]
    session.start_turn(request("b"))
    listener.wait_for("ended", "b", "finished")


def test_a_session_of_another_loop_that_is_gone_is_replaced_and_said_to_be(rig: Rig):
    session, listener = rig.start(first_session_id="gone")
    session.start_turn(request("a"))
    assert "session gone is gone" in listener.wait_for("note")[1]
    assert listener.wait_for("opened")[1] == "session-2"


def test_a_program_that_does_not_start_says_each_reason_once(rig: Rig):
    reasons = ["no disk space", "no disk space", "no such file", "no such file", "no such file"]
    rig.program.refuses = lambda attempt: AgentError(reasons[attempt - 1])
    session, listener = rig.start()
    session.start_turn(request("a"))
    told = []
    while not told or told[-1][0] != "ended":
        told.append(listener.told.get(timeout=PATIENCE_S))
    assert [each[1] for each in told if each[0] == "note"] == ["no disk space", "no such file"]
    assert told[-1] == ("ended", "a", "failed", "no such file")


def test_a_session_that_the_user_names_is_not_replaced_by_another(rig: Rig):
    session, listener = rig.start(first_session_id="gone", first_session_is_named=True)
    session.start_turn(request("a"))
    error = listener.wait_for("ended", "a", "failed")[3]
    assert error == "no session gone; without --session a new one begins"
    assert "note" not in [listener.told.get_nowait()[0] for _ in range(listener.told.qsize())]  # the turn has said it
    assert not rig.prompts()


@pytest.mark.parametrize("state", ["submitted", "running", "cut"])
def test_a_turn_whose_session_is_gone_is_handed_over_to_a_new_one(rig: Rig, state: str):
    rig.stream.events = [
        turn.SessionBegan(session_id="gone"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a\n\nall of it"),
        turn.TurnSubmitted(turn_id="a", message_id="a"),
        *([turn.TurnSeen(turn_id="a")] if state != "submitted" else []),
        *([turn.TurnCut(turn_id="a", next_message_id="a2")] if state == "cut" else []),
    ]
    _, listener = rig.start(tree_facts=lambda: ["commit c1"])
    listener.wait_for("ended", "a", "finished")
    [prompt] = rig.prompts()
    assert prompt.startswith("do a (continued)\n\nYour session does not exist any more.")
    for words in ("nothing of the old conversation is here", "all of it", "commit c1"):
        assert words in prompt


def test_a_turn_that_continues_one_of_a_lost_session_is_handed_over_and_the_next_one_is_not(rig: Rig):
    rig.stream.events = [
        turn.SessionBegan(session_id="gone"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
        turn.SessionTurnSettled(turn_id="a", outcome=TurnOutcome(status="interrupted"), remembered=True),
    ]
    session, listener = rig.start()
    listener.wait_for("opened")
    for name, continues in (("b", "a"), ("c", "b")):
        session.start_turn(
            StartTurnRequest(turn_id=name, purpose="work", prompt=f"do {name}", continues=continues, reminder="go on")
        )
        listener.wait_for("ended", name, "finished")
    first, second = rig.prompts()
    assert "Your session does not exist any more." in first
    assert second == "do c"


def test_a_session_that_never_had_a_turn_is_not_called_lost(rig: Rig):
    rig.stream.events = [
        turn.SessionBegan(session_id="gone"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
    ]
    _, listener = rig.start()
    listener.wait_for("ended", "a", "finished")
    assert rig.prompts() == ["do a"]


def test_a_full_session_is_handed_over_with_what_is_in_the_directory(rig: Rig):
    rig.program.outcomes = [TurnOutcome(status="failed", error="full", cause="context"), DONE]
    session, listener = rig.start(tree_facts=lambda: ["not committed: a.py"])
    session.start_turn(request("a"))
    listener.wait_for("ended", "a", "finished")
    assert "not committed: a.py" in rig.prompts()[1]


def test_a_fenced_session_ends_its_actor(rig: Rig):
    session, listener = rig.start()
    listener.wait_for("opened")

    def refuse(_events: object) -> None:
        raise AgentError("stream was taken over")

    rig.stream.append = refuse  # type: ignore[method-assign]
    session.start_turn(request("a"))
    told = listener.told.get(timeout=PATIENCE_S)
    while told[0] != "crashed":
        told = listener.told.get(timeout=PATIENCE_S)
    assert "taken over" in told[1]


def test_a_program_that_ends_while_idle_is_opened_again_in_its_session(rig: Rig):
    _, listener = rig.start()
    _, session_id = listener.wait_for("opened")
    rig.agents[-1].sink(AgentEvent(kind="ended", text="was closed in its pane"))
    assert "was closed in its pane" in listener.wait_for("note")[1]
    listener.wait_for("opened", session_id)
    assert len(rig.agents) == 2


@pytest.mark.parametrize("how", ["handled", "the program ends"])
def test_what_the_agent_asks_a_person_in_its_own_window_is_told_and_stands_in_its_status_until_then(rig: Rig, how: str):
    _, listener = rig.start()
    listener.wait_for("opened")
    rig.agents[-1].sink(AgentEvent(kind="waits", text="it asks for a permission"))
    listener.wait_for("note", "it asks for a permission")
    listener.wait_for("asks", "it asks for a permission")
    rig.agents[-1].sink(AgentEvent(kind="waits" if how == "handled" else "ended"))
    listener.wait_for("asks", "")


def test_what_a_person_types_is_passed_on_and_is_no_turn_of_ours(rig: Rig):
    _, listener = rig.start()
    listener.wait_for("opened")
    rig.agents[-1].sink(AgentEvent(kind="typed", text="look here"))
    listener.wait_for("typed", "look here")
    assert [type(event) for event in rig.stream.events] == [turn.SessionBegan]


AWAY = TurnOutcome(status="failed", error="API Error: 529", cause="transient")
FULL = TurnOutcome(status="failed", error="Prompt is too long", text="half of it is done", cause="context")


def test_mail_whose_provider_is_away_is_put_off_and_not_given_twice(rig: Rig):
    rig.program.outcomes = [AWAY, AWAY]
    session, listener = rig.start(retry_ms=1)
    session.deliver("m", "Message from claude")
    listener.wait_for("mail", "m", "seen")
    assert "put off: API Error: 529: retry 2 in " in listener.wait_for_note("retry 2")
    assert listener.wait_for("mail", "m", "handled")
    first, *more = rig.prompts()
    assert first == "Message from claude"
    assert [text.splitlines()[0] for text in more] == ["Message from claude (continued)"] * 2
    assert all("is earlier in this conversation" in text for text in more)


def test_a_persons_words_wait_for_the_provider_and_she_is_told(rig: Rig):
    rig.program.outcomes = [AWAY]
    session, listener = rig.start(retry_ms=1)
    session.say("h", "look at the tests")
    assert "529" in listener.wait_for("human", "h", "waits")[3]
    listener.wait_for("human", "h", "settled")


def test_mail_that_waits_for_its_provider_survives_a_crash_with_the_time_that_is_left(rig: Rig):
    rig.program.outcomes = [AWAY]
    now = [1_000_000]
    session, listener = rig.start(retry_ms=60_000, clock=lambda: now[0])
    session.deliver("m", "Message from claude")
    listener.wait_for_note("put off")
    session.close(PATIENCE_S)
    now[0] += 90_000
    _, listener = rig.start(retry_ms=60_000, clock=lambda: now[0])
    listener.wait_for("mail", "m", "handled")
    assert len(rig.prompts()) == 2


def test_mail_is_not_put_off_for_longer_than_anybody_wants_to_wait(rig: Rig):
    rig.program.outcomes = [AWAY]
    session, listener = rig.start(max_wait_ms=0)
    session.deliver("m", "Message from claude")
    assert listener.wait_for("mail", "m", "failed")[3] == "API Error: 529"


def test_work_is_done_while_mail_waits_for_its_provider(rig: Rig):
    rig.program.outcomes = [AWAY]
    session, listener = rig.start(retry_ms=3_600_000)
    session.deliver("m", "Message from claude")
    listener.wait_for_note("put off")
    session.start_turn(request("a"))
    listener.wait_for("ended", "a", "finished")


def retried(name: str, of: str) -> StartTurnRequest:
    prompt = f"do {of} (continued) all"
    return StartTurnRequest(turn_id=name, purpose="work", prompt=prompt, continues=of, reminder="go on")


def test_a_turn_that_is_taken_up_again_is_reminded_of_and_not_given_twice(rig: Rig):
    rig.program.outcomes = [AWAY, AWAY]
    session, listener = rig.start()
    for each in (request("a"), retried("b", "a"), retried("c", "b")):
        session.start_turn(each)
        listener.wait_for("ended", each.turn_id)
    assert rig.prompts() == ["do a", "go on", "go on"]


def test_what_the_agent_never_had_is_given_and_not_reminded_of(rig: Rig):
    rig.program.refuses = lambda attempt: AgentUnavailableError("not logged in: log in") if attempt <= 2 else None
    session, listener = rig.start()
    session.start_turn(request("a"))
    listener.wait_for("ended", "a", "failed")
    session.start_turn(retried("b", "a"))
    listener.wait_for("ended", "b", "finished")
    assert rig.prompts() == ["do a (continued) all"]


def test_a_turn_whose_session_is_full_goes_on_in_a_new_one_once_with_a_hand_off(rig: Rig):
    rig.program.outcomes = [FULL]
    session, listener = rig.start()
    assert listener.wait_for("opened")[1] == "session-1"
    session.start_turn(request("a"))
    listener.wait_for_note("the session is full")
    assert listener.wait_for("opened")[1] == "session-2"
    listener.wait_for("ended", "a", "finished")
    first, second = rig.prompts()
    assert first == "do a"
    assert second.startswith("do a (continued)")
    assert "half of it is done" in second
    assert "git diff" in second


def test_a_hand_off_and_a_continuation_of_the_session_are_in_the_users_words(rig: Rig):
    rig.program.outcomes = [FULL]
    texts = {"hand_over": "New: {why} {said}\n\n{asked}", "continuation": "Again. {asked}", "reminder": "Go on: {why}"}
    session, listener = rig.start()
    session.start_turn(replace(request("a"), texts=texts))
    listener.wait_for("ended", "a", "finished")
    assert "New: Your session became too long" in rig.prompts()[1]
    rig.program.dies_in = {"do b"}
    session.start_turn(replace(request("b"), texts=texts))
    listener.wait_for("ended", "b", "finished")
    assert rig.prompts()[-1].splitlines()[2].startswith("Go on: your turn ended")


def test_a_hand_off_survives_a_crash_between_the_two_sessions(rig: Rig):
    rig.stream.events = [
        turn.SessionBegan(session_id="s"),
        turn.TurnIntended(turn_id="a", purpose="work", prompt="do a"),
        turn.TurnSubmitted(turn_id="a", message_id="a"),
        turn.TurnMoved(turn_id="a", next_message_id="a2", prompt="do a (continued)"),
    ]
    rig.program.sessions = {"s"}
    _, listener = rig.start()
    assert listener.wait_for("opened")[1] == "session-1"
    listener.wait_for("ended", "a", "finished")
    assert rig.prompts() == ["do a (continued)"]


def test_a_turn_that_has_no_room_in_a_new_session_either_fails_with_that_cause(rig: Rig):
    rig.program.outcome = FULL
    session, listener = rig.start()
    session.start_turn(request("a"))
    assert listener.wait_for("ended", "a", "failed")[3] == "Prompt is too long"
    assert len(rig.program.sessions) == 2


def test_full_sessions_with_a_limit_in_each_new_one_are_given_up_and_a_resume_tries_new_ones(rig: Rig):
    full_then_limited = [FULL, TurnOutcome(status="limited", error="limit")]
    rig.program.outcomes = [*full_then_limited * turn.MOST_MOVES, FULL, FULL, DONE]
    session, listener = rig.start()
    names = [f"t{number}" for number in range(turn.MOST_MOVES + 2)]
    session.start_turn(request(names[0]))
    for before, name in itertools.pairwise(names[:-1]):
        session.start_turn(retried(name, before))
    limits = [listener.wait_for("ended", name)[2] for name in names[: turn.MOST_MOVES]]
    assert limits == ["limited"] * turn.MOST_MOVES
    error = listener.wait_for("ended", names[-2], "failed")[3]
    assert error == "Prompt is too long (the same in 3 new sessions in a row)"
    settled = [event.outcome for event in rig.stream.events if isinstance(event, turn.SessionTurnSettled)]
    assert [outcome.gave_up for outcome in settled] == [False] * turn.MOST_MOVES + [True]
    session.start_turn(retried(names[-1], names[-2]))
    listener.wait_for("ended", names[-1], "finished")
    assert len(rig.program.sessions) == turn.MOST_MOVES + 2


USAGE = Usage(input_tokens=100, output_tokens=10, cost_usd=0.25)


def test_what_a_message_costs_is_told_when_its_turn_is_over_and_again_by_the_next_session(rig: Rig):
    rig.program.outcome = TurnOutcome(status="finished", usage=USAGE)
    rig.program.can_steer = False  # each has a turn of its own
    session, listener = rig.start()
    session.start_turn(request("part", "brief"))
    session.start_turn(request("a"))  # a turn of the run says what it costs when it ends
    session.deliver("mail-1", "hello")
    session.say("words-1", "hello you")
    told = [listener.wait_for("usage")[1:] for _ in range(3)]
    assert told == [("part", "brief", USAGE), ("mail-1", "mail", USAGE), ("words-1", "human", USAGE)]
    session.close(PATIENCE_S)
    _, listener = rig.start()
    assert [listener.wait_for("usage")[1:] for _ in range(3)] == told


def test_a_message_that_another_turn_carries_costs_nothing_of_its_own(rig: Rig):
    rig.program.outcome = TurnOutcome(status="finished", usage=USAGE)
    rig.program.holds = {"do a"}
    session, listener = rig.start()
    session.start_turn(request("a"))
    listener.wait_for("say")
    session.deliver("mail-1", "hello")
    listener.wait_for("mail", "mail-1", "seen")
    session.interrupt("a", "enough")
    listener.wait_for("mail", "mail-1", "handled")
    session.deliver("mail-2", "hello again")
    assert listener.wait_for("usage")[1] == "mail-2"


LIMITED = TurnOutcome(status="limited", error="limit", resets_at_ms=2**41)


def test_a_turn_at_a_limit_continues_in_the_next_account_in_the_same_session_without_its_prompt(rig: Rig):
    rig.program.outcomes = [LIMITED, DONE]
    session, listener = rig.start(accounts=2)
    session.start_turn(request("a"))
    assert "the session continues in account 2 of 2" in listener.wait_for_note("account")
    assert listener.wait_for("ended")[1:3] == ("a", "finished")
    assert rig.accounts == [0, 1]
    assert [text.partition("\n")[0] for text in rig.prompts()] == ["do a", "do a (continued)"]
    assert len(rig.program.sessions) == 1


def test_a_turn_for_which_every_account_is_limited_waits_and_the_account_that_is_reset_first_is_next(rig: Rig):
    rig.program.outcomes = [LIMITED, replace(LIMITED, resets_at_ms=2**41 - 1)]
    session, listener = rig.start(accounts=2)
    session.start_turn(request("a"))
    assert "account 2 of 2 is the first to be reset" in listener.wait_for_note("every account")
    assert listener.wait_for("ended")[1:3] == ("a", "limited")
    session.start_turn(request("b"))
    listener.wait_for("ended")
    session.close(PATIENCE_S)
    _, listener = rig.start(accounts=2)
    listener.wait_for("opened")
    assert rig.accounts == [0, 1, 1, 1]


def test_an_account_that_is_not_configured_any_more_is_not_used(rig: Rig):
    rig.stream.events = [turn.AccountChosen(account=2, used_up=0, until_ms=1)]
    _, listener = rig.start(accounts=2)
    listener.wait_for("opened")
    assert rig.accounts == [0]
