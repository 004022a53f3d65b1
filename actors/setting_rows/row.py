"""What a row of the table of settings says, and the groups of rows. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from actors import setting_values, values
from actors.errors import UserError
from actors.setting_values import Parse, Value

Group = Literal["task", "agents", "proof", "limits", "start", "output", "notify", "hooks", "prompts"]
Toml = Literal["string", "number", "decimal", "boolean", "array"]

GROUPS: Mapping[Group, str] = {
    "task": "the task",
    "agents": "agents and models",
    "proof": "proof and review",
    "limits": "limits and pauses",
    "start": "how it starts",
    "output": "input and output",
    "notify": "notifications",
    "hooks": "hooks",
    "prompts": "prompts",
}


class Setting(NamedTuple):
    """One row. Texts are for `--help` and the documents alike.

    `field` is the field of `RunSettings` that it decides, alone or together with others; "" = it concerns this start
    only. `key` with a dot is in a table of its own; such keys are read by `actors.edges.configuration`.
    """

    name: str
    group: Group
    help: str
    flags: tuple[str, ...] = ()
    value: str = ""  # what the flag takes; "" = nothing
    parse: Parse = setting_values.line  # what it is called, and the text; raises `UserError`
    default: Value = None
    shown: str = ""  # the default in words, where the value does not say it
    choices: tuple[str, ...] = ()
    bare: str | None = None  # what the flag means without a value
    means: Mapping[str, str] = {}  # the value of each flag, where flags of one setting exclude each other
    adds: bool = False  # several values add up
    field: str = ""
    resumes: bool = True  # whether a resume can change `field`
    fresh: bool = False  # a resume takes the value of now, a file's included
    key: str = ""  # in the configuration files
    toml: Toml = "string"
    # Whether a repository's `.loop.toml` may set it: only once that content is trusted; then also only below the user's
    # own value; or not at all.
    repository: Literal["trust", "lower", "never"] = "trust"
    variable: str = ""
    from_variable: Callable[[str, str], Value] = setting_values.variable_line  # None: it does not count
    variable_help: str = ""  # where it is not `help`
    show: Callable[[Value], str] = str

    @property
    def shown_default(self) -> str:
        """As the documents say it; "" = there is none."""
        return self.shown or ("" if self.default in (None, "", False, ()) else self.show(self.default))

    def checked(self, what: str, text: str) -> Value:
        """The value of a text. Raises `UserError` in one line, which begins with `what`."""
        if self.choices:
            if text not in self.choices:
                raise UserError(f"{what} takes one of {', '.join(self.choices)}, not {values.shown(text)}")
            return text
        return self.parse(what, text)
