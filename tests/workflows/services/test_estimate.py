"""Estimates: from history where there is one, from the prompts' length where there is none."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.runs.support import definition_of, node
from workflows.definition.graph import Definition
from workflows.services.estimate import estimate


def ask(key: str, model: str = "openai:gpt-4o-mini", prompt: str = "Write.", **fields: Any) -> dict[str, Any]:
    return node(key, "llm", config={"prompt": prompt, "model": model, **fields.pop("config", {})}, **fields)


def definition(*nodes: dict[str, Any]) -> Definition:
    return definition_of(list(nodes))


def test_history_gives_the_quartiles_of_what_the_step_used() -> None:
    used = [(100, 10), (200, 20), (300, 30), (400, 40), (500, 50)]
    found = estimate(definition(ask("a")), history={"a": used}, runs=5)
    [step] = found.steps
    assert (step.input_tokens, step.output_tokens) == ((200, 400), (20, 40))
    assert Decimal(0) < found.low < found.high
    assert found.low == step.low
    assert found.basis == "From the last 5 finished runs."
    assert found.known


def test_a_branch_that_is_seldom_taken_is_seldom_paid() -> None:
    used = [(0, 0), (0, 0), (0, 0), (1_000, 1_000)]
    [step] = estimate(definition(ask("a")), history={"a": used}, runs=4).steps
    assert step.low == 0
    assert step.high > 0


def test_a_new_step_is_reckoned_from_its_prompt_and_its_longest_answer() -> None:
    short = estimate(definition(ask("a", config={"max_tokens": 100})), history={}, runs=0)
    assert short.steps[0].output_tokens == (10, 100)
    assert short.runs == 0
    assert "length of the prompts" in short.basis
    long = estimate(definition(ask("a", prompt="Word " * 4_000)), history={}, runs=0)
    assert long.low > short.low
    with_data = definition(ask("a", prompt="Use {{ input.text }}."))
    small = estimate(with_data, history={}, runs=0)
    large = estimate(with_data, history={}, runs=0, input_text="word " * 40_000)
    assert large.high > small.high


def test_an_unknown_price_is_said() -> None:
    found = estimate(definition(ask("a", model="custom:my-own")), history={}, runs=0)
    assert not found.known
    assert found.high == 0


def test_only_steps_that_ask_a_model_and_are_on_count() -> None:
    off = ask("off", enabled=False)
    found = estimate(definition(ask("a"), off, node("b"), node("c", "summarize")), history={}, runs=0)
    assert [step.key for step in found.steps] == ["a"]


@pytest.mark.parametrize(("model", "default", "expected"), [
    ("default", "google:gemini-2.5-flash", "google:gemini-2.5-flash"),
    ("openai:gpt-4o", "google:gemini-2.5-flash", "openai:gpt-4o"),
])  # fmt: skip
def test_a_step_on_default_follows_the_default(model: str, default: str, expected: str) -> None:
    found = estimate(definition(ask("a", model=model)), history={}, runs=0, default_model=default)
    assert found.steps[0].model == expected
