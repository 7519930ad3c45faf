"""Definitions of drafts that were just saved or read, by workflow and revision, so that the next request need not begin anew.

A revision says one thing for ever once it is committed; what a transaction wrote is kept only after its commit.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import replace
from typing import Final
from uuid import UUID

from django.db import transaction

from workflows.definition.graph import Definition

MOST_KEPT: Final = 64

_lock = threading.Lock()
_drafts: OrderedDict[tuple[UUID, int], Definition] = OrderedDict()


def known_draft(workflow_id: UUID, revision: int) -> Definition | None:
    """The draft at this revision, with all that was worked out about it; None when this process has not seen it."""
    with _lock:
        found = _drafts.get((workflow_id, revision))
        if found is not None:
            _drafts.move_to_end((workflow_id, revision))
        return found


def keep_draft(workflow_id: UUID, revision: int, definition: Definition) -> None:
    """Keep it once the transaction is through (at once outside of one)."""
    if definition.library:  # a restored version brings its frozen texts; a draft follows the library as it is
        definition = replace(definition, library={})

    def keep() -> None:
        with _lock:
            # Nobody asks for the revision before any more, but for one who is just saving.
            _drafts[workflow_id, revision] = definition
            _drafts.move_to_end((workflow_id, revision))
            while len(_drafts) > MOST_KEPT:
                _drafts.popitem(last=False)

    transaction.on_commit(keep)


def forget() -> None:
    """Empty it (tests that write rows past the services)."""
    with _lock:
        _drafts.clear()
