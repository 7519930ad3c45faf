"""A step type that kills its worker: installed for tests as another package would bring it, by an entry point."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django import forms

from workflows.steps import registry
from workflows.steps.base import ExecutionKind, Group, Outcome, StepContext, StepType

_ENTRY_POINTS = "[stepwell.steps]\npoison = tests.support.poison:PoisonStep\n"
_METADATA = "Metadata-Version: 2.1\nName: stepwell-poison\nVersion: 1.0\n"


class PoisonStep(StepType):
    """Kills the process that it runs in, as a faulty C library would."""

    name, label, icon, group = "poison", "Poison", "x", Group.THINK
    tagline = "Kills its worker"

    class ConfigForm(forms.Form):
        pass

    def kind(self, config: object) -> ExecutionKind:
        return ExecutionKind.CPU

    def execute(self, context: StepContext) -> Outcome:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody comes back from there")


def install(folder: Path) -> Path:
    """Make `folder` a place on PYTHONPATH that brings the step type to other processes."""
    info = folder / "stepwell_poison-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(_METADATA)
    (info / "entry_points.txt").write_text(_ENTRY_POINTS)
    return folder


@contextmanager
def known_here() -> Iterator[None]:
    """The step type is known in this process meanwhile."""
    registry.all_types()
    registry.register(PoisonStep)
    try:
        yield
    finally:
        registry.PLUGINS.known.pop(PoisonStep.name, None)
