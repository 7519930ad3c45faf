"""Addresses of the pages about accounts (namespace `accounts`) and of what a workflow is (namespace `workflows`)."""

from django.urls import URLPattern, URLResolver, include, path

from workflows.views import accounts, people

account_pages: list[URLPattern | URLResolver] = [
    path("sign-in/", accounts.sign_in, name="sign_in"),
    path("sign-in/link/<str:token>/", accounts.sign_in_link, name="sign_in_link"),
    path("sign-out/", accounts.sign_out, name="sign_out"),
    path("password/reset/", accounts.password_reset, name="password_reset"),
    path("password/reset/sent/", accounts.password_reset_sent, name="password_reset_sent"),
    path("password/reset/done/", accounts.password_reset_done, name="password_reset_done"),
    path("password/reset/<uidb64>/<token>/", accounts.password_reset_confirm, name="password_reset_confirm"),
    path("password/change/", accounts.password_change, name="password_change"),
    path("account/", accounts.profile, name="profile"),
    path("account/workspace/", accounts.switch_tenant, name="switch_tenant"),
    path("invitations/<str:secret>/", accounts.invitation, name="invitation"),
]

workflow_pages: list[URLPattern | URLResolver] = [
    path("team/", people.team, name="team"),
    path("team/invite/", people.invite, name="team_invite"),
    path("team/members/<int:pk>/role/", people.member_role, name="member_role"),
    path("team/members/<int:pk>/remove/", people.member_remove, name="member_remove"),
    path("team/invitations/<str:pk>/withdraw/", people.invitation_withdraw, name="invitation_withdraw"),
    path("api-keys/", people.api_keys, name="api_keys"),
    path("api-keys/<str:pk>/revoke/", people.api_key_revoke, name="api_key_revoke"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include((account_pages, "accounts"))),
    path("", include((workflow_pages, "workflows"))),
]
