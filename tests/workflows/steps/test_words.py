"""Settings in words, for the one-line summaries of the step list."""

import pytest

from workflows.steps.words import address_words, answer_words, spoken, spoken_expression


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Research {{steps.Tidy the form data.company}} well.\nMore", "Research company well."),
        ("\n  About {{ steps.Research the company.content }}", "About Research the company"),
        (
            "{{previous}} for {{item}}, {{ input.monthly_shipments }}",
            "what came before for the item, monthly shipments",
        ),
        ("No data at all", "No data at all"),
        ("Half {{ a reference", "Half {{ a reference"),
        ("", ""),
    ],
)
def test_a_text_is_said_with_what_its_references_bring(text: str, words: str) -> None:
    assert spoken(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "steps.Score the fit.score >= 70 && !steps.Check CRM history.customer",
            "score ≥ 70 and not customer",
        ),
        ('input.tier == "A&&B" || input.n != 3', 'tier is "A&&B" or n ≠ 3'),
        ("1 + ", "1 +"),
        ("", ""),
    ],
)
def test_an_expression_is_said_nearly_as_people_do(text: str, words: str) -> None:
    assert spoken_expression(text) == words


def test_addresses_and_answers() -> None:
    assert address_words("https://crm.example/companies/{{input.id}}") == "crm.example/companies/id"
    fields = {name: {"type": "string"} for name in ("score", "tier", "reasons")}
    assert answer_words({"response_schema": {"properties": fields}}) == "answers with score, tier and reasons"
    assert answer_words({"response_schema": {"properties": {"score": {}}}}) == "answers with score"
    assert answer_words({}) == answer_words({"response_schema": None}) == ""
