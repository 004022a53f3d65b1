"""The money of turns in Claude's own window, from the totals that its status line tells."""

from actors.adapters.claude_pane_money import Money
from actors.messages import Usage

TOKENS = Usage(input_tokens=10, output_tokens=5, cost_known=False)


def told(money: Money, usd: object) -> None:
    money.told({"total_cost_usd": usd})


def counted(money: Money) -> tuple[float, bool]:
    usage = money.counted(TOKENS)
    assert (usage.input_tokens, usage.output_tokens) == (10, 5)
    return round(usage.cost_usd, 6), usage.cost_known


def test_a_turn_costs_what_the_total_has_grown_by() -> None:
    money = Money()
    money.restarted(0.0)
    told(money, 0)
    told(money, 0.25)
    assert counted(money) == (0.25, True)
    told(money, 0.75)
    assert counted(money) == (0.5, True)


def test_without_a_status_line_the_cost_stays_unknown() -> None:
    money = Money()
    money.restarted(0.0)
    money.stopped()
    assert not money.is_due
    assert counted(money) == (0.0, False)


def test_the_total_of_a_turn_comes_after_its_end_and_what_is_late_counts_in_the_next_turn() -> None:
    money = Money()
    money.restarted(0.0)
    told(money, 0)
    assert not money.is_due
    money.stopped()
    assert money.is_due
    assert counted(money) == (0.0, False)
    told(money, 0.25)
    assert not money.is_due
    told(money, 0.5)
    money.stopped()
    assert counted(money) == (0.5, True)


def test_a_resumed_session_costs_nothing_again_and_one_without_its_total_begins_at_nothing() -> None:
    money = Money()
    money.restarted(3.0)
    told(money, 3.0)
    told(money, 3.5)
    assert counted(money) == (0.5, True)
    money.restarted(3.5)
    told(money, 0)  # it was killed, and has adopted nothing
    told(money, 0.125)
    assert counted(money) == (0.125, True)


def test_a_total_that_is_no_amount_costs_nothing() -> None:
    money = Money()
    money.restarted(0.0)
    for nonsense in ("much", None, -1, float("nan"), float("inf"), 10**400, True, [1]):
        told(money, nonsense)
        assert counted(money) == (0.0, True)
