"""How the house writes: plain words, and short sentences for what the user reads. For readers of any first language."""

import ast
import re
from collections.abc import Iterator

from actors.settings_table import TABLE
from shell.at_prompt import AT_PROMPT
from shell.one_shot import ONE_SHOT
from tests.layout.house import MODULES, ROOT, at, tree

# Say again, anyone who, continues, does not change, interrupted, its, the user.
WORDS = r"anew|whoever|goes on|stands still|standing still|broken off|that of|(?<!greet )(?<!greets )people"
UNPLAIN = re.compile(rf"\b(?:{WORDS})\b", re.IGNORECASE)


def test_no_sentence_has_a_word_that_the_house_does_not_use():
    """In code, strings, comments and documents."""
    folders = ("actors", "supervisor", "shell", "tests", "scripts")
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    texts += [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNPLAIN.search(line) and not line.startswith("WORDS = ")
    ]
    assert found == []


MOST_WORDS = 20
# Their strings are for agents, or for a database. The list shrinks; nothing is added.
NOT_FOR_THE_USER = {
    "actors.adapters.codex_protocol",
    "actors.edges.journal",
    "actors.machines.continuations",
    "actors.machines.finding_prompts",
    "actors.machines.prompt_templates",
    "actors.machines.prompts",
}


def test_no_sentence_of_a_help_text_is_long():
    texts = [(row.name, row.help) for row in TABLE]
    texts += [(each.name, text) for each in ONE_SHOT if each.row for text in (each.row.help, each.row.more)]
    texts += [(each.name, each.help) for each in AT_PROMPT]
    assert [(name, sentence) for name, text in texts for sentence in long_sentences(text, ".!?;")] == []


def test_no_sentence_of_an_error_or_a_report_is_long():
    """Every string of the product. An error has three parts, which count as sentences: what, why, and what to do."""
    found = {name: list(_long_strings(name)) for name in MODULES}
    assert [each for name, long in found.items() if name not in NOT_FOR_THE_USER for each in long] == []
    assert {name for name, long in found.items() if long} == NOT_FOR_THE_USER  # what is short now leaves the list


def long_sentences(text: str, ends: str) -> list[str]:
    """Those of more words than a sentence has at most. A line ends one as well."""
    sentences = re.split(rf"(?<=[{ends}])\s+|\n", text)
    return [each for each in sentences if sum(bool(re.search(r"\w", word)) for word in each.split()) > MOST_WORDS]


def _long_strings(name: str) -> Iterator[str]:
    for node, text in _strings(tree(name)):
        yield from (f"{at(name, node)}: {sentence}" for sentence in long_sentences(text, ".!?;:"))


def _strings(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """The strings below a node, without docstrings. What is filled in counts as one word."""
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Constant(value=str(text)):
                yield child, text
            case ast.JoinedStr(values=parts):
                yield child, "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)
                for part in parts:
                    if isinstance(part, ast.FormattedValue):
                        yield from _strings(part)
            case _:
                yield from _strings(child)
