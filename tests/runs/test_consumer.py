"""The socket of a run's page: who may listen, what a page is told, and that text arrives once and whole."""

import asyncio
import json
import re
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.db import connections
from django.test import Client
from django.urls import reverse

from runs import partials, progress
from runs.consumers import hub
from runs.consumers.run import RunConsumer
from runs.engine.statuses import EventType, RunStatus, StepStatus
from runs.models import Run, StepRun
from runs.partials import part_ids, render_part, viewer_parts
from runs.routing import websocket_urlpatterns
from runs.services.viewing import viewer_of
from runs.snapshots import run_snapshot
from tests.support import factories
from tests.support import runs as make
from workflows.tenancy.models import Membership
from workflows.tenancy.people import change_role, remove_member

pytestmark = pytest.mark.django_db(transaction=True)

CHAIN = make.graph(
    make.step("analyse", "llm", "Idea analysis"),
    make.step("gate", "review", "Review gate"),
    make.step("polish", "llm", "Polish"),
)
WAIT = 10


class Page:
    """A page as the browser keeps it: fragments by id, texts by attempt."""

    def __init__(self, run, user, *, stamp=""):
        application = URLRouter(websocket_urlpatterns)
        self.socket = WebsocketCommunicator(application, f"/ws/runs/{run.pk}/?stamp={stamp}")
        self.socket.scope["user"] = user
        self.parts = {}
        self.texts = {}
        self.doubled = False
        self.said = []
        self.reviews = None
        self.stamp = stamp

    async def open(self):
        accepted, code = await self.socket.connect(timeout=WAIT)
        self.code = code
        return accepted

    async def hear(self):
        """Take the next message."""
        message = json.loads(await self.socket.receive_from(timeout=WAIT))
        if message.get("type") == "parts":
            self.parts |= {part["id"]: part["html"] for part in message["parts"]}
            self.said += message["say"]
            self.stamp = message["stamp"]
            self.reviews = message.get("reviews", self.reviews)
        elif "a" in message:
            known = self.texts.get(message["a"], "")
            self.doubled |= message["o"] != len(known)
            self.texts[message["a"]] = known + message["d"]
        return message

    async def until(self, ready):
        while not ready():
            await self.hear()

    async def close(self):
        await self.socket.disconnect()


@pytest.fixture(autouse=True)
async def _tidy():
    partials._rendered.clear()
    yield
    await hub.close()
    await sync_to_async(connections.close_all)()


@sync_to_async
def running_run():
    world = factories.world()
    run = make.run_of(world.bob, CHAIN)
    row = make.reached(run, "analyse", StepStatus.RUNNING, provider="openai")
    return world, run, row, make.attempt(row, "open")


@sync_to_async
def everything(run, actor):
    """The fragments as a page that is loaded now would have them."""
    fresh = Run.objects.select_related("workflow", "version", "started_by", "api_key").get(pk=run.pk)
    snapshot = run_snapshot(fresh)
    shared = {part: render_part(snapshot, part) for part in part_ids(snapshot)}
    return shared | viewer_parts(snapshot, viewer_of(snapshot, actor))


def still(parts):
    """Without the clocks, which count between two looks."""
    return {part: re.sub(r"(data-clock-since=\"[^\"]+\">)[^<]*", r"\1", html) for part, html in parts.items()}


async def test_a_member_gets_the_whole_page_of_fragments_when_theirs_is_old():
    world, run, _, _ = await running_run()
    page = Page(run, world.vera.user, stamp="older")
    assert await page.open()
    await page.hear()
    assert still(page.parts) == still(await everything(run, world.vera))
    await page.close()


async def test_a_page_that_is_up_to_date_is_told_nothing_again():
    world, run, _, attempt = await running_run()
    snapshot = await sync_to_async(run_snapshot)(
        await Run.objects.select_related("workflow", "version", "started_by", "api_key").aget(pk=run.pk)
    )
    await sync_to_async(progress.open_text(run.pk, attempt.step_run_id, attempt.pk).write)("Hello")
    await asyncio.to_thread(progress.flush)
    page = Page(run, world.bob.user, stamp=snapshot.stamp)
    assert await page.open()
    first = await page.hear()
    assert first["d"] == "Hello"
    await page.close()


@pytest.mark.parametrize("who", ["charlie", "nobody", "signed out"])
async def test_a_stranger_is_refused_before_the_socket_opens(who):
    world, run, _, _ = await running_run()
    page = Page(run, world.charlie.user if who == "charlie" else AnonymousUser())
    assert not await page.open()
    missing = Page(Run(pk="00000000-0000-7000-8000-000000000000"), world.bob.user)
    assert not await missing.open()
    assert page.code == missing.code == 4404


async def test_losing_the_membership_closes_the_socket():
    world, run, _, _ = await running_run()
    page = Page(run, world.bob.user)
    assert await page.open()
    await page.hear()
    membership = await Membership.objects.select_related("user").aget(user=world.bob.user)
    await sync_to_async(remove_member)(actor=world.alice, membership=membership)
    assert (await page.socket.receive_output(timeout=WAIT)) == {"type": "websocket.close", "code": 4403}


