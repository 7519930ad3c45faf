"""`import_workflows --tenant SLUG FILE [--if-there new|draft|skip] [--dry-run]`: a document becomes workflows, or nothing does."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflows.lib.errors import StepwellError
from workflows.services.import_workflows import IfThere, import_document, look_through
from workflows.tenancy.actor import system_actor
from workflows.tenancy.models import Tenant


class Command(BaseCommand):
    help = "Takes workflows over from a document; every problem is named with its line, and then nothing is written."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="The document, YAML or JSON; - reads it from standard input.")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--if-there",
            choices=[str(choice) for choice in IfThere],
            default=IfThere.NEW.value,
            help="For a name that is there already: a new workflow, the draft of the one that is there, or nothing.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only say what would be made.")

    def handle(
        self, *args: Any, file: str, tenant: str, if_there: str, dry_run: bool, **options: Any
    ) -> None:
        found = Tenant.objects.filter(slug=tenant).first()
        if found is None:
            raise CommandError(f"There is no tenant with the slug {tenant}.")
        try:
            text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{file} cannot be read: {error}.") from error
        actor = system_actor(found)
        try:
            if dry_run:
                for entry in look_through(actor=actor, text=text):
                    there = "there already" if entry.existing is not None else "new"
                    errors = f", {entry.errors} to put right before publishing" if entry.errors else ""
                    self.stdout.write(f"{entry.text.name}: {there}{errors}")
                return
            made = import_document(actor=actor, text=text, if_there=if_there)
        except StepwellError as error:
            lines = [
                " ".join(part for part in (f"{each.path}:" if each.path else "", each.says, each.fix) if part)
                for each in error.problems
            ]
            raise CommandError("\n".join(["Nothing was taken over.", *(lines or [error.message])])) from error
        for one in made:
            self.stdout.write(f"{one.workflow.name}: {one.done}")
