"""Export and import: the same text elsewhere, nothing written on refusal, existing names as the person decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from templates_app.models import WorkflowTemplate
from templates_app.services.load_builtin import load_builtin_templates
from templates_app.services.use_template import use_template
from tests.support.factories import World
from workflows.definition.schema import parse_definition
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound
from workflows.models import Workflow
from workflows.services.change_prompt import create_prompt
from workflows.services.change_workflow import archive_workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft
from workflows.services.export_workflows import copy_as_text, export_workflow, export_workflows
from workflows.services.import_workflows import Done, import_document, look_through
from workflows.services.publish_workflow import publish_workflow
from workflows.steps.catalog import CATALOG
from workflows.tenancy.models import AuditEntry, Project

pytestmark = pytest.mark.django_db

BUILTIN = sorted(
    path.stem for path in (Path(__file__).parents[3] / "templates_app" / "builtin").glob("*.yaml")
)


def make(world: World, name: str, nodes: list[dict[str, Any]], **fields: Any) -> Workflow:
    settings = fields.pop("settings", {})
    definition = parse_definition({"nodes": nodes, "settings": settings}, CATALOG)
    return create_workflow(actor=world.bob, name=name, definition=definition, **fields)


def merge(key: str = "a", label: str = "A") -> dict[str, Any]:
    return {"id": key, "type": "merge", "name": label}


def test_every_built_in_template_imports_into_another_tenant_and_exports_to_the_same_text(world: World):
    load_builtin_templates()
    for template in WorkflowTemplate.objects.filter(tenant=None):
        use_template(template=template, actor=world.alice, name=template.name)
    for format in ("yaml", "json"):
        first = export_workflows(actor=world.alice, format=format)
        assert first.text.count("name: " if format == "yaml" else '"name": ') > len(BUILTIN) * 5
        Workflow.objects.for_tenant(world.other).update(deleted_at="2026-01-01T00:00Z")
        made = import_document(actor=world.charlie, text=first.text)
        assert [one.done for one in made] == [Done.CREATED] * len(BUILTIN)
        assert export_workflows(actor=world.charlie, format=format).text == first.text
        for one in made:
            theirs = Workflow.objects.for_tenant(world.tenant).get(name=one.name)
            assert (
                export_workflow(workflow=one.workflow, actor=world.charlie).text
                == export_workflow(workflow=theirs, actor=world.vera).text
            )


def test_words_tags_and_projects_travel_and_missing_projects_are_made(world: World):
    launch = Project.objects.create(tenant=world.tenant, name="Launch")
    make(world, "Brief", [merge()], description="What\nfor", tags=["News", "no"], project=launch)
    make(world, "Alone", [merge()])
    text = export_workflows(actor=world.vera, project=launch).text
    assert "Alone" not in text
    (entry,) = look_through(actor=world.charlie, text=text)
    assert (entry.new_project, entry.existing, entry.errors) == (True, None, 0)
    assert not Project.objects.for_tenant(world.other).exists()
    (made,) = import_document(actor=world.charlie, text=text)
    found = Workflow.objects.get(pk=made.workflow.pk)
    assert (found.description, found.tags, found.project and found.project.name) == (
        "What\nfor",
        ["News", "no"],
        "Launch",
    )
    assert export_workflows(actor=world.charlie).text == text
    assert AuditEntry.objects.filter(tenant=world.other, action="imported").count() == 1


def test_workflows_that_others_run_are_named_and_follow_a_new_name(world: World):
    inner = make(world, "Inner", [merge()])
    run = {"id": "r", "type": "subworkflow", "name": "Run it", "config": {"workflow": str(inner.pk)}}
    make(world, "Outer", [run], settings={"error_workflow": str(inner.pk)})
    text = export_workflows(actor=world.bob).text
    assert str(inner.pk) not in text
    assert "workflow: Inner" in text
    assert "error_workflow: Inner" in text
    made = import_document(actor=world.bob, text=text)  # all names are taken here
    assert [one.workflow.name for one in made] == ["Inner 2", "Outer 2"]
    copy = compile_draft(made[1].workflow)
    assert copy.step("r").config["workflow"] == "Inner 2"
    assert copy.settings["error_workflow"] == "Inner 2"
    alone = export_workflow(workflow=Workflow.objects.get(name="Outer"), actor=world.bob).text
    (entry,) = look_through(actor=world.charlie, text=alone)
    said = [problem for problem in entry.problems if problem.code == "unknown_workflow"]
    assert [problem.step for problem in said] == ["Run it", None]
    assert all((problem.path or "").startswith("line ") for problem in said)


def test_a_name_that_is_there_already_is_copied_replaced_or_left_alone(world: World):
    ours = make(world, "Brief", [merge()])
    publish_workflow(workflow=ours, actor=world.bob)
    text = export_workflow(workflow=ours, actor=world.bob).text.replace("name: A", "name: B")
    (left,) = import_document(actor=world.bob, text=text, if_there="skip")
    assert (left.done, left.workflow) == (Done.SKIPPED, ours)
    assert compile_draft(ours).step("a").label == "A"
    (changed,) = import_document(actor=world.bob, text=text, choices={"Brief": "draft"})
    assert (changed.done, changed.workflow.pk) == (Done.CHANGED, ours.pk)
    assert compile_draft(ours).step("a").label == "B"
    assert ours.versions.count() == 1
    (copy,) = import_document(actor=world.bob, text=text)
    assert (copy.done, copy.workflow.name) == (Done.CREATED, "Brief 2")
    archive_workflow(workflow=ours, actor=world.bob)
    with pytest.raises(Conflict, match="archived"):
        import_document(actor=world.bob, text=text, if_there="draft")
    with pytest.raises(Invalid, match="no “nonsense”"):
        import_document(actor=world.bob, text=text, if_there="nonsense")


def test_nothing_is_written_when_anything_is_wrong(world: World):
    text = """stepwell: 1
