"""Taking back one's own last change of a draft, and making it again (W8)."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet, Subquery

from workflows.definition import patches
from workflows.definition.graph import Definition
from workflows.definition.patches import Clash, Side
from workflows.definition.structure import structure_problems
from workflows.definition.types import TypeCatalog
from workflows.lib.errors import Conflict
from workflows.models import DraftChange, Workflow
from workflows.services.draft_history import Origin, State
from workflows.services.drafts import ABOUT_FIELDS, definition_of, lock_draft, read_rows, write_draft
from workflows.services.fields import clean_name
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record


class Clashing(Conflict):
    """Somebody changed the same since; nothing was written. `change` is what was to be turned, `clashes` says where."""

    def __init__(self, change: DraftChange, clashes: tuple[Clash, ...], *, back: bool) -> None:
        self.change = change
        self.clashes = clashes
        self.back = back
        super().__init__("Somebody has changed the same since.", code="clash")


@dataclass(frozen=True, slots=True)
class Undone:
    """What was turned; `definition` is the draft now, `keys` are the steps that it touched."""

    definition: Definition
    change: DraftChange
    message: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Possible:
    """What the actor could undo and redo now, in the words of those changes; empty: nothing."""

    undo: str = ""
    redo: str = ""


def undo(
    *,
    workflow: Workflow,
    actor: Actor,
    side: Side = Side.ASK,
    of_revision: int | None = None,
    catalog: TypeCatalog = CATALOG,
) -> Undone:
    """Take back the actor's own last change; `of_revision` is the draft's after it, where they mean one (a toast's button).

    Raises Clashing where others changed the same since and `side` is ASK; Conflict where there is nothing to undo.
    """
    return _turn(workflow, actor, side, of_revision, catalog, back=True)


def redo(
    *,
    workflow: Workflow,
    actor: Actor,
    side: Side = Side.ASK,
    of_revision: int | None = None,
    catalog: TypeCatalog = CATALOG,
) -> Undone:
    """Make the actor's change that was undone last again; raises like `undo`."""
    return _turn(workflow, actor, side, of_revision, catalog, back=False)


def possible(workflow: Workflow, actor: Actor) -> Possible:
    """For the buttons; one small query."""
    if actor.user is None:
        return Possible()
    found = Workflow.objects.filter(pk=workflow.pk).values_list(
        Subquery(_undoable(workflow, actor).values("message")[:1]),
        Subquery(_redoable(workflow, actor).values("message")[:1]),
    )
    done, undone = found.first() or (None, None)
    return Possible(_said(done), _said(undone))


def _said(message: str | None) -> str:
    return "" if message is None else message or "The last change"


def _undoable(workflow: Workflow, actor: Actor) -> QuerySet[DraftChange]:
    mine = DraftChange.objects.filter(workflow=workflow, author=actor.user, origin=Origin.EDIT)
    return mine.filter(state=State.DONE).order_by("-id")


def _redoable(workflow: Workflow, actor: Actor) -> QuerySet[DraftChange]:
    mine = DraftChange.objects.filter(workflow=workflow, author=actor.user, origin=Origin.EDIT)
    return mine.filter(state=State.UNDONE).order_by("-undone_at_revision", "-id")


def _turn(
    workflow: Workflow, actor: Actor, side: Side, of_revision: int | None, catalog: TypeCatalog, *, back: bool
) -> Undone:
    word = "undo" if back else "redo"
    with transaction.atomic():
        lock_draft(workflow, actor)
        source = _undoable(workflow, actor) if back else _redoable(workflow, actor)
        change = source.first() if actor.user is not None else None
        if change is None:
            raise Conflict(f"There is nothing to {word}.", code="nothing")
        if of_revision is not None and change.revision != of_revision:
            raise Conflict(
                f"You have changed something else since. Press {word.capitalize()} to take that first."
            )
        rows = read_rows(workflow)
        before = definition_of(rows, workflow.settings)
        about = {name: getattr(workflow, name) for name in ABOUT_FIELDS}
        turned = patches.turn(before, about, change.patch, back=back, side=side, catalog=catalog)
        if turned.clashes and side is Side.ASK:
            raise Clashing(change, turned.clashes, back=back)
        after = turned.definition
        if problems := structure_problems(after, catalog):
            raise Conflict(f"This cannot be {word}ne any more: {problems[0].message}")
        fields = {name: value for name, value in turned.about.items() if value != about[name]}
        if "name" in fields:
            fields["name"] = clean_name(fields["name"])
        said = change.message or "The last change"
        message = f"{'Undone' if back else 'Done again'}: {said}"
        origin = Origin.UNDO if back else Origin.REDO
        written = write_draft(
            workflow, rows, after, actor=actor, message=message, origin=origin, before=before, **fields
        )
        change.state = State.UNDONE if back else State.DONE
        change.undone_at_revision = workflow.revision if back else None
        change.save(update_fields=["state", "undone_at_revision"])
        if written:
            record(actor, "edited", workflow, after={"revision": workflow.revision, "what": message})
    return Undone(after, change, message, patches.touched_steps(change.patch))


def drop_change(*, workflow: Workflow, actor: Actor, change_id: int) -> None:
    """Let a change stand for good: undo goes on with the one before it."""
    with transaction.atomic():
        lock_draft(workflow, actor)
        DraftChange.objects.filter(workflow=workflow, author=actor.user, pk=change_id).update(
            state=State.DROPPED
        )
