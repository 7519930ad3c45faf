"""Seals every stored secret anew with the first of STEPWELL_ENCRYPTION_KEYS, so that old keys can be retired."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import models

from workflows.lib.encryption import Secret, Undecipherable, rotate
from workflows.tenancy.encrypted import SecretField


class Command(BaseCommand):
    help = (
        "Put a new key first in STEPWELL_ENCRYPTION_KEYS (the old one after it), restart, run this, then drop the old"
        " one. Safe to run again, and while Stepwell runs."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done, unread = 0, []
        for model in apps.get_models():
            for field in model._meta.concrete_fields:
                if isinstance(field, SecretField):
                    sealed, bad = _rotate(model, field.attname)
                    done += sealed
                    unread += bad
        self.stdout.write(f"{done} stored secrets are sealed with the newest key.")
        if unread:
            raise CommandError(
                f"{len(unread)} could not be read with any key, and are as they were: {', '.join(unread)}."
                " Give the server their former key, or enter them again."
            )


def _rotate(model: type[models.Model], name: str) -> tuple[int, list[str]]:
    done, unread = 0, []
    rows = model._default_manager.exclude(**{name: ""})
    for row in rows.iterator():
        before: Secret = getattr(row, name)
        try:
            after = rotate(before.token)
        except Undecipherable:
            unread.append(str(row))
            continue
        # Only where it is still the same: a key that is entered meanwhile is sealed with the newest already.
        done += model._default_manager.filter(**{"pk": row.pk, name: before}).update(**{name: Secret(after)})
    return done, unread