workflows:
  - name: Good
    project: New one
    nodes: [{id: a, type: merge, name: A}]
  - name: ""
    tags: ["%s"]
    nodes:
      - {id: a, type: merge, name: A}
      - {id: b, type: merge, name: a}
""" % ("x" * 60)
    before = AuditEntry.objects.count()
    with pytest.raises(Invalid) as caught:
        import_document(actor=world.bob, text=text)
    places = [problem.path for problem in caught.value.problems]
    assert "line 6, workflows[1].name" in places
    assert "line 7, workflows[1].tags" in places
    assert any((place or "").startswith("line 10, workflows[1].nodes[1]") for place in places)
    assert not Workflow.objects.exists()
    assert not Project.objects.exists()
    assert AuditEntry.objects.count() == before


def test_what_cannot_be_published_yet_may_be_a_draft_and_is_said_before(world: World):
    text = "name: Half\nnodes:\n  - {id: a, type: llm, name: Ask}\n"
    (entry,) = look_through(actor=world.bob, text=text)
    assert entry.errors
    assert [(p.path or "").split(",")[0] for p in entry.problems if p.is_error] == ["line 3"] * entry.errors
    (made,) = import_document(actor=world.bob, text=text)
    assert made.workflow.status == Workflow.Status.DRAFT


def test_no_secret_travels(world: World):
    node = {"id": "h", "type": "http_request", "name": "Call", "config": {"url": "https://x.example"}}
    node["config"]["headers"] = {"X-Kind": "a"}
    workflow = make(world, "Caller", [node])
    step = workflow.steps.get()
    step.config = {**step.config, "headers": {"X-Kind": "a", "Authorization": "Bearer sk-very"}}
    step.save()
    workflow.triggers.create(
        tenant=world.tenant, key="t", type="webhook", config={"path": "in", "auth": {"hmac_secret": "s3cret"}}
    )
    found = export_workflow(workflow=workflow, actor=world.vera)
    assert "sk-very" not in found.text
    assert "s3cret" not in found.text
    assert "X-Kind: a" in found.text
    assert found.left_out == (
        "Caller: the header Authorization of “Call”",
        "Caller: hmac_secret of the trigger “webhook”",
    )


def test_roles_and_tenants_hold(world: World):
    ours = make(world, "Ours", [merge()])
    text = export_workflow(workflow=ours, actor=world.vera).text
    with pytest.raises(NotAllowed):
        import_document(actor=world.vera, text=text)
    with pytest.raises(NotFound):
        export_workflow(workflow=ours, actor=world.charlie)
    with pytest.raises(NotFound):
        copy_as_text(workflow=ours, actor=world.charlie, keys=["a"])
    assert export_workflows(actor=world.charlie, workflows=[ours]).text == "stepwell: 1\nworkflows: []\n"
    assert "name: A" in copy_as_text(workflow=ours, actor=world.vera, keys=["a"])


def test_a_tenants_workflows_are_read_in_a_constant_number_of_queries(
    world: World, django_assert_max_num_queries
):
    for number in range(12):
        make(world, f"Number {number}", [merge()])
    with django_assert_max_num_queries(6):
        export_workflows(actor=world.vera)


def test_prompts_and_personas_are_named_and_missing_ones_are_said_with_their_place(world: World):
    create_prompt(actor=world.bob, name="House style", text="Write plainly.")
    config = {"library_prompt": {"name": "House style"}, "persona": "Analyst of ours"}
    workflow = make(world, "Styled", [{"id": "a", "type": "llm", "name": "Write", "config": config}])
    text = export_workflow(workflow=workflow, actor=world.bob).text
    assert "name: House style" in text
    (here,) = look_through(actor=world.bob, text=text)
    assert "unknown_prompt" not in {problem.code for problem in here.problems}
    (there,) = look_through(actor=world.charlie, text=text)
    said = {problem.code: problem.path or "" for problem in there.problems}
    # The prompt comes along; the persona is nobody's, here neither.
    assert [one.name for one in there.brings.prompts] == ["House style"]
    assert "unknown_prompt" not in said
    assert said["unknown_persona"].startswith("line ")
    import_document(actor=world.charlie, text=text)
    assert export_workflows(actor=world.charlie).text == text
