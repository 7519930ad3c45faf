"""A template has a new revision: what it brings to a workflow made from it, and taking chosen parts into the draft."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction

from templates_app.models import TemplateInstall, WorkflowTemplate
from workflows.definition.diff import ChangeKind, Part, changes
from workflows.definition.edits import Edit, OperationRefused, finish
from workflows.definition.graph import Definition
from workflows.definition.revert import revert
from workflows.definition.schema import from_stored
from workflows.lib.errors import Conflict, Invalid, NotFound
from workflows.models import Workflow
from workflows.presenters.compare_page import Card, Comparison
from workflows.services.drafts import apply_operation, compile_draft
from workflows.steps.catalog import CATALOG
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.roles import Permission

# Steps before the paths between them, and what goes last, so that each finds what it hangs on.
_ORDER = {Part.VARIABLE: 0, Part.STEP: 1, Part.EDGE: 2, Part.TRIGGER: 3, Part.SETTING: 4}


@dataclass(frozen=True, slots=True)
class News:
    """One thing that the template says otherwise now. `own`: the person has changed the same thing, or taken it out."""

    card: Card
    own: bool
    is_here: bool

    @property
    def value(self) -> str:
        return f"{self.card.part}:{self.card.key}"


@dataclass(frozen=True, slots=True)
class Update:
    """What a template brings to one workflow, by parts that can be taken each by itself."""

    install: TemplateInstall
    comparison: Comparison
    news: tuple[News, ...]


def pending_installs(actor: Actor, template: WorkflowTemplate) -> list[TemplateInstall]:
    """The tenant's workflows from this template, each with its workflow, newest first; `has_news` of each says more."""
    found = TemplateInstall.objects.for_tenant(actor.tenant).filter(
        template=template, workflow__deleted_at__isnull=True
    )
    return list(found.select_related("workflow", "template")[:100])


def has_news(install: TemplateInstall) -> bool:
    """Whether the template has changed since this workflow took from it."""
    return install.revision < install.template.revision and install.document != install.template.document


def look_at_update(*, workflow: Workflow, actor: Actor) -> Update:
    """What differs between the template as it was taken and as it is. NotFound without one that the tenant still sees."""
    actor.require(Permission.VIEW)
    install = _install(workflow, actor)
    base, new = _sides(install)
    comparison = Comparison(base, new)
    draft = compile_draft(workflow)
    own = {(change.part, change.key) for change in changes(base, draft) if not change.only_layout}
    here = {(change.part, change.key) for change in changes(new, draft) if not change.only_layout}
    news = tuple(
        News(card, (Part(card.part), card.key) in own, (Part(card.part), card.key) not in here)
        for card in comparison.cards
    )
    return Update(install, comparison, news)


@transaction.atomic
def take_update(
    *, workflow: Workflow, actor: Actor, chosen: Collection[str], expected_revision: int | None = None
) -> tuple[str, ...]:
    """Take the chosen parts (`part:key`) of the template's revision into the draft, as one change that undo takes back.

    What was not chosen is not offered again. Gives what could not be taken, in words. Raises NotAllowed, NotFound,
    Conflict (nothing new, or archived), Stale.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    install = _install(workflow, actor)
    if not has_news(install):
        raise Conflict("This workflow has everything that its template says.")
    base, new = _sides(install)
    offered = [change for change in changes(base, new) if not change.only_layout]
    wanted = [change for change in offered if f"{change.part}:{change.key}" in chosen]
    if len(wanted) != len(set(chosen)):
        raise Invalid("The template has changed meanwhile. Look at it again.")
    wanted.sort(key=lambda change: (change.kind is ChangeKind.REMOVED, _ORDER[change.part]))
    failed: list[str] = []

    def operation(draft: Definition) -> Edit:
        now = draft
        for change in wanted:
            if any(each.part is change.part and each.key == change.key for each in changes(now, new)):
                try:
                    now = revert(now, new, change.part, change.key, CATALOG).definition
                except OperationRefused as error:
                    failed.append(f"{change.label}: {error.message}")
        taken = len(wanted) - len(failed)
        return finish(draft, now, CATALOG, f"{taken} of {len(offered)} changes of the template taken over.")

    if wanted:
        apply_operation(
            workflow=workflow, actor=actor, operation=operation, expected_revision=expected_revision
        )
    install.revision, install.document = install.template.revision, install.template.document
    install.save(update_fields=["revision", "document"])
    after = {"template": str(install.template_id), "revision": install.revision, "changes": len(wanted)}
    record(actor, "updated from its template", workflow, after=after)
    return tuple(failed)


def _install(workflow: Workflow, actor: Actor) -> TemplateInstall:
    seen = WorkflowTemplate.objects.visible_to(actor.tenant)
    found = TemplateInstall.objects.for_tenant(actor.tenant).filter(workflow=workflow, template__in=seen)
    install = found.select_related("template").first()
    if install is None:
        raise NotFound(NOT_FOUND)
    return install


def _sides(install: TemplateInstall) -> tuple[Definition, Definition]:
    return from_stored(json.loads(install.document)), from_stored(json.loads(install.template.document))
