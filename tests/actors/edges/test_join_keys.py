import stat
from pathlib import Path

import pytest
from zmq.utils import z85

from actors.edges import join_keys
from actors.errors import UserError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_key_is_private_and_allowed(tmp_path: Path):
    file = join_keys.make(tmp_path, "big", 1)
    key = join_keys.read_key(file)
    assert (key.name, key.home) == ("big", join_keys.own_pair(tmp_path).public)
    assert join_keys.allowed(tmp_path) == {z85.decode(key.public.encode()): key.public}
    assert join_keys.ready_for(tmp_path, "big").public == key.home
    folder = join_keys.folder(tmp_path)
    assert mode(folder) == 0o700
    assert {path.name: mode(path) for path in folder.iterdir()} == dict.fromkeys(
        ("home.json", "allowed.json", "big.key", "lock"), 0o600
    )


def test_a_second_host_has_a_key_of_its_own_and_the_same_home(tmp_path: Path):
    big, small = (join_keys.read_key(join_keys.make(tmp_path, name, 1)) for name in ("big", "small"))
    assert big.home == small.home
    assert len({big.public, big.secret, small.public, small.secret}) == 4
    assert [each.name for each in join_keys.listed(tmp_path)] == ["big", "small"]


def test_a_revoked_key_is_allowed_no_longer_and_the_name_is_free(tmp_path: Path):
    before = join_keys.read_key(join_keys.make(tmp_path, "big", 1))
    with pytest.raises(UserError, match="loop keys revoke big"):
        join_keys.make(tmp_path, "big", 2)
    join_keys.revoke(tmp_path, "big")
    assert join_keys.allowed(tmp_path) == {}
    with pytest.raises(UserError, match="loop keys new big"):
        join_keys.ready_for(tmp_path, "big")
    after = join_keys.read_key(join_keys.make(tmp_path, "big", 3))
    assert after.home == before.home
    assert after.public != before.public


def test_nothing_can_be_revoked_that_was_never_allowed(tmp_path: Path):
    with pytest.raises(UserError, match="no key 'big' to revoke: there are no keys here"):
        join_keys.revoke(tmp_path, "big")


@pytest.mark.parametrize("name", ["home", "../x", "", "-x", "a/b"])
def test_only_the_name_of_a_host_gets_a_key(tmp_path: Path, name: str):
    with pytest.raises(UserError, match="no host's name"):
        join_keys.make(tmp_path, name, 1)


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path):
    file = join_keys.make(tmp_path, "big", 1)
    file.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        join_keys.read_key(file)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[1]",
        b'{"name": "big"}',
        b'{"name": "big", "home": "x", "public": "y", "secret": "z"}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_key_file_is_one_line(tmp_path: Path, content: bytes):
    file = tmp_path / "big.key"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(UserError) as caught:
        join_keys.read_key(file)
    assert "\n" not in str(caught.value)


def test_a_key_whose_halves_do_not_belong_together_is_refused(tmp_path: Path):
    big, small = (join_keys.make(tmp_path, name, 1) for name in ("big", "small"))
    mixed = big.read_text().replace(join_keys.read_key(big).secret, join_keys.read_key(small).secret)
    big.write_text(mixed)
    with pytest.raises(UserError, match="do not belong together"):
        join_keys.read_key(big)


def test_secrets_are_not_shown(tmp_path: Path):
    key = join_keys.read_key(join_keys.make(tmp_path, "big", 1))
    pair = join_keys.own_pair(tmp_path)
    assert key.secret not in f"{key!r} {key}"
    assert pair.secret not in f"{pair!r} {pair}"
