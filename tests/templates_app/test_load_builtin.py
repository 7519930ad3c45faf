"""The built-in templates: loaded once, renewed with their file, left alone otherwise, withdrawn when it goes."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from templates_app.models import WorkflowTemplate
from templates_app.services import load_builtin
from templates_app.services.load_builtin import BUILTIN, load_builtin_templates
from templates_app.shapes import shape_of
from tests.support.factories import template
from tests.templates_app.test_documents import GOOD
from workflows.definition.schema import canonical_json, from_stored
from workflows.lib.errors import Invalid
from workflows.templatetags.ui import icon_names

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "short.yaml").write_text(GOOD, encoding="utf-8")
    return tmp_path


def test_the_built_in_templates_load_and_loading_again_writes_nothing():
    first = load_builtin_templates()
    assert {"deep-build-pipeline", "text-pipeline", "lead-triage", "article-check"} <= set(first.made)
    before = list(WorkflowTemplate.objects.order_by("pk").values())
    again = load_builtin_templates()
    assert (again.made, again.changed, again.withdrawn) == ((), (), ())
    assert list(WorkflowTemplate.objects.order_by("pk").values()) == before


def test_loading_again_reads_the_rows_and_writes_none(django_assert_num_queries):
    load_builtin_templates()
    with django_assert_num_queries(3):  # the savepoint of the test's transaction, the rows, its release
        load_builtin_templates()


def test_the_deep_build_pipeline_has_its_nine_steps_and_two_gates():
    load_builtin_templates()
    shape = shape_of(WorkflowTemplate.objects.get(slug="deep-build-pipeline").document)
    assert [row.step.label for row in shape.rows] == [
        "Idea Analysis",
        "Research",
        "Feature Addition",
        "Review Gate",
        "Extension & Improvement",
        "Second Review Gate",
        "Project Wisdom",
        "Final Improvements",
        "Implementation Prompts",
    ]
    assert (shape.steps, shape.gates, len(shape.line)) == (9, 2, 9)


def test_every_built_in_template_has_a_picture_of_the_sprite_and_a_canonical_document():
    load_builtin_templates()
    import json

    for row in WorkflowTemplate.objects.all():
        assert row.icon in icon_names(), row.slug
        assert canonical_json(from_stored(json.loads(row.document))) == row.document
    assert WorkflowTemplate.objects.count() == len(list(BUILTIN.glob("*.yaml")))


def test_a_changed_file_renews_its_template_and_keeps_its_uses(folder: Path):
    load_builtin_templates(folder)
    WorkflowTemplate.objects.update(install_count=7)
    (folder / "short.yaml").write_text(GOOD.replace("Short one", "Shorter"), encoding="utf-8")
    assert load_builtin_templates(folder).changed == ("short",)
    row = WorkflowTemplate.objects.get()
    assert (row.name, row.install_count, row.status) == ("Shorter", 7, "published")


def test_what_an_admin_changed_stays_until_the_file_changes(folder: Path):
    load_builtin_templates(folder)
    WorkflowTemplate.objects.update(name="Ours", status=WorkflowTemplate.Status.WITHDRAWN)
    load_builtin_templates(folder)
    assert WorkflowTemplate.objects.get().name == "Ours"
    (folder / "short.yaml").write_text(GOOD.replace("Short one", "Shorter"), encoding="utf-8")
    load_builtin_templates(folder)
    row = WorkflowTemplate.objects.get()
    assert (row.name, row.status) == ("Shorter", "withdrawn")


def test_a_template_whose_file_has_gone_is_withdrawn_and_comes_back_with_it(folder: Path):
    load_builtin_templates(folder)
    text = (folder / "short.yaml").read_text(encoding="utf-8")
    (folder / "short.yaml").unlink()
    assert load_builtin_templates(folder).withdrawn == ("short",)
    assert WorkflowTemplate.objects.get().status == "withdrawn"
    assert load_builtin_templates(folder).withdrawn == ()
    (folder / "short.yaml").write_text(text, encoding="utf-8")
    assert load_builtin_templates(folder).changed == ("short",)
    assert WorkflowTemplate.objects.get().status == "published"


def test_what_people_made_keeps_everything_but_a_slug_that_the_product_needs(folder: Path):
    own = template(None, "Own", slug="short")
    load_builtin_templates(folder)
    own.refresh_from_db()
    assert (own.slug, own.status) == ("short-2", "published")
    assert WorkflowTemplate.objects.get(slug="short").is_builtin


def test_one_bad_file_stops_the_load_with_its_name_and_nothing_is_written(folder: Path, monkeypatch):
    (folder / "zz-bad.yaml").write_text(GOOD.replace("steps.Clean", "steps.Nobody"), encoding="utf-8")
    with pytest.raises(Invalid, match=r"^zz-bad\.yaml: definition\.nodes\[1\]\.config\.template: "):
        load_builtin_templates(folder)
    assert not WorkflowTemplate.objects.exists()
    monkeypatch.setattr(load_builtin.load_builtin_templates, "__defaults__", (folder,))
    with pytest.raises(CommandError, match="zz-bad.yaml"):
        call_command("load_builtin_templates")


def test_two_files_of_one_slug_are_refused(folder: Path):
    (folder / "twin.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(Invalid, match=r"twin\.yaml: slug: "):
        load_builtin_templates(folder)
