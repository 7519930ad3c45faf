"""What changed in a draft, step by step: kept with every save, for undo, for others' pages and for late saves.

`drafts.write_draft` calls `remember_change`; nobody else has to think of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from workflows.definition import patches
from workflows.definition.graph import Definition
from workflows.lib.clock import utc_now
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.models import DraftChange, Workflow
from workflows.tenancy.actor import Actor

# So many changes of a draft are kept; older ones cannot be undone any more.
MOST_KEPT: Final = 300
# Saves of one field within this time of each other are one burst of typing, taken back at once.
BURST: Final = timedelta(seconds=4)
LONGEST_BURST: Final = timedelta(seconds=60)
_CLEAN_EVERY: Final = 25

Origin = DraftChange.Origin
State = DraftChange.State


def remember_change(
    workflow: Workflow,
    before: Definition,
    after: Definition,
    *,
    actor: Actor,
    message: str = "",
    origin: str = Origin.EDIT,
    about: Mapping[str, tuple[JSONValue, JSONValue]] | None = None,
    revs: Mapping[str, int] | None = None,
) -> DraftChange | None:
    """Keep what this save did; `workflow.revision` is the new one already, `revs` the revisions of the changed steps.

    A new edit ends what its author could still redo. None when nothing differs.
    """
    patch = patches.patch_between(before, after, about)
    if not patch["items"] and "lists" not in patch:
        return None
    patch["revs"] = dict(revs or {})
    now = utc_now()
    mine = DraftChange.objects.filter(workflow=workflow, author=actor.user)
    if origin == Origin.EDIT and actor.user is not None:
        latest = DraftChange.objects.filter(workflow=workflow).order_by("-id").first()
        if latest is not None and _continues(latest, actor, workflow, patch):
            latest.patch = {**patches.joined(latest.patch, patch), "revs": patch["revs"]}
            latest.revision = workflow.revision
            latest.updated_at = now
            latest.save(update_fields=["patch", "revision", "updated_at"])
            return latest
        mine.filter(state=State.UNDONE).update(state=State.DROPPED)
    made = DraftChange.objects.create(
        workflow=workflow,
        tenant_id=workflow.tenant_id,
        author=actor.user,
        revision=workflow.revision,
        origin=origin,
        message=message[:500],
        patch=patch,
        created_at=now,
        updated_at=now,
    )
    if workflow.revision % _CLEAN_EVERY == 0:
        _forget_old(workflow)
    return made


def _continues(latest: DraftChange, actor: Actor, workflow: Workflow, patch: JSONObject) -> bool:
    now = utc_now()
    return (
        latest.origin == Origin.EDIT
        and latest.state == State.DONE
        and actor.user is not None
        and latest.author_id == actor.user.pk
        and latest.revision == workflow.revision - 1
        and now - latest.updated_at < BURST
        and now - latest.created_at < LONGEST_BURST
        and patches.same_place(latest.patch, patch)
    )


def _forget_old(workflow: Workflow) -> None:
    kept = DraftChange.objects.filter(workflow=workflow).order_by("-id")
    oldest = kept.values_list("id", flat=True)[MOST_KEPT : MOST_KEPT + 1].first()
    if oldest is not None:
        DraftChange.objects.filter(workflow=workflow, id__lte=oldest).delete()


def changes_since(workflow: Workflow, revision: int) -> list[DraftChange] | None:
    """Everything after this revision of the draft, oldest first; None when that is not known any more.

    A burst of typing stands at its last revision. Publishing raises the revision without a change.
    """
    found = list(
        DraftChange.objects.filter(workflow=workflow, revision__gt=revision)
        .select_related("author")
        .order_by("id")[: MOST_KEPT + 1]
    )
    if len(found) > MOST_KEPT:
        return None
    return found


def fields_changed_since(workflow: Workflow, key: str, revision: int) -> dict[str, DraftChange] | None:
    """The step's fields (`config.prompt`) that were changed after this revision of the *step*, with their last change.

    None when the step was replaced, or the history does not reach back so far: then all of it may have changed.
    """
    rows = DraftChange.objects.filter(workflow=workflow, patch__items__steps__has_key=key)
    found: dict[str, DraftChange] = {}
    covered = False
    # Newest first, until the one that the asker knows.
    for row in rows.select_related("author").order_by("-id").iterator(chunk_size=20):
        rev = row.patch.get("revs", {}).get(key)
        if rev is not None and rev <= revision:
            covered = True
            break
        names = patches.touched_fields(row.patch, key)
        if names is None:
            return None
        for name in names:
            found.setdefault(name, row)
    if not covered:
        # The card may have been made before history was kept, or its history was cut: count what is missing.
        first = min((row.patch["revs"].get(key, 0) for row in found.values()), default=0)
        if first == 0 or first > revision + 1:
            return None
    return found
