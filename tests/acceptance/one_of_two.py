"""One person in a draft, as a process of its own: random edits over HTTP by a seed, one JSON line for each answer.

    python -m tests.acceptance.one_of_two URL SIGN_IN_LINK WORKFLOW NAME SEED EDITS STEP,STEP,…

It behaves as the builder's page does: a save names the revision of the card as this page last saw it, and what is refused
because somebody else wrote the same (412) is either left or, having seen it, written again.
"""

from __future__ import annotations

import json
import random
import re
import sys
from typing import Any

import httpx2 as httpx

FIELDS = ("prompt", "system_prompt")
KINDS = ("llm", "transform", "delay", "review", "merge")


class Person:
    """`watched` are the steps whose texts both people write; what this one adds beside them is its own to move and delete."""

    def __init__(self, url: str, link: str, workflow: str, name: str, seed: int, watched: list[str]) -> None:
        self.client = httpx.Client(base_url=url, timeout=60, follow_redirects=True)
        page = self.client.get(link)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token is not None, page.text[:400]
        self.client.post(link, data={"csrfmiddlewaretoken": token[1]}, headers={"Referer": url})
        self.base = f"/workflows/{workflow}/"
        self.name = name
        self.random = random.Random(f"{seed} {name}")
        self.watched = watched
        self.mine: list[str] = []
        canvas = self.client.get(f"{self.base}canvas/").text
        found = re.search(r'"X-CSRFToken": "([^"]+)"', canvas)
        assert found is not None
        self.headers = {
            "X-CSRFToken": found[1],
            "HX-Request": "true",
            "Referer": url,
            "Stepwell-View": "canvas",
        }
        self.known = {key: self.look(key) for key in watched}
        self.count = 0

    def look(self, key: str) -> int:
        """Open the card: its revision now."""
        answer = self.client.get(f"{self.base}canvas/panel/?open={key}", headers={"HX-Request": "true"})
        return revision_in(answer.text, key)

    def post(self, path: str, **values: Any) -> httpx.Response:
        return self.client.post(f"{self.base}{path}", data=values, headers=self.headers)

    def deed(self) -> dict[str, Any]:
        self.count += 1
        roll = self.random.random()
        if roll < 0.62:
            return self.write()
        if roll < 0.78 or not self.mine:
            return self.add()
        act = self.random.choice((self.drag, self.drag, self.connect, self.switch, self.delete))
        return act()

    def write(self, again: dict[str, Any] | None = None) -> dict[str, Any]:
        key = again["key"] if again else self.random.choice(self.watched)
        field = again["field"] if again else self.random.choice(FIELDS)
        text = again["text"] if again else f"{self.name} wrote {self.count}"
        known = self.known[key]
        answer = self.post(f"steps/{key}/", **{field: text, "field": field, "revision": known})
        said = {"deed": "write", "key": key, "field": field, "text": text, "known": known}
        if answer.status_code == 200:
            self.known[key] = revision_in(answer.text, key)
            saved = json.loads(answer.headers["HX-Trigger"])["builder:saved"]
            said |= {"card": self.known[key], "draft": saved["revision"]}
        elif answer.status_code == 412:
            # What the other wrote has been seen now.
            self.known[key] = self.look(key)
        if self.random.random() < 0.3:
            self.known[key] = self.look(key)
        return said | {"status": answer.status_code}

    def add(self) -> dict[str, Any]:
        place = self.random.choice(("end", "root", *(f"after:{key}" for key in (*self.mine, *self.watched))))
        spot = {"x": self.random.randrange(-900, 900), "y": self.random.randrange(0, 2000)}
        answer = self.post("add/", type=self.random.choice(KINDS), place=place, **spot)
        said = {"deed": "add", "status": answer.status_code}
        if answer.status_code == 200:
            said["key"] = json.loads(answer.headers["HX-Trigger"])["builder:changed"]["key"]
            self.mine.append(str(said["key"]))
        return said

    def drag(self) -> dict[str, Any]:
        key = self.random.choice((*self.mine, *self.watched))
        spot = [self.random.randrange(-900, 900), self.random.randrange(0, 2000)]
        answer = self.post("canvas/place/", positions=json.dumps({key: spot}))
        if answer.status_code == 200 and self.random.random() < 0.5:
            revision = json.loads(answer.headers["HX-Trigger"])["builder:changed"]["revision"]
            return {"deed": "undo", "status": self.post("undo/", revision=revision).status_code}
        return {"deed": "drag", "status": answer.status_code}

    def connect(self) -> dict[str, Any]:
        everything = (*self.mine, *self.watched)
        source, target = self.random.choice(everything), self.random.choice(everything)
        return {"deed": "connect", "status": self.post("paths/", source=source, target=target).status_code}

    def switch(self) -> dict[str, Any]:
        on = {"on": "on"} if self.random.random() < 0.5 else {}
        key = self.random.choice(self.mine)
        return {"deed": "switch", "status": self.post(f"steps/{key}/enabled/", **on).status_code}

    def delete(self) -> dict[str, Any]:
        key = self.random.choice(self.mine)
        answer = self.post("canvas/several/", act="remove", keys=json.dumps([key]))
        if answer.status_code == 200:
            self.mine.remove(key)
        return {"deed": "delete", "key": key, "status": answer.status_code}


def revision_in(html: str, key: str) -> int:
    found = re.search(
        rf'(?:id="rev-{key}"|hx-target="#rev-{key}")[^>]*><input[^>]*name="revision" value="(\d+)"', html
    )
    assert found is not None, f"no revision of {key} in {html[:600]}"
    return int(found[1])


def main() -> None:
    url, link, workflow, name, seed, edits, watched = sys.argv[1:]
    person = Person(url, link, workflow, name, int(seed), watched.split(","))
    for _ in range(int(edits)):
        said = person.deed()
        print(json.dumps(said), flush=True)  # noqa: T201 - the parent reads it
        # Asked, people keep theirs as often as they leave it.
        if said["status"] == 412 and person.random.random() < 0.5:
            print(json.dumps(person.write(said)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
