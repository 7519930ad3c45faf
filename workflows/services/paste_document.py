"""Steps that were copied as text become steps of a draft again."""

from __future__ import annotations

from workflows.definition.exchange import fragment_from_json
from workflows.definition.graph import Definition
from workflows.definition.operations import After, AtEnd, Before, Edit, OnEdge, paste
from workflows.definition.places import Place
from workflows.definition.travel import with_workflow_names
from workflows.definition.types import TypeCatalog, main_port
from workflows.lib.documents import read_document
from workflows.lib.errors import Invalid
from workflows.models import Workflow
from workflows.services.drafts import apply_operation
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission


def read_fragment(text: str, catalog: TypeCatalog = CATALOG) -> Definition:
    """The steps in a text: of a selection, of one workflow, or of a template's file.

    Raises TooLarge, and Invalid with every problem, each with line and path.
    """
    document = read_document(text)
    try:
        found = fragment_from_json(document.data, catalog)
    except Invalid as error:
        raise Invalid(error.message, code=error.code, problems=document.placed(error.problems)) from error
    return with_workflow_names(found, str.strip)


def paste_document(
    *,
    workflow: Workflow,
    actor: Actor,
    text: str,
    after: str = "",
    place: Place | None = None,
    expected_revision: int | None = None,
    catalog: TypeCatalog = CATALOG,
) -> Edit:
    """Put the text's steps into the draft: at `place`, else right after the step `after`, else at the end.

    They get fresh keys and labels that are free, references among them follow. Raises like `read_fragment`, what the
    operation refuses, and Stale, Conflict, NotFound and NotAllowed like `apply_operation`; then nothing was written.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    fragment = read_fragment(text, catalog)
    return apply_operation(
        workflow=workflow,
        actor=actor,
        operation=lambda draft: paste(
            draft, fragment, place or place_after(draft, after, catalog) or AtEnd(), catalog
        ),
        expected_revision=expected_revision,
    )


def place_after(draft: Definition, key: str, catalog: TypeCatalog = CATALOG) -> Place | None:
    """Right after this step: on the path by its main way out where there is one, else as its next;
    before it where nothing can follow. None without a step."""
    step = draft.by_key.get(key)
    if step is None:
        return None
    port = main_port(step, catalog)
    main = [edge for edge in draft.outgoing(key) if edge.port == port]
    if main:
        return OnEdge(main[0].id)
    return After(key, port) if port is not None else Before(key)
