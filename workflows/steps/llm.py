"""Asks a language model: the default type of a new step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workflows.definition.graph import StepDef
from workflows.definition.retry import THREE_TIMES
from workflows.expressions.errors import PathError, TextError
from workflows.expressions.names import MISSING, Scope
from workflows.expressions.paths import parse_path, resolve
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.providers.base import ChatAnswer
from workflows.providers.models import is_default
from workflows.steps.asking import answer_notes, ask, ask_fields
from workflows.steps.base import Completed, ExecutionKind, Group, Outcome, StepContext, StepError, StepType
from workflows.steps.digests import digest_field, digest_of
from workflows.steps.fields import (
    REQUIRED,
    JSONSchemaField,
    LibraryPromptField,
    MappingField,
    ModelSettings,
    TemplateField,
    longest_field,
    temperature_field,
)
from workflows.steps.prompts import prompt_of
from workflows.steps.registry import register
from workflows.steps.values import as_step_error, check_output, clip, text_of, text_scope, value_of
from workflows.steps.words import answer_words, spoken


@register
class LLMStep(StepType):
    """Sends a prompt to a language model and keeps its answer, as text or as fields."""

    name, label, icon, group = "llm", "Ask a model", "sparkles", Group.THINK
    tagline = "Write, sort, score"
    aliases = ("prompt_execution", "prompt", "ai")
    default_retry = THREE_TIMES

    class ConfigForm(ModelSettings):
        temperature = temperature_field()
        max_tokens = longest_field()
        system_prompt = TemplateField(
            label="System prompt",
            help_text="Who the model is and the rules it keeps.",
            section="Prompt",
            other_names=("system",),
            more=True,
        )
        library_prompt = LibraryPromptField()
        prompt = TemplateField(
            label="Prompt",
            help_text="What to do, with data as {{input.field}}, {{previous}} or {{steps.Label.content}}.",
            section="Prompt",
            rows=8,
            wanted=True,
            other_names=("prompt_template", "user_prompt"),
        )
        input_mapping = MappingField(
            label="Inputs",
            help_text="Names that the prompt uses as {{inputs.name}}. Each is text with {{ … }}, or an expression after =.",
            section="Prompt",
            more=True,
        )
        response_schema = JSONSchemaField(
            label="Answer as fields",
            help_text="A JSON Schema. The answer must fit it, and its fields are {{steps.Label.field}}.",
            section="Answer",
            other_names=("output_schema", "schema", "json_schema"),
        )
        output_mapping = MappingField(
            label="Keep in variables",
            help_text="A variable, and the field of the answer that it takes: content, or a field of the schema.",
            names="Variable",
            values="Field",
            plain=True,
            section="Answer",
            more=True,
        )
        digest = digest_field()

    def kind(self, config: JSONObject) -> ExecutionKind:
        return ExecutionKind.ASYNC

    def uses_model(self, config: JSONObject) -> bool:
        return True

    def summary(self, config: JSONObject) -> str:
        named = (config.get("library_prompt") or {}).get("name")
        fields = answer_words(config)
        if named:
            version = config["library_prompt"].get("version")
            asked = f"{named}, {f'version {version}' if version else 'latest'} of the library"
        else:
            asked = spoken(config.get("prompt") or "")
        if not asked:
            return "No prompt yet"
        model = str(config.get("model") or "")
        chosen = "" if is_default(model) else model.partition(":")[2] or model
        # With fields, what comes back says more than the first words of what is asked.
        said = " · ".join(part for part in (chosen, asked if named or not fields else "", fields) if part)
        return clip(said[:1].upper() + said[1:] if said == fields else said, 110)

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        properties = (config.get("response_schema") or {}).get("properties")
        found = properties.items() if isinstance(properties, dict) else ()
        fields = (
            (name, str(part.get("type", "any")) if isinstance(part, dict) else "any") for name, part in found
        )
        known = ("content", "digest") if config.get("digest") else ("content",)
        return (*((name, "string") for name in known), *(field for field in fields if field[0] not in known))

    def sets_variables(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return tuple((f"output_mapping.{name}", name) for name in config.get("output_mapping") or {})

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        problems = no_prompt(step)
        for name, path in (step.config.get("output_mapping") or {}).items():
            try:
                parse_path(f"output.{path or 'content'}")
            except PathError as error:
                problems.append(
                    Problem(
                        "bad_reference",
                        f"The variable “{name}” takes “{path}”, which is no field: {error.message}",
                        field=f"output_mapping.{name}",
                        fix="Write content, or the name of a field of the answer.",
                    )
                )
        return tuple(problems)

    async def execute_async(self, context: StepContext) -> Outcome:
        """The answer as `content`; with a schema its fields beside it. Raises StepError."""
        config = context.config
        scope = self.prompt_scope(context)
        own = text_of(context, config.get("prompt", ""), field="prompt", scope=scope)
        prompt = prompt_of(context, own, scope=scope)
        if not prompt.strip():
            raise StepError("The prompt is empty.", code="empty_input", field="prompt", fix="Write a prompt.")
        schema = config.get("response_schema")
        settings: dict[str, Any] = {
            "system": text_of(context, config.get("system_prompt", ""), field="system_prompt", scope=scope),
            "model": config.get("model"),
            "temperature": config.get("temperature", 0.7),
            "max_tokens": config.get("max_tokens", 2_000),
        }
        answers: tuple[ChatAnswer, ...]
        if schema:
            asked = await ask_fields(context, prompt, schema, **settings)
            value, answer, answers, notes = asked.value, asked.answer, asked.answers, answer_notes(asked)
            output: JSONObject = (
                {"content": answer.text, **value} if isinstance(value, dict) else {"content": value}
            )
        else:
            answer = await ask(context, prompt, **settings)
            output, answers, notes = {"content": answer.text}, (answer,), answer_notes(answer)
        if answer.finish_reason == "length":
            output.setdefault("finish_reason", "length")
        if config.get("digest"):
            short = await digest_of(context, answer.text, model=config.get("model"))
            output["digest"] = short.text
            answers = (*answers, *short.answers)
            notes = "; ".join(part for part in (short.notes, notes) if part)
        check_output(output)
        return Completed(output, variables=self._variables(context, output), answers=answers, notes=notes)

    def prompt_scope(self, context: StepContext) -> Scope:
        """The step's scope with the mapped inputs beside those of named paths."""
        scope = text_scope(context)
        mapped = {
            name: value_of(context, value, field=f"input_mapping.{name}")
            for name, value in (context.config.get("input_mapping") or {}).items()
        }
        if not mapped:
            return scope
        arrived = scope.inputs if scope.inputs is not MISSING and isinstance(scope.inputs, dict) else {}
        return replace(scope, inputs={**arrived, **mapped})

    def _variables(self, context: StepContext, output: JSONObject) -> JSONObject:
        found: JSONObject = {}
        for name, path in (context.config.get("output_mapping") or {}).items():
            try:
                # Read as a path below the output, with the errors of any reference.
                found[name] = resolve(parse_path(f"input.{path or 'content'}"), Scope(input=output))
            except TextError as error:
                step_error = as_step_error(error, f"output_mapping.{name}")
                raise StepError(
                    f"The answer has no “{path}”, which the variable “{name}” takes.",
                    code=step_error.code,
                    field=f"output_mapping.{name}",
                    fix=f"The answer has: {', '.join(output)}.",
                ) from error
        return found


def no_prompt(step: StepDef) -> list[Problem]:
    """What to say where a step that asks a model has neither a prompt of its own nor one of the library."""
    if str(step.config.get("prompt") or "").strip() or step.config.get("library_prompt"):
        return []
    return [
        Problem(
            REQUIRED,
            "“Prompt” is missing.",
            field="prompt",
            fix="Fill in “Prompt”, or choose a prompt of the library.",
        )
    ]
