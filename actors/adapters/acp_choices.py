"""The choices that an ACP agent offers for a session: mode, model, effort. Pure.

Input: the answers to session/new and session/load, and the agent's updates. An agent may offer a choice as a config
option, as a mode, or both (Copilot); a config option is newer and has precedence. `models` is not in the protocol's
schema any more: Gemini still has it, and accepts `session/set_model`.

A loop works unattended, so it chooses the mode that asks least, unless the user sets one. Modes are recognised by name:
the protocol has no attribute for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from actors.text import line

# Names of the mode that asks for nothing: the first one offered is chosen. Letters only, in lower case. Claude:
# bypassPermissions. Codex: agent-full-access. Gemini, Qwen: yolo. Copilot: allow_all, autopilot.
FULL_MODES = (
    "bypasspermissions",
    "agentfullaccess",
    "fullaccess",
    "dangerfullaccess",
    "yolo",
    "autoapproveall",
    "autoapprove",
    "approveall",
    "allowall",
    "bypass",
    "unrestricted",
    "autopilot",
)
# A switch beside the modes that does the same. It is turned on first: a mode may be more than a permission.
FULL_SWITCHES = (
    "allowall",
    "autoapproveall",
    "autoapprove",
    "approveall",
    "yolo",
    "bypasspermissions",
    "skippermissions",
)
_ON = ("on", "true", "yes", "enabled", "always")
EFFORT_CATEGORIES = ("thought_level", "effort", "reasoning_effort")
_EFFORT_IDS = ("effort", "reasoningeffort", "thoughtlevel", "thinking", "thinkinglevel")

What = Literal["mode", "model", "effort", "permissions"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One choice. `how`: by `set_config_option` of `id`, `set_mode` or `set_model`.

    `names` has the user's name of each value; the values of a switch are "true" and "false".
    """

    id: str
    what: What | None
    how: Literal["option", "switch", "set_mode", "set_model"]
    current: str
    names: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Pick:
    """Order: choose this value of this choice."""

    choice: Choice
    value: str

    @property
    def shown(self) -> str:
        """Its name for the user."""
        if self.choice.what == "permissions":
            return self.choice.id
        return short(self.value)


class UnknownChoiceError(ValueError):
    """The user asked for a value that the agent does not offer. The text says which it does."""


def short(value: str) -> str:
    """A value without the URL prefix of some agents: `https://…/session-modes#agent` becomes `agent`."""
    return value.rpartition("#")[2] if "://" in value else value


def read(session: Mapping[str, Any]) -> tuple[Choice, ...]:
    """The choices of a raw answer to session/new, load or resume. Skips unknown shapes."""
    choices = list(options(session.get("configOptions")))
    known = {choice.what for choice in choices}
    modes, models = session.get("modes"), session.get("models")
    if "mode" not in known and isinstance(modes, dict):
        names = _named(modes.get("availableModes"), "id")
        if names:
            current = str(modes.get("currentModeId") or "")
            choices.append(Choice(id="mode", what="mode", how="set_mode", current=current, names=names))
    if "model" not in known and isinstance(models, dict):
        names = _named(models.get("availableModels"), "modelId")
        if names:
            current = str(models.get("currentModelId") or "")
            choices.append(Choice(id="model", what="model", how="set_model", current=current, names=names))
    return tuple(choices)


def options(found: Any) -> Iterable[Choice]:
    """The choices of a list of config options."""
    for option in found if isinstance(found, list) else ():
        if not isinstance(option, dict) or not isinstance(option.get("id"), str):
            continue
        what, current = _what(option), option.get("currentValue")
        if option.get("type") == "boolean":
            names: Mapping[str, str] = {"true": "on", "false": "off"}
            value = "true" if current is True else "false"
            yield Choice(id=option["id"], what=what, how="switch", current=value, names=names)
        elif option.get("type") == "select":
            groups = option.get("options")
            flat: list[Any] = []
            for each in groups if isinstance(groups, list) else ():
                inner = each.get("options") if isinstance(each, dict) else None
                flat += inner if isinstance(inner, list) else [each]
            yield Choice(id=option["id"], what=what, how="option", current=str(current), names=_named(flat, "value"))


