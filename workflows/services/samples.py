"""Sample inputs of a workflow: kept, renamed, removed and brought back, and taken along by copies and documents."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import IntegrityError, transaction

from workflows.definition.graph import Definition
from workflows.definition.samples import (
    SAMPLES_PER_WORKFLOW,
    SampleText,
    input_problem,
    name_problem,
    sample_problems,
)
from workflows.lib.clock import utc_now
from workflows.lib.errors import Conflict, Invalid, NotFound
from workflows.lib.jsontypes import JSONObject
from workflows.models import SampleInput, Workflow
from workflows.services.drafts import compile_draft
from workflows.tenancy.access import NOT_FOUND
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.managers import TenantQuerySet
from workflows.tenancy.roles import Permission


def samples_of(workflow: Workflow) -> TenantQuerySet[SampleInput]:
    """The samples of a workflow that are there, by name."""
    rows = SampleInput.objects.filter(tenant_id=workflow.tenant_id, workflow=workflow)
    return rows.filter(removed_at__isnull=True)


def find_sample(workflow: Workflow, said: str) -> SampleInput | None:
    """The sample of this id or, ignoring case, this name; None when there is none."""
    try:
        wanted = UUID(said)
    except ValueError:
        return _named(workflow, " ".join(said.split()))
    return samples_of(workflow).filter(pk=wanted).first()


def save_sample(
    *,
    workflow: Workflow,
    actor: Actor,
    name: str,
    data: JSONObject,
    definition: Definition | None = None,
    replace: bool = False,
) -> SampleInput:
    """Keep an input under a name. It must be one that `definition` (None: the draft) takes.

    `replace` writes over a sample of that name. Raises NotAllowed, Conflict (the name is taken, or there are as many as
    a workflow keeps), Invalid whose problems name each variable in `field`.
    """
    _check(workflow, actor)
    name = " ".join(name.split())
    wrong = [one for one in (name_problem(name), input_problem(data)) if one is not None]
    if not wrong:
        wrong += sample_problems(definition if definition is not None else compile_draft(workflow), data)
    if wrong:
        raise Invalid(wrong[0].message, code="invalid_sample", problems=tuple(wrong))
    with transaction.atomic():
        there = _named(workflow, name)
        if there is not None:
            if not replace:
                raise _taken(name)
            before, there.input, there.updated_at = there.input, data, utc_now()
            there.save(update_fields=["input", "updated_at"])
            record(actor, "changed", there, before={"input": before}, after=_facts(there))
            return there
        _check_room(workflow)
        made = _create(workflow, actor, SampleText(name, data))
        record(actor, "saved", made, after=_facts(made))
    return made


def rename_sample(*, sample: SampleInput, actor: Actor, name: str) -> SampleInput:
    """Another name. Raises NotAllowed, Invalid for a name that cannot be, Conflict for one that is taken."""
    _check(sample.workflow, actor)
    name = " ".join(name.split())
    if (problem := name_problem(name)) is not None:
        raise Invalid(problem.message, problems=(problem,))
    before = sample.name
    if name == before:
        return sample
    try:
        with transaction.atomic():
            sample.name, sample.updated_at = name, utc_now()
            sample.save(update_fields=["name", "updated_at"])
            record(actor, "renamed", sample, before={"name": before}, after={"name": name})
    except IntegrityError as error:
        sample.name = before
        raise _taken(name) from error
    return sample


def remove_sample(*, sample: SampleInput, actor: Actor) -> None:
    """Take it away; `restore_sample` brings it back."""
    _check(sample.workflow, actor)
    with transaction.atomic():
        sample.removed_at = utc_now()
        sample.save(update_fields=["removed_at"])
        record(actor, "removed", sample, before=_facts(sample))


def restore_sample(*, sample: SampleInput, actor: Actor) -> SampleInput:
    """Bring a removed sample back. Conflict when its name has been given to another one, or there is no room."""
    _check(sample.workflow, actor)
    if sample.removed_at is None:
        return sample
    if _named(sample.workflow, sample.name) is not None:
        raise _taken(sample.name)
    _check_room(sample.workflow)
    with transaction.atomic():
        sample.removed_at = None
        sample.save(update_fields=["removed_at"])
        record(actor, "restored", sample, after=_facts(sample))
    return sample


def take_samples(*, workflow: Workflow, actor: Actor, samples: Iterable[SampleText]) -> None:
    """Samples that come with a document, a template or a copy; those of the same name are written over.

    Their shape has been checked. They need not fit the draft: what is stale where it comes from stays so. The deed that
    brings them is what the log tells. Raises Conflict past the limit.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    there = {row.name.casefold(): row for row in samples_of(workflow)}
    for sample in samples:
        row = there.get(sample.name.casefold())
        if row is None:
            if len(there) >= SAMPLES_PER_WORKFLOW.value:
                raise Conflict(SAMPLES_PER_WORKFLOW.says(), code="too_many")
            there[sample.name.casefold()] = _create(workflow, actor, sample)
        elif row.input != sample.input or row.name != sample.name:
            row.name, row.input, row.updated_at = sample.name, sample.input, utc_now()
            row.save(update_fields=["name", "input", "updated_at"])


def texts_of(workflows: Iterable[Workflow]) -> dict[str, tuple[SampleText, ...]]:
    """The samples of many workflows by the workflow's id. One query."""
    rows = list(workflows)
    found: dict[str, list[SampleText]] = {str(row.pk): [] for row in rows}
    tenants = {row.tenant_id for row in rows}
    for one in SampleInput.objects.filter(
        tenant_id__in=tenants, workflow__in=[row.pk for row in rows], removed_at__isnull=True
    ).order_by("name"):
        found[str(one.workflow_id)].append(SampleText(one.name, one.input))
    return {pk: tuple(samples) for pk, samples in found.items()}


def _check(workflow: Workflow, actor: Actor) -> None:
    actor.require(Permission.EDIT_WORKFLOWS)
    if workflow.tenant_id != actor.tenant.pk or workflow.deleted_at is not None:
        raise NotFound(NOT_FOUND)
    if workflow.status == Workflow.Status.ARCHIVED:
        raise Conflict(f"“{workflow.name}” is archived. Restore it first.", code="archived")


def _named(workflow: Workflow, name: str) -> SampleInput | None:
    return samples_of(workflow).filter(name__iexact=name).first()


def _check_room(workflow: Workflow) -> None:
    if samples_of(workflow).count() >= SAMPLES_PER_WORKFLOW.value:
        raise Conflict(SAMPLES_PER_WORKFLOW.says(), code="too_many")


def _create(workflow: Workflow, actor: Actor, sample: SampleText) -> SampleInput:
    try:
        with transaction.atomic():
            return SampleInput.objects.create(
                tenant_id=workflow.tenant_id,
                workflow=workflow,
                name=sample.name,
                input=sample.input,
                created_by=actor.user,
            )
    except IntegrityError as error:
        raise _taken(sample.name) from error


def _taken(name: str) -> Conflict:
    return Conflict(f"There is a sample called “{name}” already. Choose another name.", code="name_taken")


def _facts(sample: SampleInput) -> JSONObject:
    return {"workflow": str(sample.workflow_id), "name": sample.name, "values": sorted(sample.input)}
