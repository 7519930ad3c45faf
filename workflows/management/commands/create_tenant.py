"""`create_tenant SLUG --name NAME`: a new tenant, with an owner when --owner names one."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflows.lib.errors import StepwellError
from workflows.tenancy.models import User
from workflows.tenancy.tenants import create_tenant


class Command(BaseCommand):
    help = "Makes a tenant. With --owner EMAIL that person becomes its owner (made when unknown)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("slug")
        parser.add_argument("--name", required=True)
        parser.add_argument("--owner", metavar="EMAIL", help="the first owner's email address")

    def handle(self, *args: Any, slug: str, name: str, owner: str | None, **options: Any) -> None:
        person = None
        if owner:
            email = owner.strip().lower()
            person = User.objects.filter(email=email).first() or User.objects.create_user(email)
        try:
            tenant = create_tenant(slug=slug, name=name, owner=person)
        except StepwellError as error:
            raise CommandError(error.message) from error
        self.stdout.write(f"Made the tenant {tenant.name} ({tenant.slug}).")
