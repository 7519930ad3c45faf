"""The order of the step list: topological, branches together, ties broken by the person's own order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from workflows.definition.graph import Definition, StepDef
from workflows.definition.types import TypeCatalog, port_rank


def body_order(
    definition: Definition, parent: str | None = None, catalog: TypeCatalog | None = None
) -> tuple[StepDef, ...]:
    """The steps of one body in list order.

    1. Roots wait on a stack, the person's first on top.
    2. The top step is listed; those of its targets that now have all their sources listed go on the stack,
       the target of its main port on top, then by the person's order. So a branch is listed to its end
       (or to its join) before the next branch begins.
    3. What a cycle keeps from being listed comes last, in the person's order: the function is total.

    Kept with the definition: one request asks for it a dozen times.
    """
    return definition.work_out(
        f"body_order {parent}", catalog, lambda: _body_order(definition, parent, catalog)
    )


def _body_order(
    definition: Definition, parent: str | None, catalog: TypeCatalog | None
) -> tuple[StepDef, ...]:
    steps = definition.children(parent)
    inside = {step.key for step in steps}
    waiting = {
        step.key: sum(edge.source in inside for edge in definition.incoming(step.key)) for step in steps
    }
    stack = [step for step in reversed(steps) if not waiting[step.key]]
    listed: list[StepDef] = []
    while stack:
        step = stack.pop()
        listed.append(step)
        ready: list[tuple[int, str, StepDef]] = []
        for index, edge in enumerate(definition.outgoing(step.key)):
            if edge.target not in inside:
                continue
            waiting[edge.target] -= 1
            if waiting[edge.target] == 0:
                ready.append((index, edge.port, definition.step(edge.target)))
        if len(ready) > 1:
            # A rank is asked of the step's type: not for the one way on that most steps have.
            ready.sort(
                key=lambda entry: (port_rank(step, entry[1], catalog), entry[2].order, entry[0]),
                reverse=True,
            )
        stack.extend(target for _, _, target in ready)
    if len(listed) < len(steps):
        seen = {step.key for step in listed}
        listed.extend(step for step in steps if step.key not in seen)
    return tuple(listed)


def list_order(definition: Definition, catalog: TypeCatalog | None = None) -> tuple[StepDef, ...]:
    """Every step as the list shows them: each container is followed by its body.

    Steps whose parent does not exist, or is in its own body, come last.
    """

    opened: set[str] = set()  # two steps of one key, one inside the other, must not open for ever

    def walk() -> Iterator[StepDef]:
        todo = [iter(body_order(definition, None, catalog))]
        while todo:
            step = next(todo[-1], None)
            if step is None:
                todo.pop()
                continue
            yield step
            if step.key not in opened and definition.children(step.key):
                opened.add(step.key)
                todo.append(iter(body_order(definition, step.key, catalog)))

    listed = tuple(walk())
    if len(listed) == len(definition.steps):
        return listed
    seen = {step.key for step in listed}
    return listed + tuple(step for step in definition.steps if step.key not in seen)


def cycle(definition: Definition) -> tuple[str, ...] | None:
    """Keys of steps that wait for each other, in path order (the last leads to the first); None when there are none."""
    done: set[str] = set()
    for start in definition.steps:
        if start.key in done:
            continue
        path: list[str] = [start.key]
        on_path = {start.key}
        todo = [iter(definition.outgoing(start.key))]
        while todo:
            edge = next(todo[-1], None)
            if edge is None:
                todo.pop()
                gone = path.pop()
                on_path.discard(gone)
                done.add(gone)
            elif edge.target in on_path:
                return tuple(path[path.index(edge.target) :])
            elif edge.target not in done and edge.target in definition.by_key:
                path.append(edge.target)
                on_path.add(edge.target)
                todo.append(iter(definition.outgoing(edge.target)))
    return None


def reindex(definition: Definition, catalog: TypeCatalog | None = None) -> Definition:
    """The same graph with `order` 0..n-1 in each body and the steps standing in list order."""
    place: dict[str | None, int] = {}
    steps: list[StepDef] = []
    is_new = False
    for at, step in enumerate(list_order(definition, catalog)):
        order = place.get(step.parent, 0)
        place[step.parent] = order + 1
        is_new = is_new or step.order != order or definition.steps[at] is not step
        steps.append(step if step.order == order else replace(step, order=order))
    # The same object keeps what was worked out for it.
    return replace(definition, steps=tuple(steps)) if is_new else definition
