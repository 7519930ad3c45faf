"""The five roles and what each may do: one table that pages, API and sockets ask."""

from enum import StrEnum

from django.db import models


class Role(models.TextChoices):
    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    EDITOR = "editor", "Editor"
    REVIEWER = "reviewer", "Reviewer"
    VIEWER = "viewer", "Viewer"


class Permission(StrEnum):
    """Things that a role may or may not do inside its tenant."""

    VIEW = "view"
    EDIT_WORKFLOWS = "edit_workflows"
    RUN = "run"
    CONTROL_RUNS = "control_runs"
    REVIEW = "review"
    MANAGE_PEOPLE = "manage_people"
    MANAGE_KEYS = "manage_keys"
    MANAGE_TENANT = "manage_tenant"


_VIEWER = frozenset({Permission.VIEW})
_REVIEWER = _VIEWER | {Permission.REVIEW}
_EDITOR = _REVIEWER | {Permission.EDIT_WORKFLOWS, Permission.RUN, Permission.CONTROL_RUNS}
_ADMIN = _EDITOR | {Permission.MANAGE_PEOPLE, Permission.MANAGE_KEYS}
_OWNER = _ADMIN | {Permission.MANAGE_TENANT}

PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.VIEWER: _VIEWER,
    Role.REVIEWER: _REVIEWER,
    Role.EDITOR: _EDITOR,
    Role.ADMIN: _ADMIN,
    Role.OWNER: _OWNER,
}


def may(role: str, permission: Permission) -> bool:
    """Whether the role holds the permission; an unknown role holds none."""
    return role in Role.values and permission in PERMISSIONS[Role(role)]
