"""The lead qualification workflow of the mockups: what it must be, told apart from who built it, and a world it works in.

    assert matches(definition) == []
    with LeadWorld() as world:
        with running_stack(folder, extra=world.environment) as stack: ...

`matches` says in words what differs. Steps are told by their titles, never by keys, so that a workflow built by mouse, by
keyboard, on the canvas or from `document()` is held to the same. Texts of prompts are free as long as they read the data
that `reads` names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Self

from tests.support.fake_openai import FakeOpenAI, Reply, Request
from tests.support.outside import Answer, Outside
from workflows.definition.graph import Definition, StepDef
from workflows.definition.types import main_port
from workflows.lib.jsontypes import JSONObject
from workflows.steps.catalog import CATALOG

NAME: Final = "Inbound lead qualification"

TIDY = "Tidy the form data"
RESEARCH = "Research the company"
SCORE = "Score the fit"
HISTORY = "Check CRM history"
COMBINE = "Combine findings"
WORTH = "Worth a call?"
SALES = "Sales review"
EACH = "Write an opener for each contact"
DRAFT = "Draft the opener"
TONE = "Check the tone"
BRIEF = "Write the account brief"
FINAL = "Final check"
NURTURE = "Add to nurture list"
UPDATE = "Update the CRM"
TELL = "Tell the team"

# What the run form asks for, and the variable of the run with its value.
INPUTS: Final[dict[str, str]] = {
    "company": "string",
    "email": "string",
    "country": "string",
    "request": "string",
    "monthly_shipments": "number",
}
IDEAL: Final = ("ideal_customer", "Shippers of chilled goods in Europe with 60 shipments a month or more")

# A lead that is worth a call (the stand-in scores it 82), and one that is not (31).
LEAD: Final[dict[str, Any]] = {
    "company": " Halden Cold Chain ",
    "email": "Ingrid@Halden-Cold.example",
    "country": "no",
    "request": "Weekly reefer lanes from Rotterdam to Lyon, starting in March, temperature log required",
    "monthly_shipments": 140,
}
SMALL_LEAD: Final[dict[str, Any]] = {**LEAD, "company": "Corner Florist", "monthly_shipments": 2}

CONTACTS: Final = tuple(
    {"name": name, "role": role}
    for name, role in (
        ("Ingrid Halvorsen", "Head of logistics"),
        ("Mats Berg", "Transport planner"),
        ("Aila Nieminen", "Purchasing"),
        ("Jonas Lund", "Warehouse lead"),
        ("Sofia Ek", "Quality"),
        ("Pieter de Vries", "Rotterdam hub"),
        ("Claire Morel", "Lyon hub"),
        ("Nora Dahl", "Finance"),
        ("Emil Strand", "Operations"),
        ("Hanne Vik", "Customer care"),
        ("Oskar Lie", "Fleet"),
        ("Runa Moen", "Compliance"),
        ("Tove Aas", "Managing director"),
    )
)


@dataclass(frozen=True)
class Want:
    """A step as it has to be. `config` are settings that must be so; a callable judges the value it gets.

    `reads` are references that its settings must hold; `fields` are those of a structured answer (name → JSON type).
    """

    title: str
    type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    inside: str | None = None
    enabled: bool = True


def ends(with_: str) -> Callable[[Any], bool]:
    """Judges an address, whose host differs from test to test."""
    return lambda value: str(value).endswith(with_)


STEPS: Final = (
    Want(
        TIDY,
        "transform",
        {"mode": "fields"},
        ("input.company", "input.email", "input.country", "input.request"),
    ),
    Want(RESEARCH, "llm", reads=(f"steps.{TIDY}.company",)),
    Want(
        SCORE,
        "llm",
        {"temperature": 0.2, "max_tokens": 1200},
        (f"steps.{TIDY}.company", f"steps.{TIDY}.request", "input.monthly_shipments", "vars.ideal_customer"),
        fields={"score": "number", "tier": "string", "reasons": "array"},
    ),
    Want(HISTORY, "http_request", {"url": ends("/crm/companies")}, (f"steps.{TIDY}.domain", "json.contacts")),
    Want(COMBINE, "merge"),
    Want(WORTH, "condition", reads=(f"steps.{SCORE}.score", "70")),
    Want(SALES, "review", {"due": "4 hours"}, (f"steps.{COMBINE}",)),
    Want(EACH, "fan_out", {"concurrency": 3}, (f"steps.{HISTORY}.contacts", "item.name")),
    Want(DRAFT, "llm", reads=("item.name",), inside=EACH),
    Want(TONE, "llm", reads=(f"steps.{DRAFT}",), inside=EACH),
    Want(BRIEF, "llm", reads=(f"steps.{RESEARCH}",)),
    Want(FINAL, "review", {"editable": True}, (f"steps.{EACH}",)),
    Want(
        NURTURE,
        "http_request",
        {"method": "POST", "url": ends("/crm/lists/nurture")},
        (f"steps.{TIDY}.company",),
    ),
    Want(
        UPDATE,
        "http_request",
        {"method": "POST", "url": ends("/crm/companies/update")},
        (f"steps.{SCORE}.score", f"steps.{SCORE}.tier"),
    ),
    Want(TELL, "webhook", {"url": ends("/team")}, enabled=False),
)

# (from, the answer it leaves by, to). "" is the main way out.
PATHS: Final = frozenset(
    {
        (TIDY, "", RESEARCH),
        (TIDY, "", SCORE),
        (TIDY, "", HISTORY),
        (RESEARCH, "", COMBINE),
        (SCORE, "", COMBINE),
        (HISTORY, "", COMBINE),
        (COMBINE, "", WORTH),
        (WORTH, "Yes", SALES),
        (WORTH, "No", NURTURE),
        (SALES, "Approved", EACH),
        (SALES, "Approved", BRIEF),
        (EACH, "", FINAL),
        (BRIEF, "", FINAL),
        (FINAL, "Approved", UPDATE),
        (NURTURE, "", UPDATE),
        (UPDATE, "", TELL),
        (DRAFT, "", TONE),
    }
)


def matches(definition: Definition) -> list[str]:
    """What differs from the workflow of the mockups, in words; nothing where it is the same."""
    found = [*_variables(definition), *_steps(definition), *_paths(definition)]
    return sorted(found)


def _variables(definition: Definition) -> list[str]:
    asked = {variable.name: str(variable.type) for variable in definition.input_variables()}
    found = [f"The run form does not ask for {name}." for name in INPUTS if name not in asked]
    found += [f"The run form asks for {name}, which nobody wants." for name in asked if name not in INPUTS]
    found += [
        f"{name} is a {asked[name]}, not a {type_}."
        for name, type_ in INPUTS.items()
        if asked.get(name, type_) != type_
    ]
    kept = {variable.name for variable in definition.context_variables()}
    return found + ([] if IDEAL[0] in kept else [f"The run has no variable {IDEAL[0]}."])


def _steps(definition: Definition) -> list[str]:
    # Somebody may begin with a start step of its own: the pill stands for it.
    have = {step.label: step for step in definition.steps if step.type != "start"}
    wanted = {want.title for want in STEPS}
    found = [f"There is a step “{label}” too many." for label in have if label not in wanted]
    for want in STEPS:
        step = have.get(want.title)
        if step is None:
            found.append(f"There is no step “{want.title}”.")
        else:
            found += [f"“{want.title}” {what}." for what in _differences(definition, want, step)]
    return found


def _differences(definition: Definition, want: Want, step: StepDef) -> list[str]:
    found: list[str] = []
    if step.type != want.type:
        return [f"is a {step.type}, not a {want.type}"]
    if step.enabled is not want.enabled:
        found.append("is off" if want.enabled else "is on")
    inside = definition.step(step.parent).label if step.parent is not None else None
    if inside != want.inside:
        found.append(f"is inside {inside}, not inside {want.inside}")
    whole = filled_config(step)
    for name, wish in want.config.items():
        value = whole.get(name)
        if not (wish(value) if callable(wish) else value == wish):
            found.append(f"has {value!r} for {name}" + ("" if callable(wish) else f", not {wish!r}"))
    text = re.sub(r"\s+", " ", json.dumps(step.config, ensure_ascii=False))
    found += [f"does not read {name}" for name in want.reads if name not in text]
    if want.fields:
        schema = step.config.get("response_schema") or {}
        has = {name: str(part.get("type")) for name, part in (schema.get("properties") or {}).items()}
        if has != dict(want.fields):
            found.append(f"answers with {has}, not with {dict(want.fields)}")
    return found


def filled_config(step: StepDef) -> JSONObject:
    """The settings with the defaults of the step's type."""
    from workflows.steps import registry
    from workflows.steps.fields import filled

    return filled(registry.get(step.type).ConfigForm, step.config)


