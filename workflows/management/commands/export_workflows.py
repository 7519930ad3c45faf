"""`export_workflows --tenant SLUG [--project NAME] [--workflow NAME_OR_ID] [--format json] [--output FILE]`: one document."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflows.lib.errors import StepwellError
from workflows.selectors import visible_workflows
from workflows.services.export_workflows import FORMATS, export_workflows
from workflows.tenancy.actor import system_actor
from workflows.tenancy.models import Project, Tenant


class Command(BaseCommand):
    help = "Writes workflows as one readable document, without secrets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--project", metavar="NAME", help="Only the workflows of this project.")
        parser.add_argument(
            "--workflow",
            metavar="NAME_OR_ID",
            action="append",
            default=[],
            help="Only this one; may be repeated.",
        )
        parser.add_argument("--format", choices=FORMATS, default="yaml")
        parser.add_argument("--output", metavar="FILE", help="Else it is printed.")

    def handle(
        self,
        *args: Any,
        tenant: str,
        project: str | None,
        workflow: list[str],
        format: str,
        output: str | None,
        **options: Any,
    ) -> None:
        found = Tenant.objects.filter(slug=tenant).first()
        if found is None:
            raise CommandError(f"There is no tenant with the slug {tenant}.")
        home = None
        if project is not None:
            home = Project.objects.for_tenant(found).filter(name__iexact=project).first()
            if home is None:
                raise CommandError(f"There is no project “{project}” in {found.name}.")
        chosen = None
        if workflow:
            rows = list(visible_workflows(found))
            chosen = [row for row in rows if row.name in workflow or str(row.pk) in workflow]
            known = {text for row in chosen for text in (row.name, str(row.pk))}
            if missing := [name for name in workflow if name not in known]:
                raise CommandError(f"There is no workflow “{missing[0]}” in {found.name}.")
        try:
            made = export_workflows(actor=system_actor(found), workflows=chosen, project=home, format=format)
        except StepwellError as error:
            raise CommandError(error.message) from error
        if output is not None:
            Path(output).write_text(made.text, encoding="utf-8")
        else:
            self.stdout.write(made.text, ending="")
        for what in made.left_out:
            self.stderr.write(f"Left out because it is secret: {what}")
