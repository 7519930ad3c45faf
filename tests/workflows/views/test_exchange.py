"""The pages of import and export, and the commands."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError

from tests.support.factories import World, client_of
from workflows.definition.schema import parse_definition
from workflows.models import Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft
from workflows.services.publish_workflow import publish_workflow
from workflows.steps.catalog import CATALOG
from workflows.tenancy.models import Project

pytestmark = pytest.mark.django_db

TEXT = """stepwell: 1
workflows:
  - name: Brief
    project: Launch
    nodes:
      - {id: a, type: clean_text, name: Tidy}
      - {id: b, type: llm, name: Ask}
    edges:
      - {id: e, source_node_id: a, target_node_id: b}
  - name: Other
    nodes: [{id: a, type: merge, name: A}]
"""


@pytest.fixture
def ours(world: World) -> Workflow:
    definition = parse_definition({"nodes": [{"id": "a", "type": "merge", "name": "A"}]}, CATALOG)
    return create_workflow(actor=world.bob, name="Brief", definition=definition)


def test_a_pasted_document_is_looked_through_and_then_taken_over(world: World, ours: Workflow):
    client = client_of(world.bob)
    assert "Look through it" in client.get("/workflows/import/").content.decode()
    look = client.post("/workflows/import/", {"document": TEXT}).content.decode()
    assert "This document holds 2 workflows." in look
    assert "“Brief” is here already" in look
    assert "project Launch, which is made" in look
    assert "to put right before it can be published" in look
    assert "line 7, workflows[0].nodes[1]" in look
    assert Workflow.objects.count() == 1
    back = client.post("/workflows/import/", {"document": TEXT, "sure": "1", "back": "1"}).content.decode()
    assert "name: Brief" in back
    assert Workflow.objects.count() == 1
    done = client.post(
        "/workflows/import/", {"document": TEXT, "sure": "1", "choice_0": "draft"}, follow=True
    )
    assert "2 workflows are here, as drafts." in done.content.decode()
    assert [step.label for step in compile_draft(ours).steps] == ["Tidy", "Ask"]
    assert Project.objects.get().name == "Launch"
    skipped = client.post(
        "/workflows/import/",
        {"document": TEXT, "sure": "1", "choice_0": "skip", "choice_1": "skip"},
        follow=True,
    )
    assert "Nothing was taken over. 2 left as they were." in skipped.content.decode()


def test_a_file_is_taken_like_a_text_and_a_bad_one_is_refused_in_words(world: World):
    client = client_of(world.bob)
    sent = SimpleUploadedFile("brief.yaml", TEXT.replace("\n", "\r\n").encode())
    assert "holds 2 workflows" in client.post("/workflows/import/", {"file": sent}).content.decode()
    bad = client.post(
        "/workflows/import/", {"document": TEXT.replace("clean_text", "clean_txt"), "sure": "1"}
    )
    assert bad.status_code == 422
    html = bad.content.decode()
    assert "Nothing was taken over" in html
    assert "line 6, workflows[0].nodes[0].type" in html
    assert "clean_txt" in html
    assert not Workflow.objects.exists()
    latin = SimpleUploadedFile("latin.yaml", "name: é".encode("latin-1"))
    assert "not a text in UTF-8" in client.post("/workflows/import/", {"file": latin}).content.decode()
    assert "Choose a file or paste" in client.post("/workflows/import/", {}).content.decode()


def test_drafts_and_versions_are_files(world: World, ours: Workflow):
    publish_workflow(workflow=ours, actor=world.bob)
    client = client_of(world.vera)
    one = client.get(f"/workflows/{ours.pk}/export/")
    assert one["Content-Disposition"] == 'attachment; filename="brief.yaml"'
    assert client.get("/workflows/export/").content == one.content
    version = client.get(f"/workflows/{ours.pk}/export/?version=1&format=json")
    assert version["Content-Disposition"] == 'attachment; filename="brief-version-1.json"'
    assert version.json()["workflows"][0]["name"] == "Brief"
    for asked in ("2", "x", "9999999999"):
        assert client.get(f"/workflows/{ours.pk}/export/?version={asked}").status_code == 404


def test_the_commands_carry_a_tenant_to_another(world: World, ours: Workflow, tmp_path: Path):
    file = tmp_path / "all.yaml"
    call_command("export_workflows", tenant="marlowe", output=str(file))
    out = StringIO()
    call_command("import_workflows", str(file), tenant="corvus", dry_run=True, stdout=out)
    assert out.getvalue() == "Brief: new\n"
    assert not Workflow.objects.for_tenant(world.other).exists()
    call_command("import_workflows", str(file), tenant="corvus", stdout=out)
    again = StringIO()
    call_command("export_workflows", tenant="corvus", stdout=again)
    assert again.getvalue() == file.read_text()
    file.write_text(TEXT.replace("merge", "merg"))
    with pytest.raises(
        CommandError, match=r"(?s)Nothing was taken over.*line 11, workflows\[1\].nodes\[0\].type"
    ):
        call_command("import_workflows", str(file), tenant="corvus")
    with pytest.raises(CommandError, match="no workflow"):
        call_command("export_workflows", tenant="corvus", workflow=["None"])
    with pytest.raises(CommandError, match="no tenant"):
        call_command("export_workflows", tenant="nobody")
