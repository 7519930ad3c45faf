"""Rewriting the references to steps whose labels change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from workflows.definition.graph import Definition
from workflows.definition.types import Rewrite, TypeCatalog
from workflows.expressions.paths import normal
from workflows.expressions.references import rename_label, rename_label_in_expression


def rename_references(
    definition: Definition, labels: Mapping[str, str], catalog: TypeCatalog
) -> tuple[Definition, tuple[tuple[str, str], ...]]:
    """The definition with every reference to the old labels naming the new ones; the steps keep their labels.

    Also gives (step key or edge id, field) of each text that changed. All labels change at once, so that two
    steps may swap theirs.
    """
    if not labels:
        return definition, ()
    known = frozenset((*definition.labels(), *labels.values()))
    template, expression = _rewriters(labels, known)
    changed: list[tuple[str, str]] = []
    steps = []
    for step in definition.steps:
        fields = [field for field, text in catalog.templates(step) if template(text) != text]
        fields += [field for field, text in catalog.expressions(step) if expression(text) != text]
        changed.extend((step.key, field) for field in fields)
        steps.append(catalog.rewrite(step, template, expression) if fields else step)
    edges = []
    for edge in definition.edges:
        condition = edge.condition
        if condition is not None and (written := expression(condition)) != condition:
            changed.append((edge.id, "condition"))
            edge = replace(edge, condition=written)
        edges.append(edge)
    return replace(definition, steps=tuple(steps), edges=tuple(edges)), tuple(changed)


def _rewriters(labels: Mapping[str, str], known: frozenset[str]) -> tuple[Rewrite, Rewrite]:
    # Through names that nobody has, so that a new label which is another's old one is not changed again.
    taken = {normal(label) for label in known}
    pairs = list(labels.items())
    if {normal(new) for _, new in pairs} & {normal(old) for old, _ in pairs} and len(pairs) > 1:
        middle = []
        for index in range(len(pairs)):
            name = f"renamed{index}"
            while normal(name) in taken:
                name += "x"
            taken.add(normal(name))
            middle.append(name)
        pairs = [
            *((old, name) for (old, _), name in zip(labels.items(), middle, strict=True)),
            *((name, new) for (_, new), name in zip(labels.items(), middle, strict=True)),
        ]
    every = known | {name for pair in pairs for name in pair}

    def template(text: str) -> str:
        if "{{" in text:
            for old, new in pairs:
                text = rename_label(text, old, new)
        return text

    def expression(text: str) -> str:
        if "steps" in text:
            for old, new in pairs:
                text = rename_label_in_expression(text, old, new, every)
        return text

    return template, expression
