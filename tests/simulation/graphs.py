"""Random workflows for the simulator: every join rule, ports, conditions, disabled steps, retry and error policies."""

from __future__ import annotations

import random

from runs.engine.graph import Graph, compile_graph
from tests.workflows.definition.support import FakeCatalog
from workflows.definition.graph import (
    Definition,
    EdgeDef,
    ErrorChoice,
    ErrorPolicy,
    JoinKind,
    JoinRule,
    Losers,
    StepDef,
)
from workflows.definition.retry import RetryPolicy

TYPES = ("llm", "llm", "llm", "transform", "condition", "parallel", "delay", "review", "merge", "filter")


def random_definition(
    seed: int, *, racing: bool, steps: int | None = None, containers: bool = False
) -> Definition:
    """A workflow with no cycle. `racing` False: only joins that wait for everything, so that order cannot matter.

    `containers`: loops and fan-outs with bodies of their own, up to two deep.
    """
    chance = random.Random(f"graph {seed}")
    made: list[StepDef] = []
    edges: list[EdgeDef] = []
    count = steps or chance.randint(1, 7 if containers else 12)
    _body(chance, None, count, made, edges, racing=racing, containers=containers, depth=0)
    return Definition(steps=tuple(made), edges=tuple(edges))


def _body(
    chance: random.Random,
    parent: str | None,
    count: int,
    made: list[StepDef],
    edges: list[EdgeDef],
    *,
    racing: bool,
    containers: bool,
    depth: int,
) -> None:
    catalog = FakeCatalog()
    body: list[StepDef] = []
    for number in range(count):
        kinds = TYPES if racing else tuple(t for t in TYPES if t != "filter")
        if containers and depth < 2:
            kinds = (*kinds, "loop", "fan_out", "fan_out")
        join = JoinRule()
        if racing and chance.random() < 0.4:
            join = JoinRule(
                rule=chance.choice([JoinKind.ANY, JoinKind.COUNT]),
                count=chance.randint(1, 3),
                losers=chance.choice(list(Losers)),
            )
        choices = [ErrorChoice.FAIL, ErrorChoice.CONTINUE, ErrorChoice.ROUTE]
        # What else has started when a failure holds the run does depend on the order.
        policy = chance.choice(choices if racing else choices[1:])
        kind = chance.choice(kinds)
        step = StepDef(
            key=f"k{len(made)}",
            type=kind,
            label=f"Step {len(made)}",
            config={"branches": [{"name": "a"}, {"name": "b"}]} if kind == "parallel" else {},
            enabled=chance.random() > 0.15,
            parent=parent,
            order=number,
            join=join,
            retry=RetryPolicy(max_attempts=chance.randint(1, 4), delay_ms=1_000, jitter=0),
            on_error=ErrorPolicy(policy, "default" if policy is ErrorChoice.CONTINUE else None),
        )
        made.append(step)
        body.append(step)
        if step.type in ("loop", "fan_out"):
            inside = chance.randint(1, 3)
            _body(
                chance, step.key, inside, made, edges, racing=racing, containers=containers, depth=depth + 1
            )
    for target in range(1, count):
        for source in sorted(chance.sample(range(target), min(target, chance.choice([0, 1, 1, 1, 2, 3])))):
            ports = catalog.ports(body[source])
            if ports:
                edges.append(
                    EdgeDef(
                        id=f"e{len(edges)}",
                        source=body[source].key,
                        target=body[target].key,
                        port=chance.choice(ports),
                        condition="input.x > 1" if chance.random() < 0.2 else None,
                    )
                )


def random_graph(
    seed: int, *, racing: bool = True, steps: int | None = None, containers: bool = False
) -> Graph:
    definition = random_definition(seed, racing=racing, steps=steps, containers=containers)
    return compile_graph(definition, FakeCatalog())
