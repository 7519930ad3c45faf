"""What every address is. A new one fails the suite until it has its line here.

One line per address, by its URL name (pages), its path (API: `/api/workflows/<id>`) or `ws:` and its path (sockets):

    "workflows:team": page(GET=MANAGE_PEOPLE)            a page of the tenant; per verb the permission it takes
    "workflows:builder": thing(a_workflow, GET=VIEW)     a thing of the tenant; the maker makes one, and names it
    "ws:/ws/runs/<run>/": thing(a_run, GET=VIEW)          a socket that follows a thing (its one verb is GET)
    "accounts:profile": signed_in("GET", "POST")         the person's own, whatever the tenant
    "accounts:sign_in": public("GET", "POST")            everybody's

A maker takes the world and returns the address's parameters. `sample` is what a good write sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import Any

from django.utils import timezone

from runs.models import Run
from templates_app.models import WorkflowTemplate
from templates_app.services.use_template import use_template
from tests.support import runs
from tests.support.factories import World, template, workflow
from workflows.definition.schema import canonical_json, content_hash, parse_definition
from workflows.lib.clock import utc_now
from workflows.models import Connection, Workflow
from workflows.services.change_persona import save_persona
from workflows.services.change_prompt import create_prompt
from workflows.services.connections import save_connection
from workflows.services.create_workflow import create_workflow
from workflows.services.email_templates import save_email_template
from workflows.services.events import send_event
from workflows.services.provider_accounts import create_account
from workflows.services.publish_workflow import publish_workflow
from workflows.services.samples import save_sample
from workflows.steps.catalog import CATALOG
from workflows.tenancy.keys import create_key
from workflows.tenancy.models import Invitation, Membership
from workflows.tenancy.roles import Permission

Maker = Callable[[World], dict[str, Any]]

VIEW = Permission.VIEW
EDIT = Permission.EDIT_WORKFLOWS
RUN = Permission.RUN
CONTROL = Permission.CONTROL_RUNS
REVIEW = Permission.REVIEW
PEOPLE = Permission.MANAGE_PEOPLE
KEYS = Permission.MANAGE_KEYS


class Kind(Enum):
    PUBLIC = "public"
    SIGNED_IN = "signed in"
    PAGE = "page of a tenant"
    THING = "thing of a tenant"


@dataclass(frozen=True)
class Route:
    """`verbs` maps each verb that the address takes to the permission it needs (None: no role is asked for)."""

    kind: Kind
    verbs: Mapping[str, Permission | None]
    make: Maker = lambda world: {}
    sample: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def public(*verbs: str, make: Maker = lambda world: {}, note: str = "") -> Route:
    return Route(Kind.PUBLIC, dict.fromkeys(verbs), make, note=note)


def signed_in(*verbs: str, make: Maker = lambda world: {}, sample: Mapping[str, Any] | None = None) -> Route:
    return Route(Kind.SIGNED_IN, dict.fromkeys(verbs), make, sample or {})


def page(sample: Mapping[str, Any] | None = None, **verbs: Permission) -> Route:
    return Route(Kind.PAGE, verbs, sample=sample or {})


def thing(make: Maker, sample: Mapping[str, Any] | None = None, **verbs: Permission) -> Route:
    return Route(Kind.THING, verbs, make, sample or {})


# --- Makers: a thing of world.tenant, as the parameters of its address ------------------------------------------------


def a_workflow(world: World) -> dict[str, Any]:
    return {"pk": workflow(world.tenant, "Canary of Marlowe").pk}


def a_trigger(world: World) -> dict[str, Any]:
    """A published event trigger."""
    document = {
        "nodes": [{"id": "a", "type": "transform", "name": "A", "config": {"expression": "1"}}],
        "edges": [],
        "triggers": [{"id": "t", "type": "event", "config": {"event": "crm/lead.changed"}}],
    }
    made = create_workflow(
        actor=world.alice, name="Canary of Marlowe", definition=parse_definition(document, CATALOG)
    )
    publish_workflow(workflow=made, actor=world.alice)
    return {"pk": made.pk, "key": "t"}


def a_draft(world: World) -> dict[str, Any]:
    """A workflow with a step and a path, each addressed by its id."""
    two = runs.graph(runs.step("one"), runs.step("two"))
    made = create_workflow(actor=world.alice, name="Canary of Marlowe", definition=two)
    return {"pk": made.pk, "key": "one", "edge": "e0"}


def a_sample(world: World) -> dict[str, Any]:
    made = a_draft(world)["pk"]
    draft = Workflow.objects.get(pk=made)
    return {"pk": made, "sample": save_sample(workflow=draft, actor=world.alice, name="Canary", data={}).pk}


def a_sample_of_the_api(world: World) -> dict[str, Any]:
    return _by_id(a_sample(world))


def an_archived_workflow(world: World) -> dict[str, Any]:
    return {"pk": workflow(world.tenant, "Canary of Marlowe", status="archived").pk}


def a_version(world: World) -> dict[str, Any]:
    made = workflow(world.tenant, "Canary of Marlowe", latest_version=1, status="active")
    runs.version(made, runs.graph(runs.step("one")))
    return {"pk": made.pk, "number": 1}


def an_email(world: World) -> dict[str, Any]:
    made = save_email_template(actor=world.alice, name="canary", subject="Canary of Marlowe", text="Canary")
    return {"pk": made.pk}


def a_member(world: World) -> dict[str, Any]:
    return {"pk": Membership.objects.get(tenant=world.tenant, user=world.rita.user).pk}


def an_invitation(world: World) -> dict[str, Any]:
    offer = Invitation.objects.create(
        tenant=world.tenant,
        email="canary@example.com",
        role="viewer",
        hash="0" * 64,
        expires_at=utc_now() + timedelta(days=1),
    )
    return {"pk": offer.pk}


def an_api_key(world: World) -> dict[str, Any]:
    return {"pk": create_key(actor=world.alice, name="Canary key", role="viewer")[0].pk}


def a_provider_account(world: World) -> dict[str, Any]:
    # An inner address, which is refused before anything is sent: a check stays in the house.
    made = create_account(
        actor=world.alice,
        provider="openai",
        name="Canary of Marlowe",
        key="sk-canary",
        base_url="http://127.0.0.1:9/v1",
    )
    return {"pk": made.pk}


def a_prompt(world: World) -> dict[str, Any]:
    return {"pk": create_prompt(actor=world.bob, name="Greeting", text="Write.").pk}


def a_prompt_of_the_api(world: World) -> dict[str, Any]:
    return {"id": create_prompt(actor=world.bob, name="Canary prompt", text="Canary.").pk}


def a_persona(world: World) -> dict[str, Any]:
    return {"pk": save_persona(actor=world.bob, name="Muse", text="You sing.").pk}


def a_stored_key(world: World) -> dict[str, Any]:
    made = save_connection(
        actor=world.alice,
        name=f"Canary of Marlowe {Connection.objects.count()}",
        kind="bearer",
        secret="sk-canary",
        hosts=["127.0.0.1:9"],
    )
    return {"pk": made.pk}


def a_run(world: World) -> dict[str, Any]:
    run = runs.run_of(world.alice, runs.graph(runs.step("one"), runs.step("two")), name="Canary of Marlowe")
    return {"pk": run.pk}


def a_run_that_is_over(world: World, status: str = "completed") -> dict[str, Any]:
    one = runs.graph(runs.step("one"))
    run = runs.run_of(world.alice, one, name="Canary of Marlowe", status=status, output={"content": "Canary"})
    runs.reached(run, "one", status)
    return {"pk": run.pk}


def a_replay(world: World) -> dict[str, Any]:
    """It ran with a setting of its own."""
    made = a_run_that_is_over(world)
    Run.objects.filter(pk=made["pk"]).update(overrides={"one": {"template": "Canary"}})
    return made


def a_held_run(world: World) -> dict[str, Any]:
    """Held by a person, with a finished step."""
    steps = runs.graph(runs.step("one"), runs.step("two"))
    run = runs.run_of(world.alice, steps, name="Canary of Marlowe", status="paused", intent="pause")
    runs.reached(run, "one")
    return {"pk": run.pk}


def a_failed_run(world: World) -> dict[str, Any]:
    return a_run_that_is_over(world, "failed")


def a_step_of_a_run(world: World) -> dict[str, Any]:
    return {**a_run_that_is_over(world), "key": "one"}


def a_dead_letter(world: World) -> dict[str, Any]:
    """A run that failed and waits in the dead letters, by the fingerprint of its cause."""
    run = runs.run_of(
        world.alice,
        runs.graph(runs.step("one")),
        name="Canary of Marlowe",
        status="failed",
        case="0123456789abcdef",
        dead_since=timezone.now(),
        error={"code": "odd", "message": "It broke."},
    )
    return {"case": run.case}


def an_item(world: World) -> dict[str, Any]:
    """A failed item of a completed run; each address takes of these parameters what it names."""
    inner = runs.step("inner", parent="each")
    definition = replace(runs.graph(runs.step("each", "fan_out"), inner), edges=())
    run = runs.run_of(
        world.alice, definition, name="Canary of Marlowe", status="completed", output={"content": "x"}
    )
    runs.worked_through(run, "each", ["completed", "failed"])
    return {"pk": run.pk, "key": "each", "scope": "each[1]"}


def a_review(world: World) -> dict[str, Any]:
    run = runs.run_of(world.alice, runs.graph(runs.step("gate", "review")), name="Canary of Marlowe")
    return {"pk": runs.gate(run, "gate").pk}


def _by_id(made: dict[str, Any]) -> dict[str, Any]:
    """The same thing in an address of the API."""
    return {"id" if name == "pk" else name: value for name, value in made.items()}


def a_workflow_of_the_api(world: World) -> dict[str, Any]:
    return _by_id(a_workflow(world))


def two_versions_of_the_api(world: World) -> dict[str, Any]:
    made = a_version_of_the_api(world)
    return {"id": made["id"], "a": made["number"], "b": "draft"}


def a_version_of_the_api(world: World) -> dict[str, Any]:
    made = workflow(world.tenant, "Canary of Marlowe")
    runs.version(made, runs.graph(runs.step("one")))
    return {"id": made.pk, "number": 1}


def a_workflow_to_publish(world: World) -> dict[str, Any]:
    made = create_workflow(
        actor=world.alice, name="Canary of Marlowe", definition=runs.graph(runs.step("gate", "review"))
    )
    return {"id": made.pk}


def a_run_of_the_api(world: World) -> dict[str, Any]:
    return _by_id(a_run(world))


def a_failed_run_of_the_api(world: World) -> dict[str, Any]:
    return _by_id(a_failed_run(world))


def a_run_under_review(world: World) -> dict[str, Any]:
    run = runs.run_of(world.alice, runs.graph(runs.step("gate", "review")), name="Canary of Marlowe")
    runs.gate(run, "gate")
    return {"pk": run.pk}


def a_review_of_the_api(world: World) -> dict[str, Any]:
    return _by_id(a_review(world))


def a_gate_of_a_run(world: World) -> dict[str, Any]:
    run = runs.run_of(world.alice, runs.graph(runs.step("gate", "review")), name="Canary of Marlowe")
    return {"id": run.pk, "node_id": "gate"}


def a_template_of_the_api(world: World) -> dict[str, Any]:
    definition = runs.graph(runs.step("gate", "review"))
    made = WorkflowTemplate.objects.create(
        tenant=world.tenant,
        slug=f"canary-{WorkflowTemplate.objects.count()}",
        name="Canary of Marlowe",
        category="Canaries",
        document=canonical_json(definition),
        content_hash=content_hash(definition),
        status=WorkflowTemplate.Status.PUBLISHED,
    )
    return {"id": made.pk}


def an_event(world: World) -> dict[str, Any]:
    return {"id": send_event(actor=world.alice, name="canary/marlowe", data={"of": "Marlowe"})[0].pk}


def a_token(world: World) -> dict[str, Any]:
    return {"token": "forged"}


def a_secret(world: World) -> dict[str, Any]:
    return {"secret": "forged"}


def a_reset(world: World) -> dict[str, Any]:
    return {"uidb64": "MQ", "token": "forged"}


def a_template(world: World) -> dict[str, Any]:
    return {"pk": template(world.tenant, "Canary of Marlowe").pk}


def a_pattern(world: World) -> dict[str, Any]:
    return {**a_workflow(world), "name": "ask-review"}


def a_described(world: World) -> dict[str, Any]:
    """A run in which a model drafted a workflow."""
    run = runs.run_of(
        world.bob, runs.graph(runs.step("draft", "transform")), name="Canary drafts", status="completed"
    )
    run.workflow.settings = {"purpose": "describe"}
    run.workflow.deleted_at = utc_now()
    run.workflow.save()
    run.input = {"wish": "Canary of Marlowe"}
    run.save()
    return {"pk": run.pk}


def an_install(world: World) -> dict[str, Any]:
    """A workflow that was made from a template."""
    made = template(world.tenant, "Canary of Marlowe")
    return {"pk": use_template(template=made, actor=world.bob, name="Canary made of one").pk}


ROUTES: dict[str, Route] = {
    # --- everybody's
    "favicon": public("GET"),
    "healthz": public("GET"),
    "readyz": public("GET"),
    "accounts:sign_in": public("GET", "POST"),
    "accounts:sign_in_link": public("GET", "POST", make=a_token, note="404 for a forged link"),
    "accounts:sign_out": public("POST"),
    "accounts:password_reset": public("GET", "POST"),
    "accounts:password_reset_sent": public("GET"),
    "accounts:password_reset_done": public("GET"),
    "accounts:password_reset_confirm": public("GET", "POST", make=a_reset),
    "accounts:invitation": public("GET", "POST", make=a_secret, note="404 for a forged link"),
    # --- the person's own
    "accounts:password_change": signed_in("GET", "POST"),
    "accounts:profile": signed_in("GET", "POST"),
    "accounts:single_keys": signed_in("POST"),
    "accounts:switch_tenant": signed_in("POST", sample={"tenant": "marlowe"}),
    # --- people and keys of a tenant
    "workflows:team": page(GET=PEOPLE),
    "workflows:team_invite": page(POST=PEOPLE, sample={"email": "nina@example.com", "role": "viewer"}),
    "workflows:member_role": thing(a_member, POST=PEOPLE, sample={"role": "viewer"}),
    "workflows:member_remove": thing(a_member, POST=PEOPLE),
    "workflows:invitation_withdraw": thing(an_invitation, POST=PEOPLE),
    "workflows:prompts": page(GET=VIEW),
    "workflows:emails": page(GET=VIEW),
    "workflows:email_new": page(GET=EDIT, POST=EDIT, sample={"name": "x", "subject": "S", "text": "T"}),
    "workflows:email": thing(an_email, GET=VIEW, POST=EDIT, sample={"subject": "S", "text": "T"}),
    "workflows:email_remove": thing(an_email, POST=EDIT),
    "workflows:prompt_new": page(GET=EDIT, POST=EDIT, sample={"name": "Opener", "text": "Write."}),
    "workflows:prompt": thing(
        a_prompt, GET=VIEW, POST=EDIT, sample={"name": "Greeting", "text": "Write again.", "reach": "all"}
    ),
    "workflows:prompt_remove": thing(a_prompt, POST=EDIT),
    "workflows:persona_new": page(
        GET=EDIT, POST=EDIT, sample={"name": "Muse", "colour": "2", "text": "Sing."}
    ),
    "workflows:persona": thing(
        a_persona, GET=VIEW, POST=EDIT, sample={"name": "Muse", "colour": "3", "text": "Sing more."}
    ),
    "workflows:persona_remove": thing(a_persona, POST=EDIT),
    "workflows:persona_bulk": thing(a_draft, GET=EDIT, POST=EDIT, sample={"persona": "Athena"}),
    "runs:describe": page({"wish": "x"}, GET=EDIT, POST=EDIT),
    "runs:described": thing(a_described, GET=EDIT),
    "runs:described_take": thing(a_described, POST=EDIT, sample={"act": "take"}),
    "runs:try_prompt": thing(a_prompt, GET=RUN, POST=RUN, sample={"model": "demo:writer"}),
    "runs:model_calls": page(GET=VIEW),
    "workflows:connections": page(GET=KEYS),
    "workflows:connection_new": page(
        GET=KEYS, POST=KEYS, sample={"provider": "openai", "name": "Ours", "key": "sk-1"}
    ),
    "workflows:connection_models": page(POST=KEYS, sample={"default_model": "demo:writer", "fallback": ""}),
    "workflows:connection_budget": page(POST=KEYS, sample={"budget_policy": "pause"}),
    "workflows:connection": thing(a_provider_account, GET=KEYS, POST=KEYS, sample={"name": "Renamed"}),
    "workflows:connection_balance": thing(a_provider_account, POST=KEYS, sample={"balance": "10"}),
    "workflows:connection_slack": page(POST=KEYS, sample={"url": "https://hooks.example.com/x"}),
    "workflows:connection_check": thing(a_provider_account, POST=KEYS),
    "workflows:connection_switch": thing(a_provider_account, POST=KEYS, sample={"active": "0"}),
    "workflows:connection_delete": thing(a_provider_account, POST=KEYS),
    "workflows:stored_key_new": page(
        {"name": "CRM", "kind": "bearer", "secret": "canary-1", "hosts": "x.org"}, GET=KEYS, POST=KEYS
    ),
    "workflows:stored_key": thing(
        a_stored_key, {"kind": "bearer", "secret": "canary-2", "hosts": "x.org"}, GET=KEYS, POST=KEYS
    ),
    "workflows:stored_key_check": thing(a_stored_key, POST=KEYS),
    "workflows:stored_key_delete": thing(a_stored_key, POST=KEYS),
    "workflows:api_keys": page(GET=KEYS, POST=KEYS, sample={"name": "CI", "role": "viewer"}),
    "workflows:api_key_revoke": thing(an_api_key, POST=KEYS),
    # --- workflows and the builder
    "workflows:home": public("GET", note="leads to the list"),
    "workflows:index": page(GET=VIEW),
    "workflows:create": page(POST=EDIT),
    "workflows:builder": thing(a_draft, GET=VIEW),
    "workflows:canvas": thing(a_draft, GET=VIEW),
    "workflows:canvas_world": thing(a_draft, GET=VIEW),
    "workflows:canvas_panel": thing(a_draft, GET=VIEW),
    "workflows:canvas_place": thing(a_draft, POST=EDIT, sample={"positions": '{"one": [11, 22]}'}),
    "workflows:canvas_tidy": thing(a_draft, POST=EDIT),
    "workflows:canvas_several": thing(a_draft, POST=EDIT, sample={"act": "off", "keys": '["one"]'}),
    "workflows:canvas_reroute": thing(a_draft, POST=EDIT, sample={"target": "two"}),
    "workflows:add_step": thing(a_draft, GET=EDIT, POST=EDIT, sample={"type": "llm", "place": "end"}),
    "workflows:add_path": thing(a_draft, POST=EDIT, sample={"source": "one", "target": "two"}),
    "workflows:change_path": thing(a_draft, POST=EDIT, sample={"remove": "1"}),
    "workflows:variables": thing(a_draft, POST=EDIT, sample={"name": "text", "type": "string"}),
    "workflows:settings": thing(a_draft, POST=EDIT, sample={"name": "Another name"}),
    "workflows:undo": thing(a_draft, POST=EDIT),
    "workflows:redo": thing(a_draft, POST=EDIT),
    "workflows:here": thing(a_draft, POST=EDIT, sample={"tab": "one"}),
    "workflows:changes": thing(a_draft, GET=VIEW),
    "workflows:selection": thing(a_draft, GET=EDIT, POST=EDIT, sample={"keys": "one", "act": "duplicate"}),
    "workflows:find_steps": thing(a_draft, GET=VIEW),
    "workflows:copy_steps": thing(a_draft, GET=VIEW),
    "workflows:paste_steps": thing(a_draft, GET=EDIT, POST=EDIT, sample={"text": "nodes: []"}),
    "workflows:patterns": thing(a_workflow, GET=EDIT),
    "workflows:pattern": thing(a_pattern, GET=EDIT, POST=EDIT),
    "workflows:samples": thing(a_draft, GET=VIEW),
    "workflows:sample": thing(a_sample, POST=EDIT, sample={"act": "rename", "name": "Other"}),
    "workflows:publish": thing(a_draft, GET=EDIT, POST=EDIT),
    "workflows:duplicate": thing(a_draft, POST=EDIT),
    "workflows:archive": thing(a_draft, POST=EDIT),
    "workflows:restore": thing(an_archived_workflow, POST=EDIT),
    "workflows:delete": thing(a_draft, POST=EDIT),
    "workflows:step": thing(a_draft, GET=VIEW, POST=EDIT, sample={"label": "First"}),
    "workflows:step_enable": thing(a_draft, POST=EDIT),
    "workflows:step_move": thing(a_draft, GET=EDIT, POST=EDIT, sample={"before": ""}),
    "workflows:step_duplicate": thing(a_draft, POST=EDIT),
    "workflows:step_delete": thing(a_draft, GET=EDIT, POST=EDIT),
    "workflows:step_connect": thing(a_draft, GET=EDIT),
    "workflows:step_kind": thing(a_draft, GET=EDIT, POST=EDIT, sample={"type": "llm", "sure": "1"}),
    "workflows:step_fix": thing(a_draft, POST=EDIT, sample={"field": "x", "wrong": "a", "meant": "b"}),
    "workflows:import": page(
        {"document": "name: N\nnodes: [{id: a, type: merge, name: A}]", "sure": "1"}, GET=EDIT, POST=EDIT
    ),
    "workflows:export_all": page(GET=VIEW),
    "workflows:export": thing(a_draft, GET=VIEW),
    "workflows:versions": thing(a_version, GET=VIEW),
    "workflows:version": thing(a_version, GET=VIEW),
    "workflows:version_restore": thing(a_version, POST=EDIT),
    "workflows:version_revert": thing(a_version, {"part": "step", "key": "one"}, POST=EDIT),
    # --- runs and reviews
    "runs:dashboard": page(GET=VIEW),
    "runs:export": page(GET=VIEW),
    "runs:news": page(GET=VIEW),
    "runs:bulk": page(POST=CONTROL, sample={"act": "retry", "all": "1"}),
    "runs:views": signed_in("POST", sample={"act": "save", "name": "Mine"}),  # one's own
    "runs:retention": page(GET=VIEW, POST=PEOPLE, sample={"runs_days": "400"}),
    "runs:estimate": thing(a_workflow, GET=VIEW),
    "runs:index": page(GET=VIEW),
    "runs:find": page(GET=VIEW),
    "runs:start": thing(a_workflow, GET=RUN, POST=RUN),
    "runs:step_data": thing(a_draft, GET=VIEW),
    "runs:step_preview": thing(a_draft, GET=VIEW),
    "runs:step_test": thing(a_draft, GET=VIEW, POST=RUN, sample={"source": "input", "input": "{}"}),
    "runs:step_pin": thing(a_draft, POST=EDIT, sample={"value": "{}"}),
    "runs:detail": thing(a_run, GET=VIEW),
    "runs:step": thing(a_step_of_a_run, GET=VIEW),
    "runs:again": thing(a_run_that_is_over, POST=RUN),
    "runs:what_if": thing(a_step_of_a_run, GET=RUN, POST=RUN),
    "runs:adopt": thing(a_replay, POST=EDIT),
    "runs:compare": page(GET=VIEW),
    "runs:items_act": thing(an_item, {"retry": "each"}, POST=CONTROL),
    "runs:whole": thing(a_run_that_is_over, GET=VIEW),
    "runs:items_csv": thing(an_item, GET=VIEW),
    "runs:step_once": thing(a_run, POST=CONTROL),
    "runs:breakpoints": thing(a_run, {"toggle": "two"}, POST=CONTROL),
    "runs:edit": thing(
        a_held_run, {"what": "output", "step": "one", "kind": "text", "value": "x"}, POST=CONTROL
    ),
    "runs:save_sample": thing(a_run_that_is_over, POST=EDIT),
    "runs:save_as_workflow": thing(a_run_that_is_over, POST=EDIT),
    "runs:output": thing(a_run_that_is_over, GET=VIEW),
    "runs:items": thing(an_item, GET=VIEW),
    "runs:item": thing(an_item, GET=VIEW),
    "runs:retry_items": thing(an_item, {"step": "each", "items": "failed"}, POST=CONTROL),
    "runs:pause": thing(a_run, POST=CONTROL),
    "runs:resume": thing(a_failed_run, POST=CONTROL),
    "runs:cancel": thing(a_run, POST=CONTROL),
    "runs:retry": thing(a_failed_run, POST=CONTROL),
    "runs:continue": thing(a_failed_run, {"version": "2"}, POST=CONTROL),
    "runs:without": thing(a_failed_run, {"step": "one"}, POST=CONTROL),
    "runs:dead_letters": page(GET=VIEW),
    "runs:dead_letter": thing(a_dead_letter, GET=VIEW),
    "runs:dead_letters_retry": thing(a_dead_letter, POST=CONTROL),
    "runs:dead_letters_discard": thing(a_dead_letter, {"reason": "Done by hand."}, POST=CONTROL),
    "triggers:index": page(GET=VIEW),
    "triggers:new": page(GET=EDIT, POST=EDIT),
    "triggers:detail": thing(a_trigger, {"events": "crm/lead.changed"}, GET=VIEW, POST=EDIT),
    "triggers:try": thing(a_trigger, {"name": "crm/lead.changed", "sample": "{}"}, POST=RUN),
    "triggers:switch": thing(a_trigger, {"on": "0"}, POST=EDIT),
    "triggers:remove": thing(a_trigger, POST=EDIT),
    "outbox:index": page(GET=VIEW),
    "notifications:index": page(GET=VIEW),
    "notifications:latest": page(GET=VIEW),
    "notifications:read": signed_in("POST"),  # one's own, which nobody else sees
    "notifications:preferences": signed_in("GET", "POST"),
    "reviews:index": page(GET=VIEW),
    "reviews:detail": thing(a_review, GET=VIEW),
    "reviews:news": page(GET=VIEW),
    "reviews:away": page(GET=REVIEW, POST=REVIEW),
    "reviews:table": thing(a_run_under_review, GET=REVIEW, POST=REVIEW),
    "reviews:hand_over": thing(a_review, POST=REVIEW),
    "reviews:changes": thing(a_review, POST=REVIEW),
    "reviews:decide": thing(a_review, POST=REVIEW, sample={"decision": "approve"}),
    "ws:/ws/runs/<uuid:pk>/": thing(a_run, GET=VIEW),
    "ws:/ws/bell/": page(GET=VIEW),
    "ws:/ws/runs/": page(GET=VIEW),
    # --- templates
    "templates_app:index": page(GET=VIEW),
    "templates_app:detail": thing(a_template, GET=VIEW),
    "templates_app:use": thing(a_template, POST=EDIT),
    "templates_app:save": page(GET=EDIT, POST=EDIT),
    "templates_app:submit": thing(a_template, POST=EDIT),
    "templates_app:withdraw": thing(a_template, POST=EDIT),
    "templates_app:update": thing(an_install, GET=EDIT, POST=EDIT),
    "templates_app:welcome": page(GET=EDIT),
    "templates_app:welcome_step": page({"act": "demo"}, POST=EDIT),
    # --- the API
    "api:openapi-json": public("GET"),
    "api:openapi-view": public("GET"),
    "/api/workflows": page({"name": "New"}, GET=VIEW, POST=EDIT),
    "/api/workflows/<id>": thing(a_workflow_of_the_api, {"name": "New"}, GET=VIEW, PUT=EDIT, DELETE=EDIT),
    "/api/workflows/<id>/duplicate": thing(a_workflow_of_the_api, POST=EDIT),
    "/api/workflows/<id>/validate": thing(a_workflow_of_the_api, POST=EDIT),
    "/api/workflows/<id>/publish": thing(a_workflow_to_publish, POST=EDIT),
    "/api/workflows/<id>/versions": thing(a_workflow_of_the_api, GET=VIEW),
    "/api/workflows/<id>/versions/<number>": thing(a_version_of_the_api, GET=VIEW),
    "/api/workflows/<id>/versions/<a>/compare/<b>": thing(two_versions_of_the_api, GET=VIEW),
    "/api/workflows/<id>/versions/<number>/restore": thing(a_version_of_the_api, POST=EDIT),
    "/api/workflows/<id>/samples": thing(
        a_workflow_of_the_api, {"name": "One", "input": {}}, GET=VIEW, POST=EDIT
    ),
    "/api/workflows/<id>/samples/<sample>": thing(
        a_sample_of_the_api, {"name": "Other"}, PATCH=EDIT, DELETE=EDIT
    ),
    "/api/workflows/export": page(GET=VIEW),
    "/api/workflows/import": page({"document": "name: N\nnodes: [{id: a, type: merge, name: A}]"}, POST=EDIT),
    "/api/workflows/<id>/export": thing(a_workflow_of_the_api, GET=VIEW),
    "/api/workflows/<id>/paste": thing(
        a_workflow_of_the_api, {"document": "nodes: [{id: a, type: merge, name: Pasted}]"}, POST=EDIT
    ),
    "/api/workflows/<id>/estimate": thing(a_workflow_of_the_api, GET=VIEW, POST=RUN),
    "/api/workflows/<id>/events": thing(a_workflow_of_the_api, GET=VIEW),
    "/api/analytics/steps": page(GET=VIEW),
    "/api/analytics/runs": page(GET=VIEW),
    "/api/budgets": page({"limit": 10}, GET=VIEW, PUT=KEYS),
    "/api/workflows/<id>/execute": thing(a_workflow_to_publish, POST=RUN),
    "/api/dead-letters": page(GET=VIEW),
    "/api/dead-letters/<case>": thing(a_dead_letter, GET=VIEW),
    "/api/dead-letters/<case>/retry": thing(a_dead_letter, POST=CONTROL),
    "/api/dead-letters/<case>/discard": thing(a_dead_letter, {"reason": "Done by hand."}, POST=CONTROL),
    "/api/workflow-executions": page(GET=VIEW),
    "/api/workflow-executions/<id>": thing(a_run_of_the_api, GET=VIEW),
    "/api/workflow-executions/<id>/steps": thing(a_run_of_the_api, GET=VIEW),
    "/api/workflow-executions/<id>/items": thing(a_run_of_the_api, GET=VIEW),
    "/api/workflow-executions/<id>/deliveries": thing(a_run_of_the_api, GET=VIEW),
    "/api/workflow-executions/<id>/logs": thing(a_run_of_the_api, GET=VIEW),
    "/api/workflow-executions/<id>/events": thing(a_failed_run_of_the_api, GET=VIEW),
    "/api/workflow-executions/<id>/cancel": thing(a_run_of_the_api, POST=CONTROL),
    "/api/workflow-executions/<id>/pause": thing(a_run_of_the_api, POST=CONTROL),
    "/api/workflow-executions/<id>/resume": thing(a_failed_run_of_the_api, POST=CONTROL),
    "/api/workflow-executions/<id>/retry": thing(a_failed_run_of_the_api, POST=CONTROL),
    "/api/workflow-executions/<id>/breakpoints": thing(a_run_of_the_api, {"steps": []}, PUT=CONTROL),
    "/api/workflow-executions/<id>/step": thing(a_run_of_the_api, POST=CONTROL),
    "/api/workflow-executions/<id>/edits": thing(
        a_run_of_the_api, {"what": "variable", "name": "x", "value": 1}, POST=CONTROL
    ),
    "/api/workflow-executions/<id>/items/stop": thing(a_run_of_the_api, {"step": "a"}, POST=CONTROL),
    "/api/workflow-executions/<id>/versions": thing(a_failed_run_of_the_api, GET=VIEW),
    "/api/workflow-executions/<id>/version": thing(a_failed_run_of_the_api, {"version": 1}, POST=CONTROL),
    "/api/workflow-executions/<id>/replay": thing(a_failed_run_of_the_api, POST=RUN),
    "/api/workflow-executions/<id>/adopt": thing(a_failed_run_of_the_api, POST=EDIT),
    "/api/workflow-executions/<id>/reviews/<node_id>/decide": thing(
        a_gate_of_a_run, {"decision": "approve"}, POST=REVIEW
    ),
    "/api/events": page({"name": "canary/told"}, GET=VIEW, POST=RUN),
    "/api/events/<id>": thing(an_event, GET=VIEW),
    "/api/reviews": page(GET=VIEW),
    "/api/reviews/<id>": thing(a_review_of_the_api, GET=VIEW),
    "/api/reviews/<id>/hand-over": thing(a_review_of_the_api, {"to": "rita@example.com"}, POST=REVIEW),
    "/api/reviews/<id>/decide": thing(a_review_of_the_api, {"decision": "approve"}, POST=REVIEW),
    "/api/workflow-templates": page(GET=VIEW),
    "/api/workflow-templates/<id>": thing(a_template_of_the_api, GET=VIEW),
    "/api/workflow-templates/<id>/apply": thing(a_template_of_the_api, POST=EDIT),
    "/api/step-types": page(GET=VIEW),
    "/api/prompts": page(GET=VIEW),
    "/api/prompts/<id>": thing(a_prompt_of_the_api, GET=VIEW),
    "/api/personas": page(GET=VIEW),
}
