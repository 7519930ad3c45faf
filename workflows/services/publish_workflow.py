"""Publishing: the checked draft becomes an immutable version with the next number (W4)."""

from __future__ import annotations

from django.db import transaction

from workflows.definition.schema import canonical_json, content_hash
from workflows.definition.validation import validate
from workflows.lib.errors import Conflict
from workflows.models import Workflow, WorkflowVersion
from workflows.services.check_workflow import models_of, refuse_errors
from workflows.services.definitions import remember
from workflows.services.drafts import definition_of, lock_draft, raise_revision, read_rows
from workflows.services.events import tell
from workflows.services.library import library_problems, record_uses, with_library
from workflows.services.published_triggers import take_triggers, trigger_problems
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record


def publish_workflow(
    *, workflow: Workflow, actor: Actor, note: str = "", expected_revision: int | None = None
) -> WorkflowVersion:
    """The new version; the workflow is active from now on.

    Raises Invalid with every problem when the draft has errors, and Conflict (`unchanged`) when it is what the
    newest version says already: a number that means nothing would only mislead.
    """
    with transaction.atomic():
        lock_draft(workflow, actor, expected_revision)
        draft = definition_of(read_rows(workflow), workflow.settings)
        # From here on the version has the texts of its prompts and personas: changing those changes no version.
        definition = with_library(draft, actor.tenant)
        found = validate(definition, CATALOG, models=models_of(actor.tenant))
        of_library = library_problems(definition, actor.tenant)
        refuse_errors((*found, *of_library, *trigger_problems(definition)), "be published")
        digest = content_hash(definition)
        latest = WorkflowVersion.objects.filter(workflow=workflow, number=workflow.latest_version).first()
        if latest is not None and latest.content_hash == digest:
            raise Conflict(f"Nothing has changed since version {latest.number}.", code="unchanged")
        number = workflow.latest_version + 1
        version = WorkflowVersion.objects.create(
            workflow=workflow,
            tenant=actor.tenant,
            number=number,
            document=canonical_json(definition),
            content_hash=digest,
            note=note.strip(),
            created_by=actor.user,
        )
        record_uses(version, definition)
        take_triggers(version, definition)
        tell(
            actor.tenant.pk,
            "workflow.published",
            {"workflow": {"id": str(workflow.pk), "name": workflow.name}, "version": number},
            key=f"published:{version.pk}",
        )
        before = {"status": workflow.status, "version": workflow.latest_version or None}
        raise_revision(workflow, latest_version=number, status=Workflow.Status.ACTIVE)
        after = {"status": "active", "version": number, "hash": digest, "note": version.note}
        record(actor, "published", workflow, before=before, after=after)
    remember(digest, definition)
    return version
