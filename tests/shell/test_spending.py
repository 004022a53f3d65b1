import pytest

from actors.messages import Usage
from shell import spending
from shell.tables import cost_lines
from tests.shell.test_tables import agent

UNKNOWN = Usage(tokens_known=False, cost_known=False)
SOME = Usage(input_tokens=1_200, output_tokens=3, cost_usd=0.25)


@pytest.mark.parametrize(
    ("usages", "tokens", "money"),
    [
        ([], "0", "$0.00"),
        ([SOME], "1,200", "$0.25"),
        ([UNKNOWN], "?", "?"),
        ([UNKNOWN, SOME], "1,200+", "$0.25+"),
        ([Usage(input_tokens=7, cost_known=False)], "7", "?"),
    ],
)
def test_what_is_not_reported_is_unknown_and_a_sum_the_least_that_it_was(
    usages: list[Usage], tokens: str, money: str
) -> None:
    usage = spending.together(usages)
    assert (spending.tokens(usage.input_tokens, usage), spending.money(usage)) == (tokens, money)


def test_json_has_null_for_what_is_unknown_and_the_least_for_the_rest() -> None:
    unknown = {"input_tokens": 0, "output_tokens": 0, "cost_usd": 0.25, "tokens_known": False, "cost_known": False}
    assert spending.unknown_as_null([{"usage": unknown}]) == [
        {"usage": unknown | {"input_tokens": None, "output_tokens": None}}
    ]


def test_the_cost_of_an_agent_that_reports_nothing_is_a_question_mark() -> None:
    lines = cost_lines([agent(usage=UNKNOWN)])
    assert lines[0].endswith("? tokens in  ? out  ?")
