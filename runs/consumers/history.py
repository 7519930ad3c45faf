"""The socket of the history: which runs of the workspace changed, at most once a second. The page asks for the rest."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from runs.consumers.bell import BellConsumer
from runs.progress import tenant_runs_group

EVERY_SECONDS = 1.0
# More than a page shows; a busy workspace must not make a message of any length.
MOST_NAMED = 200


class HistoryConsumer(BellConsumer):
    """One open history of a member (`?tenant=ID`); who loses the membership is shown out."""

    async def connect(self) -> None:
        self.changed: dict[str, None] = {}
        self.telling: asyncio.Task[None] | None = None
        self.tenant_group = ""
        await super().connect()
        if self.group:
            self.tenant_group = tenant_runs_group(self.tenant_id)
            await self.channel_layer.group_add(self.tenant_group, self.channel_name)

    async def disconnect(self, code: int) -> None:
        if self.telling is not None:
            self.telling.cancel()
        if self.tenant_group:
            await self.channel_layer.group_discard(self.tenant_group, self.channel_name)
        await super().disconnect(code)

    async def run_changed(self, event: dict[str, Any]) -> None:
        if len(self.changed) < MOST_NAMED:
            self.changed[event["run"]] = None
        if self.telling is None or self.telling.done():
            self.telling = asyncio.create_task(self._tell_changed())

    async def _tell_changed(self) -> None:
        while self.changed:
            runs, self.changed = list(self.changed), {}
            await self.send(text_data=json.dumps({"runs": runs}))
            await asyncio.sleep(EVERY_SECONDS)

    async def _tell(self, unread: int) -> None:
        """The bell has a socket of its own."""
