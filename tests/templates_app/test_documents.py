"""Template files: what is read, and how what is wrong is named with its file and place."""

from pathlib import Path

import pytest

from templates_app.services.documents import as_yaml, read_definition, read_file, read_text
from templates_app.services.load_builtin import BUILTIN
from tests.support.runs import graph, step
from workflows.definition.graph import JoinKind, JoinRule, Position
from workflows.definition.schema import canonical_json, parse_definition
from workflows.lib.errors import Invalid, TooLarge
from workflows.steps.catalog import CATALOG

GOOD = """\
slug: short
name: Short one
category: Text
description: Cleans a text.
definition:
  variables: [{name: text, type: string, kind: input, required: true}]
  nodes:
    - {id: clean, type: clean_text, name: Clean, config: {text: "{{ input.text }}"}}
    - {id: end, type: end, name: Result, config: {mode: template, template: "{{ steps.Clean.content }}"}}
  edges:
    - {id: e1, source_node_id: clean, target_node_id: end}
"""


def refused(text: str) -> Invalid:
    with pytest.raises(Invalid) as caught:
        read_file(text, name="short.yaml")
    return caught.value


def test_a_file_gives_its_words_and_its_definition():
    file = read_file(GOOD, name="short.yaml")
    assert (file.slug, file.name, file.category, file.icon) == ("short", "Short one", "Text", "layers")
    assert [step.label for step in file.definition.steps] == ["Clean", "Result"]


def test_the_digest_follows_the_meaning_and_not_the_layout():
    first = read_file(GOOD, name="a.yaml").digest
    assert (
        read_file("# a note\n" + GOOD.replace("name: Short one", 'name:   "Short one"'), name="b").digest
        == first
    )
    assert read_file(GOOD.replace("Short one", "Another"), name="a.yaml").digest != first


@pytest.mark.parametrize(
    ("change", "place", "word"),
    [
        (("steps.Clean.content", "steps.Clena.content"), "definition.nodes[1].config.template", "Clena"),
        (("type: clean_text", "type: clean_tetx"), "definition.nodes[0].type", "clean_tetx"),
        (("target_node_id: end", "target_node_id: nobody"), "definition.edges[0]", "nobody"),
        (("category: Text\n", ""), "category", "missing"),
        (("slug: short", "slug: [short]"), "slug", "text"),
        (("category: Text", "category: Text\ncolour: red"), "colour", "no field"),
        (("config: {text:", "config: {txet:"), "definition.nodes[0].config", "txet"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_place(change: tuple[str, str], place: str, word: str):
    error = refused(GOOD.replace(*change))
    assert error.message.startswith(f"short.yaml: {place}")
    assert word in error.message


def test_broken_yaml_is_refused_with_line_and_column():
    error = refused(GOOD.replace("category: Text", "category: [Text"))
    assert error.message.startswith("short.yaml: line ")
    assert "column" in error.message


def test_a_key_that_is_there_twice_is_refused():
    error = refused(GOOD.replace("category: Text", "category: Text\ncategory: Product"))
    assert "line 4, column 1" in error.message
    assert "twice" in error.message


def test_aliases_are_refused_before_they_unfold():
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    with pytest.raises(Invalid, match="anchors|Anchors"):
        read_text(bomb)


def test_objects_of_python_are_never_made():
    with pytest.raises(Invalid):
        read_text("!!python/object/apply:os.system ['true']")


def test_a_date_stays_text_and_json_is_read_as_well():
    assert read_text("due: 2026-11-20") == {"due": "2026-11-20"}
    assert read_text('{"due": null}') == {"due": None}


def test_a_text_over_the_limit_is_refused_unread():
    with pytest.raises(TooLarge, match="1,000,000"):
        read_text("x" * 1_000_001)


@pytest.mark.parametrize("text", ["", "[]", "nodes: []", "- 1", "null", "nodes: [[[[[[" * 500])
def test_what_is_no_definition_is_refused(text: str):
    with pytest.raises(Invalid):
        read_definition(text)


@pytest.mark.parametrize("path", sorted(BUILTIN.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_definition_written_as_yaml_reads_the_same_and_is_short(path: Path):
    document = canonical_json(read_file(path.read_text(encoding="utf-8"), name=path.name).definition)
    text = as_yaml(document)
    assert canonical_json(read_definition(text)) == document
    for noise in ("null", "losers", "position", "&id", "{}"):
        assert noise not in text


def test_places_and_texts_of_any_kind_survive_being_written_as_yaml():
    odd = {"mode": "template", "template": "a: b\n  - c \n\n# d\n\ttab"}
    definition = graph(
        step("a", config={"expression": "yes"}, position=Position(12.5, 700)),
        step("b", label="2026-11-20", config=odd, enabled=False, join=JoinRule(JoinKind.COUNT, 2)),
    )
    document = canonical_json(definition)
    assert canonical_json(parse_definition(read_text(as_yaml(document)), CATALOG)) == document


def test_a_type_that_has_gone_can_still_be_looked_at():
    assert "teleport" in as_yaml(canonical_json(graph(step("a", "teleport"))))
