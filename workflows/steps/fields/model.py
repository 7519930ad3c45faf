"""The settings of a model call, in one place for every step that asks one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from django import forms

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.lib.limits import FALLBACK_MODELS
from workflows.providers.models import BadModel, parse_model
from workflows.steps.fields.base import ConfigField
from workflows.steps.fields.library import PersonaField
from workflows.steps.fields.lists import ListField
from workflows.steps.fields.plain import BoolField, ChoiceField, NumberField

BUILT_IN: Final = "built_in"
MODEL: Final = "model"
MOST_TOKENS: Final = 1_000_000


class ModelField(ConfigField):
    """`provider:model`, or `default` for what the workflow or the workspace has chosen."""

    kind = "model"

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "Model")
        kwargs.setdefault("help_text", "provider:model, or default for what the workflow has chosen.")
        kwargs.setdefault("initial", "default")
        kwargs.setdefault("section", "Model")
        super().__init__(**kwargs)

    def read(self, raw: Any) -> JSONValue:
        return str(super().read(raw)).strip() or "default"


class FallbackField(ListField):
    """Models, in order, that are asked where the step's own cannot answer: `provider:model`, one per line."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("label", "If it cannot answer")
        kwargs.setdefault(
            "help_text", "provider:model, one per line, in order. Empty: the order of the workflow."
        )
        kwargs.setdefault("section", "Model")
        kwargs.setdefault("more", True)
        kwargs.setdefault("other_names", ("fallbacks",))
        super().__init__(separators="\n,", **kwargs)

    def faults(self, value: JSONValue) -> Iterator[tuple[str, str, str | None]]:
        yield from super().faults(value)
        for entry in value or ():
            try:
                parse_model(entry)
            except BadModel as error:
                yield error.code, error.message, "Choose a model from the list."
        if len(value or ()) > FALLBACK_MODELS.value:
            yield "too_many", FALLBACK_MODELS.says(), None


def refusal_field(**kwargs: Any) -> BoolField:
    """Whether a model that declines for its content rules is followed by the next one."""
    return BoolField(
        label="Also when it declines",
        help_text="Ask the next model too when one refuses because of its content rules.",
        section="Model",
        more=True,
        **kwargs,
    )


def temperature_field(initial: float = 0.7) -> NumberField:
    """How free the model is, 0 to 2."""
    return NumberField(
        label="Temperature",
        help_text="0 is exact, 1 is free. Left out for models that refuse it.",
        section="Model",
        least=0,
        most=2,
        whole=False,
        step=0.1,
        initial=initial,
        more=True,
    )


def longest_field(initial: int = 2_000, *, label: str = "Longest answer") -> NumberField:
    """How long the answer may be, in tokens."""
    return NumberField(
        label=label, unit="tokens", section="Model", least=1, most=MOST_TOKENS, initial=initial, more=True
    )


class ModelSettings(forms.Form):
    """Base of the settings of every step that asks a model. `field_order` puts the step's own settings first."""

    persona = PersonaField()
    model = ModelField()
    fallback = FallbackField()
    fallback_on_refusal = refusal_field()


class SwitchedModelSettings(forms.Form):
    """The same for text steps that work without a model unless they are switched to one by `method_field`.

    Another name than `fallback`, which is a category of `tag_category`.
    """

    model = ModelField(shown_when=("method", (MODEL,)))
    model_fallback = FallbackField(shown_when=("method", (MODEL,)))
    fallback_on_refusal = refusal_field(shown_when=("method", (MODEL,)))


# What a hidden step of a container takes over from its settings.
MODEL_SETTINGS: Final = (*ModelSettings.base_fields, "temperature", "max_tokens")


def method_field(words: str) -> ChoiceField:
    """The setting that switches a text step between the built-in way and a model."""
    return ChoiceField(
        label="Done by",
        choices=((BUILT_IN, f"Built in ({words})"), (MODEL, "A model")),
        help_text="Built in needs no key and no network, and gives the same result every time.",
        section="Model",
        other_names=("engine",),
    )


def switched_to_model(config: JSONObject) -> bool:
    """Whether a text step is switched to a model."""
    return bool(config.get("method", BUILT_IN) == MODEL)


def fallback_of(fields: Mapping[str, ConfigField], config: JSONObject) -> list[str]:
    """The step's own fallback models, in order; `fields` are those of its type."""
    for name, field in fields.items():
        if isinstance(field, FallbackField):
            return list(config.get(name) or ())
    return []
