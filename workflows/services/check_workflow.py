"""What is wrong with a draft, for the builder, the API, publishing and running (W9)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from workflows.definition.graph import Definition, StepDef
from workflows.definition.types import ModelCheck
from workflows.definition.validation import validate
from workflows.lib.errors import Invalid, Problem
from workflows.models import Workflow
from workflows.providers.models import BadModel, parse_model
from workflows.services.drafts import compile_draft
from workflows.services.library import library_problems, with_library
from workflows.services.published_triggers import trigger_problems
from workflows.steps.catalog import CATALOG, model_problems
from workflows.tenancy.models import Tenant


def problems_of(workflow: Workflow, definition: Definition | None = None) -> tuple[Problem, ...]:
    """Every problem of the draft, errors and warnings, in the order of its steps; `definition` spares reading it."""
    definition = compile_draft(workflow) if definition is None else definition
    found = validate(definition, CATALOG, models=models_of(workflow.tenant))
    of_library = library_problems(with_library(definition, workflow.tenant), workflow.tenant)
    return (*found, *of_library, *trigger_problems(definition), *_fallback_problems(definition))


def _fallback_problems(definition: Definition) -> Iterator[Problem]:
    """Entries of the workflow's own fallback order that name no model: they are passed over when it runs."""
    for place, entry in enumerate(definition.settings.get("fallback") or ()):
        try:
            parse_model(entry)
        except BadModel as error:
            yield Problem(
                error.code,
                f"The fallback order holds “{entry}”: {error.message}",
                field="fallback",
                path=f"definition.settings.fallback[{place}]",
                fix="Write provider:model.",
                severity="warning",
            )


def models_of(tenant: Tenant) -> ModelCheck:
    """The check of models in this tenant: a step on “default” follows the workflow's default, then the tenant's."""

    def check(step: StepDef, default_model: str | None) -> Iterable[Problem]:
        return model_problems(step, default_model or tenant.default_model or None)

    return check


def refuse_errors(problems: Iterable[Problem], what: str) -> None:
    """Invalid with all problems when one of them is an error; `what` is what cannot be done: “be published”."""
    problems = tuple(problems)
    errors = [problem for problem in problems if problem.is_error]
    if errors:
        more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
        raise Invalid(f"The workflow cannot {what}: {errors[0].says}{more}", problems=problems)
