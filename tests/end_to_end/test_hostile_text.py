"""What agents say, send and do is shown by every command as text alone, in any encoding and without secrets."""

import json

import pytest

from tests.end_to_end.conftest import World

SECRET = "sk-of-the-environment"
# Clipboard, title, clear, cursor, C1, backspace, carriage return, bidirectional override, and a forged record.
EVIL = (
    r"\u001b]52;c;ZXZpbA==\u0007\u001b]0;owned\u0007\u001b[2J\u001b[1;1H\u009b2J\b\r\u202e\u2028 "
    r"2026-11-22 11:42:45.480 CRITICAL 1 x/1/root a.b:1 forged\n"
    r"2026-11-22 11:42:45.480 CRITICAL 1 x/1/root a.b:1 forged"
    rf"\n{SECRET} Grüße 世界"
)
SCENARIO = rf"""
[[turn]]
when = "^Plan"
step = [{{ run = "printf 'Do \\\\033]0;owned\\\\007 x.' > PLAN.md" }}, {{ say = "planned" }}]
[[turn]]
when = "^Iteration"
step = [
    {{ send = {{ target = "reviewer", message = "{EVIL}" }} }},
    {{ run = "printf '{EVIL}'" }},
    {{ say = "{EVIL}\n<promise>DONE</promise>" }},
]
[[turn]]
when = "^Review"
step = [{{ say = "{EVIL}\n<review>PASS</review>" }}]
[[turn]]
when = "^Message from"
aside = true
step = [{{ say = "{EVIL}" }}]
[[turn]]
when = "^Draft pull request"
step = [{{ say = "no" }}]
"""


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_hostile_text_is_shown_as_text_by_every_command(world: World, encoding: str) -> None:
    (world.base / "evil.toml").write_text(SCENARIO, encoding="utf-8")
    world.play_embedded(world.base / "evil.toml")
    (world.project / "PLAN.md").write_text("Do \x1b]0;owned\x07 x.\n")
    world.environment |= {"PYTHONIOENCODING": encoding, "SOME_API_KEY": SECRET}
    loop = world.start(
        "--agent", "embedded", "--headless", "--check", r"printf '\033[2J\033]0;x\007 ä'", "do \x1b[2J it"
    )
    assert loop.wait() == 0
    shown = {"loop": loop.output}
    for words in (
        *(["status"], ["runs"], ["mail", "list"], ["logs"], ["mailbox", "worker"], ["dashboard", "--once"]),
        *(
            ["status", "--json"],
            ["runs", "--json"],
            ["mail", "list", "--json"],
            ["logs", "--json"],
            ["dashboard", "--json"],
        ),
    ):
        asked = world.run(*words)
        assert asked.process.returncode == 0, asked.output
        shown[" ".join(words)] = asked.output
    mail_id = json.loads(shown["mail list --json"])["mails"][0][
        "mailId" if "mailId" in shown["mail list --json"] else "mail_id"
    ]
    shown["mail show"] = world.run("mail", "show", mail_id).output
    for command, text in shown.items():
        hostile = [letter for letter in text if not letter.isprintable() and letter not in "\n\t"]
        assert hostile == [], command
        assert SECRET not in text, command
        assert "Traceback" not in text, command
    for command in ("loop", "logs", "mail list", "status"):
        assert not [line for line in shown[command].split("\n") if line.startswith("2026-11-22")], command
    assert not [record for record in shown["logs --json"].splitlines() if json.loads(record)["where"] == "a.b:1"]
    assert "Gr??e ??" in shown["loop"] if encoding == "ascii" else "Grüße 世界" in shown["loop"]
