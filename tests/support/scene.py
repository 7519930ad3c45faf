"""The scene of the live page's proof: a lead is qualified while models stream slowly, fail and rate-limit, as told to.

The workflow is that of the mockup `run-live`. One model server plays three vendors; `hold(…)` stops it at chosen places
until the test lets it go on, so that every stage can be looked at for as long as the looking takes.
"""

from __future__ import annotations

import json
import threading
import time
from itertools import pairwise
from typing import Any
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from tests.support.fake_openai import FakeOpenAI, Reply
from tests.support.stack import Stack
from tests.support.viewers import ClockedReply

COMPANY = "Halden Cold Chain"
ENQUIRY = (
    f"{COMPANY} asks about 140 pallet shipments a month between Rotterdam and Lyon, from March on. "
    "They lose slots with their present carrier on the Thursday departure."
)
CONTACTS = (
    "Mara Lindqvist, VP Supply Chain",
    "Jonas Feld, Head of Cold Storage",
    "Priya Nair, Procurement",
    "Owen Blakely, Ops director",
    "Chiara Conti, Quality",
    "Luc Ferrand, Transport",
    "Sofia Almeida, Logistics",
    "Pieter de Wit, Warehouse",
    "Hanna Kowal, Finance",
    "Ibrahim Saleh, IT",
    "Grete Holm, Sustainability",
    "Tom Ashdown, Planning",
    "Yuki Mori, Customs",
)
# The items that are held in the middle of their sentence: two at a time, after seven that are done.
HELD = CONTACTS[7:9]
BRIEF = (
    "Halden runs nine refrigerated depots between Rotterdam and Lyon and moved 140 pallet shipments last month, up from "
    "96 in the spring. They are losing slots with their present carrier on the Thursday departure, which is the one "
    "their retail customers care about.\n\n## Why now\n\nTheir request names March, and the research found a new depot "
    "opening in Dijon in February. The move adds an overnight leg that nobody serves with a cold chain today – 4 °C, "
    "door to door, naïve as that sounds ❄️.\n\n"
) + "\n\n".join(
    f"## Point {number}\n\n"
    f"{number}. The depot at stop {number} loads {number * 11} pallets on a Thursday. A second dock would take the "
    "pressure off the evening, and the yard has room for it. The driver hours allow one more turn in the week."
    for number in range(1, 25)
)
RESEARCH = (
    "Founded in 1998, 320 people, nine depots. A new one opens in Dijon in February. Five sources were read."
)


def llm(key: str, name: str, prompt: str, **config: Any) -> dict[str, Any]:
    return {"id": key, "type": "llm", "name": name, "config": {"prompt": prompt, **config}}


def text(key: str, name: str, template: str) -> dict[str, Any]:
    config = {"mode": "template", "template": template}
    return {"id": key, "type": "transform", "name": name, "config": config}


