"""Signing in and out, passwords, links, the choice of the workspace: through the browser's door."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from tests.support.factories import World, client_of, member, person, tenant
from workflows.lib.clock import utc_now
from workflows.tenancy.actor import Actor
from workflows.tenancy.keys import create_key
from workflows.tenancy.models import ApiKey, Membership, User
from workflows.tenancy.sign_in_links import make_token, person_of, use_token

PASSWORD = "correct horse battery"
SIGN_IN = "/sign-in/"


def user_id(actor: Actor) -> int:
    assert actor.user is not None
    return actor.user.pk


@pytest.fixture
def nadia(db: None) -> User:
    user = person("nadia@example.com", "Nadia Osei", PASSWORD)
    member(tenant("osei", "Osei"), user=user)
    return user


def is_signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def sign_in(client: Client, email: str = "nadia@example.com", password: str = PASSWORD, **data: str):
    return client.post(SIGN_IN, {"username": email, "password": password, **data})


# --- Sign in and out ----------------------------------------------------------------------------------------------


def test_email_and_password_sign_in_whatever_the_case_of_the_address(client: Client, nadia: User):
    response = sign_in(client, "  Nadia@Example.COM ", remember="on")
    assert (response.status_code, response["Location"]) == (302, "/")
    assert is_signed_in(client)
    assert client.session["tenant"] == str(nadia.memberships.get().tenant_id)


def test_an_unknown_address_and_a_wrong_password_read_the_same(client: Client, nadia: User):
    def page(email: str) -> str:
        response = sign_in(Client(), email, "wrong")
        assert response.status_code == 422
        text = response.content.decode().replace(email, "EMAIL")
        return re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"|nonce="[^"]*"', "", text)

    known = page("nadia@example.com")
    assert known == page("nobody@example.com")
    assert "do not match" in known


def test_a_person_who_was_switched_off_reads_the_same_too(client: Client, nadia: User):
    User.objects.update(is_active=False)
    response = sign_in(client)
    assert response.status_code == 422
    assert "do not match" in response.content.decode()
    assert not is_signed_in(client)


def test_too_many_tries_stop_the_right_password_as_well(client: Client, nadia: User, settings):
    answers = [sign_in(client, password="wrong") for _ in range(settings.AXES_FAILURE_LIMIT + 1)]
    assert answers[-1].status_code == 429
    assert "Too many tries" in answers[-1].content.decode()
    assert sign_in(client).status_code == 429
    assert not is_signed_in(client)


def test_the_limit_answers_the_same_for_an_address_that_nobody_has(client: Client, nadia: User, settings):
    for _ in range(settings.AXES_FAILURE_LIMIT):
        sign_in(client, "nobody@example.com", "wrong")
    assert sign_in(client, "nobody@example.com", "wrong").status_code == 429
    assert sign_in(client).status_code == 302  # one address's pause is not another's


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_signing_in_leads_only_to_pages_of_ours(client: Client, nadia: User, elsewhere: str):
    assert sign_in(client, next=elsewhere)["Location"] == "/"
    assert sign_in(Client(), next="/account/")["Location"] == "/account/"


def test_without_keep_me_signed_in_the_session_ends_with_the_browser(client: Client, nadia: User):
    sign_in(client)
    assert client.session.get_expire_at_browser_close()
    remembered = Client()
    sign_in(remembered, remember="on")
    assert not remembered.session.get_expire_at_browser_close()


def test_signing_out_takes_a_post(alice: Actor):
    client = client_of(alice)
    assert client.get("/sign-out/").status_code == 405
    assert is_signed_in(client)
    assert client.post("/sign-out/").status_code == 302
    assert not is_signed_in(client)


def test_signing_in_without_the_csrf_token_is_refused(nadia: User):
    assert sign_in(Client(enforce_csrf_checks=True)).status_code == 403


# --- One-time links -----------------------------------------------------------------------------------------------


def test_a_link_signs_in_once_and_looking_at_it_does_nothing(client: Client, nadia: User):
    path = reverse("accounts:sign_in_link", args=[make_token(nadia)])
    for _ in range(2):
        page = client.get(path)
        assert page.status_code == 200
        assert not is_signed_in(client)
    assert "Nadia Osei" in page.content.decode()
    assert client.post(path).status_code == 302
    assert is_signed_in(client)
    again = Client()
    assert again.post(path).status_code == 404
    assert again.get(path).status_code == 404
    assert not is_signed_in(again)


def test_of_two_uses_at_once_one_wins(nadia: User):
    token = make_token(nadia)
    seen = person_of(token)
    assert seen is not None
    assert use_token(token) is not None
    assert use_token(token) is None


def test_a_link_is_short_lived_and_ends_with_a_new_password(nadia: User):
    now = utc_now()
    token = make_token(nadia, life=timedelta(minutes=5), now=now)
    assert person_of(token, now=now + timedelta(minutes=4)) == nadia
    assert person_of(token, now=now + timedelta(minutes=6)) is None
    nadia.set_password("another long secret")
    nadia.save()
    assert person_of(token, now=now) is None


@pytest.mark.parametrize("forged", ["x", "x:y:z", "eyJ1c2VyIjoxfQ:1abc:def"])
def test_a_forged_link_opens_nothing(client: Client, nadia: User, forged: str):
    assert client.post(reverse("accounts:sign_in_link", args=[forged])).status_code == 404
    assert not is_signed_in(client)


# --- Passwords ----------------------------------------------------------------------------------------------------


def ask_for_reset(client: Client, capture, email: str):
    with capture(execute=True):
        return client.post("/password/reset/", {"email": email})


def test_a_reset_answers_the_same_and_mails_only_who_is_known(
    client: Client, nadia: User, django_capture_on_commit_callbacks
):
    known = ask_for_reset(client, django_capture_on_commit_callbacks, "Nadia@example.com")
    assert [message.to for message in mail.outbox] == [["nadia@example.com"]]
    unknown = ask_for_reset(client, django_capture_on_commit_callbacks, "nobody@example.com")
    assert len(mail.outbox) == 1
    assert (known.status_code, known["Location"], known.content) == (
        unknown.status_code,
        unknown["Location"],
        unknown.content,
    )


def test_asking_again_and_again_fills_nobodys_inbox(
    client: Client, nadia: User, django_capture_on_commit_callbacks
):
    answers = {
        ask_for_reset(client, django_capture_on_commit_callbacks, address).status_code
        for address in ("nadia@example.com", "NADIA@example.com", "nadia@example.com")
    }
    assert answers == {302}
    assert len(mail.outbox) == 1


def test_a_reset_link_changes_the_password_once(
    client: Client, nadia: User, django_capture_on_commit_callbacks
):
    ask_for_reset(client, django_capture_on_commit_callbacks, "nadia@example.com")
    path = re.search(r"https?://[^/]+(/\S+)", str(mail.outbox[0].body))[1]
    form_page = client.get(path, follow=True)
    new = {"new_password1": "a new long secret", "new_password2": "a new long secret"}
    weak = {"new_password1": "123", "new_password2": "123"}
    form_path = form_page.redirect_chain[-1][0]
    assert client.post(form_path, weak).status_code == 422
    assert client.post(form_path, new).status_code == 302
    nadia.refresh_from_db()
    assert nadia.check_password("a new long secret")
    assert "no longer works" in Client().get(path, follow=True).content.decode()


def test_the_mails_address_is_the_operators_not_the_visitors(
    client: Client, nadia: User, django_capture_on_commit_callbacks, settings
):
    settings.ALLOWED_HOSTS = ["*"]
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/password/reset/", {"email": "nadia@example.com"}, headers={"Host": "evil.example"})
    assert settings.PUBLIC_URL in mail.outbox[0].body
    assert "evil.example" not in mail.outbox[0].body


def test_changing_the_password_takes_the_old_one_and_ends_other_sessions(nadia: User):
    here, there = Client(), Client()
    sign_in(here)
    sign_in(there)
    new = {"new_password1": "a new long secret", "new_password2": "a new long secret"}
    assert here.post("/password/change/", {"old_password": "wrong", **new}).status_code == 422
    assert here.post("/password/change/", {"old_password": PASSWORD, **new}).status_code == 302
    assert here.get("/account/").status_code == 200
    assert there.get("/account/").status_code == 302


# --- Workspaces and the profile -----------------------------------------------------------------------------------


def test_switching_the_workspace_takes_a_post_and_a_membership(world: World):
    Membership.objects.create(tenant=world.other, user_id=user_id(world.alice), role="viewer")
    client = client_of(world.alice)
    assert client.get("/account/workspace/").status_code == 405
    assert client.post("/account/workspace/", {"tenant": world.other.slug}).status_code == 302
    assert client.session["tenant"] == str(world.other.pk)
    stranger = client_of(world.charlie)
    assert stranger.post("/account/workspace/", {"tenant": world.tenant.slug}).status_code == 404
    assert stranger.post("/account/workspace/", {"tenant": "nowhere"}).status_code == 404


def test_a_changed_role_counts_from_the_next_request(world: World):
    client = client_of(world.adam)
    assert client.get("/team/").status_code == 200
    Membership.objects.filter(user=world.adam.user).update(role="viewer")
    assert client.get("/team/").status_code == 403


def test_who_loses_the_membership_loses_the_workspace_at_once(world: World):
    client = client_of(world.bob)
    Membership.objects.filter(user=world.bob.user).delete()
    response = client.get("/team/")
    assert response.status_code == 403
    assert "No workspace yet" in response.content.decode()


def test_a_lost_workspace_gives_way_to_the_next_but_never_for_a_write(world: World):
    Membership.objects.create(tenant=world.other, user_id=user_id(world.alice), role="owner")
    client = client_of(world.alice)
    Membership.objects.filter(user=world.alice.user, tenant=world.tenant).delete()
    refused = client.post("/team/invite/", {"email": "nina@example.com", "role": "viewer"})
    assert refused.status_code == 403
    assert not world.other.invitations.exists()
    page = client.get("/team/").content.decode()
    assert "You are no longer a member" in page
    assert "You are no longer a member" not in client.get("/team/").content.decode()


def test_a_tenant_that_is_off_is_no_workspace(world: World):
    world.tenant.is_active = False
    world.tenant.save()
    assert "No workspace yet" in client_of(world.alice).get("/team/").content.decode()


def test_the_profile_keeps_name_zone_and_keys(alice: Actor):
    client = client_of(alice)
    sent = {"name": "Alice A.", "time_zone": "Europe/Lisbon"}
    assert client.post("/account/", sent).status_code == 302
    user = User.objects.get(pk=alice.user.pk)
    assert (user.name, user.time_zone, user.single_keys) == ("Alice A.", "Europe/Lisbon", False)
    assert client.post("/account/", {"name": "A", "time_zone": "Mars/Olympus"}).status_code == 422


def test_single_keys_are_switched_in_the_list_of_keys_and_every_page_says_so(alice: Actor):
    client = client_of(alice)
    assert 'data-single-keys="on"' in client.get("/account/").content.decode()
    switched = client.post("/account/keys/", {}, headers={"HX-Request": "true"})
    assert (switched.status_code, switched.content) == (204, b"")
    assert not User.objects.get(pk=alice.user.pk).single_keys
    assert 'data-single-keys="off"' in client.get("/workflows/").content.decode()
    # Without script it is a plain form.
    assert client.post("/account/keys/", {"single_keys": "on"})["Location"] == "/account/"
    assert User.objects.get(pk=alice.user.pk).single_keys
    assert client.get("/account/keys/").status_code == 405


def test_times_are_shown_in_the_persons_own_zone(world: World):
    key, _ = create_key(actor=world.alice, name="Night", role="viewer")
    ApiKey.objects.filter(pk=key.pk).update(created_at=datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    client = client_of(world.alice)
    assert "1 Mar 2026" in client.get("/api-keys/").content.decode()
    client.post("/account/", {"name": "Alice", "time_zone": "Asia/Tokyo"})
    assert "2 Mar 2026" in client.get("/api-keys/").content.decode()
    # The next person, served by the same thread, has chosen none.
    assert "1 Mar 2026" in client_of(world.adam).get("/api-keys/").content.decode()


def test_anonymous_visitors_are_sent_to_sign_in_and_back(client: Client, nadia: User):
    assert client.get("/team/")["Location"] == "/sign-in/?next=/team/"
    fragment = client.get("/team/", headers={"HX-Request": "true"})
    assert (fragment.status_code, fragment["HX-Redirect"]) == (401, "/sign-in/")


# --- Invitations --------------------------------------------------------------------------------------------------


def test_an_invitation_leads_a_new_person_into_the_workspace(
    world: World, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        client_of(world.alice).post("/team/invite/", {"email": "Nina@example.com", "role": "editor"})
    path = re.search(r"https?://[^/]+(/\S+)", str(mail.outbox[0].body))[1]
    browser = Client()
    assert "Join Marlowe" in browser.get(path).content.decode()
    assert browser.post(path, {"name": "Nina", "password": "123"}).status_code == 422
    assert browser.post(path, {"name": "Nina", "password": "a new long secret"}).status_code == 302
    assert browser.session["tenant"] == str(world.tenant.pk)
    assert Membership.objects.get(user__email="nina@example.com").role == "editor"
    assert Client().get(path).status_code == 404


def test_a_known_person_signs_in_to_accept(world: World, nadia: User, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        client_of(world.alice).post("/team/invite/", {"email": nadia.email, "role": "viewer"})
    path = re.search(r"https?://[^/]+(/\S+)", str(mail.outbox[0].body))[1]
    assert "Sign in to accept" in Client().get(path).content.decode()
    assert Client().post(path).status_code == 403
    assert client_of(world.charlie).post(path).status_code == 403
    browser = Client()
    sign_in(browser)
    assert browser.get(path).status_code == 200
    assert browser.post(path).status_code == 302
    assert Membership.objects.filter(user=nadia, tenant=world.tenant, role="viewer").exists()
