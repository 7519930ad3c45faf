"""What people change in a run under way, in a transition: a variable, an input, an output, items of an open container."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runs.engine.items import ItemStatus
from runs.engine.planner import Rewind, rewind_items, rewind_to, stop_items
from runs.engine.scopes import Place, item_of
from runs.engine.state import StepState
from runs.engine.statuses import EventType, StepStatus
from runs.models import Item, Mail, StepRun
from runs.services import debug
from runs.services.values import BadValue
from workflows.lib.ids import new_id
from workflows.lib.jsontypes import JSONObject
from workflows.lib.limits import STEP_ROUNDS

if TYPE_CHECKING:
    from runs.services.apply_commands import Applier


class EditsApplier:
    """The part of an `Applier` that obeys people's changes; it fills the same transition."""

    def __init__(self, applier: Applier) -> None:
        self.applier = applier
        self.loaded = applier.loaded
        self.state = applier.state
        self.graph = applier.graph
        self.run = applier.run
        self.t = applier.t
        self.now = applier.now

    def edit(self, letter: Mail) -> None:
        """One change; the event says who made it and to what, or why it could not be made any more."""
        what = letter.payload
        if what["what"] == "variable":
            self._variable(what["name"], what["value"], letter.actor_label)
            return
        place = Place(what["step"], what.get("scope", ""))
        refused = (
            self._output(place, what["value"], letter.actor_label, rerun=bool(what.get("rerun")))
            if what["what"] == "output"
            else self._input(place, what["value"])
        )
        facts: JSONObject = {"what": what["what"], "by": letter.actor_label}
        if refused is not None:
            facts["refused"] = refused
        self.applier.event(
            EventType.EDITED, self.state.get(*place) or StepState(place.key, place.scope), facts
        )

    # --- variables, inputs, outputs --------------------------------------------------------------

    def _variable(self, name: str, value: Any, by: str) -> None:
        before = dict(self.loaded.variables)
        now = dict(debug.of(self.loaded, self.t))
        # The number of this transition's first event: later steps that set it win, earlier ones do not.
        edit = {"name": name, "value": value, "seq": self.run.event_seq + 1, "by": by}
        others = [entry for entry in now.get("edits", []) if entry["name"] != name]
        self.t.run["debug"] = {**now, "edits": [*others, edit]}
        self.loaded.variables[name] = value

        def restore() -> None:
            self.loaded.variables.clear()
            self.loaded.variables.update(before)

        self.t.remember(restore)
        self.applier.event(EventType.VARIABLE_SET, None, {"name": name, "value": value, "by": by})

    def _input(self, place: Place, value: JSONObject) -> str | None:
        step = self.state.get(*place)
        if not self._is_open(place):
            return "its item is over"
        if step is not None and step.status is not StepStatus.PENDING:
            return f"the step is {step.status}"
        self.give(place, value)
        return None

    def give(self, place: Place, value: JSONObject) -> None:
        """Keep what the step gets in place of what arrives; its row is made where there is none yet."""
        before = self.loaded.given.get(place)
        self.loaded.given[place] = value

        def restore() -> None:
            if before is None:
                self.loaded.given.pop(place, None)
            else:
                self.loaded.given[place] = before

        self.t.remember(restore)
        step = self.state.get(*place)
        kept = {"value": value}
        if step is not None and step.row is not None:
            self.t.step_updates.append((step.row, {"given": kept}))
            return
        row = new_id()
        fresh = StepState(place.key, place.scope, step.round if step is not None else 0, row=row)
        self.t.put(self.state, fresh)
        values = self.applier.new_row(self.loaded.prepared.step(place.key), row, fresh, StepStatus.PENDING)
        self.t.step_inserts.append({**values, "given": kept})

    def _output(self, place: Place, value: JSONObject, by: str, *, rerun: bool) -> str | None:
        """The edited output is a round of its own, so that the one before keeps what the step gave."""
        step = self.state.get(*place)
        if step is None or step.status is not StepStatus.COMPLETED or step.row is None:
            return "the step has no output"
        if not self._is_open(place):
            return "its item is over"
        if step.round + 1 > STEP_ROUNDS.value:
            return STEP_ROUNDS.says()
        old = StepRun.objects.get(pk=step.row)
        row = new_id()
        fresh = step.but(round=step.round + 1, status=StepStatus.RUNNING, row=row, crashes=0)
        definition = self.graph.step(step.key)
        values = self.applier.new_row(definition, row, fresh, StepStatus.RUNNING)
        values |= {
            "inputs": list(old.inputs),
            "attempt": old.attempt,
            "started_at": self.now,
            "variables": old.variables,
            "variables_seq": old.variables_seq,
            "held": old.held if self.graph.body(step.key) else None,
        }
        self.t.put(self.state, fresh)
        self.t.step_inserts.append(values)
        try:
            self.applier.outcomes.complete(
                fresh, value, step.port, self.now, usage={}, notes=f"Output edited by {by}"
            )
        except BadValue as bad:
            # A condition of a path cannot be told from this value: the output stays as it was.
            self.t.step_inserts.remove(values)
            self.t.put(self.state, step)
            return bad.info.message
        self.t.writes.append(lambda: _moves_items(old.pk, row))
        if rerun:
            self.rewind(rewind_to(self.graph, self.state, place, itself=False))
        return None

    def _is_open(self, place: Place) -> bool:
        """Whether the item in which a step stands is still under way."""
        around = item_of(place.scope)
        if around is None:
            return True
        items = self.state.items(around.container)
        return (
            items is not None
            and around.index < len(items.items)
            and items.items[around.index].status is ItemStatus.RUNNING
        )

    # --- rounds ----------------------------------------------------------------------------------

    def rewind(self, back: Rewind, feedback: str = "", *, of: Place | None = None) -> list[StepState]:
        """Begin these rounds: what runs or waits in the old ones is ended, and what they gave is forgotten.

        Those beyond the limit of rounds stay as they are. `feedback` is kept with the step that it is asked of.
        """
        rounds = [fresh for fresh in back.rounds if fresh.round <= STEP_ROUNDS.value]
        for fresh in rounds:
            before = self.state.get(*fresh.place)
            assert before is not None
            if not before.status.is_terminal:
                self.applier.cancel_row(before)
            self.loaded.forget_output(fresh.place)
            self.loaded.skipped.pop(fresh.place, None)
            self.loaded.given.pop(fresh.place, None)
            row = new_id()
            self.t.put(self.state, fresh.but(row=row))
            values = self.applier.new_row(
                self.loaded.prepared.step(fresh.key), row, fresh, StepStatus.PENDING
            )
            self.loaded.feedback.pop(fresh.place, None)
            if feedback and fresh.place == of:
                values["feedback"] = feedback
                self.loaded.feedback[fresh.place] = feedback
            self.t.step_inserts.append(values)
        if rounds:
            self.loaded.reload_variables(self.t)
        return rounds

    # --- items -----------------------------------------------------------------------------------

    def items(self, letter: Mail) -> None:
        """Stop the rest of an open container, leave items out, or do some again, while it works through the others."""
        what = letter.payload
        place = Place(what["step"], what.get("scope", ""))
        container, found = self.state.get(*place), self.state.items(place)
        facts: JSONObject = {"what": f"items_{what['op']}", "by": letter.actor_label}
        if container is None or not container.is_open or found is None:
            self.applier.event(
                EventType.EDITED,
                container or StepState(place.key, place.scope),
                {**facts, "refused": "it is over"},
            )
            return
        chosen = frozenset(what["items"]) if what.get("items") is not None else None
        if what["op"] == "again":
            back = rewind_items(
                self.graph, self.state, place, chosen or frozenset(), anew=bool(what.get("values"))
            )
            self.rewind(back)
            for item in back.items:
                self.applier.items.set_back(item, what.get("values", {}).get(str(item.index)))
            facts["items"] = [item.index for item in back.items]
        else:
            before = {item.index for item in found.unfinished()}
            self.applier.commands(stop_items(self.graph, self.state, place, chosen))
            if chosen is None:
                self.applier.items.stop_asking(container, found)
            facts["items"] = sorted(before if chosen is None else before & chosen)
        self.applier.event(EventType.EDITED, container, facts)


def _moves_items(old: Any, new: Any) -> None:
    Item.objects.filter(step_run_id=old).update(step_run_id=new)
