"""A gate: a person looks at a value and decides whether and how the run goes on."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

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
from workflows.steps.words import spoken

APPROVE, REJECT = "approve", "reject"
APPROVED, REJECTED = "approved", "rejected"
MOST_REMINDERS = 10


def read_reminders(written: str) -> tuple[timedelta, ...]:
    """Times around the due date: “1 day before, at due, 2 hours after”. Raises ValueError with a sentence."""
    found = []
    for part in filter(None, (part.strip().lower() for part in re.split(r"[,;\n]", written))):
        if part in ("at due", "due", "when due"):
            found.append(timedelta())
            continue
        length, _, side = part.rpartition(" ")
        if side not in ("before", "after"):
            raise ValueError(f"“{part}” does not say whether it is before or after the due date.")
        found.append(parse_duration(length) * (-1 if side == "before" else 1))
    if len(found) > MOST_REMINDERS:
        raise ValueError(f"At most {MOST_REMINDERS} reminders.")
    return tuple(found)


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
            help_text="Email addresses or roles, one on a line, or a reference such as {{ input.owner_email }}. "
            "Left empty: everybody who may review.",
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
        reminders = TextField(
            label="Reminders",
            help_text="When people are reminded, around the due date: 1 day before, 2 hours after.",
            placeholder="1 day before, 2 hours after",
            section="People",
            more=True,
        )
        escalate_to = AssigneesField(
            label="Escalate to",
            help_text="People or roles who may decide as well when it is due, and are told so.",
            placeholder="role:admin",
            section="People",
            more=True,
        )
        escalate_after = DurationField(
            label="Escalate this long after it is due",
            help_text="Left empty: at the due date.",
            placeholder="4 hours",
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
        words = f"{asked}: “{clip(spoken(title))}”" if title else f"{asked} before it goes on"
        due = f" · due in {clip(str(config['due']), 20)}" if config.get("due") else ""
        return words + due + (", escalates" if due and config.get("escalate_to") else "")

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
        if setting["reminders"]:
            try:
                read_reminders(setting["reminders"])
            except ValueError as error:
                problems.append(
                    Problem("bad_reminder", str(error), field="reminders", fix="Write it like 1 day before.")
                )
        for name in ("reminders", "escalate_to"):
            if setting[name] and not setting["due"]:
                problems.append(
                    Problem(
                        "required",
                        "Reminders and escalation need a time when the review is due.",
                        field=name,
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
        due_at = context.now + self._due(context, setting["due"]) if setting["due"] else None
        reminders, escalate_at = self._times(context, setting, due_at)
        return ReviewRequest(
            title=clip(title, 200),
            content=content,
            instructions=text_of(context, setting["instructions"], field="instructions"),
            editable=setting["editable"],
            assignees=self._people(context, setting["assignees"], "assignees"),
            quorum=setting["quorum"] or 1,
            bar_starter=setting["bar_starter"],
            fields=tuple(setting["form_fields"]),
            buttons=buttons,
            due_at=due_at,
            default_decision=setting["default_decision"] or None,
            reminders=reminders,
            escalate_at=escalate_at,
            escalate_to=self._people(context, setting["escalate_to"], "escalate_to") if escalate_at else (),
        )

    def _content(self, context: StepContext, setting: JSONObject) -> JSONObject:
        """The value under review as an object: one reference keeps its fields, a text becomes the content."""
        if setting["content"].strip() == PREVIOUS and context.scope.previous is MISSING:
            # A gate at the very start has nothing to show but the run's input.
            return as_output(context.scope.input)
        found = value_of(context, setting["content"], field="content", scope=text_scope(context))
        return as_output(found)

    def _people(self, context: StepContext, written: list[str], field: str) -> tuple[str, ...]:
        """Assignees with what is computed from data filled in. Nobody found is an error: it must not mean everybody."""
        found: list[str] = []
        for entry in written:
            if "{{" not in entry:
                found.append(entry)
                continue
            said = text_of(context, entry.removeprefix("user:").removeprefix("role:"), field=field)
            names = [part.strip(" \t\"'[]") for part in re.split(r"[\n,;]", said)]
            for name in filter(None, names):
                bare = name.removeprefix("user:").removeprefix("role:")
                if "@" in bare:
                    found.append(f"user:{bare.lower()}")
                elif bare.lower() in AssigneesField.ROLES:
                    found.append(f"role:{bare.lower()}")
                else:
                    raise StepError(
                        f"“{clip(name)}” is neither a person nor a role.",
                        code="bad_assignee",
                        field=field,
                        fix="Have the reference give an email address or a role.",
                    )
        if written and not found:
            raise StepError(
                "The data names nobody who could decide.",
                code="no_assignee",
                field=field,
                fix="Name a role beside the reference, for when it is empty.",
            )
        return tuple(dict.fromkeys(found))

    def _times(
        self, context: StepContext, setting: JSONObject, due_at: datetime | None
    ) -> tuple[tuple[datetime, ...], datetime | None]:
        """When people are reminded (only what is still to come), and when the gate is escalated."""
        if due_at is None:
            return (), None
        try:
            offsets = read_reminders(setting["reminders"]) if setting["reminders"] else ()
        except ValueError as error:
            raise StepError(str(error), code="bad_reminder", field="reminders") from None
        times = tuple(sorted({due_at + offset for offset in offsets if due_at + offset > context.now}))
        if not setting["escalate_to"]:
            return times, None
        later = self._due(context, setting["escalate_after"]) if setting["escalate_after"] else timedelta()
        return times, due_at + later

    def _due(self, context: StepContext, written: str) -> timedelta:
        try:
            return parse_duration(text_of(context, written, field="due"))
        except ValueError as error:
            raise StepError(
                str(error), code="bad_duration", field="due", fix="Write it like 2 days."
            ) from None
