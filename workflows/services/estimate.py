"""What a run will probably cost, low and high, before it starts: from what its steps used before, else from their prompts.

Pure: history comes in as values. The price list is read from disk on first use (about a second).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from workflows.definition.graph import Definition, StepDef
from workflows.definition.library import Library, persona_use, prompt_use
from workflows.lib.errors import StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.providers.base import Usage
from workflows.providers.models import resolve_model
from workflows.providers.pricing import estimate_tokens, price_of
from workflows.steps import registry
from workflows.steps.catalog import CATALOG

# An answer is seldom shorter than a tenth of what it may be.
_SHORTEST_PART: Final = 10
_DEFAULT_ANSWER: Final = 2_000
# What a reference to another step's output may bring into a prompt, in tokens.
_PER_REFERENCE: Final = 1_500

Used = tuple[int, int]


@dataclass(frozen=True, slots=True)
class StepEstimate:
    """One step that asks a model. `runs` is how many earlier runs it rests on (0: on the prompt's length).

    Money is US dollars; `known` False: nobody has a price for the model, so it counts as 0.
    """

    key: str
    label: str
    model: str
    input_tokens: tuple[int, int]
    output_tokens: tuple[int, int]
    low: Decimal
    high: Decimal
    known: bool
    runs: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """The range of a run. `known` False: a model without a price is in it, so it may cost more."""

    low: Decimal
    high: Decimal
    known: bool
    runs: int
    steps: tuple[StepEstimate, ...]

    @property
    def basis(self) -> str:
        """Where the figures come from, for people."""
        if not self.steps:
            return "No step asks a model."
        if self.runs == 0:
            return "From the length of the prompts; no run has finished yet."
        return f"From the last {self.runs} finished runs." if self.runs > 1 else "From the last finished run."


def estimate(
    definition: Definition,
    *,
    history: Mapping[str, Sequence[Used]],
    runs: int,
    default_model: str | None = None,
    input_text: str = "",
) -> Estimate:
    """`history` holds for a step's key its (input, output) tokens in each of the `runs` last runs, 0 where it did not run.

    Steps without history are reckoned from their texts; `input_text` is the run's input as text, as far as it is known.
    """
    found: list[StepEstimate] = []
    library = Library.from_json(definition.library)
    for step in definition.steps:
        type_ = registry.find(step.type)
        if type_ is None or not step.enabled or not type_.uses_model(step.config):
            continue
        model = step.config.get("model")
        try:
            ref = resolve_model(model if isinstance(model, str) else None, default_model)
        except StepwellError:
            continue  # said by validation; it costs nothing as it cannot run
        used = history.get(step.key)
        if used:
            inputs, outputs = _quartiles(one for one, _ in used), _quartiles(one for _, one in used)
        else:
            inputs, outputs = _from_prompt(step, _texts_of(step, library), input_text)
        low, high = (price_of(ref, Usage(inputs[place], outputs[place], estimated=True)) for place in (0, 1))
        found.append(
            StepEstimate(
                step.key,
                step.label,
                str(ref),
                inputs,
                outputs,
                low.amount,
                high.amount,
                high.known,
                len(used or ()),
            )
        )
    return Estimate(
        low=sum((step.low for step in found), Decimal(0)),
        high=sum((step.high for step in found), Decimal(0)),
        known=all(step.known for step in found),
        runs=runs if any(step.runs for step in found) else 0,
        steps=tuple(found),
    )


def _quartiles(values: Iterable[int]) -> tuple[int, int]:
    """The lower and the upper quartile, between neighbours where they fall there."""
    ordered = sorted(values)

    def at(part: float) -> int:
        place = part * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        return round(ordered[below] + (ordered[above] - ordered[below]) * (place - below))

    return at(0.25), at(0.75)


def _from_prompt(step: StepDef, library: Sequence[str], input_text: str) -> tuple[Used, Used]:
    """((input low, high), (output low, high)) tokens from what the step's texts say."""
    texts = [*(text for _, text in CATALOG.templates(step)), *library]
    fixed = sum(estimate_tokens(text) for text in texts)
    references = sum(text.count("{{") for text in texts)
    brought = references * (estimate_tokens(input_text) if input_text else 0)
    most = _longest_answer(step.config)
    high = fixed + max(brought, references * _PER_REFERENCE)
    return (fixed, high), (max(most // _SHORTEST_PART, 1), most)


def _texts_of(step: StepDef, library: Library) -> tuple[str, ...]:
    """What the step sends of the library: the prompt's text and the persona's."""
    use, persona = prompt_use(step), library.persona(persona_use(step))
    prompt = library.prompt(use) if use is not None else None
    return tuple(one.text for one in (prompt, persona) if one is not None)


def _longest_answer(config: JSONObject) -> int:
    asked = config.get("max_tokens")
    return asked if isinstance(asked, int) and not isinstance(asked, bool) and asked > 0 else _DEFAULT_ANSWER