def _edges(*paths: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in paths:
        names = path.split(">")
        for left, right in pairwise(names):
            source, _, port = left.partition(":")
            target = right.partition(":")[0]
            edge = {"id": f"e{len(found)}", "source_node_id": source, "target_node_id": target}
            found.append(edge | ({"source_output": port} if port else {}))
    return found


def retry(attempts: int, delay_ms: int = 400) -> dict[str, Any]:
    return {"max_attempts": attempts, "delay_ms": delay_ms, "backoff_multiplier": 2, "jitter": 0}


def lead_workflow() -> dict[str, Any]:
    """The document of the workflow, as the API takes it."""
    return {
        "name": "Inbound lead qualification",
        "definition": {
            "nodes": [
                {"id": "start", "type": "start", "name": "Start", "config": {"main_field": "enquiry"}},
                {"id": "tidy", "type": "clean_text", "name": "Tidy the form data", "config": {}},
                {
                    **llm(
                        "research",
                        "Research the company",
                        "RESEARCH {{ input.enquiry }}",
                        model="anthropic:claude-sonnet-4-5",
                        fallback=["google:gemini-2.5-pro"],
                    ),
                    "retry_policy": retry(3),
                },
                {
                    **llm("score", "Score the fit", "SCORE {{ previous }}", model="openai:gpt-4o-mini"),
                    "retry_policy": retry(2),
                },
                text("crm", "Check CRM history", "1 company, 13 contacts, no open deal"),
                {"id": "combine", "type": "merge", "name": "Combine findings", "config": {}},
                {
                    "id": "worth",
                    "type": "condition",
                    "name": "Worth a call?",
                    "config": {
                        "cases": [
                            {
                                "name": "Yes",
                                "port": "yes",
                                "expression": 'contains(steps["Score the fit"].content, "82")',
                            }
                        ]
                    },
                },
                {
                    "id": "sales",
                    "type": "review",
                    "name": "Sales review",
                    "config": {
                        "title": "Is {{ input.company }} worth the account team's week?",
                        "instructions": "Look at the research; mend what is wrong in it.",
                        "content": "{{ steps.Research the company.content }}",
                    },
                },
                {
                    "id": "openers",
                    "type": "fan_out",
                    "name": "Write an opener for each contact",
                    "config": {"items": "{{ input.contacts }}", "split": "lines", "concurrency": 2},
                },
                {
                    **llm("opener", "Draft the opener", "OPENER for {{ item }}.", model="openai:gpt-4o-mini"),
                    "parent": "openers",
                    "retry_policy": retry(3, 200),
                },
                {**text("tone", "Check the tone", "{{ previous }}"), "parent": "openers"},
                llm("brief", "Write the account brief", "BRIEF {{ previous }}", model="openai:gpt-4o")
                | {"timeout_s": 1_200},
                {
                    "id": "final",
                    "type": "review",
                    "name": "Final check",
                    "config": {
                        "title": "Does the brief go out?",
                        "content": "{{ steps.Write the account brief.content }}",
                    },
                },
                text("nurture", "Add to nurture list", "Added"),
                {
                    "id": "update",
                    "type": "transform",
                    "name": "Update the CRM",
                    "config": {"mode": "template", "template": "{{ previous }}"},
                },
            ],
            "edges": _edges(
                "start>tidy",
                "tidy>research>combine",
                "tidy>score>combine",
                "tidy>crm>combine",
                "combine>worth",
                "worth:yes>sales",
                "worth:else>nurture>update",
                "sales:approved>openers>final",
                "sales:approved>brief>final",
                "opener>tone",
                "final:approved>update",
            ),
            "variables": [
                {"name": "enquiry", "type": "string", "kind": "input", "required": True},
                {"name": "company", "type": "string", "kind": "input", "required": True},
                {"name": "contacts", "type": "string", "kind": "input", "required": True},
            ],
        },
    }


class Scene:
    """The model server's part. The events are set when the test wants the play to go on."""

    def __init__(self, model: FakeOpenAI, *, brief_pause_s: float = 0.03) -> None:
        self.model = model
        self.start_held = threading.Event()
        self.research_held = threading.Event()
        self.openers_held = threading.Event()
        self.brief_held = threading.Event()
        self.model.default = lambda _: Reply(text="Done.")
        busy = {"error": {"message": "Rate limit reached", "type": "rate_limit_error"}}
        fault = {"error": {"message": "The server had an error", "type": "server_error"}}
        # Anthropic is rate-limited twice and says for how long; then Google answers, and is held in its first sentence.
        self.model.when(
            "RESEARCH",
            Reply(status=429, headers={"Retry-After": "1"}, body=busy, wait=self.start_held),
            Reply(status=429, headers={"Retry-After": "2"}, body=busy),
            Reply(status=429, headers={"Retry-After": "1"}, body=busy),
            Reply(text=RESEARCH, wait=self.research_held, hold_after=9, delay_s=0.02, usage=(4_102, 810)),
        )
        self.model.when(
            "SCORE",
            Reply(status=500, body=fault, wait=self.start_held),
            Reply(text="82, tier A", delay_s=0.1, usage=(400, 86)),
        )
        for contact in CONTACTS:
            first = contact.split()[0]
            opener = f"Dear {first}, your Thursday departure caught our eye. We would like to show you how we keep it."
            reply = Reply(text=opener, delay_s=0.02, usage=(610, 94))
            if contact in HELD:
                reply = Reply(
                    text=opener, delay_s=0.02, usage=(610, 94), wait=self.openers_held, hold_after=6
                )
            replies = [reply]
            if contact.startswith("Owen"):
                replies.insert(0, Reply(status=500, body=fault))
            self.model.when(f"OPENER for {contact}", *replies)
        self.brief = ClockedReply(
            pieces=[BRIEF[at : at + 7] for at in range(0, len(BRIEF), 7)],
            pause_s=brief_pause_s,
            slow_from=400,
            wait=self.brief_held,
            hold_after=60,
            usage=(1_200, 1_900),
        )
        self.model.when("BRIEF", self.brief)

    def environment(self) -> dict[str, str]:
        """What the stack has to know to take this server for three vendors."""
        return {
            f"{name}_{what}": value
            for name in ("OPENAI", "ANTHROPIC", "GOOGLE")
            for what, value in (("BASE_URL", self.model.url), ("API_KEY", f"key-of-{name.lower()}"))
        }

    def let_go(self) -> None:
        self.brief.go_on.set()
        for event in (self.start_held, self.research_held, self.openers_held, self.brief_held):
            event.set()


class Caller:
    """The REST API of a running stack, with a key of its own."""

    def __init__(self, stack: Stack) -> None:
        self.url = f"{stack.url}/api"
        self.key = stack.manage("create_api_key", "--tenant", "demo", "--role", "owner")

    def ask(self, verb: str, path: str, body: Any = None) -> Any:
        """The answer's JSON. Raises urllib's HTTPError; waits for a web process that is being restarted."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + 60
        while True:
            try:
                with urlopen(
                    HttpRequest(self.url + path, data=data, headers=headers, method=verb), timeout=60
                ) as answer:
                    return json.loads(answer.read() or b"null")
            except ConnectionError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def made(self, document: dict[str, Any]) -> str:
        """Make and publish a workflow; its id."""
        workflow = str(self.ask("POST", "/workflows", document)["id"])
        self.ask("POST", f"/workflows/{workflow}/publish", {"note": "For the proof"})
        return workflow

    def started(self, workflow: str, data: dict[str, Any]) -> str:
        return str(self.ask("POST", f"/workflows/{workflow}/execute", {"input_data": data})["id"])

    def lead_run(self) -> str:
        """A run of the scene's workflow; its id."""
        contacts = "\n".join(CONTACTS)
        data = {"enquiry": ENQUIRY, "company": COMPANY, "contacts": contacts}
        return self.started(self.made(lead_workflow()), data)

    def run(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/workflow-executions/{run}")
        return found

    def steps(self, run: str) -> dict[str, dict[str, Any]]:
        """The run's steps of the top level by their key."""
        rows = self.ask("GET", f"/workflow-executions/{run}/steps?limit=100")["items"]
        return {row["node_id"]: row for row in rows}
