"""What every registered step type must keep, whoever wrote it."""

import json
from typing import Any

import pytest
from django.http import QueryDict

from tests.support.steps import FakeChat, execute
from workflows.definition.graph import ErrorChoice, ErrorPolicy, StepDef
from workflows.definition.types import ALL_PORTS, PARALLEL, TypeCatalog
from workflows.lib import plugins
from workflows.lib.safe_http import OutboundRequest, OutboundResponse
from workflows.steps import registry
from workflows.steps.base import (
    Completed,
    EndRun,
    ExecutionKind,
    Group,
    Outcome,
    ReviewRequest,
    StepContext,
    StepError,
    StepType,
    WaitUntil,
)
from workflows.steps.catalog import CATALOG, clean_config, clean_posted, is_structural
from workflows.steps.fields import ConfigField, config_fields, filled, without_defaults
from workflows.steps.values import check_output

TYPES = registry.all_types()
EXPECTED = {
    "start", "end", "llm", "clean_text", "summarize", "extract_keywords", "tag_category",
    "transform", "condition", "filter", "merge", "set_variable", "delay", "review",
    "extract", "classify", "parse", "validate", "http_request", "webhook", "email", "send_event",
    "fan_out", "loop", "parallel", "synthesis", "consistency_check", "implementation_prompts",
}  # fmt: skip
TEXT = (
    "The pump of the old well broke in March. The village asked three firms for a price. "
    "Only one firm answered, and its price was high. The council decided to repair the pump itself. "
    "In May the pump ran again, and the well gave water."
)
# The least settings with which a type does its work.
WORKING: dict[str, dict[str, Any]] = {
    "llm": {"prompt": "Say it again: {{previous}}"},
    "tag_category": {
        "categories": [{"name": "Water", "terms": ["well", "pump"]}, {"name": "Fire", "terms": ["flame"]}]
    },
    "transform": {"expression": "previous.content"},
    "condition": {"expression": "true"},
    "filter": {"condition": "true"},
    "set_variable": {"variables": {"kept": "{{previous}}"}},
    "delay": {"duration": "2 days"},
    "extract": {"fields": [{"name": "firm", "label": "Firm", "type": "text"}]},
    "classify": {"categories": [{"name": "Water", "terms": []}, {"name": "Fire", "terms": ["flame"]}]},
    "parse": {"format": "lines"},
    "validate": {"schema": {"type": "string"}},
    "http_request": {"url": "https://example.com/{{input.text}}"},
    "send_event": {"event": "crm/lead.changed"},
    "webhook": {"url": "https://example.com/hook"},
    "email": {"to": "ann@example.com", "subject": "The well"},
    "subworkflow": {"workflow": "Text pipeline"},
}
# What a model answers where not every answer will do.
ANSWERS = {
    "extract": '{"firm": "Well & Sons"}',
    "classify": '{"category": "Water"}',
    "consistency_check": '{"summary": "All agrees.", "findings": []}',
}

by_type = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)


def test_the_types_of_the_first_path_are_all_there():
    assert {kind.name for kind in TYPES} >= EXPECTED


@by_type
def test_it_declares_everything_that_pages_need(kind: StepType):
    assert kind.name
    assert kind.label[0].isupper()
    assert kind.icon.replace("-", "").isalnum()
    assert isinstance(kind.group, Group)
    assert kind.tagline, "the picker shows it"
    assert kind.description().endswith(".")
    for name, field in kind.ConfigForm.base_fields.items():
        assert isinstance(field, ConfigField), name
        assert field.label, name
        assert field.kind, name
        assert field.section, name
        assert field.schema()["type"], name
        assert not str(field.help_text).count("payload")


@by_type
def test_its_form_takes_its_own_defaults(kind: StepType):
    defaults = filled(kind.ConfigForm, {})
    config, problems = clean_config(kind, defaults)
    assert [problem for problem in problems if problem.code != "required"] == []
    assert filled(kind.ConfigForm, config) == defaults
    assert json.loads(json.dumps(config)) == config


@by_type
def test_its_django_form_gives_the_same_config_as_the_api(kind: StepType):
    working = WORKING.get(kind.name, {})
    config, _ = clean_config(kind, working)
    form = kind.ConfigForm(data=filled(kind.ConfigForm, config))
    assert form.is_valid(), form.errors
    assert {name: form.cleaned_data[name] for name in config} == config


