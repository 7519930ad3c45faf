"""Files of a run: the whole of it as JSON, the items of a step as CSV."""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.http import StreamingHttpResponse
from django.utils.text import slugify
from django.views.decorators.http import require_GET

from runs.engine.scopes import Place
from runs.snapshots.export import items_csv, run_document
from runs.snapshots.item import container_row
from runs.views.acting import get_run
from workflows.lib.errors import NotFound
from workflows.tenancy.access import NOT_FOUND, TenantRequest, tenant_required


@require_GET
@tenant_required
def whole(request: TenantRequest, pk: uuid.UUID) -> StreamingHttpResponse:
    run = get_run(request, pk)
    return _file(
        run_document(run), "application/json", f"run-{run.number}-{slugify(run.workflow.name)}", "json"
    )


@require_GET
@tenant_required
def items_file(request: TenantRequest, pk: uuid.UUID, key: str) -> StreamingHttpResponse:
    """`?scope=` names the container's own item where it stands in another container."""
    run = get_run(request, pk)
    row = container_row(run, Place(key, request.GET.get("scope", "")[:255]))
    if row is None:
        raise NotFound(NOT_FOUND)
    return _file(items_csv(run, row), "text/csv", f"run-{run.number}-{slugify(row.label)}", "csv")


def _file(body: Iterable[str], kind: str, name: str, ending: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(body, content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name[:80]}.{ending}"'
    return response
