"""Takes facts out of a text: a model fills in the fields that are asked for."""

from __future__ import annotations

from typing import Final

from workflows.definition.graph import StepDef
from workflows.definition.retry import THREE_TIMES
from workflows.expressions.names import as_json
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.steps.asking import answer_notes, ask_fields
from workflows.steps.base import Completed, ExecutionKind, Group, Outcome, StepContext, StepError, StepType
from workflows.steps.fields import (
    FormField,
    JSONSchemaField,
    ModelSettings,
    TemplateField,
    filled,
)
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, check_output, clip, needed_text, text_of

_TYPES: Final[dict[str, JSONObject]] = {
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "date": {"type": "string", "format": "date"},
}
_RULES: Final = (
    "Take the asked-for facts out of the text. Use only what the text says: never guess, never add. "
    "Where the text does not say something, answer null for it, or an empty list."
)


@register
class ExtractStep(StepType):
    """Takes facts out of a text and gives them as fields: names, amounts, dates, whatever you list."""

    name, label, icon, group = "extract", "Extract fields", "text-cursor-input", Group.THINK
    tagline = "Facts out of a text"
    aliases = ("extract_fields", "extraction")
    default_retry = THREE_TIMES

    class ConfigForm(ModelSettings):
        field_order = ("text", "fields", "response_schema", "instructions")

        text = TemplateField(label="Text", section="Text", rows=2, initial=PREVIOUS, required=True)
        fields = FormField(  # type: ignore[assignment] # a setting, not the form's own list
            label="Fields",
            help_text="What to look for. A field that is not required is empty (null) where the text does not say it.",
            section="Fields",
        )
        response_schema = JSONSchemaField(
            label="JSON Schema",
            help_text="Instead of fields, for lists and objects inside. It must describe an object.",
            section="Fields",
            other_names=("schema", "output_schema", "json_schema"),
            more=True,
        )
        instructions = TemplateField(
            label="More rules",
            help_text="What to heed, for example: amounts in euros, dates as 2026-11-20.",
            section="Fields",
            more=True,
        )

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC

    def uses_model(self, config: JSONObject) -> bool:
        return True

    def summary(self, config: JSONObject) -> str:
        names = list(_properties(config))
        return f"Finds {clip(', '.join(names))}" if names else "No fields yet"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        found = ((name, _json_type(part)) for name, part in _properties(config).items())
        return (("content", "string"), *(field for field in found if field[0] != "content"))

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        config = step.config
        schema = config.get("response_schema")
        if not schema and not config.get("fields"):
            return (
                Problem("required", "“Fields” is missing.", field="fields", fix="List what to look for."),
            )
        if schema and "$invalid" not in schema and schema.get("type", "object") != "object":
            return (
                Problem(
                    "bad_schema",
                    "The schema must describe an object, since each fact has a name.",
                    field="response_schema",
                    fix="Write {“type”: “object”, “properties”: …}.",
                ),
            )
        return ()

    async def execute_async(self, context: StepContext) -> Outcome:
        """The fields, and all of them as JSON text in `content`. Raises StepError."""
        setting = filled(self.ConfigForm, context.config)
        text = needed_text(context, setting["text"], field="text", label="Text")
        schema = schema_of(setting)
        if not schema.get("properties"):
            raise StepError(
                "There are no fields to look for.", code="required", field="fields", fix="Add fields."
            )
        rules = text_of(context, setting["instructions"], field="instructions")
        asked = await ask_fields(
            context,
            f"{_said(setting)}{rules}\n\nText:\n{text}"
            if rules.strip()
            else f"{_said(setting)}Text:\n{text}",
            schema,
            field="fields",
            system=_RULES,
            model=setting["model"],
            temperature=0.0,
            max_tokens=4_000,
        )
        value = asked.value
        if not isinstance(value, dict):
            raise StepError(
                "The model's answer has no fields.", code="invalid_answer", retryable=True, field="fields"
            )
        output: JSONObject = {"content": as_json(value), **value}
        return Completed(
            check_output(output), answers=asked.answers, notes=_notes(value, answer_notes(asked))
        )


def schema_of(setting: JSONObject) -> JSONObject:
    """The schema that the answer must fit: the author's own, or one made of the fields."""
    if setting.get("response_schema"):
        found: JSONObject = setting["response_schema"]
        return found
    properties: JSONObject = {}
    for field in setting.get("fields") or ():
        part: JSONObject = dict(_TYPES.get(field["type"], {"type": "string"}))
        if field["type"] == "choice" and field.get("options"):
            part["enum"] = [*field["options"], *([] if field["required"] else [None])]
        if not field["required"]:
            part["type"] = [part["type"], "null"]
        words = [field["label"], field.get("help") or ""]
        part["description"] = ": ".join(word for word in words if word)
        properties[field["name"]] = part
    # Closed, with every field required: the form that providers enforce strictly; absence is null.
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _properties(config: JSONObject) -> JSONObject:
    properties = schema_of(config).get("properties")
    return properties if isinstance(properties, dict) else {}


def _json_type(part: JSONValue) -> str:
    kind = part.get("type", "any") if isinstance(part, dict) else "any"
    return str(next((entry for entry in kind if entry != "null"), "any") if isinstance(kind, list) else kind)


def _said(setting: JSONObject) -> str:
    """The fields in words: not every server heeds a schema."""
    lines = [
        f"- {name}: {part.get('description') or name}" if isinstance(part, dict) else f"- {name}"
        for name, part in _properties(setting).items()
    ]
    return "Fields:\n" + "\n".join(lines) + "\n\n"


def _notes(value: JSONObject, about: str) -> str:
    empty = [name for name, found in value.items() if found is None]
    said = f"Not in the text: {clip(', '.join(empty), 120)}" if empty else ""
    return "; ".join(part for part in (said, about) if part)
