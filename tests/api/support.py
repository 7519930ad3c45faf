"""Calls of the API in one line, by a key of some person's role."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from django.test import Client

from tests.support.factories import bearer, key_of
from workflows.tenancy.actor import Actor


class Api:
    """Calls with a key of this actor's role; None calls without any. Answers are Django's test responses."""

    def __init__(self, actor: Actor | None, *, role: str | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = bearer(key_of(actor, role)) if actor is not None else {}

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.client.get(f"/api{path}", query or {}, headers={**self.headers, **_names(headers)})

    def send(
        self, verb: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str
    ) -> Any:
        data = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        content_type = headers.pop("content_type", "application/json")
        return self.client.generic(
            verb, f"/api{path}", data, content_type=content_type, headers={**self.headers, **_names(headers)}
        )

    def post(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.send("POST", path, body, **more)

    def put(self, path: str, body: Any = None, **more: Any) -> Any:
        return self.send("PUT", path, body, **more)

    def delete(self, path: str, **more: Any) -> Any:
        return self.send("DELETE", path, **more)


def _names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def error_of(response: Any, status: int) -> dict[str, Any]:
    """The error of an answer, after looking that it has the one shape, the id of the header, and this status."""
    assert response.status_code == status, (response.status_code, response.content[:500])
    assert response["Content-Type"].startswith("application/json"), response["Content-Type"]
    body = response.json()
    assert list(body) == ["error"]
    error: dict[str, Any] = body["error"]
    assert set(error) == {"code", "message", "request_id", "problems"}
    assert error["request_id"] == response["X-Request-ID"]
    assert error["message"].endswith((".", "?")), error["message"]
    for problem in error["problems"]:
        assert {"path", "step", "field", "message", "fix"} <= set(problem)
    return error


def paths(error: dict[str, Any]) -> list[str]:
    return [problem["path"] for problem in error["problems"]]


def node(id: str, type: str = "transform", **fields: Any) -> dict[str, Any]:
    config = {"mode": "template", "template": f"{id} after {{{{ previous }}}}"} if type == "transform" else {}
    return {"id": id, "type": type, "name": id.title(), "config": config, **fields}


def graph(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Nodes in a row."""
    return {
        "nodes": list(nodes),
        "edges": [{"source_node_id": a["id"], "target_node_id": b["id"]} for a, b in pairwise(nodes)],
        **more,
    }


TWO = graph(node("one"), node("two"))
WITH_GATE = graph(node("one"), node("gate", "review"), node("two"))


def a_workflow(api: Api, definition: dict[str, Any] = TWO, **fields: Any) -> dict[str, Any]:
    """Made over the API; its JSON."""
    made = api.post("/workflows", {"name": "A workflow", "definition": definition, **fields})
    assert made.status_code == 201, made.content
    found: dict[str, Any] = made.json()
    return found
