"""`loop` alone, on a real terminal: it asks for the task; without a terminal it says how to give one."""

import sys

import pexpect

from actors.scripted.world import World


def asked(world: World) -> pexpect.spawn:
    child = pexpect.spawn(
        sys.executable,
        ["-m", "shell.cli"],
        cwd=str(world.project),
        env=world.environment | {"TERM": "dumb"},
        timeout=60,
        encoding="utf-8",
    )
    child.expect("what is to be done")
    return child


def test_on_a_terminal_it_asks_for_the_task_and_the_end_of_input_starts_nothing(embedded: World):
    child = asked(embedded)
    child.sendeof()
    child.expect(r"\[loop\] error: no task")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2
    assert not (embedded.home / ".loop" / "runs").exists()


def test_what_is_typed_goes_the_way_of_any_task(embedded: World):
    child = asked(embedded)
    child.sendline("make it polite")
    child.expect(r"\[loop\] error: .*[Cc]odex")  # nobody is logged in here
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 2


def test_without_a_terminal_it_says_how_to_give_a_task(embedded: World):
    loop = embedded.run()
    assert (loop.process.returncode, len(loop.lines)) == (2, 1)
    assert 'loop "fix the failing test"' in loop.lines[0]
