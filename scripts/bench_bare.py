"""The yardstick of `scripts/bench run`: the same turns with the two SDKs, in one process, and nothing else.

Argument: a JSON list of [role, prompt]; worker turns go to Codex, reviewer turns to Claude. Like the loop it opens
both agents at once, and runs the two reviews of a round in parallel.
"""

from __future__ import annotations

import asyncio
import json
import sys
from itertools import groupby
from pathlib import Path


async def main() -> None:
    turns = [tuple(turn) for turn in json.loads(sys.argv[1])]
    codex, claude = await asyncio.gather(open_codex(), open_claude())
    for is_review, group in groupby(turns, key=lambda turn: turn[1].startswith("Review round")):
        if is_review:
            await asyncio.gather(*(run(codex, claude, role, prompt) for role, prompt in group))
        else:
            for role, prompt in group:
                await run(codex, claude, role, prompt)
    await asyncio.gather(codex[0].close(), claude.disconnect())


async def open_codex():  # noqa: ANN201 - the SDK's own types, imported late
    from openai_codex import AsyncCodex, Sandbox

    client = AsyncCodex()
    await client.__aenter__()
    thread = await client.thread_start(cwd=str(Path.cwd()), sandbox=Sandbox.full_access)
    return client, thread


async def open_claude():  # noqa: ANN201
    from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient

    client = ClaudeSDKClient(ClaudeAgentOptions(permission_mode="bypassPermissions", setting_sources=[]))
    await client.connect()
    return client


async def run(codex, claude, role: str, prompt: str) -> None:  # noqa: ANN001
    if role == "worker":
        await codex[1].run(prompt)
    else:
        await claude.query(prompt)
        async for _message in claude.receive_response():
            pass


asyncio.run(main())
