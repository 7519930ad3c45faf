"""Everything a person does in the builder, as requests that can be made again and again: what is asked, what it may cost.

The benchmark takes their times, a test counts their queries.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse

from workflows.definition.schema import parse_definition
from workflows.lib.jsontypes import JSONObject
from workflows.models import Step, Workflow
from workflows.services.drafts import save_draft
from workflows.services.publish_workflow import publish_workflow
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor

# What the issue promises on the server: milliseconds.
KEYSTROKE_MS: Final = 50.0
DROP_MS: Final = 100.0
PAGE_MS: Final = 300.0
HTMX: Final = {"HX-Request": "true"}
_ABOUT_RUNS: Final = ("step_data", "step_preview", "step_test", "estimate")
ON_CANVAS: Final = {**HTMX, "Stepwell-View": "canvas"}

_KINDS: Final[tuple[tuple[str, JSONObject], ...]] = (
    ("llm", {"prompt": "Write about {{ input.text }} after {{ previous }}", "model": "demo:writer"}),
    ("transform", {"mode": "template", "template": "{{ previous }} and {{ input.text }}"}),
    ("clean_text", {}),
    ("summarize", {}),
    ("extract_keywords", {}),
    ("llm", {"prompt": "Go on with {{ steps.Step 0.content }}", "model": "demo:writer"}),
    ("tag_category", {"categories": ["News", "Sport"]}),
    ("http_request", {"url": "https://example.com/{{ input.text }}"}),
    ("review", {}),
    ("merge", {}),
)


@dataclass(frozen=True)
class Deed:
    """One thing that is done: `ask` does it, `ready` (not measured) puts right what it needs; `ms` is promised."""

    name: str
    ms: float
    ask: Callable[[], HttpResponseBase]
    ready: Callable[[], object] = lambda: None


def document(steps: int) -> JSONObject:
    """A chain of ten kinds of step in the API's shape, with a condition's two branches and a For each of two in it."""
    chain = steps - 5
    nodes: list[JSONObject] = []
    for number in range(chain):
        kind, config = _KINDS[number % len(_KINDS)]
        config = dict(config)
        if "prompt" in config:
            config["prompt"] = f"{config['prompt']} (number {number})"
        nodes.append({"id": f"s{number}", "type": kind, "name": f"Step {number}", "config": config})
    each = {"items": "{{ previous }}"}
    nodes += [
        {"id": "asks", "type": "condition", "name": "Asks", "config": {"expression": "size(previous) > 0"}},
        {"id": "yes", "type": "clean_text", "name": "If so", "config": {}},
        {"id": "each", "type": "fan_out", "name": "Each", "config": each},
        {"id": "one", "type": "clean_text", "name": "First inside", "config": {}, "parent": "each"},
        {"id": "two", "type": "summarize", "name": "Second inside", "config": {}, "parent": "each"},
    ]
    paths = [(f"s{number}", f"s{number + 1}", "") for number in range(chain - 1)]
    paths += [(f"s{chain - 1}", "asks", ""), ("asks", "yes", "true"), ("asks", "each", "false")]
    paths += [("one", "two", "")]
    edges: list[JSONObject] = [
        {"id": f"e{number}", "source_node_id": source, "target_node_id": target}
        | ({"source_output": port} if port else {})
        for number, (source, target, port) in enumerate(paths)
    ]
    return {"nodes": nodes, "edges": edges, "variables": [{"name": "text", "type": "string"}]}


def workflow_of(steps: int, actor: Actor) -> Workflow:
    """A draft of so many steps with two published versions behind it."""
    workflow = Workflow.objects.create(
        tenant=actor.tenant, name=f"Draft of {steps}", created_by=actor.user, settings={}
    )
    save_draft(workflow=workflow, definition=parse_definition(document(steps), CATALOG), actor=actor)
    publish_workflow(workflow=workflow, actor=actor, note="The first")
    changed = document(steps)
    changed["nodes"][0]["config"]["prompt"] = "Write something else about {{ input.text }}"
    save_draft(workflow=workflow, definition=parse_definition(changed, CATALOG), actor=actor)
    publish_workflow(workflow=workflow, actor=actor, note="The second")
    return workflow


class Hands:
    """A person at the builder of one workflow; `key` is a model step in the middle of it that no text names."""

    def __init__(self, client: Client, workflow: Workflow, key: str) -> None:
        self.client = client
        self.workflow = workflow
        self.key = key
        self.number = count(1)

    def url(self, name: str, *more: str | int) -> str:
        space = "runs" if name in _ABOUT_RUNS else "workflows"
        return reverse(f"{space}:{name}", args=[self.workflow.pk, *more])

    def get(self, name: str, *more: str | int, htmx: bool = False, **query: str) -> HttpResponseBase:
        return self.client.get(self.url(name, *more), query, headers=HTMX if htmx else None)

    def post(
        self, name: str, *more: str | int, sent: dict[str, Any] | None = None, canvas: bool = False
    ) -> HttpResponseBase:
        return self.client.post(self.url(name, *more), sent or {}, headers=ON_CANVAS if canvas else HTMX)

    def newest(self) -> str:
        return Step.objects.filter(workflow=self.workflow).order_by("-pk").values_list("key", flat=True)[0]

    def insert(self, canvas: bool = False) -> HttpResponseBase:
        """On the path that leads into the key's step, as the + above its card does; on the canvas beside it."""
        above = self.workflow.edges.filter(target__key=self.key).values_list("key", flat=True)[0]
        where = {"place": f"after:{self.key}", "x": "40", "y": "80"} if canvas else {"place": f"edge:{above}"}
        sent = {"type": "clean_text", **where}
        return self.post("add_step", sent=sent, canvas=canvas)

    def type_a_letter(self) -> HttpResponseBase:
        text = f"Write number {next(self.number)} of {{{{ previous }}}}"
        return self.post("step", self.key, sent={"field": "prompt", "prompt": text})

    def rename(self) -> HttpResponseBase:
        return self.post("step", "s0", sent={"field": "label", "label": f"Start {next(self.number)}"})

    def turn(self) -> HttpResponseBase:
        is_on = Step.objects.get(workflow=self.workflow, key=self.key).enabled
        return self.post("step_enable", self.key, sent={} if is_on else {"on": "on"})

    def move(self, place: str = "") -> HttpResponseBase:
        """Dropped by turns above the third card and above the sixth."""
        before = "s2" if next(self.number) % 2 else "s5"
        return self.post("step_move", self.key, sent={"before": before})

    def into(self) -> HttpResponseBase:
        """By turns into the For each and out of it again, to the end."""
        inside = Step.objects.filter(workflow=self.workflow, key="yes", parent=None).exists()
        return self.post("step_move", "yes", sent={"before": "end:each" if inside else "end:"})

    def connect(self) -> HttpResponseBase:
        return self.post("add_path", sent={"source": "s0", "target": "s3"})

    def disconnect(self) -> None:
        edge = self.workflow.edges.filter(source__key="s0", target__key="s3").first()
        if edge is not None:
            self.post("change_path", edge.key, sent={"remove": "1"})

    def many(self, act: str, keys: list[str], **more: str) -> HttpResponseBase:
        return self.post("selection", sent={"keys": keys, "act": act, "sure": "1", **more})

    def place(self) -> HttpResponseBase:
        spot = [40 + 20 * (next(self.number) % 9), 60]
        return self.post("canvas_place", sent={"positions": json.dumps({self.key: spot})}, canvas=True)

    def copied(self) -> str:
        text = self.get("copy_steps", keys="s0,s1")
        return bytes(text.content).decode()  # type: ignore[attr-defined]


