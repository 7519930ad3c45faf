"""A gate: a person looks at a value and decides whether and how the run goes on."""

from __future__ import annotations

from datetime import timedelta

from django import forms

from workflows.definition.graph import StepDef
from workflows.expressions.names import MISSING
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import (
    Completed,
    Group,
    Outcome,
    Port,
    ReviewRequest,
    StepContext,
    StepError,
    StepType,
)
from workflows.steps.fields import (
    AssigneesField,
    BoolField,
    ButtonsField,
    DurationField,
    FormField,
    NumberField,
    TemplateField,
    TextField,
    filled,
    parse_duration,
)
from workflows.steps.registry import register
from workflows.steps.values import PREVIOUS, as_output, clip, text_of, text_scope, value_of

APPROVE, REJECT = "approve", "reject"
APPROVED, REJECTED = "approved", "rejected"


@register
class ReviewStep(StepType):
    """Asks a person before the run goes on. They read the value, may change it, and approve, reject or ask for changes."""

    name, label, icon, group = "review", "Review gate", "hand", Group.ASK
    tagline = "Wait for a decision"
    aliases = ("human_approval", "approval", "review_gate")

    class ConfigForm(forms.Form):
        title = TemplateField(
            label="Question",
            help_text="What is to be decided. Left empty: the name of the step.",
            placeholder="Is this ready to go on?",
            section="Question",
            rows=1,
            other_names=("question",),
        )
        instructions = TemplateField(
            label="Instructions",
            help_text="What to look at.",
            section="Question",
            rows=3,
            other_names=("message",),
        )
        content = TemplateField(
            label="What is reviewed",
            section="Question",
            rows=2,
            initial=PREVIOUS,
            required=True,
            other_names=("subject",),
        )
        editable = BoolField(label="The text may be changed", section="Question", initial=True)
        assignees = AssigneesField(
            label="Who decides",
            help_text="Email addresses or roles, one on a line. Left empty: everybody who may review.",
            placeholder="role:reviewer",
            section="People",
            other_names=("approvers", "reviewers"),
        )
        quorum = NumberField(
            label="Approvals needed",
            section="People",
            least=1,
            most=50,
            initial=1,
            more=True,
            other_names=("required_approvals",),
        )
        bar_starter = BoolField(
            label="Not by who started the run", help_text="Four eyes.", section="People", more=True
        )
        due = DurationField(
            label="Due in",
            help_text="2 days, 4 hours. Left empty: no date.",
            placeholder="2 days",
            section="People",
            more=True,
        )
        default_decision = TextField(
            label="Decided by itself when due",
            help_text="A decision such as approve or reject. Left empty: it goes on waiting.",
            section="People",
            more=True,
        )
        form_fields = FormField(
            label="Fields to fill in",
            help_text="Asked of the reviewer; later steps read them as {{steps.Label.fields.name}}.",
            section="Answer",
            more=True,
            other_names=("fields",),
        )
        approve_label = TextField(
            label="Button for yes", initial="Approve", max_length=40, section="Answer", more=True
        )
        reject_label = TextField(
            label="Button for no", initial="Reject", max_length=40, section="Answer", more=True
        )
        buttons = ButtonsField(
            label="More buttons", help_text="Each is a way out of its own.", section="Answer", more=True
        )

    def ports(self, config: JSONObject) -> tuple[Port, ...]:
        more = (Port(entry["port"], entry["label"]) for entry in config.get("buttons") or ())
        return (Port(APPROVED, "Approved"), Port(REJECTED, "Rejected"), *more)

    def summary(self, config: JSONObject) -> str:
        who = [entry.partition(":")[2] for entry in config.get("assignees") or ()]
        asked = f"Asks {clip(', '.join(who))}" if who else "Asks a reviewer"
        title = config.get("title")
        return f"{asked}: “{clip(title)}”" if title else f"{asked} before it goes on"

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        return (
            ("content", "string"),
            ("decision", "string"),
            ("comment", "string"),
            ("fields", "object"),
            ("original", "any"),
        )

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        setting = filled(self.ConfigForm, step.config)
        problems = []
        decision, known = (
            setting["default_decision"],
            [APPROVE, REJECT, *(b["decision"] for b in setting["buttons"])],
        )
        if decision and decision not in known:
            problems.append(
                Problem(
                    "bad_choice",
                    f"“{decision}” is none of the decisions.",
                    field="default_decision",
                    fix=f"Choose one of: {', '.join(known)}.",
                )
            )
        if decision and not setting["due"]:
            problems.append(
                Problem(
                    "required",
                    "A decision by itself needs a time when it is due.",
                    field="due",
                    fix="Say when it is due, for example: 2 days.",
                )
            )
        people = [entry for entry in setting["assignees"] if entry.startswith("user:")]
        if people and len(people) == len(setting["assignees"]) and (setting["quorum"] or 1) > len(people):
            problems.append(
                Problem(
                    "bad_quorum",
                    f"{setting['quorum']} approvals are needed, but only {len(people)} may decide.",
                    field="quorum",
                    fix="Name more people, or ask for fewer approvals.",
                )
            )
        return tuple(problems)

    def execute(self, context: StepContext) -> Outcome:
        """The question for people; or, in a YOLO run, its own approval, recorded as such."""
        setting = filled(self.ConfigForm, context.config)
        content = self._content(context, setting)
        if context.run.yolo:
            approved = {
                **content,
                "decision": APPROVE,
                "comment": "",
                "fields": {},
                "original": content["content"],
            }
            return Completed(approved, port=APPROVED, notes="Approved itself: the run is in YOLO mode")
        title = text_of(context, setting["title"], field="title").strip() or context.step.label
        buttons = (
            (APPROVE, setting["approve_label"] or "Approve", APPROVED),
            (REJECT, setting["reject_label"] or "Reject", REJECTED),
            *((entry["decision"], entry["label"], entry["port"]) for entry in setting["buttons"]),
        )
        return ReviewRequest(
            title=clip(title, 200),
            content=content,
            instructions=text_of(context, setting["instructions"], field="instructions"),
            editable=setting["editable"],
            assignees=tuple(setting["assignees"]),
            quorum=setting["quorum"] or 1,
            bar_starter=setting["bar_starter"],
            fields=tuple(setting["form_fields"]),
            buttons=buttons,
            due_at=context.now + self._due(context, setting["due"]) if setting["due"] else None,
            default_decision=setting["default_decision"] or None,
        )

    def _content(self, context: StepContext, setting: JSONObject) -> JSONObject:
        """The value under review as an object: one reference keeps its fields, a text becomes the content."""
        if setting["content"].strip() == PREVIOUS and context.scope.previous is MISSING:
            # A gate at the very start has nothing to show but the run's input.
            return as_output(context.scope.input)
        found = value_of(context, setting["content"], field="content", scope=text_scope(context))
        return as_output(found)

    def _due(self, context: StepContext, written: str) -> timedelta:
        try:
            return parse_duration(text_of(context, written, field="due"))
        except ValueError as error:
            raise StepError(
                str(error), code="bad_duration", field="due", fix="Write it like 2 days."
            ) from None
