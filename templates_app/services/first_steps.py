"""The first steps of a person in a tenant: a model, something to start from, one run with sample data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db.models import Q

from templates_app.models import FirstSteps, TemplateInstall, WorkflowTemplate
from templates_app.services.expectations import answers_with_demo
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid
from workflows.lib.jsontypes import JSONObject
from workflows.models import Workflow
from workflows.tenancy.actor import Actor

OFFERED: Final = ("text-pipeline", "deep-build-pipeline", "lead-qualification")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the person is. `now` is 1 to 3, the step that is open, 4 when all is done."""

    has_model: bool
    is_demo: bool
    workflow: Workflow | None
    run_id: str
    sample: JSONObject
    skipped: bool

    @property
    def now(self) -> int:
        done = (self.has_model, self.workflow is not None, bool(self.run_id))
        return done.index(False) + 1 if False in done else 4


def progress_of(actor: Actor) -> Progress:
    """Where the person stands; what the workspace has already counts as done. At most five queries."""
    kept = _kept(actor)
    workflow = kept.workflow if kept is not None else None
    if workflow is not None and (workflow.deleted_at is not None or workflow.tenant_id != actor.tenant.pk):
        workflow = None
    run_id, sample = "", JSONObject()
    if workflow is not None:
        newest = workflow.runs.filter(Q(kind="live") | Q(kind="test")).order_by("-created_at")
        run_id = str(newest.values_list("pk", flat=True).first() or "")
        install = TemplateInstall.objects.filter(workflow=workflow).select_related("template").first()
        sample = install.template.sample if install is not None else {}
    is_demo = answers_with_demo(actor.tenant)
    return Progress(
        has_model=not is_demo or (kept is not None and kept.stays_with_demo),
        is_demo=is_demo,
        workflow=workflow,
        run_id=run_id,
        sample=sample,
        skipped=kept is not None and kept.skipped_at is not None,
    )


def stay_with_demo(actor: Actor) -> None:
    """The person goes on with the built-in demonstration; a key can be added at any time."""
    _keep(actor, stays_with_demo=True, skipped_at=None)


def started_with(actor: Actor, workflow: Workflow) -> None:
    """This workflow is the one that the person starts with."""
    _keep(actor, workflow=workflow, skipped_at=None)


def skip_first_steps(actor: Actor) -> None:
    """Not now: the page comes back from Help only."""
    _keep(actor, skipped_at=utc_now())


def restart_first_steps(actor: Actor) -> None:
    """From the beginning; what was made stays."""
    _keep(actor, stays_with_demo=False, workflow=None, skipped_at=None)


def offered_templates(actor: Actor) -> list[WorkflowTemplate]:
    """Three to begin with: the product's own, filled up with the most used."""
    seen = WorkflowTemplate.objects.visible_to(actor.tenant)
    own = {row.slug: row for row in seen.filter(tenant=None, slug__in=OFFERED)}
    found = [own[slug] for slug in OFFERED if slug in own]
    if len(found) < len(OFFERED):
        rest = seen.exclude(pk__in=[row.pk for row in found]).order_by("-install_count", "name")
        found += rest[: len(OFFERED) - len(found)]
    return found


def _kept(actor: Actor) -> FirstSteps | None:
    if actor.user is None:
        return None
    return (
        FirstSteps.objects.for_tenant(actor.tenant).filter(user=actor.user).select_related("workflow").first()
    )


def _keep(actor: Actor, **fields: object) -> None:
    if actor.user is None:
        raise Invalid("Only a person has first steps; a key has none.")
    FirstSteps.objects.update_or_create(tenant=actor.tenant, user=actor.user, defaults=fields)
