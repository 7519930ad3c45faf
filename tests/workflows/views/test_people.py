"""The team page and the API keys page, as those who may and those who may not."""

import pytest

from tests.support.factories import World, client_of, member
from workflows.tenancy.keys import create_key, verify_key
from workflows.tenancy.models import ApiKey, Invitation, Membership


def membership_of(actor) -> Membership:
    return Membership.objects.get(user=actor.user)


def test_the_team_page_lists_people_and_open_invitations(world: World):
    client = client_of(world.alice)
    client.post("/team/invite/", {"email": "nina@example.com", "role": "viewer"})
    page = client.get("/team/").content.decode()
    for text in ("Bob Bell", "bob@example.com", "nina@example.com", "What each role may do"):
        assert text in page
    assert "Charlie" not in page


@pytest.mark.parametrize("path", ["/team/", "/api-keys/"])
def test_the_pages_cost_the_same_for_few_and_many(world: World, path: str, django_assert_num_queries):
    client = client_of(world.alice)
    client.get(path)

    def queries() -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as seen:
            assert client.get(path).status_code == 200
        return len(seen)

    few = queries()
    for _ in range(5):
        member(world.tenant)
        create_key(actor=world.alice, name="K", role="viewer")
    assert queries() == few
    assert few <= 8


def test_an_owner_changes_a_role_and_removes_a_person(world: World):
    client, bob = client_of(world.alice), membership_of(world.bob)
    assert client.post(f"/team/members/{bob.pk}/role/", {"role": "reviewer"}).status_code == 302
    bob.refresh_from_db()
    assert bob.role == "reviewer"
    assert client.post(f"/team/members/{bob.pk}/remove/").status_code == 302
    assert not Membership.objects.filter(pk=bob.pk).exists()


def test_errors_are_sentences_with_their_status(world: World):
    client = client_of(world.alice)
    alone = membership_of(world.alice)
    response = client.post(f"/team/members/{alone.pk}/role/", {"role": "viewer"})
    assert response.status_code == 409
    assert "needs an owner" in response.content.decode()
    assert client.post(f"/team/members/{alone.pk}/role/", {"role": "king"}).status_code == 422
    assert client.post("/team/invite/", {"email": "bob@example.com", "role": "viewer"}).status_code == 422
    fragment = client.post(
        f"/team/members/{alone.pk}/role/", {"role": "viewer"}, headers={"HX-Request": "true"}
    )
    assert (fragment.status_code, fragment["HX-Retarget"]) == (409, "#notes")
    assert "<html" not in fragment.content.decode()


def test_an_invitation_can_be_withdrawn(world: World):
    client = client_of(world.alice)
    client.post("/team/invite/", {"email": "nina@example.com", "role": "viewer"})
    offer = Invitation.objects.get()
    assert client.post(f"/team/invitations/{offer.pk}/withdraw/").status_code == 302
    assert not Invitation.objects.exists()


def test_a_key_is_shown_once_and_can_be_revoked(world: World):
    client = client_of(world.adam)
    made = client.post("/api-keys/", {"name": "CI", "role": "editor"})
    assert made.status_code == 201
    assert made["Cache-Control"].startswith("max-age=0")
    key = ApiKey.objects.get()
    text = made.context["new_key_text"]
    assert text in made.content.decode()
    assert verify_key(text) == key
    assert text not in client.get("/api-keys/").content.decode()
    assert client.post(f"/api-keys/{key.pk}/revoke/").status_code == 302
    assert verify_key(text) is None


def test_a_keys_last_day_counts(world: World):
    client_of(world.alice).post("/api-keys/", {"name": "CI", "role": "editor", "expires_on": "2099-01-31"})
    ends = ApiKey.objects.get().expires_at
    assert ends is not None
    assert ends.isoformat().startswith("2099-01-31T23:59:59")


def test_an_admin_cannot_make_an_owners_key(world: World):
    client = client_of(world.adam)
    assert client.post("/api-keys/", {"name": "CI", "role": "owner"}).status_code == 403
    assert 'value="owner"' not in client.get("/api-keys/").content.decode()


@pytest.mark.parametrize("path", ["/team/", "/api-keys/"])
def test_who_may_not_manage_is_told_so(world: World, path: str):
    response = client_of(world.bob).get(path)
    assert response.status_code == 403
    assert "Ask an owner or admin" in response.content.decode()
