"""The builder's parts that need runs: data with real values, texts as sent, testing a step and pinning its output."""

from __future__ import annotations

import json

import pytest
from django.urls import reverse

from runs.models import Attempt, Run
from runs.services.start_run import start_run
from runs.services.try_step import try_step
from tests.runs.support import definition_of, driven, node
from tests.support.factories import World, client_of
from workflows.definition.graph import Definition, FieldDecl
from workflows.models import Connection, Workflow
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import compile_draft

pytestmark = pytest.mark.django_db

LEAD = definition_of(
    [
        node(
            "tidy", name="Tidy the form", config={"mode": "template", "template": "clean {{input.company}}"}
        ),
        node("shape", name="Shape"),
        node(
            "score",
            "llm",
            name="Score",
            config={
                "prompt": "Score {{steps.Tidy the form.content}} of {{input.company}}",
                "system_prompt": "Be brief",
            },
        ),
    ],
    "tidy>shape>score",
    variables=[{"name": "company", "type": "string", "required": True}],
)


def drafted(world: World, definition: Definition = LEAD) -> Workflow:
    return create_workflow(actor=world.bob, name="Leads", definition=definition)


def address(name: str, of: Workflow, key: str) -> str:
    return reverse(f"runs:{name}", args=[of.pk, key])


def test_the_list_offers_what_can_be_there_with_real_values(world, django_assert_max_num_queries):
    made = drafted(world)
    client = client_of(world.vera)
    bare = client.get(address("step_data", made, "score")).json()
    paths = [item["path"] for group in bare["groups"] for item in group["items"]]
    assert {
        "steps.Tidy the form.content",
        "steps.Shape.content",
        "previous",
        "input.company",
        "run.feedback",
    } <= set(paths)
    assert "steps.Score.content" not in paths
    assert bare["run"] is None
    run = driven(start_run(workflow=made, actor=world.bob, input_data={"company": "Halden"}))
    with django_assert_max_num_queries(13):
        found = client.get(address("step_data", made, "score")).json()
    values = {item["path"]: item["value"] for group in found["groups"] for item in group["items"]}
    assert values["input.company"] == "Halden"
    assert values["steps.Tidy the form.content"] == "clean Halden"
    assert found["run"] == {"id": str(run.pk), "label": "Run 1"}
    first = client.get(address("step_data", made, "tidy")).json()
    assert not any("steps." in item["path"] for group in first["groups"] for item in group["items"])


def test_two_hundred_steps_are_listed_with_as_few_queries(world, django_assert_max_num_queries):
    keys = [f"s{n}" for n in range(200)]
    made = drafted(world, definition_of([node(key) for key in keys], ">".join(keys)))
    driven(start_run(workflow=made, actor=world.bob, input_data={"text": "x"}))
    client = client_of(world.bob)
    where = address("step_data", made, keys[-1])
    client.get(where)
    with django_assert_max_num_queries(13):
        found = client.get(where).json()
    assert len(found["groups"][0]["items"]) == 200


def test_the_texts_are_shown_as_they_would_be_sent(world):
    made = drafted(world)
    client = client_of(world.bob)
    driven(start_run(workflow=made, actor=world.bob, input_data={"company": "Halden & Sons"}))
    html = client.get(address("step_preview", made, "score")).content.decode()
    assert "Score clean Halden &amp; Sons of Halden &amp; Sons" in html
    assert "Be brief" in html
    # The very text that a test sends.
    run = driven(
        try_step(
            workflow=made,
            actor=world.bob,
            step="score",
            origin=Run.objects.get(),
            definition=compile_draft(made),
        )
    )
    attempt = Attempt.objects.get(run=run)
    assert [m["content"] for m in attempt.calls[0]["messages"]] == [
        "Be brief",
        "Score clean Halden & Sons of Halden & Sons",
    ]


def test_without_data_the_preview_says_what_is_missing(world):
    made = drafted(world)
    html = client_of(world.bob).get(address("step_preview", made, "score")).content.decode()
    assert "has not run yet" in html


