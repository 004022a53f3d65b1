"""Describes an ACP agent's tool calls: the command or tool on one line, the result on another. Pure.

Agents put the same data in different places. The command is in `rawInput` or only in the title. The output is in the
content, in `rawOutput`, or piece by piece in the `_meta` of the agent's own terminal. Some first report a call when
they ask for permission or when it is over. So a call is tracked by its id, and reported once its content is known.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from acp.schema import ToolCall, ToolCallProgress, ToolCallStart, ToolCallUpdate

from actors.adapters.acp_history import one_line
from actors.adapters.base import AgentEvent

Call = ToolCallStart | ToolCallProgress | ToolCallUpdate | ToolCall

_OVER = ("completed", "failed")
_MOST_CALLS = 1_000  # tracked concurrently: an agent may never end them
_MOST_OUTPUT = 20_000  # characters of a terminal that are kept
_EXIT = re.compile(r"\bexit(?:ed)?(?: with)?(?: exit)?[ _]?(?:code|status):? ?(-?\d{1,5})\b", re.IGNORECASE)
_EXIT_KEYS = ("exit_code", "exitCode", "exit_status", "exitStatus", "code")
_OUTPUT_KEYS = (
    "formatted_output", "aggregated_output", "output", "stdout", "content", "detailedContent", "text", "result",
    "stderr", "message", "error",
)  # fmt: skip
_PATH_KEYS = ("path", "file_path", "filePath", "absolute_path", "file", "fileName", "filename")


class _Followed:
    def __init__(self) -> None:
        self.title = ""
        self.kind = ""
        self.input: Any = None
        self.output: Any = None
        self.content: list[Any] = []
        self.locations: list[str] = []
        self.terminal = ""
        self.exit: int | None = None
        self.is_told = False


class ToolCalls:
    """The calls of one session. Feed it every tool_call, tool_call_update and permission request, in order."""

    def __init__(self) -> None:
        self._calls: OrderedDict[str, _Followed] = OrderedDict()

    def take(self, update: Call, *, asks: bool = False) -> list[AgentEvent]:
        """The lines of an update: the tool, once; its result, when it is over. `asks`: it asks for permission."""
        call = self._calls.setdefault(update.tool_call_id, _Followed())
        while len(self._calls) > _MOST_CALLS:
            self._calls.popitem(last=False)
        _merge(call, update)
        if asks:  # its text then describes the call, not its output; Gemini sends neither later
            call.content = [part for part in call.content if part.type == "diff"]
        is_over = update.status in _OVER
        events = []
        if not call.is_told and (asks or is_over or update.status == "in_progress" or _says_what(call)):
            call.is_told = True
            events.append(AgentEvent(kind="tool", text=one_line(_label(call)), begins=update.tool_call_id))
        if is_over:
            self._calls.pop(update.tool_call_id, None)
            result = one_line(_result(call, str(update.status)))
            events.append(AgentEvent(kind="tool-result", text=result, ends=update.tool_call_id))
        return events


def label(update: Call) -> str:
    """The call on one line, from this update."""
    call = _Followed()
    _merge(call, update)
    return one_line(_label(call))


def _merge(call: _Followed, update: Call) -> None:
    call.title = update.title or call.title
    call.kind = update.kind or call.kind
    if update.raw_input not in (None, {}, ""):
        call.input = update.raw_input
    if update.raw_output is not None:
        call.output = update.raw_output
    if update.content is not None:  # it replaces the earlier content, even by none
        call.content = list(update.content)
    if update.locations:
        call.locations = [each.path for each in update.locations]
    meta = update.field_meta or {}
    piece, end = meta.get("terminal_output"), meta.get("terminal_exit")
    if isinstance(piece, dict) and isinstance(piece.get("data"), str):
        call.terminal = (call.terminal + piece["data"])[-_MOST_OUTPUT:]
    if isinstance(end, dict) and isinstance(end.get("exit_code"), int):
        call.exit = end["exit_code"]


def _says_what(call: _Followed) -> bool:
    return call.kind != "execute" or bool(_command(call.input))


def _label(call: _Followed) -> str:
    command = _command(call.input)
    if call.kind == "execute" or command:
        return f"shell {command or call.title.strip('`')}"
    if call.kind in ("edit", "read", "delete", "move"):
        paths = [each.path for each in call.content if each.type == "diff"] or _paths(call.input) or call.locations
        if paths:
            return f"{call.kind} {', '.join(dict.fromkeys(paths))}"
    if call.input is not None and call.kind in ("", "other", "fetch", "search"):
        shown = call.input if isinstance(call.input, str) else json.dumps(call.input, ensure_ascii=False)
        return f"{call.title} {shown}".strip()
    return call.title or call.kind or "tool"


def _result(call: _Followed, status: str) -> str:
    text = call.terminal or "\n".join(_texts(call.content)) or _output(call.output)
    text = text.strip().removeprefix("```console").strip("`").strip()
    code = call.exit if call.exit is not None else _exit_code(call.output)
    if call.kind != "execute" and not _command(call.input):
        detail = text or ", ".join(each.path for each in call.content if each.type == "diff")
        return f"{status}: {detail}" if detail else status
    lines = [each.strip() for each in text.splitlines() if each.strip()]
    if code is None and lines and (found := _EXIT.search(lines[-1])):
        code = int(found[1])
        if not _EXIT.sub("", lines[-1]).strip(" ()<>[].:"):  # a command line in the agent's own form
            lines.pop()
    word = status if code is None else f"exit {code}"
    return f"{word}: {lines[-1]}" if lines else word


def _command(given: Any) -> str:
    """The command of a shell's input: a line, or a list (`["bash", "-lc", "make test"]` is `make test`)."""
    command = next((given[key] for key in ("command", "cmd") if given.get(key)), "") if _is_map(given) else ""
    if isinstance(command, str):
        return command
    words = [str(each) for each in command] if isinstance(command, list) else []
    return words[2] if len(words) == 3 and words[1] in ("-c", "-lc") else " ".join(words)


def _paths(given: Any) -> list[str]:
    return [given[key] for key in _PATH_KEYS if isinstance(given.get(key), str)][:1] if _is_map(given) else []


def _texts(content: Iterable[Any]) -> list[str]:
    return [part.content.text for part in content if part.type == "content" and part.content.type == "text"]


def _output(output: Any) -> str:
    """The text of an output in an agent-specific form."""
    if isinstance(output, str):
        return output
    if isinstance(output, list):
        return "\n".join(filter(None, map(_output, output[:20])))
    if not _is_map(output):
        return ""
    return next((text for key in _OUTPUT_KEYS if (text := _output(output.get(key)))), "")


def _exit_code(output: Any) -> int | None:
    if not _is_map(output):
        return None
    found = (output.get(key) for key in _EXIT_KEYS)
    return next((code for code in found if isinstance(code, int) and not isinstance(code, bool)), None)


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)
