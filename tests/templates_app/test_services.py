"""Starting from a template, and making one of a workflow."""

import json

import pytest
from django.urls import reverse

from templates_app.models import WorkflowTemplate
from templates_app.services.documents import checked
from templates_app.services.save_as_template import save_as_template
from templates_app.services.use_template import use_template
from tests.support.factories import World, client_of, template
from tests.support.runs import graph, step
from workflows.definition.graph import Definition
from workflows.lib.errors import Invalid, NotAllowed, NotFound
from workflows.models import Step, Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft
from workflows.services.samples import samples_of
from workflows.tenancy.models import AuditEntry


def two_steps() -> Definition:
    return graph(
        step("one", label="First", config={"expression": "1"}),
        step("two", label="Second", config={"mode": "template", "template": "{{steps.First.content}}"}),
    )


def test_a_template_becomes_a_draft_with_the_same_steps_and_paths(world: World):
    source = template(None, "Short", two_steps())
    workflow = use_template(template=source, actor=world.bob)
    assert (workflow.name, workflow.status, workflow.latest_version) == ("Short", "draft", 0)
    made = compile_draft(workflow)
    assert [one.label for one in made.steps] == ["First", "Second"]
    assert [(edge.source, edge.target) for edge in made.edges] == [("one", "two")]
    source.refresh_from_db()
    assert source.install_count == 1
    entry = AuditEntry.objects.get(action="used")
    assert (entry.object_label, entry.after["workflow"]) == ("Short", str(workflow.pk))


def test_each_use_gets_a_name_of_its_own_unless_one_is_given(world: World):
    source = template(None, "Short")
    names = [use_template(template=source, actor=world.bob).name for _ in range(3)]
    assert names == ["Short", "Short 2", "Short 3"]
    assert use_template(template=source, actor=world.bob, name=" Mine ").name == "Mine"
    assert use_template(template=source, actor=world.charlie).name == "Short"


@pytest.mark.parametrize("hidden", ["other tenant", "draft", "withdrawn"])
def test_what_the_tenant_does_not_see_cannot_be_used(world: World, hidden: str):
    source = (
        template(world.other, "Theirs") if hidden == "other tenant" else template(None, "Gone", status=hidden)
    )
    with pytest.raises(NotFound):
        use_template(template=source, actor=world.alice)
    source.refresh_from_db()
    assert source.install_count == 0
    assert not Workflow.objects.filter(tenant=world.tenant).exists()


def test_a_reviewer_may_not_start_from_a_template(world: World):
    with pytest.raises(NotAllowed):
        use_template(template=template(None), actor=world.rita)


def test_a_template_of_a_step_type_that_has_gone_is_refused_by_name_and_not_counted(world: World):
    source = template(None, "Old", graph(step("one", "teleport")))
    with pytest.raises(Invalid, match="teleport"):
        use_template(template=source, actor=world.bob)
    source.refresh_from_db()
    assert source.install_count == 0


def test_a_workflow_becomes_a_template_of_its_tenant_only(world: World):
    workflow = create_workflow(
        actor=world.bob, name="Ours", description="What we do.", definition=two_steps()
    )
    made = save_as_template(workflow=workflow, actor=world.bob, category="Support")
    assert (made.tenant, made.name, made.slug, made.category) == (world.tenant, "Ours", "ours", "Support")
    assert (made.description, made.status, made.source) == ("What we do.", "published", "people")
    assert made in WorkflowTemplate.objects.visible_to(world.tenant)
    assert made not in WorkflowTemplate.objects.visible_to(world.other)
    assert save_as_template(workflow=workflow, actor=world.bob).slug == "ours-2"


def test_a_workflow_comes_back_from_its_template_as_it_was(world: World):
    workflow = create_workflow(actor=world.bob, name="Ours", definition=two_steps())
    back = use_template(template=save_as_template(workflow=workflow, actor=world.bob), actor=world.bob)
    first, second = compile_draft(workflow), compile_draft(back)
    assert [(one.label, one.type, one.config) for one in second.steps] == [
        (one.label, one.type, one.config) for one in first.steps
    ]
    assert len(second.edges) == 1


def test_pinned_outputs_stay_behind(world: World):
    workflow = create_workflow(actor=world.bob, name="Ours", definition=two_steps())
    Step.objects.filter(workflow=workflow, key="one").update(pinned={"content": "a customer's letter"})
    made = save_as_template(workflow=workflow, actor=world.bob)
    assert "customer" not in made.document
    assert checked(json.loads(made.document)).steps[0].pinned is None


def test_a_draft_with_an_error_becomes_no_template(world: World):
    broken = graph(step("one", config={"mode": "template", "template": "{{steps.Nobody.content}}"}))
    workflow = create_workflow(actor=world.bob, name="Broken", definition=broken)
    with pytest.raises(Invalid, match="Nobody"):
        save_as_template(workflow=workflow, actor=world.bob)
    with pytest.raises(Invalid):
        save_as_template(workflow=create_workflow(actor=world.bob, name="Empty"), actor=world.bob)
    assert not WorkflowTemplate.objects.exists()


def test_words_that_are_too_long_are_named_by_their_field(world: World):
    workflow = create_workflow(actor=world.bob, name="Ours", definition=two_steps())
    with pytest.raises(Invalid) as caught:
        save_as_template(workflow=workflow, actor=world.bob, category="x" * 61)
    assert [problem.field for problem in caught.value.problems] == ["category"]


def test_the_workflow_of_another_tenant_is_not_there(world: World):
    workflow = create_workflow(actor=world.bob, name="Ours", definition=two_steps())
    with pytest.raises(NotFound):
        save_as_template(workflow=workflow, actor=world.charlie)
    with pytest.raises(NotAllowed):
        save_as_template(workflow=workflow, actor=world.vera)


def test_the_sample_that_is_chosen_goes_with_the_template_and_comes_with_its_workflows(world: World) -> None:
    source = template(None, "Short", two_steps())
    source.sample = {"text": "Hello"}
    workflow = use_template(template=source, actor=world.bob)
    assert [one.name for one in samples_of(workflow)] == ["Sample data"]
    client, address = client_of(world.bob), reverse("templates_app:save")
    assert "Sample data" in client.get(f"{address}?workflow={workflow.pk}").content.decode()
    sent = {"workflow": str(workflow.pk), "name": "Ours"}
    client.post(address, sent)
    assert WorkflowTemplate.objects.get(name="Ours").sample == {}, "nothing goes along unless it is chosen"
    client.post(address, {**sent, "name": "With it", "sample": str(samples_of(workflow).get().pk)})
    made = WorkflowTemplate.objects.get(name="With it")
    assert made.sample == samples_of(workflow).get().input
    assert samples_of(use_template(template=made, actor=world.bob)).get().input == made.sample
