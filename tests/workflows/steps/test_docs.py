"""The page about step types says what the declarations say."""

import jsonschema_rs
import pytest

from workflows.steps import registry
from workflows.steps.docs import DOCS_FILE, step_types_page, type_schema
from workflows.steps.fields import config_fields, filled


def test_the_page_is_current():
    assert DOCS_FILE.read_text(encoding="utf-8") == step_types_page(), (
        "run .venv/bin/python -m workflows.steps.docs and commit docs/step-types.md"
    )


@pytest.mark.parametrize("kind", registry.all_types(), ids=lambda kind: kind.name)
def test_every_type_and_setting_is_on_the_page(kind):
    page = step_types_page()
    section = page.split(f"### {kind.label}\n")[1].split("\n### ")[0]
    assert kind.description() in section
    for name in config_fields(kind.ConfigForm):
        assert f"| `{name}` |" in section


@pytest.mark.parametrize("kind", registry.all_types(), ids=lambda kind: kind.name)
def test_the_schema_of_its_settings_takes_its_defaults(kind):
    jsonschema_rs.validator_for(type_schema(kind)).validate(filled(kind.ConfigForm, {}))
