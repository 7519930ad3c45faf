"""A document becomes workflows: looked through first, then written whole or not at all (W6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TypeVar

from django.db import transaction

from workflows.definition.exchange import WorkflowText, read_bundle, refuse
from workflows.definition.graph import Definition
from workflows.definition.library import SECTIONS, Library, library_of_sections, only_used
from workflows.definition.samples import sample_problems
from workflows.definition.travel import with_workflow_names, workflow_names
from workflows.definition.validation import validate
from workflows.lib.documents import Document, read_document
from workflows.lib.errors import Conflict, Invalid, Problem
from workflows.lib.limits import WORKFLOW_NAME_CHARS
from workflows.models import Workflow
from workflows.selectors import visible_workflows
from workflows.services.change_workflow import WorkflowChanges, update_workflow
from workflows.services.check_workflow import models_of
from workflows.services.create_workflow import create_workflow
from workflows.services.drafts import refuse_bad_structure
from workflows.services.fields import clean_description, clean_name, clean_tags
from workflows.services.library import adopt_library, library_problems, missing_from, with_library
from workflows.services.samples import take_samples
from workflows.steps.catalog import CATALOG
from workflows.tenancy.actor import Actor
from workflows.tenancy.audit import record
from workflows.tenancy.models import Project
from workflows.tenancy.roles import Permission

_PROJECT_CHARS = 120
_T = TypeVar("_T")


class IfThere(StrEnum):
    """What to do with a workflow whose name the tenant has already."""

    NEW = "new"
    DRAFT = "draft"
    SKIP = "skip"


class Done(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Entry:
    """One workflow of a document as it would be taken over.

    `existing` is the tenant's workflow of the same name (the last changed), `new_project` says that its project is not
    there yet, `problems` is what keeps it from being published here (it can be a draft all the same).
    """

    text: WorkflowText
    existing: Workflow | None
    new_project: bool
    problems: tuple[Problem, ...]
    # What the document brings along for it and the tenant has not.
    brings: Library = field(default_factory=Library)

    @property
    def errors(self) -> int:
        return sum(problem.is_error for problem in self.problems)

    @property
    def may_replace(self) -> bool:
        return self.existing is not None and self.existing.status != Workflow.Status.ARCHIVED


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one workflow of a document; `workflow` is the one that was made, changed or left alone."""

    name: str
    done: Done
    workflow: Workflow


def look_through(*, actor: Actor, text: str) -> tuple[Entry, ...]:
    """What an import of this document would make; nothing is written.

    Raises NotAllowed, TooLarge, and Invalid with every problem that refuses it, each with line and path.
    """
    actor.require(Permission.EDIT_WORKFLOWS)
    document = read_document(text)
    try:
        found, carried = _checked(document)
    except Invalid as error:
        raise Invalid(error.message, code=error.code, problems=document.placed(error.problems)) from error
    by_name: dict[str, Workflow] = {}
    names = [each.name for each in found]
    for row in visible_workflows(actor.tenant).filter(name__in=names).order_by("updated_at", "pk"):
        by_name[row.name] = row
    known_projects = {
        name.casefold() for name in Project.objects.for_tenant(actor.tenant).values_list("name", flat=True)
    }
    missing = _missing_workflows(actor, found)
    new = missing_from(Definition(library=carried.to_json()), actor.tenant)
    check = models_of(actor.tenant)
    return tuple(
        Entry(
            each,
            by_name.get(each.name),
            bool(each.project) and each.project.casefold() not in known_projects,
            document.placed(
                (
                    *(
                        replace(problem, path=_path(each, problem))
                        for problem in (
                            *validate(each.definition, CATALOG, models=check),
                            *missing(each.definition),
                            *_missing_of_library(actor, each.definition, only_used(new, each.definition)),
                        )
                    ),
                    *_samples_that_do_not_fit(each),
                )
            ),
            only_used(new, each.definition),
        )
        for each in found
    )


