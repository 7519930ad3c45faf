"""An older version becomes the draft again; history is not rewritten, publishing makes a new number (W4)."""

from __future__ import annotations

from django.db import transaction

from workflows.definition.types import TypeCatalog
from workflows.models import Workflow, WorkflowVersion
from workflows.services.definitions import load_definition
from workflows.services.drafts import lock_draft, read_rows, refuse_bad_structure, write_draft
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record


def restore_version(
    *,
    workflow: Workflow,
    version: WorkflowVersion,
    actor: Actor,
    expected_revision: int | None = None,
    catalog: TypeCatalog = CATALOG,
) -> Workflow:
    """Replace the draft by what this version says; nothing is written when it says so already.

    Raises NotAllowed, Stale, Conflict (archived), and Invalid when a step type of the version is gone.
    """
    definition = load_definition(version)
    refuse_bad_structure(definition, catalog)
    with transaction.atomic():
        lock_draft(workflow, actor, expected_revision)
        message = f"Version {version.number} restored."
        if write_draft(workflow, read_rows(workflow), definition, actor=actor, message=message):
            after = {"version": version.number, "revision": workflow.revision}
            record(actor, "restored a version", workflow, after=after)
    return workflow
