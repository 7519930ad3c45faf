"""Addresses of the pages about accounts (namespace `accounts`) and of what a workflow is (namespace `workflows`)."""

from django.urls import URLPattern, URLResolver, include, path

from workflows.views import (
    accounts,
    builder,
    builder_history,
    builder_steps,
    connections,
    people,
    versions,
    workflows,
)

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
    path("", workflows.home, name="home"),
    path("workflows/", workflows.index, name="index"),
    path("workflows/new/", workflows.create, name="create"),
    path("workflows/<uuid:pk>/", builder.page, name="builder"),
    path("workflows/<uuid:pk>/add/", builder.add, name="add_step"),
    path("workflows/<uuid:pk>/paths/", builder.add_path, name="add_path"),
    path("workflows/<uuid:pk>/paths/<str:edge>/", builder.change_path, name="change_path"),
    path("workflows/<uuid:pk>/variables/", builder.variables, name="variables"),
    path("workflows/<uuid:pk>/settings/", builder.settings, name="settings"),
    path("workflows/<uuid:pk>/undo/", builder_history.undo_last, name="undo"),
    path("workflows/<uuid:pk>/redo/", builder_history.redo_last, name="redo"),
    path("workflows/<uuid:pk>/publish/", builder.publish, name="publish"),
    path("workflows/<uuid:pk>/duplicate/", workflows.duplicate, name="duplicate"),
    path("workflows/<uuid:pk>/archive/", workflows.archive, name="archive"),
    path("workflows/<uuid:pk>/restore/", workflows.restore, name="restore"),
    path("workflows/<uuid:pk>/delete/", workflows.delete, name="delete"),
    path("workflows/<uuid:pk>/steps/<str:key>/", builder_steps.step, name="step"),
    path("workflows/<uuid:pk>/steps/<str:key>/enabled/", builder_steps.enable, name="step_enable"),
    path("workflows/<uuid:pk>/steps/<str:key>/move/", builder_steps.move_step, name="step_move"),
    path("workflows/<uuid:pk>/steps/<str:key>/duplicate/", builder_steps.duplicate, name="step_duplicate"),
    path("workflows/<uuid:pk>/steps/<str:key>/delete/", builder_steps.delete, name="step_delete"),
    path("workflows/<uuid:pk>/steps/<str:key>/kind/", builder_steps.change_kind, name="step_kind"),
    path("workflows/<uuid:pk>/steps/<str:key>/fix/", builder_steps.fix, name="step_fix"),
    path("workflows/<uuid:pk>/versions/", versions.index, name="versions"),
    path("workflows/<uuid:pk>/versions/<int:number>/", versions.detail, name="version"),
    path("workflows/<uuid:pk>/versions/<int:number>/restore/", versions.restore, name="version_restore"),
    path("team/", people.team, name="team"),
    path("team/invite/", people.invite, name="team_invite"),
    path("team/members/<int:pk>/role/", people.member_role, name="member_role"),
    path("team/members/<int:pk>/remove/", people.member_remove, name="member_remove"),
    path("team/invitations/<str:pk>/withdraw/", people.invitation_withdraw, name="invitation_withdraw"),
    path("connections/", connections.index, name="connections"),
    path("connections/new/", connections.create, name="connection_new"),
    path("connections/models/", connections.models, name="connection_models"),
    path("connections/budget/", connections.budget, name="connection_budget"),
    path("connections/<str:pk>/", connections.change, name="connection"),
    path("connections/<str:pk>/check/", connections.check, name="connection_check"),
    path("connections/<str:pk>/switch/", connections.switch, name="connection_switch"),
    path("connections/<str:pk>/remove/", connections.delete, name="connection_delete"),
    path("api-keys/", people.api_keys, name="api_keys"),
    path("api-keys/<str:pk>/revoke/", people.api_key_revoke, name="api_key_revoke"),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include((account_pages, "accounts"))),
    path("", include((workflow_pages, "workflows"))),
]
