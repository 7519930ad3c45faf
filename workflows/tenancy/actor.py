"""Who acts: a person or an API key, in one tenant, with one role. Services take it, never a request."""

from __future__ import annotations

from dataclasses import dataclass

from workflows.lib.errors import NotAllowed
from workflows.tenancy.models import ApiKey, Tenant, User
from workflows.tenancy.roles import Permission, Role, may


@dataclass(frozen=True, slots=True)
class Actor:
    """The acting party. `user` is None for a key or for the system; `ip` is where the request came from."""

    tenant: Tenant
    role: str
    user: User | None = None
    api_key: ApiKey | None = None
    ip: str | None = None

    @property
    def label(self) -> str:
        if self.user is not None:
            return str(self.user)
        return f"API key {self.api_key.name}" if self.api_key is not None else "Stepwell"

    def may(self, permission: Permission) -> bool:
        return may(self.role, permission)

    def require(self, permission: Permission) -> None:
        """Raise NotAllowed (403) unless the role holds the permission."""
        if not self.may(permission):
            role = Role(self.role).label if self.role in Role.values else "this role"
            raise NotAllowed(
                f"{role} may not do this in {self.tenant.name}. Ask an owner or admin to do it or to change your role."
            )


def system_actor(tenant: Tenant) -> Actor:
    """The product itself acting for a tenant (keeper, triggers)."""
    return Actor(tenant=tenant, role=Role.OWNER)
