"""Random edits of a definition by seed: what a person could do in the builder, for tests that need a great many."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from random import Random

from tests.workflows.definition.support import CATALOG
from workflows.definition import operations as ops
from workflows.definition.edits import Edit, finish
from workflows.definition.graph import Definition, Position, StepDef, VariableDef

TYPES = ("llm", "llm", "transform", "condition", "review", "merge", "loop", "fan_out")


class Editor:
    """Makes one edit after the other; `OperationRefused` is an answer like any other."""

    def __init__(self, seed: int, name: str = "n") -> None:
        self.random = Random(seed)
        self.numbers = count()
        self.name = name

    def ids(self, prefix: str) -> str:
        return f"{prefix}_{self.name}{next(self.numbers)}"

    def place(self, one: Definition) -> ops.Place:
        keys = [step.key for step in one.steps]
        parents = [None, *(step.key for step in one.steps if CATALOG.is_container(step.type))]
        kinds = [
            "end",
            "root",
            *(["after", "before"] * 2 if keys else []),
            *(["edge"] * 3 if one.edges else []),
        ]
        match self.random.choice(kinds):
            case "end":
                return ops.AtEnd(self.random.choice(parents))
            case "root":
                return ops.AsRoot(self.random.choice(parents))
            case "after":
                return ops.After(self.random.choice(keys))
            case "before":
                return ops.Before(self.random.choice(keys))
            case _:
                return ops.OnEdge(self.random.choice(one.edges).id)

    def edit(self, one: Definition) -> Edit:
        deeds = ["insert"] * 3
        if one.steps:
            deeds += ["text"] * 6 + ["rename", "move", "move", "remove", "enable", "copy", "canvas", "type"]
            deeds += ["connect", "variable", "settings"]
        if one.edges:
            deeds.append("disconnect")
        deed = self.random.choice(deeds)
        number = next(self.numbers)
        key = self.random.choice(one.steps).key if one.steps else ""
        match deed:
            case "insert":
                kind = self.random.choice(TYPES)
                return ops.insert(
                    one, StepDef("", kind, f"{kind} {self.name}{number}"), self.place(one), CATALOG, self.ids
                )
            case "text":
                field = self.random.choice(["prompt", "model", "system"])
                config = {**one.step(key).config, field: f"{self.name} writes {number}"}
                return ops.update_step(one, key, CATALOG, config=config)
            case "rename":
                return ops.rename(one, key, f"Name {self.name}{number}", CATALOG)
            case "move":
                return ops.move(one, key, self.place(one), CATALOG, self.ids)
            case "remove":
                return ops.remove(one, key, CATALOG, self.ids)
            case "enable":
                return ops.set_enabled(one, key, self.random.random() < 0.5, CATALOG)
            case "copy":
                return ops.duplicate_step(one, key, CATALOG, self.ids)
            case "canvas":
                moved = {
                    step.key: replace(step, position=Position(self.random.randrange(900), number))
                    for step in self.random.sample(one.steps, min(len(one.steps), 3))
                }
                after = replace(one, steps=tuple(moved.get(step.key, step) for step in one.steps))
                return finish(one, after, CATALOG, "Moved on the canvas.")
            case "type":
                return ops.change_type(one, key, self.random.choice(TYPES[:3]), {"prompt": "anew"}, CATALOG)
            case "connect":
                other = self.random.choice(one.steps).key
                return ops.connect(one, key, other, CATALOG, ids=self.ids)
            case "disconnect":
                return ops.disconnect(one, self.random.choice(one.edges).id, CATALOG)
            case "variable":
                made = VariableDef(f"v{number % 5}", description=f"{self.name}{number}")
                kept = tuple(other for other in one.variables if other.name != made.name)
                return finish(one, replace(one, variables=(*kept, made)), CATALOG, "The run form is saved.")
            case _:
                changed = {**one.settings, f"budget_{number % 3}": number}
                return finish(one, replace(one, settings=changed), CATALOG, "Settings saved.")
