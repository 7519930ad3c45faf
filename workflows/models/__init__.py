"""Models of what a workflow is."""

from workflows.models.change import DraftChange
from workflows.models.connection import Connection
from workflows.models.credit import CreditAlert
from workflows.models.email_template import EmailTemplate
from workflows.models.event import DomainEvent, PublishedTrigger
from workflows.models.library import LibraryUse, Persona, Prompt, PromptVersion
from workflows.models.sample import SampleInput
from workflows.models.version import WorkflowVersion
from workflows.models.workflow import Edge, Step, Trigger, Variable, Workflow

__all__ = [
    "Connection",
    "CreditAlert",
    "DomainEvent",
    "DraftChange",
    "Edge",
    "EmailTemplate",
    "LibraryUse",
    "Persona",
    "Prompt",
    "PromptVersion",
    "PublishedTrigger",
    "SampleInput",
    "Step",
    "Trigger",
    "Variable",
    "Workflow",
    "WorkflowVersion",
]
