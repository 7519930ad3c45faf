"""The socket of one run's page: fragments when the run changes, live text as it is written. It only tells, it never acts.

1. Before it accepts, it asks whether the person is a member of the run's tenant; a stranger gets what a missing run gets.
2. It listens first and reads then, so that nothing falls in between: group and text subscription, then the run as it is.
3. A page that shows an older state gets all fragments, later only those whose values changed.
4. Text: the string so far, then deltas; what the page already has is cut by offset (code points). Texts of items go
   only to pages that show them (`{"watch": [attempt, …]}`): a thousand items write more than anybody reads.
5. Rights are asked again every 30 s and when a membership changes; a person who lost them is shown out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import structlog
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.sessions.backends.base import SessionBase

from runs import partials
from runs.consumers import hub
from runs.models import Attempt, Run
from runs.progress import run_group
from runs.services.viewing import viewer_of, waiting_for
from runs.snapshots import RunSnapshot
from workflows.templatetags.ui import look_of
from workflows.tenancy.actor import Actor
from workflows.tenancy.live import person_group
from workflows.tenancy.models import Membership, User

log = structlog.get_logger(__name__)

RIGHTS_SECONDS = 30.0
# Figures change at most four times a second (design README §5); a busy fan-out would send its card far more often.
PARTS_SECONDS = 0.25
# Texts of items that one page may watch at a time.
MOST_WATCHED = 8
TEXTS_WAITING = 500
# Close codes: before accepting they become an HTTP refusal, after it the page reads them.
NOT_THERE, SHOWN_OUT = 4404, 4403


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the page shows: the snapshot, and the fragments of this viewer as they were sent."""

    run: RunSnapshot
    mine: dict[str, str]


class RunConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """One open page of one run."""

    async def connect(self) -> None:
        self.run_id: uuid.UUID = self.scope["url_route"]["kwargs"]["pk"]
        self.seen: _Seen | None = None
        self.sent_chars: dict[str, int] = {}
        self.watched: set[str] = set()
        self.tasks: list[asyncio.Task[None]] = []
        self.unsubscribe: hub.Unsubscribe | None = None
        self.sending = asyncio.Lock()
        self.dirty = asyncio.Event()
        self.groups_joined: list[str] = []
        actor = await self._actor()
        if actor is None or actor.user is None:
            await self.close(code=NOT_THERE)
            return
        self.actor = actor
        for group in (run_group(self.run_id), person_group(actor.user.pk)):
            await self.channel_layer.group_add(group, self.channel_name)
            self.groups_joined.append(group)
        await self.accept()
        mailbox: asyncio.Queue[Any] = asyncio.Queue(maxsize=TEXTS_WAITING)
        self.unsubscribe = await hub.subscribe(self.run_id, mailbox)
        shown = parse_qs(self.scope.get("query_string", b"").decode("latin-1")).get("stamp", [""])[0]
        await self._catch_up(first=shown)
        self.tasks = [
            asyncio.create_task(self._guarded(self._follow_changes())),
            asyncio.create_task(self._guarded(self._follow_texts(mailbox))),
            asyncio.create_task(self._guarded(self._watch_rights())),
        ]

    async def disconnect(self, code: int) -> None:
        if self.unsubscribe is not None:
            self.unsubscribe()
        for task in self.tasks:
            task.cancel()
        for group in self.groups_joined:
            await self.channel_layer.group_discard(group, self.channel_name)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """`ping` is answered, so that the page can tell a dead line from a quiet run; `watch` names texts of items."""
        if text_data == "ping":
            await self._send({"type": "pong"})
        elif text_data and len(text_data) < 1_000:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                await self._watch(
                    {str(uuid.UUID(one)) for one in json.loads(text_data)["watch"][:MOST_WATCHED]}
                )

    # --- what the channel layer brings ------------------------------------------------------------

    async def run_changed(self, event: dict[str, Any]) -> None:
        self.dirty.set()

    async def notifications_changed(self, event: dict[str, Any]) -> None:
        """For the bell, which has a socket of its own."""

    async def membership_changed(self, event: dict[str, Any]) -> None:
        await self._check_rights()

    # --- rights -----------------------------------------------------------------------------------

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def _actor(self) -> Actor | None:
        """The person as a member of the run's tenant now; None for everybody else, signed out or without a role."""
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            return None
        session: SessionBase | None = self.scope.get("session")
        if session is not None and (session.session_key is None or not session.exists(session.session_key)):
            return None
        tenant_id = Run.objects.filter(pk=self.run_id).values_list("tenant_id", flat=True).first()
        if tenant_id is None:
            return None
        found = (
            Membership.objects.filter(
                tenant_id=tenant_id, user_id=user.pk, tenant__is_active=True, user__is_active=True
            )
            .select_related("tenant", "user")
            .first()
        )
        if found is None:
            return None
        person: User = found.user
        return Actor(tenant=found.tenant, role=found.role, user=person)

    async def _check_rights(self) -> None:
        actor = await self._actor()
        if actor is None:
            await self.close(code=SHOWN_OUT)
            return
        changed = actor.role != self.actor.role
        self.actor = actor
        if changed:
            self.dirty.set()

    async def _watch_rights(self) -> None:
        while True:
            await asyncio.sleep(RIGHTS_SECONDS)
            await self._check_rights()

    # --- fragments --------------------------------------------------------------------------------

    async def _follow_changes(self) -> None:
        while True:
            await self.dirty.wait()
            # Cleared before reading: a change during the reading is read again.
            self.dirty.clear()
            await self._catch_up()
            await asyncio.sleep(PARTS_SECONDS)

    async def _catch_up(self, first: str | None = None) -> None:
        """Read the run, send what the page does not show yet. `first`: the state that the page was printed with."""
        state = await self._read(time.monotonic())
        if state is None:
            await self.close(code=NOT_THERE)
            return
        message, self.seen = state
        if first is not None and first == self.seen.run.stamp:
            message = None
        if message is not None:
            await self._send(message)
        for row in self.seen.run.rows:
            if row.stream is not None and row.stream.attempt not in self.sent_chars:
                await self._send_text(row.stream.step_run, row.stream.attempt)

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def _read(self, asked_at: float) -> tuple[dict[str, Any] | None, _Seen] | None:
        """The message for this page, None when nothing it shows has changed; None in all when the run is gone."""
        state = partials.current(self.run_id, self.actor.tenant.pk, asked_at)
        if state is None:
            return None
        before, after = self.seen, state.run
        mine = partials.viewer_parts(after, viewer_of(after, self.actor))
        if before is None:
            shared, own = partials.part_ids(after), dict(mine)
        else:
            shared = partials.changed_parts(before.run, after)
            # A row that is drawn anew has an empty slot for the ways out of its failure.
            anew = f"row-{after.failed_key}" in shared
            own = {
                part: html
                for part, html in mine.items()
                if before.mine.get(part) != html or (part == "run-fixes" and anew)
            }
        seen = _Seen(after, mine)
        if before is not None and not shared and not own and before.run.stamp == after.stamp:
            return None, seen
        message = {
            "type": "parts",
            "stamp": after.stamp,
            "over": after.is_over,
            "title": f"Run {after.number}, {_word(after)}",
            "lanes": after.lanes,
            "parts": [{"id": part, "html": state.part(part)} for part in shared]
            + [{"id": part, "html": html} for part, html in own.items()],
            "say": _news(before.run, after) if before is not None else [],
        }
        if before is None or before.run.gates != after.gates:
            # The number in the navigation, which the page was printed with.
            message["reviews"] = waiting_for(self.actor)
        return message, seen

    # --- text -------------------------------------------------------------------------------------

    async def _follow_texts(self, mailbox: asyncio.Queue[Any]) -> None:
        while True:
            message = await mailbox.get()
            if message is hub.RESYNC:
                await self._resync()
                continue
            step_run, attempt, offset, delta = (
                message[key] for key in ("step", "attempt", "offset", "delta")
            )
            if "inner" in message and attempt not in self.watched:
                continue
            sent = self.sent_chars.get(attempt)
            if sent is None or offset > sent:
                # A text that began before we listened, or a hole: the string holds everything up to this delta.
                await self._send_text(step_run, attempt)
                sent = self.sent_chars.get(attempt, 0)
            if offset + len(delta) > sent >= offset:
                await self._send_delta(step_run, attempt, sent, delta[sent - offset :])

    async def _watch(self, attempts: set[str]) -> None:
        """Follow the texts of these attempts of items too, from what they hold on; others are no longer sent."""
        known = self.watched
        self.watched = await self._mine(attempts)
        for attempt in self.watched - known:
            await self._send_text("", attempt)

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def _mine(self, attempts: set[str]) -> set[str]:
        """Those of them that are of this run: the page names them, and a text is found by its name alone."""
        found = Attempt.objects.filter(pk__in=attempts, tenant_id=self.actor.tenant.pk, run_id=self.run_id)
        return {str(pk) for pk in found.values_list("pk", flat=True)}

    async def _resync(self) -> None:
        """Messages may be missing: read every open text again, and the run too."""
        self.dirty.set()
        for attempt in self.watched:
            await self._send_text("", attempt)
        if self.seen is not None:
            for row in self.seen.run.rows:
                if row.stream is not None:
                    await self._send_text(row.stream.step_run, row.stream.attempt)

    async def _send_text(self, step_run: str, attempt: str) -> None:
        """Send the text so far, as far as the page does not have it."""
        self.sent_chars.setdefault(attempt, 0)
        text = await hub.read_text(attempt) or await self._checkpoint(attempt)
        # Asked after the waiting: another task may have sent more by now.
        sent = self.sent_chars[attempt]
        if len(text) > sent:
            await self._send_delta(step_run, attempt, sent, text[sent:])

    async def _send_delta(self, step_run: str, attempt: str, offset: int, delta: str) -> None:
        self.sent_chars[attempt] = offset + len(delta)
        await self._send({"t": step_run, "a": attempt, "o": offset, "d": delta})

    @database_sync_to_async  # type: ignore[untyped-decorator]
    def _checkpoint(self, attempt: str) -> str:
        """The text as the database has it, where Redis has none."""
        found = Attempt.objects.filter(pk=attempt, tenant_id=self.actor.tenant.pk, run_id=self.run_id)
        return found.values_list("text", flat=True).first() or ""

    # --- the line ---------------------------------------------------------------------------------

    async def _send(self, message: dict[str, Any]) -> None:
        async with self.sending:
            await self.send(text_data=json.dumps(message, ensure_ascii=False))

    async def _guarded(self, work: Any) -> None:
        """A fault in one of the tasks closes the socket; the page connects again and gets everything anew."""
        try:
            await work
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("run_socket_failed", run=str(self.run_id))
            with contextlib.suppress(Exception):
                await self.close(code=1011)


def _word(run: RunSnapshot) -> str:
    word = run.status_word or look_of(run.status, run=True).word
    return word[:1].lower() + word[1:]


def _news(before: RunSnapshot, after: RunSnapshot) -> list[str]:
    """What a listener is told: starts, ends and questions; never single words of a text."""
    said: list[str] = []
    for old, new in zip(before.rows, after.rows, strict=True):
        if (old.status, old.review) == (new.status, new.review):
            continue
        if new.review:
            said.append(f"{new.label} waits for a review")
        elif new.status == "running":
            said.append(f"{new.label} started")
        elif new.status in ("completed", "failed"):
            said.append(f"{new.label} {look_of(new.status, retried=new.retried).word.lower()}")
    if before.status != after.status and after.is_over:
        said.append(f"Run {after.number} {_word(after)}")
    return said[-4:]
