"""`webhook_secret --tenant SLUG` prints the secret by which receivers check webhooks of this tenant."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from workflows.lib.signing import webhook_secrets
from workflows.tenancy.models import Tenant


class Command(BaseCommand):
    help = "Prints the signing secret of a tenant's webhooks; after a change of encryption keys also the older ones."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, metavar="SLUG")

    def handle(self, *args: Any, tenant: str, **options: Any) -> None:
        found = Tenant.objects.filter(slug=tenant).first()
        if found is None:
            raise CommandError(f"There is no tenant with the slug {tenant}.")
        for secret in webhook_secrets(found.pk):
            self.stdout.write(secret)
