"""Which agents a machine has, for `loop doctor`. A login is only looked for: nothing of it is read.

On a host of ssh it runs as text, as a part of the probe, with whatever Python 3 is there; on a host that dials in,
`loop join` calls it. Standard library only; no syntax that Python 3.6 does not know.
"""

# Of each agent: its program, the file of its login, and the variables that are as good as one.
AGENTS = (
    "claude .claude/.credentials.json CLAUDE_CODE_OAUTH_TOKEN ANTHROPIC_API_KEY",
    "codex .codex/auth.json CODEX_API_KEY OPENAI_API_KEY",
)


def agents_there(known: "tuple[str, ...]" = AGENTS) -> "dict[str, bool]":
    """Those on PATH, and whether a login of each is seen."""
    import os
    import shutil

    found = {}
    for each in known:
        name, login, *variables = each.split()
        if shutil.which(name):
            has = os.path.exists(os.path.join(os.path.expanduser("~"), login))
            found[name] = bool(has or any(os.environ.get(variable) for variable in variables))
    return found


def of_answer(said: "dict[str, bool]") -> "dict[str, bool]":
    """What a host says, without names that are not known here."""
    names = [each.split()[0] for each in AGENTS]
    return {name: said[name] for name in names if name in said}
