"""The socket of the bell: the number of notifications that were not read, when it changes. It only tells, it never acts."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.sessions.backends.base import SessionBase

from runs.selectors import unread_count
from workflows.tenancy.actor import Actor
from workflows.tenancy.live import person_group
from workflows.tenancy.models import Membership

NOT_THERE, SHOWN_OUT = 4404, 4403


class BellConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One open page of a signed-in person, in the workspace that its address names (`?tenant=ID`)."""

    async def connect(self) -> None:
        self.group = ""
        asked = parse_qs(self.scope.get("query_string", b"").decode("latin-1")).get("tenant", [""])[0]
        self.tenant = asked
        unread = await self._unread()
        if unread is None:
            await self.close(code=NOT_THERE)
            return
        self.group = person_group(self.scope["user"].pk)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        await self._tell(unread)

    async def disconnect(self, code: int) -> None:
        if self.group:
            await self.channel_layer.group_discard(self.group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The page has nothing to say."""

    async def notifications_changed(self, event: dict[str, Any]) -> None:
        await self._look_again()

    async def membership_changed(self, event: dict[str, Any]) -> None:
        await self._look_again()

    async def _look_again(self) -> None:
        unread = await self._unread()
        if unread is None:
            await self.close(code=SHOWN_OUT)
        else:
            await self._tell(unread)

    async def _tell(self, unread: int) -> None:
        await self.send(text_data=json.dumps({"unread": unread}))

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def _unread(self) -> int | None:
        """The number now; None for who is signed out or no member. Rights are asked each time."""
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            return None
        session: SessionBase | None = self.scope.get("session")
        if session is not None and (session.session_key is None or not session.exists(session.session_key)):
            return None
        rows = Membership.objects.filter(user_id=user.pk, tenant__is_active=True, user__is_active=True)
        if self.tenant:
            try:
                rows = rows.filter(tenant_id=UUID(self.tenant))
            except ValueError:
                return None
        found = rows.select_related("tenant", "user").order_by("created_at", "pk").first()
        if found is not None:
            self.tenant_id = found.tenant_id
        return None if found is None else unread_count(Actor(found.tenant, found.role, user=found.user))
