"""`load_demo`: the demo tenant with people in every role and ready workflows."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from templates_app.services.load_demo import load_demo
from workflows.lib.errors import StepwellError


class Command(BaseCommand):
    help = (
        "Makes the demo tenant (slug: demo) with people in every role and four workflows. Safe to repeat: what is "
        "there, was changed or deleted stays as it is. STEPWELL_DEMO_PASSWORD gives its people a password."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            demo = load_demo(password=settings.DEMO_PASSWORD)
        except StepwellError as error:
            raise CommandError(error.message) from error
        made = f"{len(demo.people)} people, {len(demo.workflows)} workflows made"
        self.stdout.write(f"{demo.tenant.name}: {made if demo.people or demo.workflows else 'as before'}.")
