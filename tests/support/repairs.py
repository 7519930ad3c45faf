"""Runs that fail as they do in life, for the proofs that a person repairs them from their page (issue 5).

A tenant with accounts at two model servers: Anthropic's, whose credit ends in the middle of a run and which declines
one of thirteen contacts, and Google's, which works. `make_world` makes the tenant beside a running stack.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tests.support.fake_openai import FakeOpenAI, Reply
from tests.support.stack import Stack

CREDIT = Reply(
    status=400,
    body={
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to"
            " upgrade or purchase credits.",
        },
    },
)
DECLINED = Reply(
    status=400,
    body={
        "error": {"type": "invalid_request_error", "message": "Output blocked by content filtering policy"}
    },
)
ANSWER = Reply(
    text="**Carriers first.** Four goals, three risks and two audiences; the second audience pays, so begin there.",
    usage=(1_240, 637),
)
CLAUDE = "anthropic:claude-sonnet-4-5"


def model_step(key: str, name: str, prompt: str, **fields: Any) -> dict[str, Any]:
    config = {"prompt": prompt, "model": CLAUDE, **fields.pop("config", {})}
    return {"id": key, "type": "llm", "name": name, "config": config, **fields}


def chain(*nodes: dict[str, Any]) -> dict[str, Any]:
    """Top-level steps one after the other; what has a parent stands inside of it."""
    top = [node["id"] for node in nodes if not node.get("parent")]
    edges = [{"source_node_id": one, "target_node_id": two} for one, two in pairwise(top)]
    for edge in edges:
        if edge["source_node_id"] == "gate":
            edge["source_output"] = "approved"
    return {"nodes": list(nodes), "edges": edges}


PIPELINE = chain(
    model_step("idea", "Idea Analysis", "Analyse the idea: {{ input.idea }}"),
    model_step("research", "Research", "Research what stands in: {{ steps.Idea Analysis.content }}"),
    model_step("features", "Feature Addition", "Add features to: {{ steps.Research.content }}"),
    {"id": "gate", "type": "review", "name": "Review Gate", "config": {"title": "Are these the right features?"}},
    model_step("wisdom", "Project Wisdom", "Lessons of past projects for: {{ steps.Feature Addition.content }}"),
    model_step("final", "Final Improvements", "Improve it once more: {{ steps.Project Wisdom.content }}"),
    model_step("prompts", "Implementation Prompts", "Write prompts for: {{ steps.Final Improvements.content }}"),
)  # fmt: skip
CONTRACT = chain(
    model_step("summary", "Summarise the contract", "Summarise this contract: {{ input.contract }}")
)
OPENERS = chain(
    model_step("brief", "Brief", "What do we sell to {{ input.company }}?"),
    {
        "id": "each", "type": "fan_out", "name": "Write an opener for each contact",
        "config": {"items": "{{ input.people }}", "concurrency": 4, "tolerated": "0"},
    },
    model_step("opener", "Draft the opener", "Write an opener for {{ item.name }}", parent="each"),
    model_step("letter", "Covering letter", "Write a covering letter for {{ steps.Brief.content }}"),
)  # fmt: skip
SCORE = chain(
    model_step("research", "Research the company", "What is known of {{ input.company }}?"),
    {
        "id": "score", "type": "transform", "name": "Score the fit",
        "config": {"mode": "expression", "expression": "input.trucks * 2"},
    },
    model_step("pitch", "Pitch", "Pitch to a company with fit {{ steps.Score the fit.content }}"),
)  # fmt: skip
PEOPLE = (
    "Mara Lindqvist, VP Supply Chain", "Jonas Feld, Head of Cold Chain", "Priya Nair, Procurement", "Owen Blakely, Ops",
    "Chiara Conti, Quality", "Luc Ferrand, Transport", "Sofia Almeida, Logistics", "Pieter de Wit, Warehouse",
    "Hanna Kowal, Finance", "Ibrahim Saleh, IT", "Grete Holm, Sustainability", "Tom Ashdown, Planning", "Yuki Mori, Customs",
)  # fmt: skip
# The contact that the model declines to write to, as it came in.
ODD = 6

_MAKE = """
import json
from django.urls import reverse
from runs.services.start_run import start_run
from workflows.definition.schema import parse_definition
from workflows.services.create_workflow import create_workflow
from workflows.services.provider_accounts import create_account
from workflows.services.publish_workflow import publish_workflow
from workflows.models import Workflow
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor
from workflows.tenancy.models import Membership, Tenant, User
from workflows.tenancy.roles import Role
from workflows.tenancy.sign_in_links import make_token
tenant = Tenant.objects.create(slug={slug!r}, name="Marlowe Freight")
user = User.objects.create_user({email!r}, None, name="Nadia Osei")
Membership.objects.create(tenant=tenant, user=user, role=Role.OWNER)
actor = Actor(tenant=tenant, role=Role.OWNER, user=user)
for provider, name, url in {accounts!r}:
    create_account(actor=actor, provider=provider, name=name, key="sk-not-a-secret", base_url=url)
made, ids = dict(), []
for name, document in json.loads({documents!r}):
    made[name] = create_workflow(actor=actor, name=name, definition=parse_definition(document, CATALOG))
    publish_workflow(workflow=made[name], actor=actor)
for name, given in json.loads({runs!r}):
    ids.append(str(start_run(workflow=Workflow.objects.get(pk=made[name].pk), actor=actor, input_data=given).pk))
link = reverse("accounts:sign_in_link", args=[make_token(user)])
print(json.dumps(dict(runs=ids, link=link)))
"""


@dataclass(frozen=True)
class RepairWorld:
    """A tenant with its two model servers; `runs` are ids, `link` signs its owner in, once."""

    stack: Stack
    runs: tuple[str, ...]
    link: str
    claude: FakeOpenAI
    gemini: FakeOpenAI


def make_world(
    stack: Stack, claude: FakeOpenAI, gemini: FakeOpenAI, runs: Sequence[tuple[str, dict[str, Any]]]
) -> RepairWorld:
    """The tenant, its published workflows and these runs of them, by name with their input, in the stack's database."""
    # Not a word of the prompt comes back, so that a prompt is known by its words.
    claude.default = gemini.default = lambda _: ANSWER
    claude.when("Improve it once more", CREDIT, always=True)
    claude.when("Summarise this contract", CREDIT, always=True)
    claude.when(f"opener for {PEOPLE[ODD]}, the fool", DECLINED, always=True)
    documents = [
        ("Deep Build Pipeline", PIPELINE), ("Contract summary", CONTRACT),
        ("Openers", OPENERS), ("Lead scoring", SCORE),
    ]  # fmt: skip
    code = _MAKE.format(
        slug="repairs",
        email="nadia@repairs.example",
        accounts=[("anthropic", "Marlowe main key", claude.url), ("google", "Marlowe Google", gemini.url)],
        documents=json.dumps(documents),
        runs=json.dumps(list(runs)),
    )
    made = json.loads(stack.manage("shell", "-c", code).splitlines()[-1])
    return RepairWorld(stack, tuple(made["runs"]), made["link"], claude, gemini)


def contacts() -> list[dict[str, str]]:
    """Thirteen people; the model declines to write to one of them as she is described here."""
    return [{"name": f"{name}, the fool" if n == ODD else name} for n, name in enumerate(PEOPLE)]
