"""One session of the protocol: a run, and the turns that the client's prompts are. asyncio's thread.

A prompt in a new session is the run's task. In a completed one it is the next task of the same run. In a run that has
stopped or failed it resumes the run, and the worker gets the text. In a run that asks it is the answer. In a run that
works it is said to the worker.

A turn ends with `end_turn` only when the run is completed, or when it waits for the user. Out of iterations is
`max_turn_requests`, and the client's own cancel `cancelled`. Any other end is an error with the run's last words.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from acp import RequestError, start_tool_call, update_plan, update_tool_call, update_user_message_text
from acp.interfaces import Client
from acp.schema import (
    AllowedOutcome,
    PermissionOption,
    PlanEntry,
    PromptResponse,
    RequestPermissionResponse,
    SessionInfoUpdate,
    StopReason,
    ToolCallUpdate,
    Usage,
)

from actors.edges import files, run_lock
from actors.errors import BadFileError, LoopError, OperationalError
from actors.machines.usage import together
from shell import output, run_files
from shell.acp import plan, replay, turns
from shell.acp.link import Link
from shell.acp.orders import Order
from shell.acp.updates import Narrator, Update, message
from shell.resumed import Resumed
from supervisor.control.protocol import Control, Report, Request, Say

LOOK_AGAIN_S = 1.0
LAST_WORDS_S = 0.3  # what belongs to a state comes just after it
MOST_QUESTIONS = 3  # of one turn: a client that allows everything does not restart an actor for ever
PLAN = "PLAN.md"
MOST_PLAN_BYTES = 1_000_000
LONGEST_TITLE = 80


class Session:
    """One session. `words`: the options of `loop acp`. `servers`: the client's MCP servers, which no agent gets."""

    def __init__(self, key: str, directory: Path, cwd: Path, words: list[str], client: Client) -> None:
        self.key = key
        self._directory = directory
        self._cwd = cwd
        self._words = words
        self._client = client
        self.servers: list[str] = []
        self._narrator = Narrator(uuid.uuid4().hex[:8])
        self._link: Link | None = None
        self._starting: asyncio.Task[Link] | None = None
        self._is_busy = False
        self._is_cancelled = False
        self._plan: list[PlanEntry] = []
        self._report: Report | None = None
        self._spent = Usage(total_tokens=0, input_tokens=0, output_tokens=0)

    # --- what the client asks for ---

    async def prompt(self, text: str) -> PromptResponse:
        """One turn. Raises `RequestError` when it ends without what was asked."""
        if self._is_busy:
            return await self._steer(text)
        self._is_busy, self._is_cancelled = True, False
        try:
            return await self._turn(text)
        except LoopError as error:
            if self._is_cancelled:
                return self._response("cancelled")
            raise RequestError(-32603, output.shown(str(error)), {"run": self.key}) from error
        finally:
            self._is_busy = False

    async def cancel(self) -> None:
        """Stops the run in order. Its turn then ends as cancelled."""
        self._is_cancelled = True
        if self._starting is not None:
            self._starting.cancel()
        elif self._link is not None:
            with suppress(LoopError):  # it is over already
                await self._link.ask(Control(action="stop"))

    async def replay(self) -> None:
        """Sends what the session has shown so far."""
        settings = await asyncio.to_thread(run_files.settings_of, self._directory)
        if settings is not None and settings.task:
            await self._send(update_user_message_text(f"{output.shown(settings.task)}\n\n"))
        for progress in await asyncio.to_thread(lambda: list(replay.events(self._directory))):
            await self._send_all(self._narrator.updates(progress))
        await self._send_all(self._narrator.end())

    async def close(self) -> None:
        """Stops the run if it is ours, and waits for it. A session without a prompt leaves nothing behind."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._link is not None:
            await self._link.close()
        with suppress(OSError):  # it is not empty: the run has begun
            self._directory.rmdir()

    # --- a turn ---

    async def _turn(self, text: str) -> PromptResponse:
        link = await self._reach(text)
        questions = 0
        asking: asyncio.Task[RequestPermissionResponse] | None = None
        asked: turns.Question | None = None
        call = ""
        while True:
            await link.changed(LOOK_AGAIN_S)
            await self._show_news(link)
            if link.is_over:
                break
            report = await link.report()
            if report is None:
                continue
            self._report = report
            await self._show_plan(report)
            step = turns.next_step(report)
            if asking is not None and asked is not None:
                if step != asked:  # somebody else has answered
                    asking.cancel()
                    await self._send(update_tool_call(call, status="completed"))
                elif not asking.done():
                    continue
                elif not await self._take_answer(link, asked, asking, call) and not self._is_cancelled:
                    return self._response("end_turn")
                asking = asked = None
                continue
            if isinstance(step, turns.Question) and questions < MOST_QUESTIONS and not self._is_cancelled:
                questions, asked, call = questions + 1, step, self._narrator.call_id()
                await link.changed(LAST_WORDS_S)
                await self._show_news(link)
                asking = asyncio.create_task(self._ask(step, call))
                asking.add_done_callback(lambda _done: link.wake())
            elif step is not None and not self._is_cancelled:
                await link.changed(LAST_WORDS_S)
                await self._show_news(link)
                why = step.text if isinstance(step, turns.Question) else step.why
                await self._send_all([*self._narrator.end(), message(f"**{output.shown(why)}**")])
                return self._response("end_turn")
        if asking is not None:
            asking.cancel()
        await self._show_news(link)
        return await self._over(link)

    async def _reach(self, text: str) -> Link:
        """The run, with the text brought to it."""
        link = self._link
        if link is not None and link.is_over:  # it has ended between two prompts
            await link.close()
            link = self._link = None
        if link is None:
            holder = run_lock.holder(self._directory)
            if holder is None or not holder.endpoint:
                return await self._start(text)
            link = self._link = await Link.attach(self._directory, holder.endpoint)
        await self._hand_over(link, text)
        return link

    async def _start(self, text: str) -> Link:
        resumed = Resumed(self._directory)
        known = resumed.manifest.get("state") if resumed.begun else None
        task: str | None = text
        if known not in (None, "completed"):
            task = None
        elif known == "completed" and (settings := run_files.settings_of(self._directory)) is not None:
            task = f"Once more: {text}" if settings.task.strip() == text else text
        run_id = self._directory.name
        order = Order(words=self._words, task=task, run_id=run_id if resumed.begun else "")
        self._starting = asyncio.create_task(Link.start(order, self._cwd, self._directory))
        try:
            link = await self._starting
        except asyncio.CancelledError:
            if self._is_cancelled:
                raise OperationalError("the start was cancelled") from None
            raise
        finally:
            self._starting = None
        self._link = link
        await self._introduce(link, text, is_new=known is None)
        if task is None:
            await self._hand_over(link, text)
        return link

    async def _introduce(self, link: Link, text: str, *, is_new: bool) -> None:
        run_id = self._directory.name
        if is_new:
            title = output.shown(text.partition("\n")[0])[:LONGEST_TITLE]
            await self._send(SessionInfoUpdate(session_update="session_info_update", title=title))
        notes = [] if link.process is None else link.process.notes
        if self.servers:
            names = ", ".join(self.servers)
            notes = [*notes, f"the MCP servers of the client are not handed on: configure them in the agents ({names})"]
            self.servers = []
        await self._send(message(f"_loop run {run_id}; from a terminal: loop shell {self.key}_"))
        await self._send_all(message(f"_{output.shown(note)}_") for note in notes)

    async def _hand_over(self, link: Link, text: str) -> None:
        """Brings the text to a run that is there, as soon as it has a state."""
        while not link.is_over:
            report = await link.report()
            if report is not None and report.status is not None:
                for request in turns.hand_over(report, text, str(uuid.uuid4())):
                    await link.ask(request)
                return
            await link.changed(LAST_WORDS_S)

    async def _steer(self, text: str) -> PromptResponse:
        if self._link is None:
            raise RequestError(-32600, "the run has only just begun: prompt again when it works", {"run": self.key})
        request: Request = Say(message_id=str(uuid.uuid4()), agent="worker", text=text)
        await self._link.ask(request)
        return PromptResponse(stop_reason="end_turn")

    async def _over(self, link: Link) -> PromptResponse:
        """The run's process is gone, or the run of somebody else has ended."""
        await link.close()
        self._link = None
        await self._send_all(self._narrator.end())
        ended, status = link.ended, self._report.status if self._report is not None else None
        run_id = self._directory.name
        if ended is None:
            if self._is_cancelled:
                return self._response("cancelled")
            raise OperationalError(f"the process of run {run_id} was killed: the next prompt resumes the run")
        said = f"run {run_id} {ended.state}{': ' + ended.detail if ended.detail else ''}"
        with suppress(OSError):
            await self._show_end(ended.state)
        await self._send(message(f"**{output.shown(said)}**"))
        if ended.state == "completed":
            return self._response("end_turn", ended.state)
        if self._is_cancelled:
            return self._response("cancelled", ended.state)
        if ended.state == "stopped" and status is not None and status.iteration >= status.max_iterations:
            return self._response("max_turn_requests", ended.state)
        raise RequestError(-32603, output.shown(said), {"run": self.key, "state": ended.state})

    # --- questions ---

    async def _ask(self, question: turns.Question, call: str) -> RequestPermissionResponse:
        title = output.shown(question.text)
        await self._send(start_tool_call(call, title, kind="other", status="pending"))
        return await self._client.request_permission(
            session_id=self.key,
            tool_call=ToolCallUpdate(tool_call_id=call, title=title, kind="other", status="pending"),
            options=[PermissionOption(option_id=each.id, name=each.name, kind=each.kind) for each in question.choices],
        )

    async def _take_answer(
        self, link: Link, question: turns.Question, asking: asyncio.Task[RequestPermissionResponse], call: str
    ) -> bool:
        """Brings the answer to the run. False: the user answers in the next prompt."""
        chosen: turns.Choice | None = None
        with suppress(RequestError, ConnectionError):  # the client knows no such request
            outcome = asking.result().outcome
            if isinstance(outcome, AllowedOutcome):
                chosen = next((each for each in question.choices if each.id == outcome.option_id), None)
        request = chosen.request if chosen is not None else None
        await self._send(update_tool_call(call, status="failed" if request is None else "completed"))
        if request is None:
            return False
        await link.ask(request)
        return True

    # --- updates ---

    async def _show_news(self, link: Link) -> None:
        for progress in link.news():
            await self._send_all(self._narrator.updates(progress))

    async def _show_plan(self, report: Report) -> None:
        """The plan of a run that works: one that failed or stopped keeps the last one."""
        if report.status is not None and report.status.phase not in ("failed", "stopped"):
            await self._send_plan(report, report.status.phase)

    async def _show_end(self, state: str) -> None:
        if self._report is not None and state == "completed":
            await self._send_plan(self._report, state)

    async def _send_plan(self, report: Report, phase: str) -> None:
        assert report.status is not None
        entries = plan.entries(_plan_in(Path(report.cwd)), phase, iteration=report.status.iteration)
        if entries != self._plan:
            self._plan = entries
            await self._send(update_plan(entries))

    async def _send_all(self, updates: Iterable[Update]) -> None:
        for update in updates:
            await self._send(update)

    async def _send(self, update: Any) -> None:
        await self._client.session_update(session_id=self.key, update=update)

    def _response(self, reason: StopReason, state: str = "input-required") -> PromptResponse:
        """The end of a turn, with what it has used and, for programs, what has become of the run."""
        state = "stopped" if reason == "cancelled" else state
        meta = {"loop": {"run": self.key, "state": state}}
        return PromptResponse(stop_reason=reason, usage=self._usage(), field_meta=meta)

    def _usage(self) -> Usage | None:
        """The tokens since the last turn; None when an agent does not report them."""
        status = self._report.status if self._report is not None else None
        total = together(each.usage for each in status.spent) if status is not None else None
        if total is None or not total.tokens_known:
            return None
        before, self._spent = (
            self._spent,
            Usage(
                total_tokens=total.input_tokens + total.output_tokens,
                input_tokens=total.input_tokens,
                output_tokens=total.output_tokens,
            ),
        )
        return Usage(
            total_tokens=max(0, self._spent.total_tokens - before.total_tokens),
            input_tokens=max(0, self._spent.input_tokens - before.input_tokens),
            output_tokens=max(0, self._spent.output_tokens - before.output_tokens),
        )


def _plan_in(cwd: Path) -> str:
    """The content of PLAN.md; "" when there is none that can be read."""
    try:
        return files.read_text(cwd / PLAN, MOST_PLAN_BYTES)
    except (BadFileError, OSError):
        return ""
