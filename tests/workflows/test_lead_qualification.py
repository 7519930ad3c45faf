"""The expected workflow of the lead proofs: it is a good one, it works to its end, and `matches` sees what differs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runs.engine.statuses import RunStatus
from runs.models import Review
from runs.services.decide_review import decide_review
from tests.runs.support import driven, started
from tests.support.factories import World
from tests.support.lead_qualification import (
    BRIEF,
    CONTACTS,
    DRAFT,
    EACH,
    LEAD,
    NURTURE,
    SALES,
    SCORE,
    SMALL_LEAD,
    TELL,
    WORTH,
    LeadWorld,
    document,
    matches,
)
from workflows.definition.graph import Definition
from workflows.definition.schema import parse_definition
from workflows.definition.validation import validate
from workflows.steps.catalog import CATALOG


def parsed(outside: str = "http://crm.example") -> Definition:
    return parse_definition(document(outside), CATALOG)


def test_the_document_is_what_is_wanted_and_has_no_errors() -> None:
    definition = parsed()
    assert matches(definition) == []
    assert [problem.message for problem in validate(definition, CATALOG) if problem.is_error] == []


def test_every_difference_is_said() -> None:
    definition = parsed()
    by = {step.label: step for step in definition.steps}
    changed = definition
    for step in (
        replace(by[TELL], enabled=True),
        replace(by[DRAFT], parent=None),
        replace(by[SCORE], config={**by[SCORE].config, "temperature": 0.7}),
        replace(by[NURTURE], label="Park it"),
        replace(by[WORTH], type="filter"),
    ):
        changed = changed.with_step(step)
    gone = next(e for e in changed.edges if (e.source, e.target) == (by[SALES].key, by[BRIEF].key))
    changed = replace(
        changed, edges=tuple(e for e in changed.edges if e is not gone), variables=changed.variables[1:]
    )
    said = "\n".join(matches(changed))
    for words in (
        f"“{TELL}” is on.",
        f"“{DRAFT}” is inside None, not inside {EACH}.",
        f"“{SCORE}” has 0.7 for temperature, not 0.2.",
        f"There is no step “{NURTURE}”.",
        "There is a step “Park it” too many.",
        f"“{WORTH}” is a filter, not a condition.",
        f"No path leads from “{SALES}” on Approved to “{BRIEF}”.",
        "The run form does not ask for company.",
    ):
        assert words in said


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("lead", "way"), [(LEAD, "call"), (SMALL_LEAD, "nurture")])
def test_it_runs_to_its_end_on_both_ways(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch, lead: dict[str, Any], way: str
) -> None:
    with LeadWorld() as outside:
        for name, value in outside.environment.items():
            monkeypatch.setenv(name, value)
        settings.OUTBOUND_ALLOW = outside.environment["STEPWELL_OUTBOUND_ALLOW"].split(",")
        run = driven(started(world.bob, parsed(outside.crm.url), lead))
        while open_gates := list(Review.objects.filter(run=run, status="open")):
            decide_review(review=open_gates[0], actor=world.rita, decision="approve")
            run = driven(run)
        assert run.status == RunStatus.COMPLETED, run.error
        updates, nurtured = outside.sent("/crm/companies/update"), outside.sent("/crm/lists/nurture")
        assert not outside.sent("/team"), "the step is off"
    if way == "nurture":
        assert (updates[0]["score"], updates[0]["openers"], len(nurtured)) == (31, "", 1)
        return
    assert (updates[0]["company"], updates[0]["score"], updates[0]["tier"]) == ("Halden Cold Chain", 82, "A")
    assert not nurtured
    for contact in CONTACTS:
        assert f"Good morning {contact['name']}" in updates[0]["openers"]
    assert outside.model.count("Check the tone") == len(CONTACTS) == 13
