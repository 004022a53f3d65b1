import pytest

from actors.errors import PermanentError
from actors.hosts import Host
from supervisor.hosts.ssh_link import failure, why

BIG = Host(name="big", ssh="me@big.example")


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (255, "ssh: Could not resolve hostname big.example: Name or service not known", "there is no such host"),
        (255, "Host key verification failed.", "run ssh me@big.example once"),
        (255, "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @", "ssh-keygen -R me@big.example"),
        (255, "me@big.example: Permission denied (publickey).", "refuses the login without a password"),
        (255, "ssh: connect to host big.example port 22: Connection refused", "no ssh server answers there"),
        (255, "ssh: connect to host big.example port 22: Connection timed out", "it does not answer"),
        (255, "ssh: connect to host big.example port 22: No route to host", "cannot be reached from here"),
        (127, "bash: line 1: exec: python3: not found", "python3 is not installed there"),
        (1, "something else", "the program there ended with 1: something else"),
        (255, "", "ssh ended with 255: without a word"),
    ],
)
def test_each_way_to_fail_is_one_line_with_the_next_step(code, said, words):
    line = why(BIG, code, ["a banner", said] if said else [])
    assert line.startswith("host big: ")
    assert words in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("said", "is_lasting"),
    [
        ("ssh: Could not resolve hostname big", True),
        ("Permission denied (publickey).", True),
        ("exec: python3: not found", True),
        ("Connection refused", False),
        ("Connection timed out", False),
        ("something else", False),
    ],
)
def test_only_what_the_user_must_change_is_not_tried_again(said, is_lasting):
    assert isinstance(failure(BIG, 255, [said]), PermanentError) == is_lasting
