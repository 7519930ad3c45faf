"""The Django admin's pages of tenants, people, keys and the audit log."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from tests.support.factories import World, person, workflow
from workflows.tenancy.audit import record
from workflows.tenancy.keys import create_key, verify_key
from workflows.tenancy.models import ApiKey, AuditEntry, Membership, User

OURS = [model for model in admin.site._registry if model._meta.app_label in ("tenancy", "workflows")]


@pytest.fixture
def staff(world: World) -> Client:
    client = Client()
    client.force_login(
        person("root@example.com", "Root", is_staff=True, is_superuser=True),
        backend="django.contrib.auth.backends.ModelBackend",
    )
    return client


def rows_of_everything(world: World) -> str:
    workflow(world.tenant)
    key, text = create_key(actor=world.alice, name="CI", role="viewer")
    record(world.alice, "looked at", key)
    return text


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.model_name)
def test_every_list_and_form_opens(staff: Client, world: World, model):
    rows_of_everything(world)
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert staff.get(reverse(f"{name}_changelist"), {"q": "a"}).status_code == 200
    row = model._default_manager.first()
    if row is not None:
        assert staff.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


def test_a_keys_hash_is_never_shown(staff: Client, world: World):
    rows_of_everything(world)
    key = ApiKey.objects.get()
    for path in (
        reverse("admin:tenancy_apikey_changelist"),
        reverse("admin:tenancy_apikey_change", args=[key.pk]),
    ):
        assert key.hash not in staff.get(path).content.decode()


def test_the_audit_log_cannot_be_changed(staff: Client, world: World):
    rows_of_everything(world)
    entry = AuditEntry.objects.first()
    assert entry is not None
    for name in ("change", "delete"):
        path = reverse(f"admin:tenancy_auditentry_{name}", args=[entry.pk])
        assert staff.post(path, {"action": "x", "post": "yes"}).status_code == 403
    assert staff.post(reverse("admin:tenancy_auditentry_add"), {}).status_code == 403


def test_a_person_is_made_with_the_address_in_lower_case_and_a_role(staff: Client, world: World):
    sent = {
        "email": "Nina@Example.com",
        "name": "Nina",
        "usable_password": "false",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }
    assert staff.post(reverse("admin:tenancy_user_add"), sent).status_code == 302
    nina = User.objects.get(email="nina@example.com")
    path = reverse("admin:tenancy_membership_add")
    assert (
        staff.post(path, {"tenant": world.tenant.pk, "user": nina.pk, "role": "reviewer"}).status_code == 302
    )
    assert Membership.objects.get(user=nina).role == "reviewer"
    entry = AuditEntry.objects.get(action="added in the admin")
    assert (entry.tenant, entry.object_type) == (world.tenant, "membership")


def test_an_admin_revokes_keys_and_switches_tenants_off(staff: Client, world: World):
    text = rows_of_everything(world)
    chosen = {"action": "revoke", "_selected_action": [str(ApiKey.objects.get().pk)]}
    staff.post(reverse("admin:tenancy_apikey_changelist"), chosen)
    assert verify_key(text) is None
    chosen = {"action": "switch_off", "_selected_action": [str(world.other.pk)]}
    staff.post(reverse("admin:tenancy_tenant_changelist"), chosen)
    world.other.refresh_from_db()
    assert not world.other.is_active
    assert {"revoked", "switched off"} <= set(AuditEntry.objects.values_list("action", flat=True))
