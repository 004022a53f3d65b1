"""What a review says: typed, in lines, or as free text; and what a hostile one cannot do."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.machines import finding_prompts, verdict
from actors.machines.review_answer import (
    DESCRIPTION_LENGTH,
    MOST_FINDINGS,
    SCHEMA,
    SaidEarlier,
    SaidFinding,
    read_answer,
    read_refusals,
    rendered,
)

PASS = "<review>PASS</review>"
FAIL = "<review>FAIL</review>"
WRONG = SaidFinding(place="app.py:12", description="it divides by zero", command="pytest -k zero")


def typed(kind: str = "changes", **fields: object) -> str:
    plain = {"verdict": kind, "summary": "", "findings": [], "earlier": []}
    return json.dumps(plain | fields)


def _nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    names = st.sampled_from(["verdict", "findings", "earlier", "summary"])
    return st.lists(inner) | st.dictionaries(names, inner)


FINDING = {
    "place": "app.py:12",
    "severity": "blocking",
    "description": "it divides by zero",
    "command": "pytest -k zero",
}


def test_a_typed_answer_has_its_verdict_its_findings_and_a_text_that_can_be_read() -> None:
    answer = read_answer(typed(summary="Nearly.", findings=[FINDING], earlier=[{"id": "f1", "became": "stays"}]))
    assert answer.verdict.kind == "changes"
    assert answer.findings == (WRONG,)
    assert answer.earlier == (SaidEarlier(id="f1", became="stays"),)
    assert answer.verdict.reason == (
        "Nearly.\n- [blocking] app.py:12: it divides by zero (shown by: pytest -k zero)\n- f1: stays"
    )


def test_a_typed_pass_approves_and_is_shown_with_the_last_line_that_every_review_has() -> None:
    assert read_answer(typed("pass", summary="All good.")).verdict.approves
    assert rendered(typed("pass", summary="All good.")) == f"All good.\n{PASS}"
    assert rendered(typed(findings=[FINDING])).endswith(f"\n{FAIL}")
    assert rendered(f"plain\n{PASS}") == f"plain\n{PASS}"


def test_what_is_shown_of_a_typed_answer_says_the_same_when_it_is_read_as_a_text() -> None:
    for text in (typed("pass", summary="fine"), typed(findings=[FINDING], summary="no")):
        assert verdict.read_verdict(rendered(text)).kind == read_answer(text).verdict.kind


def test_of_several_typed_answers_of_one_turn_the_last_one_counts() -> None:
    """The user said something in between, and each answer of the turn is bound to the schema."""
    both = f"{typed('pass')}\n\n{typed('changes', summary='on second thoughts, no')}"
    assert read_answer(both).verdict.reason == "on second thoughts, no"
    assert read_answer(f"{typed('pass')}\n\n{{}}").verdict.kind == "inconclusive"


def test_a_typed_answer_may_stand_in_a_fence() -> None:
    assert read_answer(f"```json\n{typed('pass')}\n```").verdict.approves


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"verdict": "PASS"}',
        '{"verdict": "pass"} and more',
        typed("pass", findings=[{"place": "x"}]),
        typed("pass", findings="none"),
        '{"verdict": "pass", "summary": ' + "[" * 5_000 + "]" * 5_000 + "}",
        typed("pass", summary="x" * 300_000),
        typed("pass") + "\n" * 250_000 + "}",
        "- " * 200_000 + "FINDING" + " " * 100_000,
        typed("pass")[:-1],
        "[" + typed("pass") + "]",
    ],
)
def test_garbage_approves_nothing(text: str) -> None:
    assert read_answer(text).verdict.kind == "inconclusive"


def test_a_review_that_passes_the_work_and_names_what_blocks_it_is_neither() -> None:
    assert read_answer(typed("pass", findings=[FINDING])).verdict.reason == verdict.MIXED
    assert read_answer(f"FINDING app.py:1 | wrong\n{PASS}").verdict.reason == verdict.MIXED
    assert read_answer(f"FINDING minor | app.py:1 | ugly\n{PASS}").verdict.approves


def test_lines_of_a_text_are_findings_and_the_rest_is_its_summary() -> None:
    answer = read_answer(
        "I have run it.\n"
        "- FINDING blocking | app.py:12 | it divides by zero | pytest -k zero\n"
        "`FINDING minor | README.md | a typo`\n"
        "FINDING: nothing at all works | because\n"
        "FINDING a | b | echo x | wc -l\n"
        "FIXED f1 as asked\n* STAYS f2\nACCEPTED f3\n"
        f"{FAIL}"
    )
    assert answer.findings == (
        WRONG,
        SaidFinding(place="README.md", description="a typo", severity="minor"),
        SaidFinding(place="nothing at all works", description="because"),
        SaidFinding(place="a", description="b", command="echo x | wc -l"),
    )
    assert [(each.id, each.became) for each in answer.earlier] == [("f1", "fixed"), ("f2", "stays"), ("f3", "accepted")]
    assert answer.summary == "I have run it."


def test_a_free_text_is_read_as_before() -> None:
    answer = read_answer(f"It is wrong.\nFINDINGS are below\n{FAIL}")
    assert not answer.is_structured
    assert answer.verdict == verdict.read_verdict(f"It is wrong.\nFINDINGS are below\n{FAIL}")


def test_findings_are_bounded_in_number_and_size_and_printable() -> None:
    many = [FINDING | {"description": f"{n} \x1b[2J{'x' * 9_000}"} for n in range(500)]
    answer = read_answer(typed(findings=many[:20]))
    assert len(answer.findings) == MOST_FINDINGS
    assert all(len(each.description) <= DESCRIPTION_LENGTH for each in answer.findings)
    assert "\x1b" not in answer.verdict.reason
    lines = "\n".join(f"FINDING a{n}.py | wrong" for n in range(500))
    assert len(read_answer(f"{lines}\n{FAIL}").findings) == MOST_FINDINGS


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text(), _nested).map(json.dumps))
def test_no_answer_is_an_error_and_none_but_the_exact_form_approves(text: str) -> None:
    answer = read_answer(f"{text}\n")
    assert not answer.verdict.approves
    assert rendered(text) == text


def test_a_refusal_has_a_reason() -> None:
    text = "Done.\nREFUSED f1: it is not part of the task\n- REFUSED f12 — wrong: see the test\nREFUSED f3"
    assert read_refusals(text) == {"f1": "it is not part of the task", "f12": "wrong: see the test"}


def test_an_agent_that_repeats_its_prompt_names_and_refuses_nothing() -> None:
    asked = f"{finding_prompts.FORM}\n{finding_prompts.REFUSE}"
    assert not read_answer(f"{asked}\n{FAIL}").is_structured
    assert read_refusals(asked) == {}


def test_the_schema_is_one_that_a_strict_provider_takes() -> None:
    def objects(schema: object) -> list[dict[str, object]]:
        if isinstance(schema, dict):
            found = [schema] if schema.get("type") == "object" else []
            return found + [each for value in schema.values() for each in objects(value)]
        return []

    all_of_them = objects(dict(SCHEMA))
    assert len(all_of_them) == 3
    for each in all_of_them:
        properties = each["properties"]
        assert isinstance(properties, dict)
        assert each["additionalProperties"] is False
        assert each["required"] == list(properties)


@pytest.mark.parametrize("line", ["FINDING minor", "FINDING [blocking]", "- FINDING: minor", "FINDING minor |"])
def test_a_finding_of_a_severity_alone_is_none(line: str) -> None:
    assert read_answer(f"{line}\n{FAIL}").findings == ()
