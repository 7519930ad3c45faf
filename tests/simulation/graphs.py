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

TYPES = ("llm", "llm", "llm", "transform", "condition", "delay", "review", "merge", "filter")


def random_definition(seed: int, *, racing: bool, steps: int | None = None) -> Definition:
    """A workflow with no cycle. `racing` False: only joins that wait for everything, so that order cannot matter."""
    chance = random.Random(f"graph {seed}")
    count = steps or chance.randint(1, 12)
    made: list[StepDef] = []
    for number in range(count):
        kind = chance.choice(TYPES if racing else tuple(t for t in TYPES if t != "filter"))
        join = JoinRule()
        if racing and chance.random() < 0.4:
            join = JoinRule(
                rule=chance.choice([JoinKind.ANY, JoinKind.COUNT]),
                count=chance.randint(1, 3),
                losers=chance.choice(list(Losers)),
            )
        policy = chance.choice([ErrorChoice.FAIL, ErrorChoice.CONTINUE, ErrorChoice.ROUTE])
        made.append(
            StepDef(
                key=f"k{number}",
                type=kind,
                label=f"Step {number}",
                enabled=chance.random() > 0.15,
                order=number,
                join=join,
                retry=RetryPolicy(max_attempts=chance.randint(1, 4), delay_ms=1_000, jitter=0),
                on_error=ErrorPolicy(policy, "default" if policy is ErrorChoice.CONTINUE else None),
            )
        )
    catalog = FakeCatalog()
    edges: list[EdgeDef] = []
    for target in range(1, count):
        for source in sorted(chance.sample(range(target), min(target, chance.choice([0, 1, 1, 1, 2, 3])))):
            ports = catalog.ports(made[source])
            if not ports:
                continue
            edges.append(
                EdgeDef(
                    id=f"e{len(edges)}",
                    source=f"k{source}",
                    target=f"k{target}",
                    port=chance.choice(ports),
                    condition="input.x > 1" if chance.random() < 0.2 else None,
                )
            )
    return Definition(steps=tuple(made), edges=tuple(edges))


def random_graph(seed: int, *, racing: bool = True, steps: int | None = None) -> Graph:
    return compile_graph(random_definition(seed, racing=racing, steps=steps), FakeCatalog())
