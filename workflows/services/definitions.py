"""Definitions of stored versions, read once per process: versions never change, so the hash is the key."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Final

from workflows.definition.graph import Definition
from workflows.definition.schema import from_stored
from workflows.definition.types import TypeCatalog
from workflows.definition.validation import validate
from workflows.lib.errors import Problem
from workflows.models import WorkflowVersion
from workflows.steps.catalog import CATALOG

MOST_KEPT: Final = 256

_lock = threading.Lock()
_definitions: OrderedDict[str, Definition] = OrderedDict()
_problems: OrderedDict[str, tuple[Problem, ...]] = OrderedDict()


def load_definition(version: WorkflowVersion) -> Definition:
    """The version's definition; the same object for the same hash. It is shared: never change what is in it."""
    with _lock:
        found = _definitions.get(version.content_hash)
        if found is not None:
            _definitions.move_to_end(version.content_hash)
            return found
    # Read outside of the lock: two threads may read the same one, and either result serves.
    made = from_stored(json.loads(version.document))
    return remember(version.content_hash, made)


def remember(content_hash: str, definition: Definition) -> Definition:
    """Keep a definition that is at hand under its hash, so that nobody has to read its document."""
    with _lock:
        _definitions[content_hash] = definition
        _definitions.move_to_end(content_hash)
        while len(_definitions) > MOST_KEPT:
            _definitions.popitem(last=False)
    return definition


def known_problems(
    content_hash: str, definition: Definition, catalog: TypeCatalog = CATALOG
) -> tuple[Problem, ...]:
    """What is wrong with a definition, models apart (those depend on the environment); asked once per hash."""
    with _lock:
        if content_hash in _problems:
            _problems.move_to_end(content_hash)
            return _problems[content_hash]
    found = validate(definition, catalog)
    with _lock:
        _problems[content_hash] = found
        while len(_problems) > MOST_KEPT:
            _problems.popitem(last=False)
    return found


def forget() -> None:
    """Empty both caches (tests that change the step types)."""
    with _lock:
        _definitions.clear()
        _problems.clear()
