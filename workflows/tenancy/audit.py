"""The audit log: one sentence's worth of facts per deed, in the transaction of the deed, never changed."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import models

from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import AuditEntry


def record(
    actor: Actor,
    action: str,
    obj: models.Model,
    *,
    before: JSONObject | None = None,
    after: JSONObject | None = None,
) -> AuditEntry:
    """Write who did `action` (past tense, such as `published`) to `obj`; call it inside the deed's transaction."""
    return AuditEntry.objects.create(
        tenant=actor.tenant,
        actor=actor.user,
        api_key=actor.api_key,
        actor_label=actor.label[:200],
        action=action,
        object_type=obj._meta.model_name or "",
        object_id=str(obj.pk),
        object_label=str(obj)[:255],
        ip=actor.ip,
        before=before,
        after=after,
    )


def changes(before: Mapping[str, JSONValue], after: Mapping[str, JSONValue]) -> tuple[JSONObject, JSONObject]:
    """Only what differs, as (before, after)."""
    names = [name for name in after if before.get(name) != after[name]]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}
