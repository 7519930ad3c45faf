"""Other words that people send for the same thing, put into the canonical ones before a definition is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from workflows.definition.types import TypeCatalog
from workflows.lib.jsontypes import JSONObject, JSONValue

_MODEL_FIELDS: Final = ("model", "default_model", "digest_model", "fallback", "fallbacks", "models")


def with_canonical_words(data: Mapping[str, Any], catalog: TypeCatalog) -> JSONObject:
    """The same document in canonical words (07 §1); what has the wrong shape is left for the reader to report.

    Types by `catalog.canonical`; `provider/model` and a separate `provider` as `provider:model`;
    `true_path`/`false_path` and `branches[].target_node_id` as edges; `wait_for`/`required_count` as the join
    of the step where the branches meet; `max_retries: n` as `max_attempts: n + 1`.
    """
    document = dict(data)
    nodes = document.get("nodes")
    if isinstance(nodes, list | tuple):
        nodes = [_node(node, catalog) if isinstance(node, Mapping) else node for node in nodes]
        edges = document.get("edges")
        edges = list(edges) if isinstance(edges, list | tuple) else [] if edges is None else edges
        if isinstance(edges, list):
            waits: list[tuple[JSONObject, list[str], JSONObject]] = []
            for node in nodes:
                if isinstance(node, dict):
                    targets = _paths_to_edges(node, edges)
                    if (join := _take_join(node)) is not None:
                        waits.append((node, targets, join))
            for node, targets, join in waits:
                _set_join(node, targets, join, nodes, edges)
            document["edges"] = edges
        document["nodes"] = nodes
    if isinstance(document.get("settings"), Mapping):
        document["settings"] = _with_models(document["settings"])
    return document


def _node(data: Mapping[str, Any], catalog: TypeCatalog) -> JSONObject:
    node = dict(data)
    kind = node.get("type")
    if isinstance(kind, str):
        node["type"] = catalog.canonical(kind) or kind
    if isinstance(node.get("config"), Mapping):
        node["config"] = _with_models(node["config"])
    policy = dict(node["retry_policy"]) if isinstance(node.get("retry_policy"), Mapping) else None
    for place in (policy, node, node.get("config")):
        if isinstance(place, dict) and _is_count(place.get("max_retries")):
            retries = place.pop("max_retries")
            policy = {} if policy is None else policy
            policy.setdefault("max_attempts", retries + 1)
    if policy is not None:
        node["retry_policy"] = policy
    return node


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _with_models(config: Mapping[str, Any]) -> JSONObject:
    changed = dict(config)
    provider, model = changed.get("provider"), changed.get("model")
    if isinstance(provider, str) and provider and isinstance(model, str) and model and ":" not in model:
        changed["model"] = f"{provider}:{model.removeprefix(provider + '/')}"
        del changed["provider"]
    for name in _MODEL_FIELDS:
        if name in changed:
            changed[name] = _model(changed[name])
    return changed


def _model(value: JSONValue) -> JSONValue:
    if isinstance(value, list):
        return [_model(entry) for entry in value]
    if isinstance(value, str) and "/" in value and ":" not in value and "{{" not in value:
        provider, _, model = value.partition("/")
        return f"{provider.strip()}:{model.strip()}" if provider.strip() and model.strip() else value
    return value


def _paths_to_edges(node: JSONObject, edges: list[Any]) -> list[str]:
    """Write the paths that stand in a config as edges; gives the targets of a parallel's branches."""
    config = node.get("config")
    if not isinstance(config, dict):
        return []
    source = node.get("id")
    for name, port in (("true_path", "true"), ("false_path", "false")):
        if name in config and node.get("type") == "condition":
            for target in _texts(config.pop(name)):
                _add_edge(edges, source, port, target)
    branches = config.get("branches")
    if node.get("type") != "parallel" or not isinstance(branches, list):
        return []
    targets: list[str] = []
    written: list[Any] = []
    for index, branch in enumerate(branches):
        if isinstance(branch, str):
            branch = {"name": branch}
        if isinstance(branch, Mapping):
            branch = dict(branch)
            given = branch.get("name")
            port = given if isinstance(given, str) and given else f"branch_{index + 1}"
            branch["name"] = port
            for target in _texts(branch.pop("target_node_id", None)):
                targets.append(target)
                _add_edge(edges, source, port, target)
        written.append(branch)
    config["branches"] = written
    return targets


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, str) and entry)


def _add_edge(edges: list[Any], source: object, port: str, target: str) -> None:
    """Add the edge unless it is there already: some clients send the path both ways."""
    for edge in edges:
        if isinstance(edge, Mapping) and (edge.get("source_node_id"), edge.get("target_node_id")) == (
            source,
            target,
        ):
            if edge.get("source_output") == port:
                return
            if not edge.get("source_output") and isinstance(edge, dict):
                edges[edges.index(edge)] = {**edge, "source_output": port}
                return
    edges.append({"source_node_id": source, "target_node_id": target, "source_output": port})


def _take_join(node: JSONObject) -> JSONObject | None:
    config = node.get("config")
    if node.get("type") not in ("parallel", "merge") or not isinstance(config, dict):
        return None
    rule, count = config.pop("wait_for", None), config.pop("required_count", None)
    if rule is None and count is None:
        return None
    join: JSONObject = {"rule": rule if rule is not None else "count"}
    if count is not None:
        join["count"] = count
    return join


def _set_join(
    node: JSONObject, targets: list[str], join: JSONObject, nodes: list[Any], edges: list[Any]
) -> None:
    """Put the wait rule where it lives: on the step where the branches meet (07 §3)."""
    if node.get("type") == "merge":
        node.setdefault("join", join)
        return
    if not targets:
        targets = [
            str(edge.get("target_node_id"))
            for edge in edges
            if isinstance(edge, Mapping) and edge.get("source_node_id") == node.get("id")
        ]
    meeting = _meeting(list(dict.fromkeys(targets)), edges)
    for other in nodes:
        if isinstance(other, dict) and meeting is not None and other.get("id") == meeting:
            other.setdefault("join", join)


def _meeting(starts: list[str], edges: list[Any]) -> str | None:
    """The nearest step that every branch reaches; None when they never meet."""
    following: dict[str, list[str]] = {}
    for edge in edges:
        if isinstance(edge, Mapping):
            following.setdefault(str(edge.get("source_node_id")), []).append(str(edge.get("target_node_id")))
    distances: list[dict[str, int]] = []
    for start in starts:
        far = {start: 0}
        todo = [start]
        for key in todo:
            for target in following.get(key, ()):
                if target not in far:
                    far[target] = far[key] + 1
                    todo.append(target)
        distances.append(far)
    if len(distances) < 2:
        return None
    shared = [key for key in distances[0] if all(key in far for far in distances)]
    return min(shared, key=lambda key: (max(far[key] for far in distances), key), default=None)
