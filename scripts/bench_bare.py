"""The yardstick of `scripts/bench run`: the same turns with the two SDKs, in one process, and nothing else.

Argument: a JSON list of [role, prompt, typed]; worker turns go to Codex, reviewer turns to Claude. Like the loop it
opens both agents at once, runs the two reviews of a round in parallel, and asks for a typed answer where the loop does.
Claude takes the form of its answers at its start, so it is started again in its session.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import groupby
from pathlib import Path

from actors.machines.review_answer import SCHEMA


async def main() -> None:
    turns = [tuple(turn) for turn in json.loads(sys.argv[1])]
    codex, claude = await asyncio.gather(open_codex(), Claude.opened())
    for is_review, group in groupby(turns, key=lambda turn: turn[1].startswith("Review round")):
        if is_review:
            await asyncio.gather(*(run(codex, claude, *turn) for turn in group))
        else:
            for turn in group:
                await run(codex, claude, *turn)
    await asyncio.gather(codex[0].close(), claude.client.disconnect())


async def open_codex():  # noqa: ANN201 - the SDK's own types, imported late
    from openai_codex import AsyncCodex, Sandbox

    client = AsyncCodex()
    await client.__aenter__()
    thread = await client.thread_start(cwd=str(Path.cwd()), sandbox=Sandbox.full_access)
    return client, thread


class Claude:
    """Claude's client, and the form of its answers."""

    def __init__(self, *, typed: bool, resume: str | None) -> None:
        from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient

        form = {"type": "json_schema", "schema": dict(SCHEMA)} if typed else None
        options = ClaudeAgentOptions(
            permission_mode="bypassPermissions", setting_sources=[], output_format=form, resume=resume
        )
        self.client = ClaudeSDKClient(options)
        self.typed = typed
        self.session = resume

    @classmethod
    async def opened(cls) -> Claude:
        made = cls(typed=False, resume=None)
        await made.client.connect()
        return made

    async def turn(self, prompt: str, *, typed: bool) -> None:
        if typed != self.typed:
            await self.client.disconnect()
            self.__init__(typed=typed, resume=self.session)  # type: ignore[misc]
            await self.client.connect()
        await self.client.query(prompt)
        async for message in self.client.receive_response():
            self.session = getattr(message, "session_id", None) or self.session


async def run(codex, claude: Claude, role: str, prompt: str, typed: bool) -> None:  # noqa: ANN001
    if role == "worker":
        await codex[1].run(prompt, output_schema=dict(SCHEMA) if typed else None)
    else:
        await claude.turn(prompt, typed=typed)


asyncio.run(main())