def deeds(client: Client, workflow: Workflow, key: str, steps: int) -> Iterator[Deed]:
    """Pages, then edits; each leaves a workflow on which the next can be done."""
    hands = Hands(client, workflow, key)
    ten = [f"s{number}" for number in range(10)]
    alone = [f"s{number}" for number in range(steps - 5) if _KINDS[number % len(_KINDS)][0] != "review"]
    yield Deed("page, all closed", PAGE_MS, lambda: hands.get("builder"))
    yield Deed("page, one card open", PAGE_MS, lambda: hands.get("builder", open=key))
    yield Deed("page, the run form open", PAGE_MS, lambda: hands.get("builder", open="start"))
    yield Deed("canvas, the page", PAGE_MS, lambda: hands.get("canvas"))
    yield Deed("canvas, a step chosen", PAGE_MS, lambda: hands.get("canvas_panel", open=key, htmx=True))
    yield Deed("open a card", DROP_MS, lambda: hands.get("step", key, alone="1", htmx=True))
    yield Deed("the picker for a +", DROP_MS, lambda: hands.get("add_step", place=f"after:{key}", htmx=True))
    yield Deed("search in the steps", DROP_MS, lambda: hands.get("find_steps", q="number 1"))
    yield Deed("the palette's search", DROP_MS, lambda: client.get(reverse("runs:find"), {"q": "step 1"}))
    yield Deed("data for the prompt's menu", DROP_MS, lambda: hands.get("step_data", key))
    yield Deed("the text as it is sent", DROP_MS, lambda: hands.get("step_preview", key, htmx=True))
    yield Deed("the Test tab", DROP_MS, lambda: hands.get("step_test", key, htmx=True))
    yield Deed("the estimate", DROP_MS, lambda: hands.get("estimate", htmx=True))
    yield Deed("versions, the newest two compared", PAGE_MS, lambda: hands.get("versions"))
    compared = {"from": "1", "to": "2"}
    yield Deed("versions, 1 and 2 compared", PAGE_MS, lambda: client.get(hands.url("versions"), compared))
    yield Deed(
        "… side by side", PAGE_MS, lambda: client.get(hands.url("versions"), {**compared, "view": "side"})
    )
    yield Deed("version 1", PAGE_MS, lambda: hands.get("version", 1))
    yield Deed("copy two steps as text", DROP_MS, lambda: hands.get("copy_steps", keys="s0,s1"))

    yield Deed("a keystroke saved (a prompt)", KEYSTROKE_MS, hands.type_a_letter)
    yield Deed("what others changed, fetched", DROP_MS, lambda: _changes(hands))
    yield Deed("rename a step that others use", DROP_MS, hands.rename)
    yield Deed("turn a step off or on", DROP_MS, hands.turn)
    yield Deed("drop a card elsewhere", DROP_MS, hands.move)
    yield Deed("drop a card into a For each, and out", DROP_MS, hands.into)
    yield Deed("insert a step", DROP_MS, hands.insert)
    yield Deed(
        "delete a step", DROP_MS, lambda: hands.post("step_delete", hands.newest()), ready=hands.insert
    )
    yield Deed("duplicate a step", DROP_MS, lambda: hands.post("step_duplicate", key))
    yield Deed("connect two steps", DROP_MS, hands.connect, ready=hands.disconnect)
    yield Deed("undo", DROP_MS, lambda: hands.post("undo"), ready=hands.type_a_letter)
    yield Deed(
        "redo",
        DROP_MS,
        lambda: hands.post("redo"),
        ready=lambda: (hands.type_a_letter(), hands.post("undo")),
    )
    yield Deed("undo an insert", DROP_MS, lambda: hands.post("undo"), ready=hands.insert)
    text = hands.copied()
    yield Deed(
        "paste two steps", DROP_MS, lambda: hands.post("paste_steps", sent={"text": text, "after": key})
    )
    yield Deed(
        "ten steps off or on",
        DROP_MS,
        lambda: hands.many("enable" if next(hands.number) % 2 else "disable", ten),
    )
    yield Deed(
        "all steps off or on",
        PAGE_MS,
        lambda: hands.many("enable" if next(hands.number) % 2 else "disable", alone),
    )
    yield Deed(
        "ten steps with another model",
        DROP_MS,
        lambda: hands.many("model", ten, model=f"demo:writer{next(hands.number)}"),
    )
    yield Deed(
        "three steps moved",
        DROP_MS,
        lambda: hands.many("move", ["s2", "s3", "s4"], before="s7" if next(hands.number) % 2 else "s1"),
    )
    yield Deed("two steps duplicated", DROP_MS, lambda: hands.many("duplicate", ["s2", "s3"]))
    yield Deed(
        "two steps deleted",
        DROP_MS,
        lambda: hands.many("delete", _last_two(workflow)),
        ready=lambda: hands.many("duplicate", ["s2", "s3"]),
    )
    yield Deed("settings: the name", DROP_MS, lambda: _named(hands))
    yield Deed("canvas, a step moved", DROP_MS, hands.place)
    yield Deed("canvas, a step put on empty ground", DROP_MS, lambda: hands.insert(canvas=True))
    yield Deed(
        "canvas, tidied up", DROP_MS, lambda: hands.post("canvas_tidy", canvas=True), ready=hands.place
    )
    yield Deed("the question before publishing", PAGE_MS, lambda: hands.get("publish", htmx=True))
    yield Deed(
        "publish",
        PAGE_MS,
        lambda: hands.post("publish", sent={"note": "Better"}),
        ready=hands.type_a_letter,
    )


def _changes(hands: Hands) -> HttpResponseBase:
    hands.workflow.refresh_from_db(fields=["revision"])
    return hands.get("changes", since=str(hands.workflow.revision - 1), htmx=True)


def _named(hands: Hands) -> HttpResponseBase:
    return hands.post("settings", sent={"name": f"Called {next(hands.number)}"})


def _last_two(workflow: Workflow) -> list[str]:
    return list(Step.objects.filter(workflow=workflow).order_by("-pk").values_list("key", flat=True)[:2])