def paths_of(definition: Definition) -> frozenset[tuple[str, str, str]]:
    """The paths by titles and answers, as `PATHS` writes them; those of a start step are left out."""
    found: set[tuple[str, str, str]] = set()
    for edge in definition.edges:
        source, target = definition.step(edge.source), definition.step(edge.target)
        if source.type != "start":
            found.add((source.label, _answer(source, edge.port), target.label))
    return frozenset(found)


def _answer(source: StepDef, port: str) -> str:
    from workflows.steps import registry

    ports = {one.name: one.label for one in registry.get(source.type).ports(source.config)}
    return "" if len(ports) < 2 and port == main_port(source, CATALOG) else ports.get(port, port)


def _paths(definition: Definition) -> list[str]:
    have = paths_of(definition)
    return [
        *(
            f"No path leads from “{source}”{_on(port)} to “{target}”."
            for source, port, target in PATHS - have
        ),
        *(f"A path leads from “{source}”{_on(port)} to “{target}”." for source, port, target in have - PATHS),
    ]


def _on(port: str) -> str:
    return f" on {port}" if port else ""


# --- the texts that people type, the same for all who build it -----------------------------------


def texts(outside: str) -> dict[str, dict[str, Any]]:
    """The settings of each step as they are typed or chosen. `outside` is the address of the CRM's stand-in."""
    score = (
        "Score this enquiry from 0 to 100 against our ideal customer. Be strict: 70 or more means a salesperson "
        "should call today.\n\n"
        f"Company: {{{{steps.{TIDY}.company}}}}\n"
        f"What they asked for: {{{{steps.{TIDY}.request}}}}\n"
        "Monthly shipments: {{input.monthly_shipments}}\n"
        "Our ideal customer: {{vars.ideal_customer}}\n\n"
        "List at most three reasons, each tied to a fact above. If a fact is missing, say so rather than guess."
    )
    return {
        TIDY: {
            "mode": "fields",
            "fields": {
                "company": "=trim(input.company)",
                "domain": '=lower(split(input.email, "@")[1])',
                "country": "=upper(trim(input.country))",
                "request": "=trim(input.request)",
            },
        },
        RESEARCH: {
            "prompt": f"Research {{{{steps.{TIDY}.company}}}} at {{{{steps.{TIDY}.domain}}}}: what they ship, where, "
            "how much, and who decides. Write at most 200 words."
        },
        SCORE: {
            "prompt": score,
            "temperature": 0.2,
            "max_tokens": 1200,
            "system_prompt": "You are a careful B2B analyst. You never invent numbers, and you name the source.",
            "response_schema": {
                "type": "object",
                "properties": {
                    "score": {"type": "number"},
                    "tier": {"type": "string"},
                    "reasons": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["score", "tier", "reasons"],
                "additionalProperties": False,
            },
        },
        HISTORY: {
            "url": f"{outside}/crm/companies",
            "query": {"domain": f"{{{{steps.{TIDY}.domain}}}}"},
            "response_mapping": {"contacts": "json.contacts", "customer": "json.customer"},
        },
        COMBINE: {},
        WORTH: {"cases": [{"expression": f"steps.{SCORE}.score >= 70 && !steps.{HISTORY}.customer"}]},
        SALES: {
            "title": f"Is {{{{steps.{TIDY}.company}}}} worth a call?",
            "content": f"{{{{steps.{COMBINE}.content}}}}",
            "due": "4 hours",
        },
        EACH: {
            "items": f"{{{{steps.{HISTORY}.contacts}}}}",
            "heading": "{{item.name}}",
            "concurrency": 3,
            "tolerated": "1",
        },
        DRAFT: {
            "prompt": "Write an opener of 60 to 90 words to {{item.name}}, {{item.role}}, "
            f"about what we know:\n{{{{steps.{RESEARCH}.content}}}}"
        },
        TONE: {
            "prompt": "Check the tone of this opener. Answer with it as it is, or rewritten:\n"
            f"{{{{steps.{DRAFT}.content}}}}"
        },
        BRIEF: {
            "prompt": f"Write the account brief on one page for the salesperson who calls {{{{steps.{TIDY}.company}}}} "
            f"today.\n{{{{steps.{RESEARCH}.content}}}}\n{{{{steps.{SCORE}.reasons}}}}"
        },
        FINAL: {"title": "Send these openers?", "content": f"{{{{steps.{EACH}.content}}}}"},
        NURTURE: {
            "method": "POST",
            "url": f"{outside}/crm/lists/nurture",
            "body": "fields",
            "body_fields": {"company": f"{{{{steps.{TIDY}.company}}}}", "list": "Warm, not ready"},
        },
        UPDATE: {
            "method": "POST",
            "url": f"{outside}/crm/companies/update",
            "body": "fields",
            "body_fields": {
                "company": f"{{{{steps.{TIDY}.company}}}}",
                "score": f"{{{{steps.{SCORE}.score}}}}",
                "tier": f"{{{{steps.{SCORE}.tier}}}}",
                "brief": f'{{{{steps.{BRIEF}.content | default: ""}}}}',
                "openers": f'{{{{steps.{EACH}.content | default: ""}}}}',
            },
        },
        TELL: {"url": f"{outside}/team"},
    }


def document(outside: str = "http://crm.example") -> JSONObject:
    """The whole workflow as the API takes it, for those who want it without building it."""
    keys = {want.title: f"s{place}" for place, want in enumerate(STEPS, start=1)}
    said = texts(outside)
    nodes: list[Any] = [
        {
            "id": keys[want.title],
            "type": want.type,
            "name": want.title,
            "config": said[want.title],
            "enabled": want.enabled,
            **({"parent": keys[want.inside]} if want.inside else {}),
        }
        for want in STEPS
    ]
    types = {want.title: want.type for want in STEPS}
    ports = {"Yes": "true", "No": "false", "Approved": "approved", "": "out"}
    titles = [want.title for want in STEPS]
    edges: list[Any] = [
        {
            "id": f"e{place}",
            "source_node_id": keys[source],
            "target_node_id": keys[target],
            "source_output": ports[port or ("Approved" if types[source] == "review" else "")],
        }
        for place, (source, port, target) in enumerate(
            sorted(PATHS, key=lambda path: (titles.index(path[0]), titles.index(path[2]))), start=1
        )
    ]
    variables: list[Any] = [
        {"name": name, "type": type_, "kind": "input", "required": True} for name, type_ in INPUTS.items()
    ]
    variables.append({"name": IDEAL[0], "type": "string", "kind": "context", "default_value": IDEAL[1]})
    return {"variables": variables, "nodes": nodes, "edges": edges}


# --- the world it works in -----------------------------------------------------------------------


class LeadWorld:
    """A model and a CRM on this machine, so that a run goes to its end. `crm.requests` and `model.requests` tell all."""

    def __init__(self) -> None:
        self.model = FakeOpenAI()
        self.crm = Outside()
        self.model.default = answer
        self.crm.answer("/crm/companies", Answer(json={"customer": False, "contacts": list(CONTACTS)}))
        self.crm.answer("/crm/companies/update", Answer(json={"saved": True}))
        self.crm.answer("/crm/lists/nurture", Answer(json={"added": True}))
        self._stack = ExitStack()

    @property
    def environment(self) -> dict[str, str]:
        """For a whole Stepwell: the stand-in is its only vendor of models, and both may be called."""
        return {
            "OPENAI_BASE_URL": self.model.url,
            "OPENAI_API_KEY": "fake",
            "STEPWELL_DEFAULT_MODEL": "openai:gpt-4o-mini",
            "STEPWELL_OUTBOUND_ALLOW": f"{self.crm.host},127.0.0.1:{self.model.port}",
        }

    def sent(self, path: str) -> list[Any]:
        """The bodies that were posted to a path of the CRM."""
        return [one.json for one in self.crm.requests if one.path.partition("?")[0] == path and one.body]

    def __enter__(self) -> Self:
        self._stack.enter_context(self.model)
        self._stack.enter_context(self.crm)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()


def answer(request: Request) -> Reply:
    """What the stand-in writes: by the prompt, always the same."""
    prompt = request.prompt
    if "Score this enquiry" in prompt:
        # The number in the prompt decides, so that the lead's way can be chosen by its input.
        shipments = re.search(r"Monthly shipments: (\d+)", prompt)
        good = shipments is not None and int(shipments[1]) >= 60
        told = {
            "score": 82 if good else 31,
            "tier": "A" if good else "C",
            "reasons": ["140 shipments a month, above our floor of 60", "Asks for weekly reefer lanes"]
            if good
            else ["Far below our floor of 60 shipments a month"],
        }
        return Reply(text=json.dumps(told), usage=(310, 58))
    if "Check the tone" in prompt:
        return Reply(text=prompt.split("rewritten:", 1)[1].strip(), usage=(120, 80))
    if opener := re.search(r"Write an opener of 60 to 90 words to ([^,]+),", prompt):
        return Reply(
            text=f"Good morning {opener[1]}, you asked about weekly reefer lanes to Lyon.", usage=(140, 84)
        )
    if "account brief" in prompt:
        return Reply(
            text="Halden Cold Chain ships chilled goods weekly and decides in January.", usage=(420, 310)
        )
    if "Research" in prompt:
        return Reply(
            text="They move chilled fish and pharma from Rotterdam, 140 loads a month.", usage=(90, 200)
        )
    return Reply(text="Noted.", usage=(20, 4))
