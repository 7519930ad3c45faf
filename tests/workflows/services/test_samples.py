"""Sample inputs of a workflow: what is kept, refused, brought back, and taken along by copies and documents."""

from __future__ import annotations

import pytest

from tests.support import runs as make
from tests.support.factories import World
from workflows.definition.graph import Definition, VariableDef, VariableType
from workflows.lib.documents import write_yaml
from workflows.lib.errors import Conflict, Invalid, NotAllowed, NotFound
from workflows.models import SampleInput, Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.duplicate_workflow import duplicate_workflow
from workflows.services.export_workflows import export_workflow
from workflows.services.import_workflows import import_document, look_through
from workflows.services.samples import (
    remove_sample,
    rename_sample,
    restore_sample,
    samples_of,
    save_sample,
)
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db

ASKS = Definition(
    steps=make.graph(make.step("tidy", "clean_text", "Tidy")).steps,
    variables=(VariableDef("text", required=True), VariableDef("times", VariableType.NUMBER)),
)


@pytest.fixture
def asks(world: World) -> Workflow:
    return create_workflow(actor=world.bob, name="Asks", definition=ASKS)


def names(workflow: Workflow) -> list[str]:
    return [row.name for row in samples_of(workflow)]


def test_what_is_done_with_a_sample_is_in_the_log_and_can_be_taken_back(world: World, asks: Workflow) -> None:
    one = save_sample(workflow=asks, actor=world.bob, name="  Long  one ", data={"text": "x", "times": 2})
    assert (one.name, one.input) == ("Long one", {"text": "x", "times": 2})
    with pytest.raises(Conflict, match="“LONG ONE” already"):
        save_sample(workflow=asks, actor=world.bob, name="LONG ONE", data={"text": "y"})
    save_sample(workflow=asks, actor=world.bob, name="Long one", data={"text": "y"}, replace=True)
    assert samples_of(asks).get().input == {"text": "y"}
    rename_sample(sample=samples_of(asks).get(), actor=world.bob, name="Short")
    remove_sample(sample=samples_of(asks).get(), actor=world.bob)
    assert names(asks) == []
    save_sample(workflow=asks, actor=world.bob, name="Short", data={"text": "z"})
    gone = SampleInput.objects.for_tenant(world.tenant).get(removed_at__isnull=False)
    with pytest.raises(Conflict, match="already"):
        restore_sample(sample=gone, actor=world.bob)
    rename_sample(sample=samples_of(asks).get(), actor=world.bob, name="Another")
    restore_sample(sample=gone, actor=world.bob)
    assert names(asks) == ["Another", "Short"]
    with pytest.raises(Conflict):
        rename_sample(sample=samples_of(asks).get(name="Another"), actor=world.bob, name="short")
    told = (
        AuditEntry.objects.filter(object_type="sampleinput").order_by("pk").values_list("action", flat=True)
    )
    assert list(told) == ["saved", "changed", "renamed", "removed", "saved", "renamed", "restored"]


def test_what_a_run_would_not_take_is_refused_and_names_the_variable(world: World, asks: Workflow) -> None:
    with pytest.raises(Invalid) as refused:
        save_sample(workflow=asks, actor=world.bob, name="Bad", data={"times": "two", "txt": "x"})
    assert {(one.field, one.code) for one in refused.value.problems} == {
        ("text", "missing_input"),
        ("times", "bad_input"),
        ("txt", "unknown_input"),
    }
    for name, data in (("", {"text": "x"}), ("N", {"text": "a\x00"}), ("N", {"text": "x" * 200_001})):
        with pytest.raises(Invalid):
            save_sample(workflow=asks, actor=world.bob, name=name, data=data)
    assert names(asks) == []


def test_only_who_may_edit_this_workflow_keeps_samples_of_it(world: World, asks: Workflow) -> None:
    with pytest.raises(NotAllowed):
        save_sample(workflow=asks, actor=world.vera, name="N", data={"text": "x"})
    with pytest.raises(NotFound):
        save_sample(workflow=asks, actor=world.charlie, name="N", data={"text": "x"})
    Workflow.objects.filter(pk=asks.pk).update(status="archived")
    asks.refresh_from_db()
    with pytest.raises(Conflict, match="archived"):
        save_sample(workflow=asks, actor=world.bob, name="N", data={"text": "x"})


def test_samples_travel_with_a_copy_and_a_document_and_the_text_stays_the_same(
    world: World, asks: Workflow
) -> None:
    save_sample(workflow=asks, actor=world.bob, name="Zwei", data={"text": "b\nlines", "times": 2.5})
    save_sample(workflow=asks, actor=world.bob, name="eins", data={"text": "no", "times": 3})
    copy = duplicate_workflow(workflow=asks, actor=world.bob)
    assert names(copy) == ["eins", "Zwei"]
    text = export_workflow(workflow=asks, actor=world.bob).text
    (made,) = import_document(actor=world.charlie, text=text)
    assert export_workflow(workflow=made.workflow, actor=world.charlie).text == text
    assert samples_of(made.workflow).get(name="Zwei").input == {"text": "b\nlines", "times": 2.5}
    changed = text.replace("b\n", "c\n").replace("Asks", "Asks")
    import_document(actor=world.charlie, text=changed, if_there="draft")
    assert samples_of(made.workflow).get(name="Zwei").input["text"] == "c\nlines"
    assert samples_of(made.workflow).count() == 2


def test_a_document_with_broken_samples_writes_nothing_and_one_that_does_not_fit_is_told(
    world: World,
) -> None:
    def document(samples: object) -> str:
        node = {"id": "tidy", "type": "clean_text", "name": "Tidy"}
        variables = [{"name": "text", "type": "string", "required": True}]
        one = {"name": "W", "nodes": [node], "variables": variables, "samples": samples}
        return write_yaml({"workflows": [one]})

    bad = [{"name": "a", "input": {}}, {"name": "A", "input": []}, {"input": {}}, {"name": "b", "data": 1}]
    with pytest.raises(Invalid) as refused:
        import_document(actor=world.bob, text=document(bad))
    places = {(one.path or "").partition(", ")[2] for one in refused.value.problems}
    assert {
        "workflows[0].samples[1].name",
        "workflows[0].samples[1].input",
        "workflows[0].samples[2]",
        "workflows[0].samples[3].data",
    } <= places
    assert not Workflow.objects.for_tenant(world.tenant).exists()
    (entry,) = look_through(actor=world.bob, text=document([{"name": "Old", "input": {"words": "x"}}]))
    said = [one for one in entry.problems if "samples" in (one.path or "")]
    assert {one.field for one in said} == {"text", "words"}
    assert not any(one.is_error for one in said)
