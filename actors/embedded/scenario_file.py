"""Reads a scenario file. `parse_scenario` is pure, `load_scenario` reads the file; nothing is ever written.

The format is TOML:

    tokens_per_turn = 1000     # what an embedded agent reports for each turn; left out: 0

    [[turn]]
    role = "worker"            # or "reviewer"; left out: any role
    when = "^Iteration 1"      # regular expression, searched in the prompt
    aside = false              # true: when it matches in the middle of a running turn, its steps play and
                               # then the interrupted rule continues; false: it replaces the running rule
    [[turn.step]]              # exactly one of say, run, send, bridge, tool, fault; then the options
    say = "text"               # before a call: said on the way; at the end: the final answer
    [[turn.step]]
    run = "shell command"
    [[turn.step]]
    send = {target = "codex", message = "text"}                # the bridge's send_message
    if_result = "OK"           # played only when this regular expression is found in the newest tool result
    [[turn.step]]
    bridge = {tool = "wait_for_reply", arguments = {}}
    delay_ms = 200             # waited before the step
    [[turn.step]]
    tool = {name = "Read", input = {file_path = "a.py"}}       # as it is; differs between agents
    [[turn.step]]
    say = "text"
    used = {percent = 97, resets_in_s = 60}                    # what the answer says of the provider's window
    [[turn.step]]
    fault = {status = 429, resets_in_s = 60, times = 1}        # or status = 529, drop = true, hang = true,
                                                               # refuses = "context" or "billing"; counted in each
                                                               # session, with everywhere = true in all together

A call that was interrupted or killed is repeated, so write commands that tolerate it.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from actors.embedded.scenario import (
    Action,
    BridgeCall,
    Fault,
    Rule,
    Run,
    Say,
    Scenario,
    Step,
    ToolCall,
    Used,
)
from actors.errors import UserError
from actors.settings import Role

SHIPPED = Path(__file__).parent / "scenarios"  # demo.toml: what plays when no scenario is given


def load_scenario(path: Path) -> Scenario:
    """The scenario in the file `path`. Raises `UserError` with one line that names file, field and value."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: the scenario cannot be read: {error}") from error
    return parse_scenario(text, str(path))


class _FileSend(msgspec.Struct, forbid_unknown_fields=True):
    target: str
    message: str


class _FileFault(msgspec.Struct, forbid_unknown_fields=True):
    status: int | None = None
    resets_in_s: int | None = None
    drop: bool | None = None
    hang: bool | None = None
    refuses: Literal["context", "billing"] | None = None
    times: int = 1
    everywhere: bool = False


class _FileBridge(msgspec.Struct, forbid_unknown_fields=True):
    tool: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)


class _FileTool(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    input: dict[str, Any] = msgspec.field(default_factory=dict)


class _FileUsed(msgspec.Struct, forbid_unknown_fields=True):
    percent: float
    resets_in_s: int


class _FileStep(msgspec.Struct, forbid_unknown_fields=True):
    say: str | None = None
    run: str | None = None
    send: _FileSend | None = None
    bridge: _FileBridge | None = None
    tool: _FileTool | None = None
    fault: _FileFault | None = None
    delay_ms: int = 0
    if_result: str | None = None
    used: _FileUsed | None = None


class _FileTurn(msgspec.Struct, forbid_unknown_fields=True):
    when: str
    step: list[_FileStep]
    role: Role | None = None
    aside: bool = False


class _File(msgspec.Struct, forbid_unknown_fields=True):
    turn: list[_FileTurn]
    tokens_per_turn: int = 0


def parse_scenario(text: str, name: str) -> Scenario:
    """The scenario in the TOML `text`; `name` is the file's, for errors.

    Raises `UserError` with one line that names file, field and value.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{name}: not a TOML file: {error}") from error
    try:
        file = msgspec.convert(document, _File)
    except msgspec.ValidationError as error:
        raise UserError(f"{name}: {_with_value(str(error), document)}") from error
    rules = tuple(_rule(turn, f"{name}: turn[{n}]", n) for n, turn in enumerate(file.turn))
    return Scenario(rules, name, file.tokens_per_turn)


def _with_value(error: str, document: object) -> str:
    """The library names the field but not its value: look it up by the path in the message."""
    found = re.search(r" - at `\$([^`]*)`", error)
    if found is None:
        return error
    value: Any = document
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", found[1]):
        value = value[key] if key else value[int(index)]
    message = error[: found.start()]
    return f"{found[1].lstrip('.')}: {message[:1].lower()}{message[1:]}, in {value!r}"


def _rule(turn: _FileTurn, place: str, number: int) -> Rule:
    steps = tuple(_step(step, f"{place}.step[{n}]", f"turn[{number}].step[{n}]") for n, step in enumerate(turn.step))
    if not steps:
        raise UserError(f'{place}.step: [] has no steps: add at least one, e.g. say = "…"')
    return Rule(_pattern(turn.when, f"{place}.when"), steps, turn.role, turn.aside)


def _step(step: _FileStep, place: str, key: str) -> Step:
    if step.delay_ms < 0:
        raise UserError(f"{place}.delay_ms: {step.delay_ms} is negative: give milliseconds from 0")
    condition = None if step.if_result is None else _pattern(step.if_result, f"{place}.if_result")
    used = Used(step.used.percent, step.used.resets_in_s) if step.used is not None else None
    return Step(_action(step, place, key), step.delay_ms, condition, used)


def _action(step: _FileStep, place: str, key: str) -> Action:
    actions: dict[str, Action] = {}
    if step.say is not None:
        actions["say"] = Say(step.say)
    if step.run is not None:
        actions["run"] = Run(step.run)
    if step.send is not None:
        actions["send"] = BridgeCall("send_message", msgspec.to_builtins(step.send))
    if step.bridge is not None:
        actions["bridge"] = BridgeCall(step.bridge.tool, step.bridge.arguments)
    if step.tool is not None:
        actions["tool"] = ToolCall(step.tool.name, step.tool.input)
    if step.fault is not None:
        actions["fault"] = _fault(step.fault, f"{place}.fault", key)
    if len(actions) != 1:
        given = " and ".join(actions) or "nothing"
        raise UserError(f"{place}: has {given}: give exactly one of say, run, send, bridge, tool, fault")
    return actions.popitem()[1]


def _fault(fault: _FileFault, place: str, key: str) -> Fault:
    kinds = {"status": fault.status, "drop": fault.drop, "hang": fault.hang, "refuses": fault.refuses}
    given = {name: value for name, value in kinds.items() if value is not None}
    if len(given) != 1 or False in given.values():
        raise UserError(
            f"{place}: has {given}: give exactly one of status = NUMBER, drop = true, hang = true, "
            'refuses = "context" or "billing"'
        )
    if fault.status is not None and not 400 <= fault.status <= 599:
        raise UserError(f"{place}.status: {fault.status} is not an HTTP error: give 400 to 599")
    if fault.resets_in_s is not None and fault.status != 429:
        raise UserError(f"{place}.resets_in_s: {fault.resets_in_s} goes with status = 429 only")
    if fault.times < 1:
        raise UserError(f"{place}.times: {fault.times} is less than 1: give how often the fault strikes")
    return Fault(
        key,
        fault.status or 0,
        fault.resets_in_s,
        fault.drop is True,
        fault.hang is True,
        fault.times,
        fault.refuses or "",
        fault.everywhere,
    )


def _pattern(text: str, place: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UserError(f"{place}: {text!r} is not a regular expression: {error}") from error
