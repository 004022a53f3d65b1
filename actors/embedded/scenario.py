"""What a scripted agent says and does next. Pure: no I/O, clock, chance or memory.

A scenario is a list of rules. The first rule whose role and `when` fit a user prompt plays its steps. The next step
follows from the conversation alone: the prompts, tool results and answers so far. So an agent may be killed and resumed
at any moment. The only memory is how often each fault has struck; the caller keeps it (`spent`).

It does no I/O: the scripted model server plays it to the real programs, the embedded agent plays it itself.
scenario_file.py describes the file format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from actors.settings import Role

PROMPT_HEAD_LENGTH = 80  # characters of a prompt that are quoted: one line of a terminal
_MARK = " (continued)"  # behind the first line of a prompt (machines/continuations)
_CONTINUED = re.compile(rf".*{re.escape(_MARK)}$", re.MULTILINE)


# --- the actions of a step ---------------------------------------------------------------------------------------


class Say(msgspec.Struct, frozen=True):
    """The agent's message `text`; the last one of a turn is its answer."""

    text: str


class Run(msgspec.Struct, frozen=True):
    """The agent runs a shell command in its working directory."""

    command: str


class BridgeCall(msgspec.Struct, frozen=True):
    """The agent calls a tool of the bridge. `send = …` in a file becomes the tool send_message."""

    tool: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)


class ToolCall(msgspec.Struct, frozen=True):
    """The agent calls one of its own tools, by its own name for it."""

    name: str
    input: dict[str, Any] = msgspec.field(default_factory=dict)


class Fault(msgspec.Struct, frozen=True):
    """The model fails instead of answering, `times` times; after that the step is skipped. The embedded agent counts in
    each session, or `everywhere` in all of them together, as the scripted model does.

    Exactly one of: `status` (an HTTP error; 429 with `resets_in_s` is a usage limit that ends then), `drop`
    (the connection breaks in the middle of the answer), `hang` (no answer until the client goes away), `refuses`
    (a provider's error for a full session, or for missing credit).
    """

    key: str  # which step of the file this is: callers count strikes under it
    status: int = 0
    resets_in_s: int | None = None
    drop: bool = False
    hang: bool = False
    times: int = 1
    refuses: Literal["", "context", "billing"] = ""
    everywhere: bool = False


Call = Run | BridgeCall | ToolCall
Action = Say | Call | Fault


class Used(msgspec.Struct, frozen=True):
    """What an answer says of the provider's five-hour window."""

    percent: float
    resets_in_s: int


class Step(msgspec.Struct, frozen=True):
    """One action, `delay_ms` after the one before it."""

    action: Action
    delay_ms: int = 0
    if_result: re.Pattern[str] | None = None  # played only when found in the newest tool result
    used: Used | None = None  # None: the answer says nothing of a window


class Rule(msgspec.Struct, frozen=True):
    """Steps for every prompt that `when` is found in. `role` None fits both roles.

    `aside`: when it fits a message that arrives during a turn, its steps play and then the interrupted rule continues;
    otherwise it replaces the running rule.
    """

    when: re.Pattern[str]
    steps: tuple[Step, ...]
    role: Role | None = None
    aside: bool = False


# --- the parts of a conversation ------------------------------------------------------------------------


class Prompt(msgspec.Struct, frozen=True):
    """A user message, without what the agent's program adds to it."""

    text: str


class Result(msgspec.Struct, frozen=True):
    """The result of one tool call."""

    text: str


class Answer(msgspec.Struct, frozen=True):
    """The agent's last word of a turn: text that is followed by no tool call. It ends the turn."""

    text: str


Entry = Prompt | Result | Answer