def test_testing_pinning_and_using_the_pin(world):
    made = drafted(world)
    client = client_of(world.bob)
    where = address("step_test", made, "tidy")
    page = client.get(where)
    assert page.status_code == 200
    assert "Not tested yet" in page.content.decode()
    refused = client.post(where, {"source": "input", "input": "{"})
    assert refused.status_code == 422
    missing = client.post(where, {"source": "input", "input": "{}"})
    assert missing.status_code == 422
    assert "company" in missing.content.decode()
    assert client.post(where, {"source": "input", "input": '{"company": "Acme"}'}).status_code == 302
    run = driven(Run.objects.get())
    assert (run.kind, run.from_step) == ("step", "tidy")
    html = client.get(where, headers={"HX-Request": "true"}).content.decode()
    assert "clean Acme" in html
    assert "Pin this output" in html
    pin = address("step_pin", made, "tidy")
    assert client.post(pin, {"run": str(run.pk)}).status_code == 302
    assert compile_draft(made).step("tidy").pinned == {"content": "clean Acme"}
    assert "Pinned" in client.get(reverse("workflows:builder", args=[made.pk])).content.decode()
    assert client.post(pin, {"value": "[1]"}, headers={"HX-Request": "true"}).status_code == 422
    client.post(pin, {"value": json.dumps({"content": "PIN"})}, headers={"HX-Request": "true"})
    assert compile_draft(made).step("tidy").pinned == {"content": "PIN"}
    client.post(address("step_test", made, "shape"), {"source": "input", "input": '{"company": "Acme"}'})
    after = driven(Run.objects.latest("created_at"))
    assert after.output == {"content": "shape after PIN"}
    client.post(pin, {"remove": "1"})
    assert compile_draft(made).step("tidy").pinned is None


def test_values_of_earlier_steps_can_be_changed_in_the_form(world):
    made = drafted(world)
    client = client_of(world.bob)
    origin = driven(start_run(workflow=made, actor=world.bob, input_data={"company": "Acme"}))
    client.post(
        address("step_test", made, "score"),
        {
            "source": f"run:{origin.pk}",
            "value__tidy": json.dumps({"content": "EDITED"}),
            "value__shape": json.dumps({"content": "shape after clean Acme"}),
            "rerun": "1",
        },
    )
    run = driven(Run.objects.get(kind="step"))
    given = {row.step_key: row for row in run.step_runs.all()}
    assert given["tidy"].output == {"content": "EDITED"}
    assert given["shape"].output == {"content": "shape after EDITED"}


def test_a_viewer_reads_and_does_not_test(world):
    made = drafted(world)
    client = client_of(world.vera)
    where = address("step_test", made, "tidy")
    assert client.get(where).status_code == 200
    assert client.post(where, {"source": "input"}).status_code == 403
    assert client.post(address("step_pin", made, "tidy"), {"remove": "1"}).status_code == 403


def test_declared_data_and_connections_have_their_forms(world):
    ask = definition_of([node("call", "http_request", name="Call", config={"url": "https://x.example/"})])
    made = drafted(world, ask)
    Connection.objects.create(tenant=world.tenant, name="CRM", kind="bearer", secret="x", hosts=["x.example"])
    Connection.objects.create(
        tenant=world.other, name="Theirs", kind="bearer", secret="x", hosts=["x.example"]
    )
    client = client_of(world.bob)
    page = client.get(reverse("workflows:builder", args=[made.pk]), {"open": "call"}).content.decode()
    assert '<option value="CRM"' in page
    assert "Theirs" not in page
    where = reverse("workflows:step", args=[made.pk, "call"])
    sent = {
        "declared_inputs__shown": "1",
        "declared_inputs__name": ["company", ""],
        "declared_inputs__type": ["string", "any"],
        "declared_inputs__required": ["yes", "no"],
        "declared_inputs__description": ["Who asks", ""],
    }
    assert client.post(where, sent).status_code == 302
    assert compile_draft(made).step("call").inputs == (FieldDecl("company", "string", True, "Who asks"),)
    assert client.post(where, {"note": "n"}).status_code == 302
    assert compile_draft(made).step("call").inputs, "what is not sent stays"
    twice = {**sent, "declared_inputs__name": ["a", "a"], "field": "declared_inputs"}
    refused = client.post(where, twice, headers={"HX-Request": "true"})
    assert refused.status_code == 422
    assert "there twice" in refused.content.decode()
    items = client.get(address("step_data", made, "call")).json()["groups"]
    assert {"path": "inputs.company", "note": "Who asks", "value": "", "sure": True} in [
        item for group in items for item in group["items"]
    ]
    client.post(where, {"declared_inputs__shown": "1"})
    assert compile_draft(made).step("call").inputs == ()


def test_the_run_form_says_how_many_outputs_are_pinned(world):
    made = drafted(
        world, definition_of([node("a", pinned={"content": "x"}), node("b", pinned={"content": "y"})], "a>b")
    )
    html = client_of(world.bob).get(reverse("runs:start", args=[made.pk])).content.decode()
    assert "2 pinned outputs are used in test runs." in html
