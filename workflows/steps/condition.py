"""If, else-if, else: one way out for each case."""

from __future__ import annotations

from django import forms

from workflows.expressions.errors import TextError
from workflows.lib.jsontypes import JSONObject
from workflows.steps.base import Completed, Group, Outcome, Port, StepContext, StepType
from workflows.steps.conditions import holds, in_words
from workflows.steps.fields import CasesField
from workflows.steps.registry import register
from workflows.steps.values import as_step_error, clip, passed_on

ELSE = "else"


@register
class ConditionStep(StepType):
    """Goes one way or another: the first case that holds is taken, else the last way. The input passes through."""

    name, label, icon, group = "condition", "Condition", "split", Group.STEER
    tagline = "Go one way or another"

    class ConfigForm(forms.Form):
        cases = CasesField(
            label="Cases",
            help_text="Asked in order; the first that holds is taken. One case without a name has the ways “true” and “false”.",
            section="Cases",
            required=True,
        )

    def adopt(self, config: JSONObject) -> JSONObject:
        """A bare `expression`, `condition` or `rows` is one case without a name."""
        if "cases" in config:
            return config
        config = dict(config)
        for name in ("expression", "condition"):
            if name in config:
                return _one(config, name)
        if "rows" in config:
            case = {"rows": config.pop("rows"), "match": config.pop("match", "all")}
            return {**config, "cases": [case]}
        return config

    def ports(self, config: JSONObject) -> tuple[Port, ...]:
        cases = config.get("cases") or [{}]
        if len(cases) == 1 and not cases[0].get("port"):
            return (Port("true", "Yes"), Port("false", "No"))
        named = [
            Port(_port(case, place), case.get("name") or _port(case, place))
            for place, case in enumerate(cases)
        ]
        return (*named, Port(ELSE, "Otherwise"))

    def summary(self, config: JSONObject) -> str:
        cases = config.get("cases") or []
        if not cases:
            return "Nothing is asked yet"
        if len(cases) == 1:
            return f"If {clip(in_words(cases[0])) or '…'}"
        names = [case.get("name") or _port(case, place) for place, case in enumerate(cases)]
        return f"{', '.join(names)}, or otherwise"

    def execute(self, context: StepContext) -> Outcome:
        """The input, on the port of the first case that holds. Raises StepError naming the case."""
        ports = self.ports(context.config)
        for place, case in enumerate(context.config.get("cases") or ()):
            try:
                taken = holds(case, context.scope)
            except TextError as error:
                raise as_step_error(error, f"cases[{place}]") from error
            if taken:
                return Completed(
                    passed_on(context),
                    port=ports[place].name,
                    notes=f"{ports[place].label}: {in_words(case)}",
                )
        return Completed(passed_on(context), port=ports[-1].name, notes=f"{ports[-1].label}: no case held")


def _one(config: JSONObject, name: str) -> JSONObject:
    rest = {key: value for key, value in config.items() if key != name}
    return {**rest, "cases": [config[name]]}


def _port(case: JSONObject, place: int) -> str:
    return str(case.get("port") or f"case_{place + 1}")