@by_type
def test_cleaning_a_config_twice_changes_nothing(kind: StepType):
    once, _ = clean_config(kind, WORKING.get(kind.name, {}))
    assert clean_config(kind, once)[0] == once


@by_type
def test_an_empty_posted_form_keeps_the_old_config(kind: StepType):
    old, _ = clean_config(kind, WORKING.get(kind.name, {}))
    config, problems = clean_posted(kind, QueryDict(""), old=old)
    assert config == without_defaults(kind.ConfigForm, old)
    assert problems == ()


@by_type
def test_unknown_settings_and_wrong_types_are_named(kind: StepType):
    _, problems = clean_config(kind, {"no_such_setting": 1})
    assert [(problem.code, problem.field) for problem in problems if is_structural(problem)] == [
        ("unknown_setting", "no_such_setting")
    ]
    for name in config_fields(kind.ConfigForm):
        _, problems = clean_config(kind, {name: [[["deep"]]]})
        found = [problem for problem in problems if problem.code == "wrong_type"]
        assert [problem.field for problem in found] == [name]
        assert found[0].message.endswith(".")


@by_type
def test_characters_that_no_text_may_have_are_refused(kind: StepType):
    for name in config_fields(kind.ConfigForm):
        for bad in ("a\x00b", "a\ud800b"):
            config, problems = clean_config(kind, {name: bad})
            assert [(problem.code, problem.field) for problem in problems if is_structural(problem)] == [
                ("bad_text", name)
            ]
            assert name not in config


@by_type
def test_its_ports_and_its_summary_hold_for_any_settings(kind: StepType):
    for config in ({}, WORKING.get(kind.name, {})):
        clean, _ = clean_config(kind, config)
        names = [port.name for port in kind.ports(clean)]
        assert len(names) == len(set(names))
        assert "error" not in names
        words = kind.summary(clean)
        assert words.strip()
        assert "\n" not in words
        assert len(words) <= 160
        # A container's model is called by the steps inside, which have tries of their own.
        waits = (kind.uses_model(clean) or kind.is_outward) and not kind.is_container
        assert kind.retry_policy(clean).max_attempts == (3 if waits else 1)
        assert kind.output_fields(clean)[0][0] == "content"


@by_type
def test_its_output_is_an_object_with_a_content(kind: StepType, monkeypatch: pytest.MonkeyPatch):
    async def answered(request: OutboundRequest) -> OutboundResponse:
        return OutboundResponse(200, request.url, (("Content-Type", "text/plain"),), b"Thank you.")

    monkeypatch.setattr("workflows.lib.safe_http.send_async", answered)
    chat = FakeChat(ANSWERS.get(kind.name, "An answer of the model."))
    outcome = execute(
        kind.name, WORKING.get(kind.name, {}), previous={"content": TEXT}, input={"text": TEXT}, chat=chat
    )
    match outcome:
        case Completed(output=output) | EndRun(output=output) | WaitUntil(output=output):
            assert check_output(output)["content"]
        case ReviewRequest(content=content):
            assert check_output(content)["content"] == TEXT
    if isinstance(outcome, Completed) and kind.name != "end":
        ports = [port.name for port in kind.ports(WORKING.get(kind.name, {}))]
        assert outcome.port in [*ports, "true"] or (kind.name, outcome.port) == (PARALLEL, ALL_PORTS)


@by_type
def test_it_is_async_only_where_it_waits_for_the_network(kind: StepType):
    config, _ = clean_config(kind, WORKING.get(kind.name, {}))
    waits = (kind.uses_model(config) or kind.is_outward) and not kind.is_container
    assert (kind.kind(config) is ExecutionKind.ASYNC) == waits


@pytest.mark.parametrize("name", ["clean_text", "summarize", "extract_keywords", "tag_category"])
@pytest.mark.parametrize("empty", ["", "  \n "])
def test_an_empty_text_is_an_error_that_names_the_field(name, empty):
    for method in ("built_in", "model"):
        with pytest.raises(StepError) as caught:
            execute(
                name,
                {**WORKING.get(name, {}), "method": method},
                previous={"content": empty},
                chat=FakeChat("x"),
            )
        assert (caught.value.info.code, caught.value.info.field) == ("empty_input", "text")


@pytest.mark.parametrize("name", ["clean_text", "summarize", "extract_keywords", "tag_category"])
def test_several_predecessors_are_one_text_for_text_steps(name):
    arrived = (("One", {"content": TEXT}), ("Two", {"content": "The lamp of the harbour was lit."}))
    by_label = dict(arrived)
    outcome = execute(name, WORKING.get(name, {}), previous=by_label, arrived=arrived)
    assert isinstance(outcome, Completed)
    assert "{" not in str(outcome.output["content"])


