"""Documents of workflows: the same text after every journey, and every problem of one with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, reject, settings

from tests.workflows.definition.support import FakeCatalog
from tests.workflows.services.strategies import definitions
from workflows.definition.exchange import (
    Bundle,
    WorkflowText,
    bundle_from_json,
    bundle_to_json,
    fragment_from_json,
    fragment_to_json,
)
from workflows.definition.operations import AtEnd, paste
from workflows.definition.schema import canonical_json, parse_definition, to_json
from workflows.lib.documents import read_document, write_json, write_yaml
from workflows.lib.errors import Invalid
from workflows.steps.catalog import CATALOG

FAKE = FakeCatalog()
BUILTIN = sorted((Path(__file__).parents[3] / "templates_app" / "builtin").glob("*.yaml"))


def _read(text: str) -> Bundle:
    return bundle_from_json(read_document(text).data, CATALOG)


@pytest.mark.parametrize("path", BUILTIN, ids=lambda path: path.stem)
@pytest.mark.parametrize("write", [write_yaml, write_json])
def test_every_built_in_template_travels_and_stays_the_same_text(path, write):
    first = _read(path.read_text())
    text = write(bundle_to_json(first, CATALOG))
    again = _read(text)
    assert again == _read(write_json(bundle_to_json(first, CATALOG)))
    assert write(bundle_to_json(again, CATALOG)) == text
    assert canonical_json(again.workflows[0].definition) == canonical_json(first.workflows[0].definition)


@settings(max_examples=60, deadline=None)
@given(definitions())
def test_any_definition_travels_whole(definition):
    try:
        definition = parse_definition(to_json(definition), FAKE)
    except Invalid:
        reject()  # no draft can be this
    bundle = Bundle((WorkflowText("W", definition, "Two\nlines", ("a", "no"), "P"),))
    text = write_yaml(bundle_to_json(bundle, FAKE))
    read = bundle_from_json(read_document(text).data, FAKE)
    assert canonical_json(read.workflows[0].definition) == canonical_json(definition)
    assert write_yaml(bundle_to_json(read, FAKE)) == text
    assert read.workflows[0].tags == ("a", "no")


def test_the_order_in_which_a_database_keeps_settings_does_not_show():
    def with_fields(fields):
        node = {"id": "a", "type": "transform", "name": "A", "config": {"mode": "fields", "fields": fields}}
        return Bundle((WorkflowText("W", parse_definition({"nodes": [node]}, CATALOG)),))

    one = bundle_to_json(with_fields({"content": "x", "a": "y", "z": "1"}), CATALOG)
    two = bundle_to_json(with_fields({"z": "1", "a": "y", "content": "x"}), CATALOG)
    assert write_yaml(one) == write_yaml(two)
    assert list(one["workflows"][0]["nodes"][0]) == ["id", "type", "name", "config"]


def test_a_selection_of_steps_is_a_document_that_can_be_pasted():
    whole = _read(BUILTIN[0].read_text()).workflows[0].definition
    keys = [step.key for step in whole.steps if step.parent is None][1:3]
    text = write_yaml(fragment_to_json(whole, keys, CATALOG))
    fragment = fragment_from_json(read_document(text).data, CATALOG)
    assert [step.key for step in fragment.steps] == keys
    edit = paste(whole, fragment, AtEnd(), CATALOG)
    assert len(edit.effects.created) == 2
    assert {edit.definition.step(key).type for key in edit.effects.created} == {
        whole.step(key).type for key in keys
    }


def test_every_problem_is_said_at_once_with_its_place():
    text = """stepwell: 1
workflow: []
workflows:
  - name: One
    tag: x
    nodes:
      - {id: a, type: llm, name: A, config: {promt: hello}}
      - {id: b, type: nonsense, name: B}
    edges:
      - {source_node_id: a, target_node_id: gone}
  - nodes: []
    tags: news
  - just text
"""
    document = read_document(text)
    with pytest.raises(Invalid, match=r"The document cannot be taken over: \d problems") as caught:
        bundle_from_json(document.data, CATALOG)
    places = {problem.path for problem in document.placed(caught.value.problems)}
    assert places >= {
        "line 2, workflow",
        "line 5, workflows[0].tag",
        "line 7, workflows[0].nodes[0].config.promt",
        "line 8, workflows[0].nodes[1].type",
        "line 11, workflows[1].name",
        "line 12, workflows[1].tags",
        "line 13, workflows[2]",
    }
    fixes = [problem.fix for problem in caught.value.problems if problem.path == "workflow"]
    assert fixes == ["Did you mean “workflows”?"]


@pytest.mark.parametrize(
    "text",
    [
        "nodes: [{id: a, type: merge, name: A}]",
        "name: W\nnodes: [{id: a, type: merge, name: A}]",
        '{"id": "x", "name": "W", "status": "draft", "definition": {"nodes": [{"id": "a", "type": "merge", "name": "A"}]}}',
        '[{"name": "W", "nodes": [{"id": "a", "type": "merge", "name": "A"}]}]',
    ],
)
def test_one_workflow_by_itself_is_taken_too(text):
    assert [step.key for step in _read(text).workflows[0].definition.steps] == ["a"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("just words", "object with workflows"),
        ("stepwell: 2\nworkflows: []", "form 2"),
        ("a: 1", "no workflows"),
        ("workflows: 3", "must be a list"),
        ("nodes: [{id: a, type: nope, name: A}]", "nope"),
        ("", "object with workflows"),
    ],
)
def test_what_is_no_document_is_refused_in_words(text, says):
    with pytest.raises(Invalid) as caught:
        _read(text)
    assert any(says in problem.message for problem in caught.value.problems)


def test_steps_of_several_workflows_are_not_pasted():
    with pytest.raises(Invalid, match="2 workflows"):
        fragment_from_json({"workflows": [{"name": "A"}, {"name": "B"}]}, CATALOG)
    with pytest.raises(Invalid, match="no step"):
        fragment_from_json({"nodes": []}, CATALOG)
