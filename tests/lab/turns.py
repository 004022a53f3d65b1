"""Rules that several scenarios of the tests of real agents have, for the scripted model. A scenario begins with `WORDS`
and ends with `HELLO`, whose rule fits every prompt.

`held` is for all scenarios: a turn that waits until the test has done what is to happen in it.
"""

from pathlib import Path

WORDS = """
[[turn]]
when = "^use a tool"
step = [{say = "let me look"}, {run = "echo one; echo two; exit 3"}, {say = "all done"}]
[[turn]]
when = "^by the way"
aside = true
step = [{say = "noted"}]
"""

REFUSALS = """
[[turn]]
when = "^reach the limit"
step = [{fault = {status = 429, resets_in_s = 3600}}, {say = "within the limit"}]
[[turn]]
when = "^use most of it"
step = [{say = "used", used = {percent = 97, resets_in_s = 3600}}]
[[turn]]
when = "^be too long"
step = [{fault = {refuses = "context", times = 99}}]
[[turn]]
when = "^ask too often"
step = [{fault = {status = 429}}]
[[turn]]
when = "^overload"
step = [{fault = {status = 529}}]
"""

HELLO = """
[[turn]]
when = ""
step = [{say = "hello"}]
"""


def held(scenario: str, prompt: str, command: str, until: Path | str) -> str:
    """The scenario, in which the first command that begins so, of the rule for prompts that begin so, waits for a file,
    or until this command succeeds.
    """
    waits = f"until test -e {until}" if isinstance(until, Path) else f"until {until}"
    at = scenario.index(f'when = "^{prompt}')
    assert command in scenario[at:]
    return scenario[:at] + scenario[at:].replace(command, f"{waits}; do sleep 0.1; done; {command}", 1)