def test_the_catalog_is_what_the_graph_asks_for():
    catalog: TypeCatalog = CATALOG
    assert catalog.known("llm")
    assert not catalog.known("prompt_execution"), "an alias is no canonical name"
    assert catalog.canonical("prompt_execution") == "llm"
    assert catalog.canonical("human_approval") == "review"
    assert catalog.canonical("data_transform") == "transform"
    assert catalog.canonical("wait") == catalog.canonical("sleep") == "delay"
    assert catalog.canonical("nothing") is None
    assert not catalog.can_disable("start")
    assert catalog.ports(StepDef("a", "nothing", "A")) == ("out",)
    route = ErrorPolicy(ErrorChoice.ROUTE)
    assert catalog.ports(StepDef("a", "llm", "A", on_error=route)) == ("out", "error")


def test_the_catalog_finds_and_rewrites_every_text():
    config = {
        "variables": {
            "a": "{{steps.Old.content}}",
            "b": "= steps.Old.score * 2",
            "c": {"d": ["{{input.x}}"]},
            "e": 4,
        },
    }
    step = StepDef("s", "set_variable", "Set", config=config)
    assert list(CATALOG.templates(step)) == [
        ("variables.a", "{{steps.Old.content}}"),
        ("variables.c.d[0]", "{{input.x}}"),
    ]
    assert list(CATALOG.expressions(step)) == [("variables.b", "steps.Old.score * 2")]
    changed = CATALOG.rewrite(
        step, lambda text: text.replace("Old", "New"), lambda text: text.replace("Old", "Newer")
    )
    assert changed.config["variables"] == {
        "a": "{{steps.New.content}}", "b": "= steps.Newer.score * 2", "c": {"d": ["{{input.x}}"]}, "e": 4,
    }  # fmt: skip
    assert next(iter(CATALOG.sets_variables(step))) == ("variables.a", "a")


def test_a_default_text_counts_as_a_text():
    assert list(CATALOG.templates(StepDef("s", "summarize", "S"))) == [("text", "{{previous}}")]


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        ({"name": ""}, "no name"),
        ({"label": None}, "no label"),
        ({"icon": ""}, "no icon"),
        ({"group": "think"}, "no group"),
        ({"name": "Bad Name"}, "may not be named"),
        ({"__doc__": None}, "no docstring"),
        ({"ConfigForm": dict}, "no ConfigForm"),
        ({"execute": StepType.execute}, "no executor"),
        ({"name": "llm"}, "Two step types"),
        ({"aliases": ("wait",)}, "Two step types"),
    ],
)
def test_a_bad_type_is_refused_with_what_is_missing(lacks, said):
    good = {
        "name": "thing", "label": "Thing", "icon": "box", "group": Group.DO, "__doc__": "Does it.",
        "execute": lambda self, context: Completed({"content": ""}),
    }  # fmt: skip
    with pytest.raises(registry.BadStepType, match=said):
        registry.register(type("Thing", (StepType,), {**good, **lacks}))
    assert registry.find("thing") is None


def test_an_unknown_type_is_told_with_the_nearest():
    with pytest.raises(registry.UnknownStepType, match="summarize"):
        registry.get("sumarize")


def test_groups_stand_in_the_order_of_the_picker():
    groups = registry.by_group()
    assert [group for group, _ in groups] == [Group.THINK, Group.ASK, Group.STEER, Group.DO]
    assert sum(len(kinds) for _, kinds in groups) == len(TYPES)


class Elsewhere(StepType):
    """A type of another package."""

    name, label, icon, group = "elsewhere", "Elsewhere", "box", Group.DO
    tagline = "From afar"

    def execute(self, context: StepContext) -> Outcome:
        return Completed({"content": "done"})


def test_types_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch):
    class Point:
        def load(self) -> object:
            return Elsewhere

    monkeypatch.setattr(plugins, "entry_points", lambda group: [Point()] if group == "stepwell.steps" else [])
    monkeypatch.setattr(registry.PLUGINS, "discovered", False)
    try:
        assert registry.get("elsewhere").label == "Elsewhere"
        assert registry.find("llm") is not None
    finally:
        registry.PLUGINS.known.pop("elsewhere", None)
