"""The fields of a workflow beside its graph: how they are cleaned, and what is said when they cannot be kept."""

from __future__ import annotations

from typing import Final

from workflows.lib.errors import Invalid, NotFound, Problem
from workflows.lib.jsontypes import JSONValue
from workflows.lib.limits import WORKFLOW_NAME_CHARS
from workflows.tenancy.access import get_or_404
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Project

MOST_TAGS: Final = 20
TAG_CHARS: Final = 50
DESCRIPTION_CHARS: Final = 10_000


def clean_name(name: JSONValue) -> str:
    """The name without spaces around it; Invalid unless it has 1 to 255 printable characters."""
    text = name.strip() if isinstance(name, str) else ""
    if not 0 < len(text) <= WORKFLOW_NAME_CHARS.value:
        _refuse("name", WORKFLOW_NAME_CHARS.says(), "Give the workflow a name.")
    _check_characters("name", text)
    return text


def clean_description(description: JSONValue) -> str:
    if not isinstance(description, str) or len(description) > DESCRIPTION_CHARS:
        _refuse("description", f"A description is text of at most {DESCRIPTION_CHARS:,} characters.")
    text = str(description).strip()
    _check_characters("description", text)
    return text


def clean_tags(tags: JSONValue) -> list[str]:
    """Tags without doubles (ignoring case), in the order given."""
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        _refuse("tags", "Tags are a list of texts.")
    found: dict[str, str] = {}
    for tag in tags:
        text = " ".join(tag.split())
        if len(text) > TAG_CHARS:
            _refuse("tags", f"A tag has at most {TAG_CHARS} characters.")
        _check_characters("tags", text)
        if text:
            found.setdefault(text.casefold(), text)
    if len(found) > MOST_TAGS:
        _refuse("tags", f"A workflow has at most {MOST_TAGS} tags.")
    return list(found.values())


def clean_project(project: object, actor: Actor) -> Project | None:
    """The project of the actor's tenant, given as itself or by its id; Invalid when there is none."""
    if project is None or project == "":
        return None
    try:
        return get_or_404(Project, actor, project.pk if isinstance(project, Project) else project)
    except NotFound as error:
        message = "There is no such project."
        raise Invalid(
            message, problems=(Problem("unknown_project", message, field="project", path="project"),)
        ) from error


def _check_characters(field: str, text: str) -> None:
    if "\x00" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        _refuse(field, f"The {field} holds a character that cannot be stored.", "Remove it.")


def _refuse(field: str, message: str, fix: str | None = None) -> None:
    raise Invalid(message, problems=(Problem("bad_value", message, field=field, path=field, fix=fix),))