def import_document(
    *,
    actor: Actor,
    text: str,
    if_there: str = IfThere.NEW,
    choices: Mapping[str, str] | None = None,
    project: Project | None = None,
    with_texts: bool = True,
) -> tuple[Imported, ...]:
    """Make the workflows of a document, all of them or none.

    `if_there` decides for names that the tenant has already, `choices` (name → decision) for single ones: a new
    workflow under a free name, the existing one's draft (its versions stay), or not at all. With `project` everything
    goes there, else into the projects that the document names, which are made where they are missing.
    `with_texts`: prompts and personas that the document brings and the tenant has not are added; names that are there
    stay as they are. Raises like `look_through`, and Conflict for a draft that cannot be changed.
    """
    entries = look_through(actor=actor, text=text)
    decisions = [_decision(entry, if_there, choices or {}) for entry in entries]
    with transaction.atomic():
        names = _names(actor, entries, decisions)
        projects: dict[str, Project] = {}
        made: list[Imported] = []
        for entry, decision, name in zip(entries, decisions, names, strict=True):
            if decision is IfThere.SKIP and entry.existing is not None:
                made.append(Imported(entry.text.name, Done.SKIPPED, entry.existing))
                continue
            definition = with_workflow_names(entry.text.definition, _Renamed(entries, names))
            if with_texts and entry.brings != Library():
                adopt_library(replace(definition, library=entry.brings.to_json()), actor)
            home = project if project is not None else _project(actor, entry.text.project, projects)
            made.append(_take_over(actor, entry, decision, name, definition, home))
    return tuple(made)


class _Renamed:
    """The new names of workflows that are taken over under another one: what runs them follows."""

    def __init__(self, entries: tuple[Entry, ...], names: list[str]) -> None:
        self.names = {entry.text.name.casefold(): name for entry, name in zip(entries, names, strict=True)}

    def __call__(self, called: str) -> str:
        new = self.names.get(called.casefold(), called)
        return called if new.casefold() == called.casefold() else new


def _take_over(
    actor: Actor, entry: Entry, decision: IfThere, name: str, definition: Definition, home: Project | None
) -> Imported:
    text = entry.text
    if decision is IfThere.DRAFT and entry.existing is not None:
        if not entry.may_replace:
            raise Conflict(
                f"“{entry.existing.name}” is archived and cannot be changed. Restore it first.",
                code="archived",
            )
        changes: WorkflowChanges = {
            "description": text.description,
            "tags": list(text.tags),
            "definition": definition,
        }
        if home is not None:
            changes["project"] = home
        changed = update_workflow(workflow=entry.existing, actor=actor, **changes)
        take_samples(workflow=changed, actor=actor, samples=text.samples)
        return Imported(text.name, Done.CHANGED, changed)
    made = create_workflow(
        actor=actor,
        name=name,
        description=text.description,
        tags=text.tags,
        project=home,
        definition=definition,
        action="imported",
    )
    take_samples(workflow=made, actor=actor, samples=text.samples)
    return Imported(text.name, Done.CREATED, made)


def _checked(document: Document) -> tuple[tuple[WorkflowText, ...], Library]:
    """The document's workflows, their words cleaned, and the texts that it carries; Invalid with everything that is
    wrong with them."""
    bundle, wrong = read_bundle(document.data, CATALOG, sections=SECTIONS)
    carried, bad = library_of_sections(bundle.sections)
    problems = [*wrong, *bad]
    found = []
    for each in bundle.workflows:

        def clean(check: Callable[[], _T], instead: _T, inside: str = each.path) -> _T:
            try:
                return check()
            except Invalid as error:
                said = {problem.path for problem in wrong}
                placed = [replace(problem, path=_in(inside, problem.path)) for problem in error.problems]
                problems.extend(problem for problem in placed if problem.path not in said)
                return instead

        def structure(each: WorkflowText = each) -> None:
            try:
                refuse_bad_structure(each.definition, CATALOG)
            except Invalid as error:
                problems.extend(replace(problem, path=_path(each, problem)) for problem in error.problems)

        if not wrong:
            structure()
        if len(each.project) > _PROJECT_CHARS:
            message = f"The name of a project has at most {_PROJECT_CHARS} characters."
            problems.append(Problem("bad_value", message, field="project", path=_in(each.path, "project")))
        name, description, tags = each.name, each.description, list(each.tags)
        found.append(
            replace(
                each,
                name=clean(partial(clean_name, name), ""),
                description=clean(partial(clean_description, description), ""),
                tags=tuple(clean(partial(clean_tags, tags), tags)),
            )
        )
    if not found and not problems:
        message = "There are no workflows in this document."
        problems.append(Problem("missing", message, field="workflows", path="workflows"))
    refuse(list({(problem.path, problem.message): problem for problem in problems}.values()))
    return tuple(found), carried


