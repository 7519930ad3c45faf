"""The demo tenant: made once, and never put back to what it was."""

import pytest
from django.core.management import call_command

from templates_app.services.load_builtin import load_builtin_templates
from templates_app.services.load_demo import OWNER, PEOPLE, load_demo
from workflows.lib.errors import NotFound
from workflows.models import Variable, Workflow, WorkflowVersion
from workflows.services.change_workflow import delete_workflow, update_workflow
from workflows.services.check_workflow import problems_of
from workflows.tenancy.actor import system_actor
from workflows.tenancy.models import AuditEntry, Membership, Tenant, User
from workflows.tenancy.roles import Role

pytestmark = pytest.mark.django_db


@pytest.fixture
def demo() -> Tenant:
    load_builtin_templates()
    return load_demo().tenant


def rows() -> tuple[object, ...]:
    return (
        list(User.objects.order_by("pk").values()),
        list(Membership.objects.order_by("pk").values()),
        list(Workflow.objects.order_by("pk").values()),
        WorkflowVersion.objects.count(),
        AuditEntry.objects.count(),
    )


def test_there_is_somebody_in_every_role(demo: Tenant):
    roles = dict(Membership.objects.for_tenant(demo).values_list("role", "user__email"))
    assert set(roles) == set(Role.values)
    assert roles[Role.OWNER] == OWNER


def test_the_ready_workflows_are_published_and_without_a_problem(demo: Tenant):
    found = {workflow.name: workflow for workflow in Workflow.objects.for_tenant(demo)}
    assert set(found) == {"Text pipeline", "Deep Build Pipeline", "Lead triage", "Article check"}
    for workflow in found.values():
        assert (workflow.status, workflow.latest_version) == ("active", 1)
        assert not [problem for problem in problems_of(workflow) if problem.is_error]
    asked = {
        name: list(
            Variable.objects.filter(workflow=found[name], required=True).values_list("name", flat=True)
        )
        for name in ("Text pipeline", "Deep Build Pipeline")
    }
    assert asked == {"Text pipeline": ["text"], "Deep Build Pipeline": ["idea"]}


def test_making_it_again_changes_nothing(demo: Tenant):
    before = rows()
    again = load_demo()
    assert (again.people, again.workflows) == ((), ())
    assert rows() == before


def test_what_was_renamed_or_deleted_is_not_made_again(demo: Tenant):
    owner = system_actor(demo)
    text, deep = (
        Workflow.objects.get(tenant=demo, name=name) for name in ("Text pipeline", "Deep Build Pipeline")
    )
    update_workflow(workflow=text, actor=owner, name="My own pipeline")
    delete_workflow(workflow=deep, actor=owner)
    assert load_demo().workflows == ()
    assert Workflow.objects.filter(tenant=demo, deleted_at=None).count() == 3


def test_changed_roles_and_removed_people_stay_so(demo: Tenant):
    Membership.objects.filter(user__email="hanna@demo.example").update(role=Role.VIEWER)
    Membership.objects.filter(user__email="grete@demo.example").delete()
    User.objects.filter(email=OWNER).update(is_superuser=False)
    load_demo()
    assert Membership.objects.get(user__email="hanna@demo.example").role == Role.VIEWER
    assert not Membership.objects.filter(user__email="grete@demo.example").exists()
    assert not User.objects.get(email=OWNER).is_superuser


def test_nobody_has_a_password_unless_one_is_given_and_a_chosen_one_stays(demo: Tenant):
    assert not any(user.has_usable_password() for user in User.objects.all())
    hanna = User.objects.get(email="hanna@demo.example")
    hanna.set_password("her own long secret")
    hanna.save()
    load_demo(password="demo for everybody")
    assert User.objects.get(email="tomas@demo.example").check_password("demo for everybody")
    assert User.objects.get(email="hanna@demo.example").check_password("her own long secret")


def test_only_the_owner_may_use_the_admin(demo: Tenant):
    assert list(User.objects.filter(is_superuser=True).values_list("email", flat=True)) == [OWNER]
    assert list(User.objects.filter(is_staff=True).values_list("email", flat=True)) == [OWNER]


def test_without_the_built_in_templates_nothing_is_made():
    with pytest.raises(NotFound, match="load_builtin_templates"):
        load_demo()
    assert not Tenant.objects.exists()
    assert not User.objects.exists()


def test_the_command_takes_the_password_from_the_settings(settings):
    settings.DEMO_PASSWORD = "demo for everybody"
    call_command("load_builtin_templates", verbosity=0)
    call_command("load_demo", verbosity=0)
    assert all(User.objects.get(email=email).check_password("demo for everybody") for email, _, _ in PEOPLE)
