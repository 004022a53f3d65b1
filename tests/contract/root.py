"""A root in miniature: it holds an adapter, hands it two prompts, and is killed while the agent works on the second.

Reads the pickled (factory, settings, id of the first prompt, id of the second) from stdin. Prints one JSON list per
line: ["process", pid, start time], ["session", id], ["answered"], ["seen"].
"""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
from dataclasses import replace

from actors.adapters.base import AgentEvent
from actors.edges import processes


def tell(*words: object) -> None:
    print(json.dumps(words), flush=True)


async def main() -> None:
    factory, settings, answered, cut = pickle.load(sys.stdin.buffer)
    if settings.pane is not None:
        settings = replace(settings, pane=replace(settings.pane, root_pid=os.getpid()))

    def hear(event: AgentEvent) -> None:
        if event.kind == "process":
            tell("process", event.pid, processes.start_time(event.pid))
        if event.kind == "seen" and event.message_id == cut:
            tell("seen")

    agent = factory(settings, hear)
    tell("session", await agent.open(None))
    outcome = await agent.turn(answered, "hello")
    assert outcome.status == "finished", outcome
    tell("answered")
    await agent.turn(cut, "hang")


asyncio.run(main())
