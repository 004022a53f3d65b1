"""`loop prompts`: the texts that count here, and copies that overwrite nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.errors import UserError
from actors.machines.prompt_templates import TEMPLATES, fault
from shell.commands.grammar import Invocation
from shell.prompt_texts import show_or_copy


def copy(text: str) -> int:
    return show_or_copy(Invocation(name="prompts", action="copy", text=text))


def test_a_copy_of_each_prompt_can_be_used_as_it_is(tmp_path: Path) -> None:
    assert copy(str(tmp_path / "my prompts")) == 0
    paths = {path.stem: path for path in (tmp_path / "my prompts").iterdir()}
    assert paths.keys() == TEMPLATES.keys()
    assert [fault(name, path.read_text()) for name, path in paths.items()] == [None] * len(paths)


def test_a_copy_overwrites_nothing_and_writes_nothing_then(tmp_path: Path) -> None:
    (tmp_path / "review.md").write_text("mine")
    with pytest.raises(UserError, match=r"review\.md is there already"):
        copy(f"work review {tmp_path}")
    assert [path.name for path in tmp_path.iterdir()] == ["review.md"]
    assert copy(f"work plan {tmp_path}") == 0
    assert (tmp_path / "review.md").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"plan.md", "review.md", "work.md"}


@pytest.mark.parametrize(
    ("action", "text", "said"),
    [
        ("show", "wrok", r"unknown prompt 'wrok' \(did you mean work\?\)"),
        ("copy", "", "needs a directory"),
        ("copy", "wrok prompts", r"unknown prompt 'wrok' \(did you mean work\?\)"),
        ("copy", "review wrok prompts", "unknown prompt 'wrok'"),
        ("edit", "work", "takes show, list or copy, not 'edit work'"),
        ("copy", "work /dev/null/x", "not a directory"),
    ],
)
def test_a_mistake_is_one_line(action: str, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        show_or_copy(Invocation(name="prompts", action=action, text=text))
