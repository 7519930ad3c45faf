"""/api/prompts and /api/personas: what the library offers, to be named in the config of a step."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from ninja import Field, Router, Schema

from workflows.api.base import THING, answer, errors, page, stamp
from workflows.api.workflows import actor_of
from workflows.lib.jsontypes import JSONObject
from workflows.models import Prompt, PromptVersion
from workflows.services.library import personas_of, prompts_of
from workflows.tenancy.access import get_or_404
from workflows.tenancy.roles import Permission

prompt_router = Router(tags=["Library"])
persona_router = Router(tags=["Library"])


class PromptVersionOut(Schema):
    version: int
    text: str
    parameters: list[dict[str, Any]] = Field(
        ..., description="`{name, type, required, default, description, options}` of each."
    )
    note: str
    created_by: str | None
    created_at: str


class PromptOut(PromptVersionOut):
    """A prompt with its newest version. A step names it: `{"library_prompt": {"name", "version", "parameters"}}`."""

    id: str
    name: str
    description: str


class PromptWithVersionsOut(PromptOut):
    versions: list[PromptVersionOut]


class PromptPage(Schema):
    items: list[PromptOut]
    count: int


class PersonaOut(Schema):
    """A step names it: `{"persona": "Athena"}`."""

    name: str
    description: str
    colour: int
    text: str
    is_builtin: bool = Field(..., description="true: it came with Stepwell and nobody here has changed it.")


class PersonaPage(Schema):
    items: list[PersonaOut]
    count: int


def _version_json(row: PromptVersion) -> JSONObject:
    return {
        "version": row.number,
        "text": row.text,
        "parameters": row.parameters,
        "note": row.note,
        "created_by": str(row.created_by) if row.created_by is not None else None,
        "created_at": stamp(row.created_at),
    }


def _prompt_json(prompt: Prompt, newest: PromptVersion) -> JSONObject:
    words = {"id": str(prompt.pk), "name": prompt.name, "description": prompt.description}
    return {**words, **_version_json(newest)}


@prompt_router.get(
    "", response={200: PromptPage, **errors()}, operation_id="list_prompts", summary="List the prompts"
)
def list_prompts(request: HttpRequest) -> HttpResponse:
    """Every prompt of the library with its newest version, by name."""
    actor = actor_of(request)
    actor.require(Permission.VIEW)
    rows = prompts_of(actor.tenant)
    return page([_prompt_json(row.prompt, row) for row in rows], len(rows))


@prompt_router.get(
    "/{id}",
    response={200: PromptWithVersionsOut, **THING},
    operation_id="get_prompt",
    summary="Get a prompt",
)
def get_prompt(request: HttpRequest, id: str) -> HttpResponse:
    """The prompt with all of its versions, newest first."""
    actor = actor_of(request)
    offered = Prompt.objects.for_tenant(actor.tenant).filter(removed_at=None)
    prompt = get_or_404(offered, actor, id)
    versions = list(prompt.versions.select_related("created_by"))
    return answer({**_prompt_json(prompt, versions[0]), "versions": [_version_json(row) for row in versions]})


@persona_router.get(
    "", response={200: PersonaPage, **errors()}, operation_id="list_personas", summary="List the personas"
)
def list_personas(request: HttpRequest) -> HttpResponse:
    """The tenant's personas and the built-in ones, by name."""
    actor = actor_of(request)
    actor.require(Permission.VIEW)
    cards = personas_of(actor.tenant)
    return page(
        [
            {
                "name": card.name,
                "description": card.description,
                "colour": card.colour,
                "text": card.text,
                "is_builtin": card.row is None,
            }
            for card in cards
        ],
        len(cards),
    )
