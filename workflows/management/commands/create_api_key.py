"""`create_api_key --tenant SLUG --role ROLE` prints a new key and nothing else, for scripts."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflows.lib.errors import StepwellError
from workflows.tenancy.actor import system_actor
from workflows.tenancy.keys import create_key
from workflows.tenancy.models import Tenant
from workflows.tenancy.roles import Role


class Command(BaseCommand):
    help = "Makes an API key and prints it, this once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument("--role", default=Role.EDITOR.value, choices=Role.values)
        parser.add_argument("--name", default="Made on the command line")

    def handle(self, *args: Any, tenant: str, role: str, name: str, **options: Any) -> None:
        found = Tenant.objects.filter(slug=tenant).first()
        if found is None:
            raise CommandError(f"There is no tenant with the slug {tenant}.")
        try:
            _, text = create_key(actor=system_actor(found), name=name, role=role)
        except StepwellError as error:
            raise CommandError(error.message) from error
        self.stdout.write(text)
