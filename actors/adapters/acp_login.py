"""How an ACP agent is logged in: by an unattended method, else by advice to the user. Pure.

An agent lists its methods in `authMethods` of its answer to initialize. Some need `authenticate` even when their key is
in the environment (codex-acp). A method that opens a browser or asks the user is never used: the run is unattended.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from acp.schema import AuthMethodAgent, EnvVarAuthMethod, TerminalAuthMethod

from actors.text import line

Method = EnvVarAuthMethod | TerminalAuthMethod | AuthMethodAgent

_API_KEY = re.compile(r"api[-_ ]?key", re.IGNORECASE)
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
# The variable of a provider's key, where the method's id does not name it.
_PROVIDERS = {"google": ("GEMINI_API_KEY", "GOOGLE_API_KEY")}
_WORDS = 120  # characters of a foreign command or name


def unattended(methods: Iterable[Method], environment: Mapping[str, str]) -> str | None:
    """The id of the first method whose secret is in the environment; None: the user is needed."""
    methods = tuple(methods)
    for method in methods:
        needed = [each.name for each in method.vars if not each.optional] if _is_variables(method) else []
        if needed and all(environment.get(name) for name in needed):
            return method.id
    for method in methods:
        if isinstance(method, AuthMethodAgent) and any(environment.get(name) for name in _variables(method)):
            return method.id
    return None


def advice(methods: Iterable[Method], command: Sequence[str], login: str) -> str:
    """The user's steps to log in. `login`: our own knowledge of this agent; "" = none."""
    methods = tuple(methods)
    for method in methods:
        own = _command(method, command)
        if own:
            return f"run {own!r} in a terminal and log in"
    if login:
        return f"run {login!r} in a terminal and log in"
    names = [each for method in methods for each in _names(method)]
    if names:
        return f"set {' or '.join(dict.fromkeys(names))} in its environment"
    shown = ", ".join(line(method.name)[:_WORDS] for method in methods)
    return f"it takes: {shown}" if shown else "it does not say how: see its own documentation"


def _is_variables(method: Method) -> bool:
    return isinstance(method, EnvVarAuthMethod)


def _names(method: Method) -> list[str]:
    if isinstance(method, EnvVarAuthMethod):
        return [line(each.name)[:_WORDS] for each in method.vars if not each.optional]
    return list(_variables(method))[:1] if isinstance(method, AuthMethodAgent) else []


def _variables(method: AuthMethodAgent) -> tuple[str, ...]:
    """The variables that may hold the key of a method that needs one."""
    meta: Mapping[str, Any] = method.field_meta or {}
    if not (_API_KEY.search(method.id) or _API_KEY.search(method.name) or "api-key" in meta):
        return ()
    told = _VARIABLE.findall(method.description or "")
    own = re.sub(r"[^A-Za-z0-9]+", "_", method.id).upper().strip("_")
    details = meta.get("api-key")
    provider = str(details.get("provider")) if isinstance(details, dict) else ""
    guessed = (own,) if own.endswith("API_KEY") and own != "API_KEY" else ()
    return tuple(dict.fromkeys((*told, *guessed, *_PROVIDERS.get(provider, ()))))


def _command(method: Method, command: Sequence[str]) -> str:
    """The method's own command; "" = none."""
    if isinstance(method, TerminalAuthMethod):
        words = [*command[:1], *(method.args or [])]
        return line(shlex.join(words))[:_WORDS]
    details = (method.field_meta or {}).get("terminal-auth")
    if not isinstance(details, dict) or not isinstance(details.get("command"), str):
        return ""
    arguments = details.get("args")
    words = [details["command"], *(map(str, arguments) if isinstance(arguments, list) else ())]
    return line(shlex.join(words))[:_WORDS]
