"""Whatever is done in the builder asks the database as often for many steps as for few (times: `make bench`)."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.support.builder_deeds import Deed, deeds, workflow_of
from tests.support.factories import World, client_of


def _queries(deed: Deed) -> int:
    deed.ready()
    with CaptureQueriesContext(connection) as seen:
        answer = deed.ask()
        asked = len(seen)
    assert answer.status_code == 200, (deed.name, answer.headers)
    return asked


def test_everything_done_asks_as_often_for_sixty_steps(world: World):
    client = client_of(world.bob)
    few = workflow_of(20, world.bob)
    # Twice, because an edit may find its place free or taken; many steps may cost no more than the dearer of the two.
    counted = {deed.name: max(_queries(deed), _queries(deed)) for deed in deeds(client, few, "s10", 20)}
    many = workflow_of(60, world.bob)
    dearer = {}
    for deed in deeds(client, many, "s30", 60):
        asked = _queries(deed)
        # What is known for some seconds only (the tenant's accounts) may be looked up again just now.
        if asked > counted[deed.name] and (asked := _queries(deed)) > counted[deed.name]:
            dearer[deed.name] = (counted[deed.name], asked)
    assert not dearer
    assert len(counted) > 40
    assert max(counted.values()) <= 30
