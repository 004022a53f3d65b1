"""What is read from the screen of Claude Code's TUI. The screens are those of 2.1.330, shortened."""

import pytest

from actors.adapters.claude_pane_screen import answer, input_box, tokens_shown

MARK = "\N{HEAVY RIGHT-POINTING ANGLE QUOTATION MARK ORNAMENT}"
RULE = "─" * 40

TRUST = f"""
{RULE}
 Accessing workspace:

 Quick safety check: Is this a project you created or one you trust?

 {MARK} No, exit
   Yes, I trust this folder

 Enter to confirm · Esc to cancel
"""
KEY = f"""
  Do you want to use this API
  key?

    1. Yes
  {MARK} 2. No (recommended)
"""
RESUME = f"""
 {MARK} 1. Resume from summary (instant, recommended)
   2. Resume full session as-is
   3. Don't ask again
"""
PROMPT = f"""
{MARK} hello

● hello
{RULE}
                              draft stashed
{RULE}
{MARK} half a
  thought
{RULE}
  ⏵⏵ bypass permissions on (shift+tab to cycle)
"""


@pytest.mark.parametrize(
    ("screen", "keys"),
    [
        (TRUST, ("Down",)),
        (TRUST.replace(f"{MARK} No", "  No").replace("  Yes", f"{MARK} Yes"), ("Enter",)),
        (KEY, ("Up",)),
        (RESUME, ("Down",)),
        ("Choose the text style that looks best with your terminal", ("Enter",)),
        ("Do you trust this folder?", ()),
        ("Which colour is best?", ()),
        (PROMPT, ()),
        ("", ()),
    ],
    ids=["on no", "on yes", "broken line", "long session", "theme", "no options", "unknown", "prompt", "empty"],
)
def test_a_dialog_is_answered_step_by_step(screen: str, keys: tuple[str, ...]) -> None:
    assert answer(screen) == keys


@pytest.mark.parametrize(
    ("screen", "box"),
    [
        (PROMPT, "half a\nthought"),
        (f"{RULE}\n{MARK} \n{RULE}\n  footer", ""),
        (f"{RULE}\n! ls\n{RULE}\n  ! for shell mode", "ls"),
        (TRUST, None),
        (f"{MARK} said before\n{RULE}\n  Select model\n  {MARK} 2. Sonnet\n", None),
        ("", None),
    ],
    ids=["draft", "empty", "shell mode", "dialog", "menu", "nothing"],
)
def test_the_input_box_is_what_stands_between_the_last_two_rules(screen: str, box: str | None) -> None:
    assert input_box(screen) == box


@pytest.mark.parametrize(
    ("screen", "shown"),
    [
        ("✽ Thinking… (12m 3s · ↓ 1.2k tokens · esc to interrupt)", ("1.2k tokens",)),
        ("✻ Thinking… (12m 4s · ↓ 1.2k tokens · esc to interrupt)", ("1.2k tokens",)),
        ("✻ Reading… (3s · esc to interrupt)", ()),
    ],
)
def test_the_count_of_tokens_is_read_from_the_screen_without_its_clock(screen: str, shown: tuple[str, ...]) -> None:
    assert tokens_shown(screen) == shown
