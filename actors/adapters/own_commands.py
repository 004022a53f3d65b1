"""Keeps a message from being taken as one of the agent's own commands. Pure.

The rule: a text of the run, of the other agent or of the user is a message to the model, and never a command. An agent
treats a message that begins with one of its own commands as that command: it would clear or compact the session.
Such a message reaches neither the model nor the agent's store, and after a crash it would count as never sent.

"/" is the prefix of the Agent Client Protocol and of Claude Code, also where it is driven by an SDK. Gemini also
accepts "$", and skips spaces. Codex's app server has no commands. In Claude Code's TUI every message begins with its
id.
"""

_BEGIN_A_COMMAND = frozenset("/$!")
_NOT_A_COMMAND = "Message:"


def as_message(text: str) -> str:
    """The text in a form that always reaches the model."""
    return f"{_NOT_A_COMMAND}\n{text}" if text.lstrip()[:1] in _BEGIN_A_COMMAND else text