def with_mode(choices: Iterable[Choice], mode: str) -> tuple[Choice, ...]:
    """The choices after the agent went to another mode."""
    return tuple(replace(each, current=mode) if each.what == "mode" else each for each in choices)


def with_value(choices: Iterable[Choice], changed: Choice, value: str) -> tuple[Choice, ...]:
    """The choices after this one was set."""
    return tuple(replace(each, current=value) if each.id == changed.id else each for each in choices)


def shown_mode(choices: Iterable[Choice]) -> str:
    """The session's mode for the user, with the switches that are on; "" when it has none."""
    choices = tuple(choices)
    mode = find(choices, "mode")
    words = [short(mode.current)] if mode is not None else []
    words += [each.id for each in choices if each.what == "permissions" and each.current.lower() in _ON]
    return line(" with ".join(words))


def find(choices: Iterable[Choice], what: What) -> Choice | None:
    """The choice of this kind, if there is one."""
    return next((choice for choice in choices if choice.what == what), None)


def pick(choices: Iterable[Choice], what: What, wanted: str) -> Pick | None:
    """The pick for the user's `wanted` value. None: the agent has it already, or offers no such choice.

    Raises `UnknownChoiceError` for a value that is not offered.
    """
    choice = find(choices, what)
    if choice is None:
        return None
    if wanted == choice.current:  # which need not be offered: Gemini's, from its environment
        return None
    value = _meant(choice, wanted)
    if value is None:
        offered = ", ".join(map(short, choice.names))
        raise UnknownChoiceError(f"{what} {wanted!r} is not offered: it has {offered}")
    return None if value == choice.current else Pick(choice=choice, value=value)


def pick_mode(choices: Iterable[Choice], wanted: str) -> Pick | None:
    """The pick for the user's `wanted` mode; with "", the mode that asks least. None: no change is needed."""
    choices = tuple(choices)
    if wanted:
        return pick(choices, "mode", wanted)
    for name in FULL_SWITCHES:
        for choice in choices:
            on = next((value for value in choice.names if value.lower() in _ON), None)
            if choice.what == "permissions" and on is not None and _letters(choice.id) == name:
                return None if choice.current == on else Pick(choice=choice, value=on)
    mode = find(choices, "mode")
    if mode is None:
        return None
    for name in FULL_MODES:
        for value, shown in mode.names.items():
            if name in (_letters(short(value)), _letters(shown)):
                return None if value == mode.current else Pick(choice=mode, value=value)
    return None


def is_full(choices: Iterable[Choice]) -> bool:
    """Whether the session asks for nothing, judging by names."""
    choices = tuple(choices)
    return pick_mode(choices, "") is None and any(_is_full_choice(each) for each in choices)


def _is_full_choice(choice: Choice) -> bool:
    if choice.what == "permissions":
        return _letters(choice.id) in FULL_SWITCHES and choice.current.lower() in _ON
    named = (short(choice.current), choice.names.get(choice.current, ""))
    return choice.what == "mode" and any(_letters(each) in FULL_MODES for each in named)


def _what(option: Mapping[str, Any]) -> What | None:
    category, name = option.get("category"), _letters(str(option["id"]))
    if category in ("mode", "model"):
        return "mode" if category == "mode" else "model"
    if category in EFFORT_CATEGORIES or name in _EFFORT_IDS:
        return "effort"
    if category == "permissions" or name in FULL_SWITCHES:
        return "permissions"
    return name if category is None and name in ("mode", "model") else None  # type: ignore[return-value]


def _meant(choice: Choice, wanted: str) -> str | None:
    """The value with this exact text; else with this short form or name, in any case."""
    same: tuple[Callable[[str], bool], ...] = (
        lambda value: value == wanted,
        lambda value: short(value) == wanted,
        lambda value: short(value).lower() == wanted.lower(),
        lambda value: choice.names[value].lower() == wanted.lower(),
    )
    return next((value for fits in same for value in choice.names if fits(value)), None)


def _named(found: Any, key: str) -> dict[str, str]:
    return {
        each[key]: str(each.get("name") or each[key])
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, dict) and isinstance(each.get(key), str)
    }


def _letters(text: str) -> str:
    return re.sub(r"[^a-z]", "", text.lower())
