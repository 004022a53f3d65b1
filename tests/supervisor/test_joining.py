"""A real listener, and raw sockets in place of a host; all on loopback."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from loguru import logger

from actors.edges import join_keys
from actors.edges.join_keys import HostKey
from actors.hosts import Host
from shell import host_checkups
from shell.checkups import Place
from supervisor.hosts import code
from supervisor.hosts.join_listener import JoinListener
from supervisor.hosts.join_protocol import VERSION, Accepted, Bytes, Hello, Left, Note, Refused, ToHost, Welcome
from supervisor.hosts.link import HostUnreachableError, HostUnusableError
from tests.lab.ports import own_port
from tests.patience import PATIENCE_S


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[JoinListener]:
    join_keys.make(tmp_path, "big", 1)
    found = JoinListener(f"127.0.0.1:{own_port()}", tmp_path)
    yield found
    found.close()


class RawHost:
    """Speaks the protocol by hand."""

    def __init__(self, address: str, key: HostKey) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.rcvtimeo = round(PATIENCE_S * 1_000)
        self._socket.curve_serverkey = key.home.encode()
        self._socket.curve_publickey, self._socket.curve_secretkey = key.public.encode(), key.secret.encode()
        self._socket.connect(f"tcp://{address}")

    def say(self, message: msgspec.Struct | bytes) -> None:
        self._socket.send(message if isinstance(message, bytes) else msgspec.msgpack.encode(message))

    def hear(self, kind: type) -> Any:
        while not isinstance(found := msgspec.msgpack.decode(self._socket.recv(), type=ToHost), kind):
            pass
        return found

    def close(self) -> None:
        self._socket.close()
        self._context.term()


@pytest.fixture
def host(listener: JoinListener, tmp_path: Path) -> Iterator[RawHost]:
    found = RawHost(listener.address, join_keys.read_key(join_keys.folder(tmp_path) / "big.key"))
    yield found
    found.close()


def hello(**changes: Any) -> Hello:
    return Hello(**{"version": VERSION, "code": code.digest(), "python": "3.11.7", **changes})


def test_a_host_of_this_version_is_joined_until_its_key_is_revoked(
    listener: JoinListener, host: RawHost, tmp_path: Path
):
    host.say(hello(agents={"codex": True, "claude": False, "unheard-of": True}))
    assert host.hear(Welcome).name == "big"
    session = listener.wait("big", PATIENCE_S, lambda: False, str)
    assert session is not None
    assert session.agents == {"codex": True, "claude": False}
    join_keys.revoke(tmp_path, "big")
    assert host.hear(Refused).why == "the key of big is revoked"
    assert session.why == "the key of big is revoked"
    with pytest.raises(HostUnreachableError, match="the key of big is revoked"):
        listener.listen(session, 4, "", socket.socket)


@pytest.mark.parametrize("other", [{"code": "of another one"}, {"version": VERSION + 1}])
def test_a_host_of_another_version_is_refused_and_home_says_so(
    listener: JoinListener, host: RawHost, other: dict[str, Any]
):
    host.say(hello(**other))
    assert "another version of loop is on big" in host.hear(Refused).why
    said: list[str] = []
    assert listener.wait("big", 0.0, lambda: bool(said), said.append) is None
    assert said == ["host big: another version of loop is on big: install the same one there"]


@pytest.mark.parametrize(
    "wrong",
    [
        b"\xc1 no message",
        b"\x91" * 10_000,
        hello(),
        Accepted(channel=1, listener=99),
        Accepted(channel=2, listener=4),
    ],
)
def test_a_host_that_breaks_the_protocol_loses_its_session_alone(
    listener: JoinListener, host: RawHost, wrong: msgspec.Struct | bytes
):
    host.say(hello())
    host.hear(Welcome)
    host.say(Bytes(channel=1, data=b"of no channel"))  # one that has just ended
    host.say(wrong)
    assert "it broke the protocol" in host.hear(Refused).why
    host.say(hello())
    assert host.hear(Welcome).name == "big"


def test_the_same_host_joined_again_takes_over(listener: JoinListener, host: RawHost, tmp_path: Path):
    host.say(hello())
    host.hear(Welcome)
    newer = RawHost(listener.address, join_keys.read_key(join_keys.folder(tmp_path) / "big.key"))
    newer.say(hello())
    assert newer.hear(Welcome).name == "big"
    assert "with another loop join" in host.hear(Refused).why
    newer.close()


def test_a_host_says_that_nothing_of_it_is_left_also_when_another_one_has_taken_over(
    listener: JoinListener, host: RawHost, tmp_path: Path
):
    host.say(hello())
    host.hear(Welcome)
    first = listener.wait("big", PATIENCE_S, lambda: False, str)
    newer = RawHost(listener.address, join_keys.read_key(join_keys.folder(tmp_path) / "big.key"))
    newer.say(hello())
    newer.hear(Welcome)
    second = listener.wait("big", PATIENCE_S, lambda: False, str)
    assert first is not None
    assert second is not None
    host.hear(Refused)
    host.say(Left())
    listener.note(second, "the first one has left")
    assert newer.hear(Note).text == "the first one has left"
    newer.say(Left())
    while not (first.has_left and second.has_left):
        listener.wait("another", 0.1, lambda: first.has_left and second.has_left, str)
    assert second.why == "loop join has ended there"
    newer.close()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("", "is not free: another run may listen there"),
        ("192.0.2.1:7777", "192.0.2.1:7777 is no address of this machine: correct it in [join]"),
    ],
)
def test_an_address_that_cannot_be_used_is_one_line_and_is_not_tried_again(
    listener: JoinListener, tmp_path: Path, address: str, words: str
):
    with pytest.raises(HostUnusableError, match=r"^no host can dial in, since ") as refused:
        JoinListener(address or listener.address, tmp_path)
    assert words in str(refused.value)


def test_doctor_says_whether_a_host_dials_in(tmp_path: Path):
    address = f"127.0.0.1:{own_port()}"
    check = host_checkups.host(Host(name="big", join=True, listen=address))
    place = Place(home=tmp_path, cwd=tmp_path, environment={})
    (found,) = check(place)
    assert (found.level, "it has no key; make one with loop keys new big" in found.text) == ("problem", True)
    key = join_keys.read_key(join_keys.make(tmp_path, "big", 1))
    (found,) = check(place)
    assert (found.level, found.text) == ("problem", f"waits for big to join: it does not dial {address}")
    host = RawHost(address, key)
    host.say(hello(agents={"codex": True}))
    logged: list[str] = []
    logger.add(logged.append)
    (found,) = check(place)
    assert (found.level, found.text) == ("ok", "joined, with this version of loop; Python 3.11.7, codex")
    assert logged == []  # the terminal is the user's
    host.close()


def test_no_start_at_home_imports_what_dials():
    program = "import supervisor.root, supervisor.run_instance, sys; print(*sorted(sys.modules), sep=chr(10))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    dialling = {"supervisor.hosts.join_listener", "supervisor.hosts.joiner", "actors.edges.join_keys", "zmq.utils.z85"}
    dialling |= {"supervisor.hosts.early_links", "supervisor.hosts.ssh_link", "supervisor.hosts.ssh_program"}
    assert dialling & set(done.stdout.split()) == set()
