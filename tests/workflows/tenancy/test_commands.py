"""The commands that scripts and `make run` use."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from tests.support.factories import World
from workflows.tenancy.keys import verify_key
from workflows.tenancy.models import Membership, Tenant


def run(*args: str) -> str:
    out = StringIO()
    call_command(*args, stdout=out)
    return out.getvalue()


def test_create_tenant_makes_it_with_its_owner(db: None):
    run("create_tenant", "acme", "--name", "Acme", "--owner", "Ann@Acme.example")
    assert Tenant.objects.get(slug="acme").name == "Acme"
    assert Membership.objects.get(tenant__slug="acme").user.email == "ann@acme.example"
    with pytest.raises(CommandError, match="already"):
        run("create_tenant", "acme", "--name", "Acme again")
    with pytest.raises(CommandError, match="slug"):
        run("create_tenant", "no slug", "--name", "Acme")


def test_create_api_key_prints_a_working_key_and_nothing_else(world: World):
    printed = run("create_api_key", "--tenant", "marlowe", "--role", "reviewer")
    assert printed.count("\n") == 1
    key = verify_key(printed.strip())
    assert key is not None
    assert (key.tenant, key.role) == (world.tenant, "reviewer")
    with pytest.raises(CommandError, match="no tenant"):
        run("create_api_key", "--tenant", "nowhere", "--role", "editor")


def test_sign_in_link_prints_a_path_that_signs_in_once(world: World):
    path = run("sign_in_link", "--email", "alice@example.com").strip()
    client = Client()
    assert client.get(path).status_code == 200
    assert client.post(path).status_code == 302
    assert client.session["tenant"] == str(world.tenant.pk)
    assert Client().post(path).status_code == 404
    with pytest.raises(CommandError, match="no active person"):
        run("sign_in_link", "--email", "nobody@example.com")
