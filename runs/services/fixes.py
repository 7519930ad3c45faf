"""Ways out of a failure, in the order of their effort, each with its price and effect; the best one is first to press (R6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from django.urls import reverse

from runs.engine.cases import ACCOUNT_CODES
from runs.engine.items import ItemStatus
from runs.models import Item, Run, StepRun
from runs.partials import Editor, Fix
from runs.services.change_version import versions_to_continue
from runs.services.model_offers import ModelOffer, model_offers
from runs.snapshots import RunSnapshot
from runs.snapshots.cases import Case, the_case
from runs.snapshots.shapes import Failure
from runs.snapshots.step import arriving
from runs.snapshots.values import as_json
from runs.snapshots.words import text_of
from workflows.definition.graph import StepDef
from workflows.services.definitions import load_definition
from workflows.steps.catalog import CATALOG
from workflows.templatetags.ui import format_money
from workflows.tenancy.actor import Actor
from workflows.tenancy.roles import Permission

# A value that is longer is not edited in a field of a page.
_EDITED_CHARS = 20_000
# Causes that stand in what the step was told or given, so that doing the same again does the same.
_OF_DATA = frozenset(
    {"too_long", "refused", "declared_input", "invalid_json", "expression", "missing", "bad_value"}
)


def fixes_of(snapshot: RunSnapshot, actor: Actor) -> tuple[tuple[Fix, ...], Case | None, tuple[str, str]]:
    """(fixes, the case the run belongs to where it has stopped others too, the (ref, name) of a model for all of them).

    Nothing for a run that did not fail or a person who may not control it. About twelve queries.
    """
    if snapshot.status != "failed" or not actor.may(Permission.CONTROL_RUNS):
        return (), None, ("", "")
    run = Run.objects.select_related("workflow", "version", "tenant").get(
        pk=snapshot.id, tenant_id=snapshot.tenant_id
    )
    ways = _Ways(run, snapshot, actor)
    case = the_case(run.tenant_id, run.case) if run.case and run.dead_since else None
    if case is not None and case.runs < 2:
        case = None
    best = next(((one.ref, one.provider) for one in ways.offers if not one.is_demo), ("", ""))
    return ways.listed(), case, best if not ways.failure.retryable else ("", "")


class _Ways:
    """Reads what the fixes rest on once, then tells them."""

    def __init__(self, run: Run, snapshot: RunSnapshot, actor: Actor) -> None:
        self.run, self.actor = run, actor
        self.key = snapshot.failed_key
        row = snapshot.row(self.key) if self.key else None
        failure = row.failure if row is not None else snapshot.failure
        self.failure: Failure = failure or Failure("", "", False, "", "", "", "", 1)
        self.label = row.label if row is not None else ""
        self.container = row is not None and row.items is not None
        self.step: StepDef | None = load_definition(run.version).by_key.get(self.key) if self.key else None
        uses_model = row is not None and row.tile == "ai"
        offers: list[ModelOffer] = model_offers(run, self.key) if uses_model else []
        # A made-up answer is a way out only where no model is there to give a real one.
        self.offers = [one for one in offers if not one.is_demo] or offers
        self.retry_url = reverse("runs:retry", args=[run.pk])
        self.gone = run.workflow.deleted_at is not None

    def listed(self) -> tuple[Fix, ...]:
        found = list(self._all())
        best = next((n for n, fix in enumerate(found) if fix.primary), None)
        return tuple(replace(fix, primary=n == best) for n, fix in enumerate(found))

    def _all(self) -> Iterator[Fix]:
        """By effort: one press, a value to change, another version, the builder, giving the step up."""
        code, again = self.failure.code, self._again()
        if self.failure.retryable or code in ("budget", "out_of_time"):
            yield again
        yield from self._limits()
        for offer in self.offers:
            # The demonstration writes no real answer, so it is nobody's best way out.
            yield self._with_model(offer, primary=not offer.is_demo and code not in _OF_DATA)
        versions = list(self._versions())
        yield from (fix for fix in versions if fix.key == "continue")
        yield from self._changed_value(primary=not self.offers or code in _OF_DATA)
        if code in ACCOUNT_CODES | {"model_missing", "no_account"} and self.actor.may(Permission.MANAGE_KEYS):
            yield Fix(
                "connection", "plug", "Mend the connection, then retry",
                "Opens Connections: keys, credit and limits. The run waits here, with everything it has finished.",
                "Open connections", link=reverse("workflows:connections"),
            )  # fmt: skip
        yield from self._workflow()
        yield from self._fallback()
        yield from (fix for fix in versions if fix.key == "back")
        yield from self._without()
        if not self.failure.retryable and code not in ("budget", "out_of_time"):
            yield replace(again, primary=False)

    def _again(self) -> Fix:
        fields: tuple[tuple[str, str], ...] = ()
        title = f"Retry from “{self.label}”" if self.label else "Retry from where it stopped"
        label, text = "Retry", "Only this step and what follows will run."
        if self.container:
            title, text = (
                "Retry the items without a result",
                "Finished items are kept; then what follows will run.",
            )
        if self.failure.code == "budget":
            title, label, text = "Allow more and retry", "Allow and retry", self.failure.helps
        elif self.failure.code == "out_of_time":
            title, text = (
                "Retry with the same time once more",
                "The limit begins anew; finished steps are kept.",
            )
        elif not self.failure.retryable:
            text = "Nothing else is changed, so it will most likely fail again unless the cause is gone."
        return Fix(
            "retry", "rotate-cw", title, text, label, post=self.retry_url, fields=fields, primary=True,
            ask="Allow more money for this run?" if self.failure.code == "budget" else "", ask_text=self.failure.helps,
        )  # fmt: skip

    def _limits(self) -> Iterator[Fix]:
        if self.gone or not self.actor.may(Permission.EDIT_WORKFLOWS):
            return
        if self.failure.code in ("budget", "out_of_time"):
            what = "budget" if self.failure.code == "budget" else "time limit"
            yield Fix(
                "limit", "gauge", f"Raise the {what} for every run",
                "Opens the workflow, where the limit is set. This run keeps its version; new ones get the new limit.",
                "Open the workflow", link=f"{reverse('workflows:builder', args=[self.run.workflow_id])}?open=start",
            )  # fmt: skip

    def _with_model(self, offer: ModelOffer, primary: bool) -> Fix:
        price = (
            "A demonstration, no real model: it costs nothing and writes a made-up answer."
            if offer.is_demo
            else f"Ready now. Costs about {price_words(offer.price)}."
            if offer.price is not None
            else "Ready now. Its price is not known here."
        )
        return Fix(
            f"model-{offer.ref}", "arrow-left-right", f"Run this step with {offer.provider} {offer.model}",
            f"{price} Used for this run only.", f"Retry with {offer.provider}", post=self.retry_url,
            fields=(("model", offer.ref),), primary=primary,
        )  # fmt: skip

    def _versions(self) -> Iterator[Fix]:
        """The newest version that a run may go on with, and the nearest older one."""
        now = self.run.version.number
        fit = [offer.version for offer in versions_to_continue(self.run) if offer.reason is None]
        newer = [number for number in fit if now is None or number > now]
        older = [number for number in fit if now is not None and number < now]
        post = reverse("runs:continue", args=[self.run.pk])
        kept = "What is finished is the same there and is kept."
        if newer:
            yield Fix(
                "continue", "git-commit-horizontal", f"Continue with version {newer[0]}",
                f"{kept} Only what follows runs, as it stands in the newer version.",
                f"Continue with version {newer[0]}", post=post, fields=(("version", str(newer[0])),), primary=True,
            )  # fmt: skip
        if older:
            yield Fix(
                "back", "history", f"Roll this run back to version {older[0]}",
                f"{kept} The workflow itself stays at its newest version.",
                f"Go back to version {older[0]}", post=post, fields=(("version", str(older[0])),),
            )  # fmt: skip

    def _changed_value(self, primary: bool) -> Iterator[Fix]:
        if self.container:
            yield from self._changed_item(primary)
            return
        if self.step is None:
            return
        value = arriving(self.run, self.key)
        shown = text_of(value)
        written = shown if shown is not None else as_json(value)
        if value is None or len(written) > _EDITED_CHARS:
            return
        yield Fix(
            "input", "pencil", "Change what the step is given, then retry",
            "For this run only; the output of the step before it stays as it is.", "Retry with the change",
            post=self.retry_url, fields=(("from_step", self.key), ("kind", "text" if shown is not None else "json")),
            primary=self.failure.code in _OF_DATA,
            editor=Editor(f"What “{self.label}” is given", "input", written, shown is not None),
        )  # fmt: skip

    def _changed_item(self, primary: bool) -> Iterator[Fix]:
        row = StepRun.objects.filter(run=self.run, tenant_id=self.run.tenant_id, scope="", step_key=self.key)
        item = (
            Item.objects.filter(step_run=row.order_by("-round").values("pk")[:1], status=ItemStatus.FAILED)
            .order_by("index")
            .first()
        )
        if item is None:
            return
        left = Item.objects.filter(step_run=item.step_run_id, status=ItemStatus.CANCELLED).count()
        written = (
            item.value
            if isinstance(item.value, str)
            else json.dumps(item.value, ensure_ascii=False, indent=2)
        )
        if len(written) > _EDITED_CHARS:
            return
        yield Fix(
            "item", "pencil", f"Change item {item.index + 1}, “{item}”, and do it again",
            f"Finished items are kept; the {left} that were not begun or cut short go on too. For this run only."
            if left > 1
            else "The other items are kept as they are. For this run only.", "Retry the item",
            post=reverse("runs:retry_items", args=[self.run.pk]),
            fields=(
                ("step", self.key), ("items", str(item.index)),
                ("kind", "text" if isinstance(item.value, str) else "json"),
            ),
            primary=primary and not self.failure.retryable,
            editor=Editor(f"Item {item.index + 1}", "value", written, isinstance(item.value, str)),
        )  # fmt: skip

    def _fallback(self) -> Iterator[Fix]:
        """For next time: a workspace without a fallback order is stopped by one account."""
        if self.failure.code not in ACCOUNT_CODES or self.run.tenant.fallback:
            return
        if not self.offers or self.offers[0].is_demo or not self.actor.may(Permission.MANAGE_KEYS):
            return
        yield Fix(
            "fallback", "shield-check", "Set a fallback so this cannot stop a run again",
            "Opens the fallback order of the workspace, for every step that names none of its own.",
            "Set a fallback", link=f"{reverse('workflows:connections')}#models",
        )  # fmt: skip

    def _workflow(self) -> Iterator[Fix]:
        if self.gone or not self.actor.may(Permission.EDIT_WORKFLOWS) or self.step is None:
            return
        address = reverse("workflows:builder", args=[self.run.workflow_id])
        yield Fix(
            "workflow", "waypoints", f"Change “{self.label}” in the workflow",
            "Opens the builder at this step. Publish, come back, and this run continues with the new version.",
            "Open the step", link=f"{address}?open={self.key}&run={self.run.pk}#step-{self.key}", primary=True,
        )  # fmt: skip

    def _without(self) -> Iterator[Fix]:
        if self.step is None or not CATALOG.can_disable(self.step.type):
            return
        yield Fix(
            "without", "circle-slash", "Go on without this step",
            "What came in passes through it; or write what stands for its answer if it fails once more. For this run only.",
            "Go on without it", post=reverse("runs:without", args=[self.run.pk]), fields=(("step", self.key),),
            ask=f"Go on without “{self.label}”?", ask_text="The result of this run will be without its answer.",
            editor=Editor("If it fails again, take this as its answer (empty: leave it out)", "value", "", optional=True),
        )  # fmt: skip


def price_words(price: Decimal | None) -> str:
    return "" if price is None else format_money(price) if price >= Decimal("0.001") else "less than $0.001"
