"""Saves of a page that has not seen everything: edits of different things both stay, of the same thing they are refused."""

from __future__ import annotations

from collections.abc import Iterator

from workflows.definition.graph import Definition
from workflows.definition.patches import patch_between, touched_fields
from workflows.lib.errors import Stale
from workflows.lib.jsontypes import JSONObject
from workflows.models import DraftChange, Step, Workflow
from workflows.services.draft_history import changes_since, fields_changed_since


def refuse_late_card(
    workflow: Workflow, key: str, before: Definition, after: Definition, known_revision: int
) -> None:
    """Stale when the edit writes a field of the step that somebody changed after `known_revision` (the step's).

    Call it with the workflow's row held. Costs one query, more only when the card is not the newest.
    """
    revision = Step.objects.filter(workflow=workflow, key=key).values_list("revision", flat=True).first()
    if revision is None or revision == known_revision:
        return
    mine = touched_fields(patch_between(before, after), key)
    if mine is not None and not mine:
        return
    theirs = fields_changed_since(workflow, key, known_revision)
    label = before.step(key).label
    if mine is None or theirs is None:
        raise Stale(f"“{label}” was changed in the meantime.")
    for name in sorted(mine & theirs.keys()):
        raise Stale(f"{_who(theirs[name])} changed this in the meantime.")


def refuse_late_whole(workflow: Workflow, before: Definition, after: Definition, known_revision: int) -> None:
    """Stale when the edit writes a variable, a setting or a step's field that was changed after this draft's revision."""
    if workflow.revision <= known_revision:
        return
    since = changes_since(workflow, known_revision)
    mine = set(_places(patch_between(before, after)))
    if since is None:
        if mine:
            raise Stale(f"“{workflow.name}” was changed in the meantime. Reload, and make your change again.")
        return
    for change in since:
        if any(_meet(place, other) for place in mine for other in _places(change.patch)):
            raise Stale(
                f"{_who(change)} changed this in the meantime. Look at it again, then make your change."
            )


def _places(patch: JSONObject) -> Iterator[tuple[str, str, str]]:
    for part, changes in patch["items"].items():
        for key, change in changes.items():
            if change["was"] is None or change["now"] is None:
                yield part, key, ""
            else:
                for name in {*change["was"], *change["now"]}:
                    yield part, key, name


def _meet(one: tuple[str, str, str], other: tuple[str, str, str]) -> bool:
    """The same field, or one of them is about the whole thing (it came, or went)."""
    return one[:2] == other[:2] and (one[2] == other[2] or "" in (one[2], other[2]))


def _who(change: DraftChange) -> str:
    return str(change.author) if change.author is not None else "Somebody"