class Scenario(msgspec.Struct, frozen=True):
    """The rules of one file, in order. `name` is for messages to the user. `tokens_per_turn`: what the embedded agent
    reports for a turn that it finishes.
    """

    rules: tuple[Rule, ...]
    name: str = ""
    tokens_per_turn: int = 0

    def counted_everywhere(self) -> frozenset[str]:
        """The faults that are counted in all sessions together."""
        actions = (step.action for rule in self.rules for step in rule.steps)
        return frozenset(action.key for action in actions if isinstance(action, Fault) and action.everywhere)

    def calls_bridge(self) -> bool:
        """Whether a step of any role does."""
        return any(isinstance(step.action, BridgeCall) for rule in self.rules for step in rule.steps)

    def rule_for(self, role: Role | None, prompt: str) -> Rule | None:
        """The first rule that fits, or None. A caller that does not know its role (None) fits every rule's."""
        for rule in self.rules:
            if (rule.role is None or role in {None, rule.role}) and rule.when.search(prompt):
                return rule
        return None

    def reply(
        self, role: Role | None, conversation: Iterable[Entry], spent: Mapping[str, int] | None = None
    ) -> tuple[Step, ...]:
        """The agent's next steps: never empty.

        Any number of `Say`, then either one call (append its `Result` to the conversation and ask again), or
        one `Fault` (raise its count in `spent`, append nothing), or nothing: the turn is over.

        A prompt during a turn, e.g. "continue" after a crash, continues the running rule when no rule fits it, or the
        running one does. A rule that came to its end while the agent answered a message is not played again when its
        prompt is continued: the agent says its last words once more. A continued prompt that never came to the agent
        itself is played as that one. Without a running rule, the answer to a prompt that no rule fits is the prompt's
        head: this shows gaps in a scenario.
        """
        left: Sequence[Step] = ()
        newest_result = ""
        running: Rule | None = None
        interrupted: Rule | None = None  # a message came while it ran; it may have ended since
        played: list[Rule | None] = []
        for entry in conversation:
            match entry:
                case Prompt(text):
                    rule = self.rule_for(role, text)
                    if running is None and _CONTINUED.match(text):
                        first = self.rule_for(role, text.replace(_MARK, "", 1))
                        rule = rule if first in played else first
                    played.append(rule)
                    if rule is None and running is None:
                        left = (Step(Say(f"No rule of the scenario fits: {prompt_head(text)}")),)
                    elif rule is not None and rule.aside and running is not None:
                        left, interrupted = (*rule.steps, *left), running
                    elif rule is not None and rule is not running:
                        is_done = rule is interrupted and _CONTINUED.match(text) is not None
                        left, running = (_last_words(rule.steps) if is_done else rule.steps), rule
                        interrupted = None if not rule.aside else interrupted
                case Result(text):
                    left = _after_next_call(left, newest_result)
                    newest_result = text
                case Answer():
                    left, newest_result, running = (), "", None
        return tuple(_until_call(left, newest_result, spent or {})) or (Step(Say("(end of the rule)")),)


def _last_words(steps: Sequence[Step]) -> Sequence[Step]:
    """What is said after the last call."""
    after = max((index + 1 for index, step in enumerate(steps) if is_call(step)), default=0)
    return steps[after:]


def is_call(step: Step) -> bool:
    """Whether the step is a tool call, which a result follows."""
    return isinstance(step.action, Run | BridgeCall | ToolCall)


def prompt_head(prompt: str) -> str:
    """The beginning of a prompt on one line."""
    line = " ".join(prompt.split())
    return line if len(line) <= PROMPT_HEAD_LENGTH else line[: PROMPT_HEAD_LENGTH - 1] + "…"


def _plays(step: Step, newest_result: str) -> bool:
    return step.if_result is None or step.if_result.search(newest_result) is not None


def _after_next_call(steps: Sequence[Step], newest_result: str) -> Sequence[Step]:
    """The steps behind the call whose result has come. A result of no scripted call changes nothing."""
    for index, step in enumerate(steps):
        if is_call(step) and _plays(step, newest_result):
            return steps[index + 1 :]
    return steps


def _until_call(steps: Sequence[Step], newest_result: str, spent: Mapping[str, int]) -> Iterable[Step]:
    for step in steps:
        if not _plays(step, newest_result):
            continue
        if isinstance(step.action, Fault) and spent.get(step.action.key, 0) >= step.action.times:
            continue
        yield step
        if not isinstance(step.action, Say):
            return