async def test_rights_are_asked_again_even_when_nobody_says_that_they_changed(monkeypatch):
    monkeypatch.setattr("runs.consumers.run.RIGHTS_SECONDS", 0.01)
    world, run, _, _ = await running_run()
    page = Page(run, world.bob.user)
    assert await page.open()
    await page.hear()
    await Membership.objects.filter(user=world.bob.user).adelete()
    assert (await page.socket.receive_output(timeout=WAIT)) == {"type": "websocket.close", "code": 4403}


async def test_a_changed_role_changes_the_viewers_own_fragments():
    world, run, _, _ = await running_run()
    page = Page(run, world.bob.user)
    assert await page.open()
    await page.until(lambda: "run-controls" in page.parts)
    assert "/pause/" in page.parts["run-controls"]
    membership = await Membership.objects.select_related("user").aget(user=world.bob.user)
    await sync_to_async(change_role)(actor=world.alice, membership=membership, role="viewer")
    await page.until(lambda: "/pause/" not in page.parts["run-controls"])
    await page.close()


async def test_the_page_after_live_fragments_equals_the_page_after_a_reload():
    world, run, row, attempt = await running_run()
    page = Page(run, world.bob.user)
    assert await page.open()
    await page.hear()

    @sync_to_async
    def finish_and_ask():
        from django.utils import timezone

        type(attempt).objects.filter(pk=attempt.pk).update(status="succeeded", ended_at=timezone.now())
        StepRun.objects.filter(pk=row.pk).update(
            status="completed",
            port="out",
            output={"content": "Four goals"},
            completed_at=timezone.now(),
            input_tokens=12,
        )
        make.gate(run, "gate")
        make.happened(run, EventType.REVIEW_REQUESTED, "gate")

    await finish_and_ask()
    progress.run_changed(run.pk, run.tenant_id, 1)
    await page.until(lambda: "Review gate waits for a review" in page.said)
    assert "Idea analysis succeeded" in page.said
    assert page.reviews == 1, "the number beside Reviews follows"
    assert still(page.parts) == still(await everything(run, world.bob))

    @sync_to_async
    def fail():
        from django.utils import timezone

        make.reached(
            run,
            "polish",
            StepStatus.FAILED,
            error={"code": "quota", "message": "No credit.", "retryable": False},
        )
        Run.objects.filter(pk=run.pk).update(status=RunStatus.FAILED, completed_at=timezone.now())
        make.happened(run, EventType.RUN_FAILED)

    await fail()
    progress.run_changed(run.pk, run.tenant_id, 2)
    await page.until(lambda: "run-fixes" in page.parts)
    assert still(page.parts) == still(await everything(run, world.bob))
    await page.close()


async def test_only_what_changed_is_sent():
    world, run, row, _ = await running_run()
    page = Page(run, world.bob.user)
    assert await page.open()
    await page.hear()

    @sync_to_async
    def cost_more():
        StepRun.objects.filter(pk=row.pk).update(input_tokens=40)
        make.happened(run, EventType.PROGRESS, "analyse")

    await cost_more()
    progress.run_changed(run.pk, run.tenant_id, 1)
    message = await page.hear()
    assert [part["id"] for part in message["parts"]] == ["row-analyse"]
    await page.close()


async def test_somebody_who_comes_late_gets_the_text_so_far_and_then_every_delta_once():
    world, run, row, attempt = await running_run()
    writer = progress.open_text(run.pk, row.pk, attempt.pk)
    writer.write("Übers ")
    await asyncio.to_thread(progress.flush)
    page = Page(run, world.bob.user)
    assert await page.open()
    writer.write("Wasser ")
    await asyncio.to_thread(progress.flush)
    writer.write("🌊 gehen.")
    await page.until(lambda: page.texts.get(str(attempt.pk), "").endswith("gehen."))
    assert page.texts[str(attempt.pk)] == "Übers Wasser 🌊 gehen."
    assert not page.doubled
    await page.close()


async def test_somebody_who_comes_back_misses_nothing_and_gets_nothing_twice():
    world, run, row, attempt = await running_run()
    writer = progress.open_text(run.pk, row.pk, attempt.pk)
    first = Page(run, world.bob.user)
    assert await first.open()
    writer.write("one ")
    await first.until(lambda: first.texts.get(str(attempt.pk)) == "one ")
    await first.close()
    writer.write("two ")
    await asyncio.to_thread(progress.flush)
    second = Page(run, world.bob.user, stamp=first.stamp)
    assert await second.open()
    writer.write("three")
    await second.until(lambda: second.texts.get(str(attempt.pk), "").endswith("three"))
    assert second.texts[str(attempt.pk)] == "one two three"
    assert not second.doubled
    await second.close()


