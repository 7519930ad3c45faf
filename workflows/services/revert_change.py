"""One change since a version is taken back in the draft; the rest of the draft stays."""

from __future__ import annotations

from workflows.definition.diff import Part
from workflows.definition.edits import Edit
from workflows.definition.revert import revert
from workflows.definition.types import TypeCatalog
from workflows.lib.errors import Invalid, Problem
from workflows.models import Workflow, WorkflowVersion
from workflows.services.definitions import load_definition
from workflows.services.drafts import apply_operation
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor


def revert_change(
    *,
    workflow: Workflow,
    version: WorkflowVersion,
    part: str,
    key: str,
    actor: Actor,
    expected_revision: int | None = None,
    catalog: TypeCatalog = CATALOG,
) -> Edit:
    """Make this step (path, variable, trigger, setting) of the draft what it is in the version.

    Raises OperationRefused with the reason, Invalid for an unknown part, and what `apply_operation` raises.
    """
    try:
        wanted = Part(part)
    except ValueError as error:
        message = f"There is no part “{part[:40]}” of a workflow."
        raise Invalid(
            message, problems=(Problem("bad_value", message, field="part", path="part"),)
        ) from error
    base = load_definition(version)
    return apply_operation(
        workflow=workflow,
        actor=actor,
        operation=lambda draft: revert(draft, base, wanted, key, catalog),
        expected_revision=expected_revision,
    )
