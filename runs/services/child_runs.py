"""Runs that a step of another run has started: begun with it in one transaction, and told to it in theirs."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import F

from runs import queue as doorbell
from runs.engine.statuses import Intent, MailKind, RunStatus
from runs.models import Mail, Run
from runs.services.prepared import prepared
from runs.services.start_run import create_run
from workflows.definition.inputs import check_input
from workflows.lib.clock import utc_now
from workflows.lib.errors import ErrorInfo, Fault
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import RUN_DEPTH
from workflows.models import Workflow, WorkflowVersion
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Role

_OPEN = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.PAUSED)


class CannotStart(Exception):
    """The other workflow cannot be started; `info` says why."""

    def __init__(self, message: str, *, code: str = "child_refused", fix: str | None = None) -> None:
        super().__init__(message)
        self.info = ErrorInfo(code=code, message=message, fault=Fault.AUTHOR, field="workflow", fix=fix)


class Child:
    """A run to come: checked when it is planned, written in the transaction in which its step begins to wait."""

    def __init__(self, parent: Run, name: str, data: JSONObject) -> None:
        self.parent = parent
        if parent.depth + 1 >= RUN_DEPTH.value:
            raise CannotStart(
                RUN_DEPTH.says(), code="too_deep", fix="Look for a workflow that starts itself."
            )
        self.workflow = _find(parent, name)
        version = _newest(self.workflow)
        if version is None:
            raise CannotStart(f"“{self.workflow.name}” has no published version.", fix="Publish it first.")
        self.version = version
        definition = prepared(version.pk, version.content_hash).definition
        # What comes from another workflow may hold more than this one asks for.
        checked = check_input(definition, data, strict=False)
        if checked.problems:
            raise CannotStart(
                f"“{self.workflow.name}” does not take this input: {checked.problems[0].message}",
                code="invalid_input",
                fix=checked.problems[0].fix,
            )
        self.input = checked.values
        self.yolo = bool(definition.settings.get("yolo")) or parent.yolo
        self.steps_total = len(definition.children(None))

    def write(self, step_run: UUID) -> None:
        """Create the run; a step that was interrupted between two tries finds the one that it has."""
        if not Run.objects.filter(parent_step_id=step_run).exists():
            self._create("run", step_run)

    def write_for_failure(self) -> None:
        """Create the run as the workflow's answer to a failure: nobody waits for it."""
        self._create("failure", None)

    def _create(self, trigger_type: str, step_run: UUID | None) -> None:
        parent = self.parent
        actor = Actor(tenant=parent.tenant, role=Role.OWNER, user=parent.started_by, api_key=parent.api_key)
        run = create_run(
            self.workflow,
            self.version,
            actor,
            data=self.input,
            variables={},
            test=parent.kind == Run.Kind.TEST,
            yolo=self.yolo,
            trigger_type=trigger_type,
            trigger_data={"run": str(parent.pk), "number": parent.number},
            steps_total=self.steps_total,
            parent=parent,
            parent_step=step_run,
        )
        doorbell.ring(run.pk)


def _find(parent: Run, name: str) -> Workflow:
    """The workflow of the parent's tenant with this id, else with this name."""
    visible = Workflow.objects.for_tenant(parent.tenant).filter(deleted_at__isnull=True)
    try:
        found = visible.filter(pk=UUID(name)).first()
    except (ValueError, ValidationError):
        named = list(visible.filter(name__iexact=name)[:2])
        if len(named) > 1:
            raise CannotStart(
                f"There are several workflows named “{name}”.", fix="Write the id of one."
            ) from None
        found = named[0] if named else None
    if found is None:
        raise CannotStart(f"There is no workflow “{name}” in this workspace.", fix="Choose one that exists.")
    if found.status == Workflow.Status.ARCHIVED:
        raise CannotStart(f"“{found.name}” is archived, so it takes no new runs.", fix="Unarchive it.")
    return found


def _newest(workflow: Workflow) -> WorkflowVersion | None:
    versions = WorkflowVersion.objects.filter(workflow=workflow, number__isnull=False).defer("document")
    return versions.order_by("-number").first()


def tell_parent(run: Run) -> None:
    """In the transaction in which a child ends: mail to the run that waits for it."""
    if run.parent_id is None or run.parent_step_id is None:
        return
    changed = Run.objects.filter(pk=run.parent_id).update(mail_seq=F("mail_seq") + 1, wake_at=utc_now())
    if changed:
        Mail.objects.create(
            run_id=run.parent_id, tenant_id=run.tenant_id, kind=MailKind.CHILD, payload={"run": str(run.pk)}
        )
        doorbell.ring(run.parent_id)


def cancel_children(step_runs: Iterable[UUID]) -> None:
    """Nobody waits for these runs any more: they are cancelled, and cancel their own in turn."""
    children = Run.objects.filter(parent_step_id__in=list(step_runs), status__in=_OPEN).exclude(
        intent=Intent.CANCEL
    )
    for pk in list(children.values_list("pk", flat=True)):
        Run.objects.filter(pk=pk).update(
            intent=Intent.CANCEL, intent_by="the run above", mail_seq=F("mail_seq") + 1, wake_at=utc_now()
        )
        doorbell.ring(pk)


def descendants(run: Run) -> list[UUID]:
    """Every unfinished run below this one."""
    found: list[UUID] = []
    level = [run.pk]
    while level:
        level = list(Run.objects.filter(parent_id__in=level, status__in=_OPEN).values_list("pk", flat=True))
        found += level
    return found
