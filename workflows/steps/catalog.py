"""The step types as the graph sees them (`definition.types.TypeCatalog`), and the one way a config is cleaned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from workflows.definition.graph import DEFAULT_PORT, ERROR_PORT, ErrorChoice, StepDef
from workflows.definition.types import Rewrite
from workflows.lib.errors import Problem, StepwellError
from workflows.lib.jsontypes import JSONObject
from workflows.providers.models import parse_model, resolve_model
from workflows.steps import registry
from workflows.steps.base import StepType
from workflows.steps.fields import (
    clean_fields,
    config_fields,
    fields_with,
    is_structural,
    posted_fields,
    without_defaults,
)

__all__ = [
    "CATALOG",
    "Catalog",
    "clean_config",
    "clean_posted",
    "default_config",
    "is_structural",
    "model_problems",
]


def clean_config(kind: StepType, data: Mapping[str, Any]) -> tuple[JSONObject, tuple[Problem, ...]]:
    """Raw JSON config (the API's) as the canonical one, with its problems.

    Problems for which `is_structural` holds refuse the document; the others may live in a draft.
    """
    return clean_fields(kind.ConfigForm, kind.adopt(dict(data)))


def clean_posted(
    kind: StepType, data: Mapping[str, Any], *, old: JSONObject | None = None, prefix: str = ""
) -> tuple[JSONObject, tuple[Problem, ...]]:
    """A posted settings form (a QueryDict) as the canonical config, with its problems.

    Settings that the form did not send keep their `old` value; values that could not be read keep it too.
    """
    raw = posted_fields(kind.ConfigForm, data, prefix=prefix)
    config, problems = clean_fields(kind.ConfigForm, raw)
    merged = {**(old or {}), **config}
    _, left = clean_fields(kind.ConfigForm, merged)
    structural = tuple(problem for problem in problems if is_structural(problem))
    return without_defaults(kind.ConfigForm, merged), structural + left


def default_config(kind: StepType) -> JSONObject:
    """The config of a new step: everything at its default."""
    return {}


class Catalog:
    """Implements TypeCatalog from the registry. Total: an unknown type has port `out` and no texts."""

    def known(self, name: str) -> bool:
        found = registry.find(name)
        return found is not None and found.name == name

    def canonical(self, name: str) -> str | None:
        found = registry.find(name)
        return found.name if found else None

    def ports(self, step: StepDef) -> tuple[str, ...]:
        found = registry.find(step.type)
        names = tuple(port.name for port in found.ports(step.config)) if found else (DEFAULT_PORT,)
        if step.on_error.policy is ErrorChoice.ROUTE and ERROR_PORT not in names:
            return (*names, ERROR_PORT)
        return names

    def is_container(self, type: str) -> bool:
        found = registry.find(type)
        return found is not None and found.is_container

    def has_own_body(self, step: StepDef) -> bool:
        return self.own_body(step) is not None

    def own_body(self, step: StepDef) -> StepDef | None:
        found = registry.find(step.type)
        return found.own_body(step) if found else None

    def generated(self, step: StepDef) -> tuple[StepDef, ...]:
        found = registry.find(step.type)
        return found.generated(step) if found else ()

    def can_disable(self, type: str) -> bool:
        found = registry.find(type)
        return found is None or found.can_disable

    def clean(self, step: StepDef) -> tuple[StepDef, tuple[Problem, ...]]:
        found = registry.find(step.type)
        if found is None:
            return step, ()
        config, problems = clean_config(found, step.config)
        return replace(step, config=config), tuple(problem for problem in problems if is_structural(problem))

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        found = registry.find(step.type)
        if found is None:
            return ()
        problems = (*clean_config(found, step.config)[1], *found.check(step))
        return tuple(replace(problem, step=step.label, step_key=step.key) for problem in problems)

    def templates(self, step: StepDef) -> Iterable[tuple[str, str]]:
        return self._texts(step, "templates")

    def expressions(self, step: StepDef) -> Iterable[tuple[str, str]]:
        return self._texts(step, "expressions")

    def _texts(self, step: StepDef, which: str) -> Iterator[tuple[str, str]]:
        found = registry.find(step.type)
        for name, field in fields_with(found.ConfigForm, which) if found else ():
            # A default is a text like any other: `{{previous}}` of a first step has no value.
            value = step.config.get(name, field.default)
            for path, text in getattr(field, which)(value):
                yield f"{name}{path if path.startswith('[') or not path else '.' + path.lstrip('.')}", text

    def sets_variables(self, step: StepDef) -> Iterable[tuple[str, str]]:
        found = registry.find(step.type)
        return found.sets_variables(step.config) if found else ()

    def rewrite(self, step: StepDef, template: Rewrite, expression: Rewrite) -> StepDef:
        found = registry.find(step.type)
        if found is None:
            return step
        fields = config_fields(found.ConfigForm)
        config = {
            name: fields[name].rewritten(value, template, expression) if name in fields else value
            for name, value in step.config.items()
        }
        return replace(step, config=config)


CATALOG: Final = Catalog()


def model_problems(step: StepDef, default_model: str | None) -> Iterator[Problem]:
    """What is wrong with the model that a step would call (`definition.types.ModelCheck`)."""
    found = registry.find(step.type)
    if found is None or not found.uses_model(step.config):
        return
    asked = step.config.get("model")
    try:
        if asked and asked != "default":
            parse_model(str(asked))
        else:
            resolve_model(None, default_model)
    except StepwellError as error:
        yield Problem(
            error.code,
            error.message,
            step=step.label,
            step_key=step.key,
            field="model",
            fix="Choose a model from the list, or “default”.",
        )
