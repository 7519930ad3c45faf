"""Rows of the step list that are kept as drawn: the same as drawn anew, and never with another reader's token."""

from __future__ import annotations

import re

import pytest

from tests.support import runs as make
from tests.support.factories import World, client_of
from workflows.models import Step, Workflow
from workflows.services.create_workflow import create_workflow
from workflows.templatetags import builder

pytestmark = pytest.mark.django_db


def draft(world: World) -> Workflow:
    graph = make.graph(*(make.step(f"s{n}", "transform", f"Step {n}") for n in range(6)))
    return create_workflow(actor=world.bob, name="Outline", definition=graph)


def page(world: World, who: str, workflow: Workflow) -> str:
    found: str = client_of(getattr(world, who)).get(f"/workflows/{workflow.pk}/").content.decode()
    return found


def without_tokens(html: str) -> str:
    return re.sub(r'(name="csrfmiddlewaretoken" value=|"X-CSRFToken": )"[^"]*"', "", html)


def test_a_kept_row_is_the_row_drawn_anew(world: World):
    workflow = draft(world)
    builder._kept.cache_clear()
    fresh = page(world, "bob", workflow)
    assert builder._kept.cache_info().currsize == 6
    again = page(world, "bob", workflow)
    assert builder._kept.cache_info().hits == 6
    assert without_tokens(again) == without_tokens(fresh)


def test_every_form_carries_its_own_readers_token(world: World):
    workflow = draft(world)
    for who in ("bob", "alice", "bob"):
        html = page(world, who, workflow)
        tokens = set(re.findall(r'name="csrfmiddlewaretoken" value="([^"]*)"', html))
        assert len(tokens) == 1
        assert builder._TOKEN not in html


@pytest.mark.parametrize("change", [{"label": "Other"}, {"enabled": False}, {"pinned": {"content": "kept"}}])
def test_a_row_that_changed_is_drawn_anew(world: World, change: dict[str, object]):
    workflow = draft(world)
    before = builder._kept.cache_info().misses
    page(world, "bob", workflow)
    Step.objects.filter(workflow=workflow, key="s2").update(**change)
    Workflow.objects.filter(pk=workflow.pk).update(revision=99)
    page(world, "bob", workflow)
    assert builder._kept.cache_info().misses > before + 6
