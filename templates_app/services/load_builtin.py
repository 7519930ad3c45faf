"""Brings the built-in templates of `templates_app/builtin/*.yaml` into the database, writing only what has changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from django.db import transaction

from templates_app.models import WorkflowTemplate
from templates_app.services.change_template import set_definition
from templates_app.services.documents import TemplateFile, read_file
from templates_app.services.names import free_slug
from workflows.lib.clock import utc_now
from workflows.lib.errors import Invalid

BUILTIN: Final = Path(__file__).resolve().parent.parent / "builtin"


@dataclass(frozen=True, slots=True)
class Loaded:
    """Slugs by what happened to them."""

    made: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()


def read_folder(folder: Path) -> list[TemplateFile]:
    """Every template file of a folder, in the order of their names; Invalid names file and place."""
    files: dict[str, TemplateFile] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise Invalid(f"{path.name}: This is not UTF-8 (byte {error.start + 1}).") from error
        found = read_file(text, name=path.name)
        if found.slug in files:
            raise Invalid(f"{path.name}: slug: Another file has the slug “{found.slug}” already.")
        files[found.slug] = found
    return list(files.values())


def load_builtin_templates(folder: Path = BUILTIN) -> Loaded:
    """Make, renew and withdraw built-in templates so that they are those of the files; all or nothing.

    A template whose file has not changed is left as it is, whatever an admin did to it. One whose file has gone is
    withdrawn, and comes back with its file. Raises Invalid (file and place) before anything is written.
    """
    return store(read_folder(folder))


@transaction.atomic
def store(files: Iterable[TemplateFile]) -> Loaded:
    everybody = WorkflowTemplate.objects.filter(tenant=None).select_for_update()
    known = {row.slug: row for row in everybody}
    made, changed, unchanged = [], [], []
    wanted = set()
    for file in files:
        wanted.add(file.slug)
        row = known.get(file.slug)
        if row is not None and not row.is_builtin:
            # The address belongs to the product; what people made keeps everything but its slug.
            _move(row)
            row = None
        if row is None:
            row = WorkflowTemplate(
                source=WorkflowTemplate.Source.FILE, status=WorkflowTemplate.Status.PUBLISHED
            )
            _fill(row, file)
            made.append(file.slug)
        elif row.loaded_hash == file.digest:
            unchanged.append(file.slug)
        else:
            if not row.loaded_hash:
                row.status = WorkflowTemplate.Status.PUBLISHED
            _fill(row, file)
            changed.append(file.slug)
    gone = [row for row in known.values() if row.is_builtin and row.loaded_hash and row.slug not in wanted]
    for row in gone:
        row.status, row.loaded_hash, row.updated_at = WorkflowTemplate.Status.WITHDRAWN, "", utc_now()
        row.save(update_fields=["status", "loaded_hash", "updated_at"])
    return Loaded(tuple(made), tuple(changed), tuple(unchanged), tuple(row.slug for row in gone))


def _fill(row: WorkflowTemplate, file: TemplateFile) -> None:
    for name in ("slug", "name", "category", "icon", "description", "outcome"):
        setattr(row, name, getattr(file, name))
    set_definition(row, file.definition)
    row.sample = file.sample
    row.loaded_hash, row.updated_at = file.digest, utc_now()
    row.save()


def _move(row: WorkflowTemplate) -> None:
    row.slug, row.updated_at = free_slug(row.tenant, row.slug), utc_now()
    row.save(update_fields=["slug", "updated_at"])
