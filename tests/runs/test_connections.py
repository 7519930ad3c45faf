"""Keys of requests: sent to their hosts only, shown to nobody, not by an answer that echoes them, a receipt, an error or a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.serializers import serialize
from django.db import connection as database

from runs.engine.statuses import RunStatus
from runs.models import Attempt, Delivery, Event, Run, StepRun
from tests.runs.support import definition_of, driven, node, rows, started
from tests.support.factories import World, client_of
from tests.support.outside import Answer, Outside
from workflows.lib.errors import Conflict, Invalid, NotAllowed
from workflows.models import Connection
from workflows.services.connections import save_connection, used_by
from workflows.services.create_workflow import create_workflow
from workflows.tenancy.models import AuditEntry

pytestmark = pytest.mark.django_db(transaction=True)

CANARY = "canary/secret+7ÄQ".replace("Ä", "a")


@pytest.fixture
def outside(settings: Any) -> Iterator[Outside]:
    with Outside() as server:
        settings.OUTBOUND_ALLOW = [server.host]
        yield server


def connected(
    world: World, outside: Outside, kind: str = "bearer", label: str = "", **more: Any
) -> Connection:
    hosts = more.pop("hosts", [outside.host])
    return save_connection(
        actor=world.alice, name="CRM", kind=kind, label=label, secret=CANARY, hosts=hosts, **more
    )


def ran(world: World, type: str, **config: Any) -> Run:
    step = node("a", type, config={"connection": "crm", **config}, retry_policy={"max_attempts": 1})
    return driven(started(world.bob, definition_of([step])))


@pytest.mark.parametrize(
    ("kind", "label", "header", "value"),
    [
        ("bearer", "", "Authorization", f"Bearer {CANARY}"),
        ("basic", "ann", "Authorization", "Basic " + base64.b64encode(f"ann:{CANARY}".encode()).decode()),
        ("header", "X-Api-Key", "X-Api-Key", CANARY),
        ("query", "key", "", ""),
    ],
)
def test_the_key_goes_out_and_comes_back_in_no_form(
    world: World,
    outside: Outside,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    label: str,
    header: str,
    value: str,
) -> None:
    connected(world, outside, kind, label)
    # A server that says everything it was told.
    outside.answer(
        "/echo", Answer(201, json={"you_sent": f"{value} {CANARY}"}, headers={"X-Echo": value or CANARY})
    )
    outside.answer("/bad", Answer(422, json={"wrong": f"{value} {CANARY}"}))
    good = ran(world, "http_request", method="POST", url=f"{outside.url}/echo")
    assert good.status == RunStatus.COMPLETED, good.error
    sent = outside.requests[0]
    if header:
        assert sent.headers[header.lower()] == value
    else:
        assert "key=canary%2Fsecret%2B7aQ" in sent.path
    assert "(key)" in rows(good)["a"].output["content"]
    failed = ran(world, "http_request", method="POST", url=f"{outside.url}/bad")
    assert failed.status == RunStatus.FAILED
    kept = "".join(
        serialize("json", model.objects.all())
        for model in (Run, StepRun, Attempt, Delivery, Event, AuditEntry, Connection)
    )
    vera = client_of(world.vera)
    pages = [f"/runs/{failed.pk}/?step=a", f"/api/workflow-executions/{good.pk}", "/outbox/"]
    pages.append(f"/api/workflow-executions/{good.pk}/deliveries")
    kept += "".join(vera.get(page).content.decode() for page in pages)
    kept += client_of(world.alice).get("/connections/").content.decode() + caplog.text
    for spelling in (CANARY, "canary%2Fsecret%2B7aQ", value or CANARY, json.dumps(CANARY)[1:-1]):
        assert spelling not in kept
    with database.cursor() as cursor:
        cursor.execute("SELECT secret FROM workflows_connection")
        assert CANARY not in cursor.fetchone()[0]


def test_it_goes_to_its_own_hosts_only(world: World, outside: Outside) -> None:
    row = connected(world, outside, hosts=["api.example.com"])
    run = ran(world, "webhook", url=f"{outside.url}/hook")
    assert (run.status, run.error["code"]) == (RunStatus.FAILED, "host_not_allowed")
    assert outside.requests == []
    with pytest.raises(Invalid, match="entered for other hosts"):
        save_connection(actor=world.alice, connection=row, kind="bearer", hosts=[outside.host])
    save_connection(
        actor=world.alice, connection=row, kind="bearer", hosts=[outside.host], secret="another-1"
    )
    outside.answer("/hook", Answer(200, json={}))
    assert ran(world, "webhook", url=f"{outside.url}/hook").status == RunStatus.COMPLETED
    assert outside.requests[0].headers["authorization"] == "Bearer another-1"


def test_other_tenants_and_those_who_may_not_have_no_connection(world: World, outside: Outside) -> None:
    connected(world, outside)
    step = node("a", "http_request", config={"connection": "CRM", "url": f"{outside.url}/x"})
    theirs = driven(started(world.charlie, definition_of([step])))
    assert theirs.error["code"] == "no_connection"
    assert outside.requests == []
    with pytest.raises(NotAllowed):
        save_connection(actor=world.bob, name="Mine", kind="bearer", secret="sk-12345", hosts=["x.org"])
    with pytest.raises(Conflict):
        connected(world, outside)
    with pytest.raises(Invalid) as caught:
        save_connection(actor=world.alice, name="", kind="header", secret="short", hosts=["no host"])
    assert {problem.field for problem in caught.value.problems} == {"name", "hosts", "label", "secret"}


def test_the_page_enters_tests_rotates_and_says_who_uses_it(world: World, outside: Outside) -> None:
    alice = client_of(world.alice)
    form = {"name": "CRM", "kind": "bearer", "secret": CANARY, "hosts": outside.host}
    form["test_url"] = f"{outside.url}/me"
    assert alice.post("/connections/keys/new/", form).status_code == 302
    row = Connection.objects.get()
    step = node("a", "http_request", config={"connection": "crm", "url": f"{outside.url}/x"})
    create_workflow(actor=world.bob, name="Uses it", definition=definition_of([step]))
    assert [one.name for one in used_by([row])[row.pk]] == ["Uses it"]
    outside.answer("/me", Answer(200, json={}))
    alice.post(f"/connections/keys/{row.pk}/check/")
    page = alice.get("/connections/").content.decode()
    assert "Works" in page
    assert "Uses it" in page
    bad = alice.post(f"/connections/keys/{row.pk}/", {"kind": "header", "hosts": "x.org"})
    assert bad.status_code == 422
    assert "entered for other hosts" in bad.content.decode()
    alice.post(f"/connections/keys/{row.pk}/remove/")
    assert not Connection.objects.exists()
    assert "sk-" not in json.dumps(list(AuditEntry.objects.values_list("after", flat=True)))
