import pytest

from actors.errors import UserError
from actors.hosts import Host, placed

BIG = Host(name="big", ssh="me@big.example")


def test_a_place_is_a_host_of_the_configuration_or_one_that_ssh_knows():
    found = placed(["worker=big", "reviewer=other"], {"big": BIG})
    assert found == {"worker": BIG, "reviewer": Host(name="other")}
    assert [host.destination for host in found.values()] == ["me@big.example", "other"]


def test_the_last_word_on_an_actor_counts_and_home_takes_it_home():
    assert placed(["worker=big", "worker=home"], {"big": BIG}) == {}
    assert placed(["worker=a", "worker=big"], {"big": BIG}) == {"worker": BIG}


@pytest.mark.parametrize("value", ["bridge=big", "run=big", "worker", "worker=", "=big", "persistence=big"])
def test_only_the_agents_actors_can_be_placed(value):
    with pytest.raises(UserError, match="stay at home"):
        placed([value], {})


@pytest.mark.parametrize("name", ["-oProxyCommand=x", "a b", "a/b", "", "x" * 65])
def test_a_name_that_is_no_name_is_refused(name):
    with pytest.raises(UserError, match="no host's name"):
        Host(name=name)


def test_a_destination_is_never_an_option_of_ssh():
    with pytest.raises(UserError, match="does not begin with '-'"):
        Host(name="big", ssh="-oProxyCommand=x")


def test_a_host_that_dials_in_needs_an_address_of_home_and_no_ssh():
    assert Host(name="big", join=True, listen="127.0.0.1:7777").join
    with pytest.raises(UserError, match=r"add listen = .* to \[join\]"):
        Host(name="big", join=True)
    with pytest.raises(UserError, match="needs no ssh"):
        Host(name="big", join=True, listen="127.0.0.1:7777", ssh="x")
