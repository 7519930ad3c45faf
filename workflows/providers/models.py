"""Which model a call goes to: reads `provider:model`, and finds the default where a step leaves it open."""

from __future__ import annotations

import os
from typing import Final

from workflows.lib.errors import Fault, StepwellError
from workflows.providers import registry
from workflows.providers.base import ModelRef

DEFAULT: Final = "default"
DEMO: Final = ModelRef("demo", "writer")
ENVIRONMENT: Final = "STEPWELL_DEFAULT_MODEL"


class BadModel(StepwellError):
    """A reference that names no model we can call."""

    code = "bad_model"
    fault = Fault.AUTHOR
    status = 422


def parse_model(text: str) -> ModelRef:
    """`provider:model` (also `provider/model`) taken apart; BadModel says what is wrong."""
    text = text.strip()
    before_slash, slash, after_slash = text.partition("/")
    before_colon, colon, after_colon = text.partition(":")
    # `ollama/llama3:8b` has its colon in the model's name, `custom:openai/gpt-4o` its slash.
    if slash and ":" not in before_slash and registry.is_known(before_slash):
        provider, model = before_slash, after_slash
    elif colon:
        provider, model = before_colon, after_colon
    else:
        raise BadModel(f"“{text}” names no provider. Write provider:model, for example openai:gpt-4o-mini.")
    provider, model = provider.strip(), model.strip()
    if not registry.is_known(provider):
        known = ", ".join(provider.name for provider in registry.all_providers())
        raise BadModel(f"There is no provider named “{provider}”. Known: {known}.")
    if not model:
        raise BadModel(f"“{text}” names no model. Write provider:model, for example openai:gpt-4o-mini.")
    return ModelRef(provider, model)


def is_default(ref: str | None) -> bool:
    return not ref or ref.strip() in ("", DEFAULT)


def resolve_model(ref: str | None, default_model: str | None = None) -> ModelRef:
    """The model that a call goes to.

    1. what the step says, 2. `default_model` (the workflow's or tenant's setting), 3. STEPWELL_DEFAULT_MODEL,
    4. the first provider with an account in the environment, 5. the offline demonstration.
    """
    for choice in (ref, default_model, os.environ.get(ENVIRONMENT)):
        if choice and not is_default(choice):
            return parse_model(choice)
    for provider in registry.all_providers():
        model = provider.default_model()
        if model and provider.account_from_environment() is not None:
            return ModelRef(provider.name, model)
    return DEMO