def _in(path: str, name: str | None) -> str:
    return f"{path}.{name}" if path and name else path or name or ""


def _path(text: WorkflowText, problem: Problem) -> str:
    """Where a problem of the definition stands in the document: `workflows[2].nodes[0].config.prompt`."""
    inner = (problem.path or "").removeprefix("definition").removeprefix(".")
    return ".".join(part for part in (text.graph_path, inner) if part)


def _missing_workflows(
    actor: Actor, found: tuple[WorkflowText, ...]
) -> Callable[[Definition], list[Problem]]:
    """Says which workflows a definition runs that are neither in the tenant nor in the document."""
    asked = {name for each in found for _, name in workflow_names(each.definition)}
    known = {each.name.casefold() for each in found}
    if asked:
        rows = visible_workflows(actor.tenant).values_list("pk", "name")
        known |= {text for pk, name in rows for text in (str(pk), name.casefold())}

    def problems(definition: Definition) -> list[Problem]:
        keys = {step.label: (index, step.key) for index, step in enumerate(definition.steps)}
        said = []
        for label, name in workflow_names(definition):
            if name.casefold() not in known:
                index, key = keys.get(label, (None, None))
                said.append(
                    Problem(
                        "unknown_workflow",
                        f"There is no workflow “{name}” in this workspace yet.",
                        step=label or None,
                        step_key=key,
                        field="workflow" if label else "error_workflow",
                        path="settings.error_workflow"
                        if index is None
                        else f"nodes[{index}].config.workflow",
                        fix="Import it too, or choose another one.",
                        severity="warning",
                    )
                )
        return said

    return problems


def _missing_of_library(actor: Actor, definition: Definition, brought: Library) -> list[Problem]:
    """Which prompts and personas its steps name that this tenant has not, each with the place of its step."""
    places = {step.key: index for index, step in enumerate(definition.steps)}
    return [
        replace(problem, path=f"nodes[{places[problem.step_key]}].config.{problem.field}")
        if problem.step_key in places
        else problem
        for problem in library_problems(
            with_library(replace(definition, library=brought.to_json()), actor.tenant), actor.tenant
        )
    ]


def _samples_that_do_not_fit(text: WorkflowText) -> list[Problem]:
    """Samples that the workflow would refuse as they are; they come along all the same."""
    found = []
    for index, sample in enumerate(text.samples):
        at = f"{text.path}.samples[{index}].input" if text.path else f"samples[{index}].input"
        found += [
            replace(
                problem,
                message=f"Sample “{sample.name}”: {problem.message}",
                path=f"{at}.{problem.field}",
                severity="warning",
            )
            for problem in sample_problems(text.definition, sample.input)
        ]
    return found


def _decision(entry: Entry, if_there: str, choices: Mapping[str, str]) -> IfThere:
    wanted = choices.get(entry.text.name, if_there)
    try:
        decision = IfThere(wanted)
    except ValueError as error:
        message = f"If a workflow is there already: {', '.join(IfThere)}. There is no “{wanted[:40]}”."
        raise Invalid(
            message, problems=(Problem("bad_value", message, field="if_there", path="if_there"),)
        ) from error
    return IfThere.NEW if entry.existing is None else decision


def _names(actor: Actor, entries: tuple[Entry, ...], decisions: list[IfThere]) -> list[str]:
    """The name under which each is kept: its own, with a number where the tenant or the document has it already."""
    taken = {name.casefold() for name in visible_workflows(actor.tenant).values_list("name", flat=True)}
    names = []
    for entry, decision in zip(entries, decisions, strict=True):
        base = entry.text.name
        if decision is not IfThere.NEW:
            names.append(base)
            continue
        name, number = base, 2
        while name.casefold() in taken:
            name, number = f"{base[: WORKFLOW_NAME_CHARS.value - 6].strip()} {number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _project(actor: Actor, name: str, made: dict[str, Project]) -> Project | None:
    if not name:
        return None
    key = name.casefold()
    if key not in made:
        found = Project.objects.for_tenant(actor.tenant).filter(name__iexact=name).first()
        if found is None:
            found = Project.objects.create(tenant=actor.tenant, name=name)
            record(actor, "created with an import", found, after={"name": name})
        made[key] = found
    return made[key]
