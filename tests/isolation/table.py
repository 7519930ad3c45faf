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
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Any

from tests.support import runs
from tests.support.factories import World, workflow
from workflows.lib.clock import utc_now
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


def a_run(world: World) -> dict[str, Any]:
    run = runs.run_of(world.alice, runs.graph(runs.step("one"), runs.step("two")), name="Canary of Marlowe")
    return {"pk": run.pk}


def a_run_that_is_over(world: World, status: str = "completed") -> dict[str, Any]:
    one = runs.graph(runs.step("one"))
    run = runs.run_of(world.alice, one, name="Canary of Marlowe", status=status, output={"content": "Canary"})
    runs.reached(run, "one", status)
    return {"pk": run.pk}


def a_failed_run(world: World) -> dict[str, Any]:
    return a_run_that_is_over(world, "failed")


def a_step_of_a_run(world: World) -> dict[str, Any]:
    return {**a_run_that_is_over(world), "key": "one"}


def a_review(world: World) -> dict[str, Any]:
    run = runs.run_of(world.alice, runs.graph(runs.step("gate", "review")), name="Canary of Marlowe")
    return {"pk": runs.gate(run, "gate").pk}


def a_token(world: World) -> dict[str, Any]:
    return {"token": "forged"}


def a_secret(world: World) -> dict[str, Any]:
    return {"secret": "forged"}


def a_reset(world: World) -> dict[str, Any]:
    return {"uidb64": "MQ", "token": "forged"}


ROUTES: dict[str, Route] = {
    # --- everybody's
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
    "accounts:switch_tenant": signed_in("POST", sample={"tenant": "marlowe"}),
    # --- people and keys of a tenant
    "workflows:team": page(GET=PEOPLE),
    "workflows:team_invite": page(POST=PEOPLE, sample={"email": "nina@example.com", "role": "viewer"}),
    "workflows:member_role": thing(a_member, POST=PEOPLE, sample={"role": "viewer"}),
    "workflows:member_remove": thing(a_member, POST=PEOPLE),
    "workflows:invitation_withdraw": thing(an_invitation, POST=PEOPLE),
    "workflows:api_keys": page(GET=KEYS, POST=KEYS, sample={"name": "CI", "role": "viewer"}),
    "workflows:api_key_revoke": thing(an_api_key, POST=KEYS),
    # --- runs and reviews
    "runs:index": page(GET=VIEW),
    "runs:detail": thing(a_run, GET=VIEW),
    "runs:step": thing(a_step_of_a_run, GET=VIEW),
    "runs:output": thing(a_run_that_is_over, GET=VIEW),
    "runs:pause": thing(a_run, POST=CONTROL),
    "runs:resume": thing(a_failed_run, POST=CONTROL),
    "runs:cancel": thing(a_run, POST=CONTROL),
    "runs:retry": thing(a_failed_run, POST=CONTROL),
    "reviews:index": page(GET=VIEW),
    "reviews:detail": thing(a_review, GET=VIEW),
    "reviews:decide": thing(a_review, POST=REVIEW, sample={"decision": "approve"}),
    "ws:/ws/runs/<uuid:pk>/": thing(a_run, GET=VIEW),
}
