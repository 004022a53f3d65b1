"""What is left of the run's money, and whether an agent was started with it."""

from __future__ import annotations

from actors.session.purse import LEAST_USD, Purse


def test_a_session_without_a_limit_takes_an_agent_without_one() -> None:
    assert Purse().fits(None, 5.0)
    assert not Purse().fits(3.0, 5.0)
    assert not Purse(3.0).fits(None, 0.0)


def test_what_the_agent_itself_spends_leaves_it_as_it_is() -> None:
    purse = Purse(10.0, at_usd=2.0)
    assert purse.left(6.0) == 6.0
    assert purse.fits(6.0, 6.0)


def test_an_agent_is_restarted_when_the_other_one_has_spent_or_the_user_has_given_more() -> None:
    assert Purse(9.2).fits(10.0, 0.0)
    assert not Purse(9.0).fits(10.0, 0.0)
    assert not Purse(20.0).fits(10.0, 0.0)


def test_an_agent_that_has_spent_too_much_may_spend_next_to_nothing() -> None:
    assert Purse(1.0).left(2.0) == LEAST_USD
