"""A step that kills its process, unless its input says that it is tame; at module level, so that a child can load it."""

from __future__ import annotations

import os
import signal

from django import forms

from workflows.steps.base import Completed, Group, Outcome, StepContext, StepType


class Poison(StepType):
    """Kills the process that it runs in."""

    name, label, icon, group = "poison", "Poison", "skull", Group.DO

    class ConfigForm(forms.Form):
        pass

    def execute(self, context: StepContext) -> Outcome:
        data = context.scope.input
        if not (isinstance(data, dict) and data.get("tame")):
            os.kill(os.getpid(), signal.SIGKILL)
        return Completed({"content": f"made by process {os.getpid()}", "pid": os.getpid()})