async def test_text_that_redis_lost_comes_from_the_checkpoint():
    world, run, _, attempt = await running_run()
    await type(attempt).objects.filter(pk=attempt.pk).aupdate(text="kept in the database")
    page = Page(run, world.bob.user)
    assert await page.open()
    await page.until(lambda: str(attempt.pk) in page.texts)
    assert page.texts[str(attempt.pk)] == "kept in the database"
    await page.close()


async def test_deltas_are_cut_where_they_overlap_what_was_sent(monkeypatch):
    consumer = RunConsumer()
    sent: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message):
        sent.put_nowait((message["o"], message["d"]))

    async def nothing(*_):
        sent.put_nowait("read")

    monkeypatch.setattr(consumer, "_send", send)
    monkeypatch.setattr(consumer, "_send_text", nothing)
    consumer.sent_chars = {"a": 5}
    box: asyncio.Queue[Any] = asyncio.Queue()
    for offset, delta in ((0, "01234"), (3, "3456"), (7, "78")):
        box.put_nowait({"step": "s", "attempt": "a", "offset": offset, "delta": delta})
    task = asyncio.create_task(consumer._follow_texts(box))
    heard = [await asyncio.wait_for(sent.get(), WAIT) for _ in range(2)]
    task.cancel()
    assert heard == [(5, "56"), (7, "78")]


async def test_many_sockets_share_one_reading_of_a_change():
    world, run, _, _ = await running_run()
    asked_at = 0.0
    first = await sync_to_async(partials.current)(run.pk, run.tenant_id, asked_at)
    second = await sync_to_async(partials.current)(run.pk, run.tenant_id, asked_at)
    assert first is second
    assert first.part("run-bar") is second.part("run-bar")
    assert await sync_to_async(partials.current)(run.pk, world.other.pk, asked_at) is None


async def test_the_page_itself_prints_the_same_fragments():
    world, run, _, _ = await running_run()
    client: Client = await sync_to_async(factories.client_of)(world.bob)
    html = (await sync_to_async(client.get)(reverse("runs:detail", args=[run.pk]))).content.decode()
    # A fragment has no token; the page's script fills it in.
    squeezed = re.sub(r'(name="csrfmiddlewaretoken" value=")[^"]*', r"\1", " ".join(html.split()))
    for part, fragment in still(await everything(run, world.bob)).items():
        page_part = " ".join(fragment.split())
        assert page_part in still({"page": squeezed})["page"], part


async def test_the_text_of_an_item_comes_only_to_a_page_that_shows_it_and_only_from_its_own_run():
    world, run, row, attempt = await running_run()
    other = await sync_to_async(make.run_of)(world.charlie, CHAIN)
    theirs = await sync_to_async(make.reached)(other, "analyse", StepStatus.RUNNING, provider="openai")
    foreign = await sync_to_async(make.attempt)(theirs, "open")
    inside = await sync_to_async(make.reached)(run, "polish", StepStatus.RUNNING, scope="each[3]")
    item = await sync_to_async(make.attempt)(inside, "open")
    await sync_to_async(progress.open_text(foreign.run_id, foreign.step_run_id, foreign.pk).write)(
        "A secret."
    )
    writer = progress.open_text(run.pk, inside.pk, item.pk, inner=True)
    page = Page(run, world.bob.user)
    assert await page.open()
    writer.write("one ")
    own = progress.open_text(run.pk, row.pk, attempt.pk)
    own.write("The step's own.")
    await page.until(lambda: str(attempt.pk) in page.texts)
    assert str(item.pk) not in page.texts
    await page.socket.send_to(json.dumps({"watch": [str(foreign.pk), str(item.pk)]}))
    await page.until(lambda: page.texts.get(str(item.pk)) == "one ")
    writer.write("two")
    await page.until(lambda: page.texts.get(str(item.pk)) == "one two")
    assert not page.doubled
    assert str(foreign.pk) not in page.texts
    for nonsense in ("{", '{"watch": 3}', '{"watch": ["x"]}', "[]", '{"look": []}'):
        await page.socket.send_to(nonsense)
    await page.socket.send_to("ping")
    await page.hear()
    await page.close()


async def test_a_busy_run_sends_its_figures_at_most_four_times_a_second(monkeypatch):
    world, run, row, _ = await running_run()
    page = Page(run, world.bob.user)
    assert await page.open()
    await page.hear()
    pauses: list[float] = []
    real = asyncio.sleep

    async def noted(seconds: float, *more: Any) -> None:
        pauses.append(seconds)
        await real(0, *more)

    monkeypatch.setattr("runs.consumers.run.asyncio.sleep", noted)
    await StepRun.objects.filter(pk=row.pk).aupdate(input_tokens=11)
    progress.run_changed(run.pk, run.tenant_id, 1)
    await page.hear()
    for _ in range(3):
        await real(0)
    monkeypatch.undo()
    assert 0.25 in pauses
    await page.close()
