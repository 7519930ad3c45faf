"""A person's own views of the history: filters under a name, one of which may be what they see first."""

from __future__ import annotations

from django.db import transaction

from runs.models import SavedView
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

MOST_VIEWS = 50


def save_view(*, actor: Actor, name: str, query: str, default: bool = False) -> SavedView:
    """Keep filters (`query`: the tidy part of an address after its `?`) under a name; the same name is written over.

    Invalid without a name; Conflict when the person has MOST_VIEWS already, or for a key, which has no views.
    """
    actor.require(Permission.VIEW)
    if actor.user is None:
        raise Conflict("Views belong to people; an API key has none.")
    name = " ".join(name.split())
    if not 0 < len(name) <= 80:
        message = "A view has a name of 1 to 80 characters."
        raise Invalid(message, problems=(Problem("invalid", message, field="name"),))
    mine = SavedView.objects.for_tenant(actor.tenant).filter(user=actor.user)
    with transaction.atomic():
        if not mine.filter(name=name).exists() and mine.count() >= MOST_VIEWS:
            raise Conflict(f"You have {MOST_VIEWS} views. Remove one first.")
        if default:
            mine.exclude(name=name).filter(is_default=True).update(is_default=False)
        view, _ = SavedView.objects.update_or_create(
            tenant=actor.tenant,
            user=actor.user,
            name=name,
            defaults={"query": query[:2_000], "is_default": default},
        )
    return view


def default_view(*, view: SavedView, actor: Actor) -> SavedView:
    """Make the person's view the one they see first; where it is that already, none is any more."""
    with transaction.atomic():
        SavedView.objects.for_tenant(actor.tenant).filter(user=actor.user, is_default=True).exclude(
            pk=view.pk
        ).update(is_default=False)
        view.is_default = not view.is_default
        view.save(update_fields=["is_default"])
    return view
