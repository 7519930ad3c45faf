"""`load_builtin_templates`: the catalogue as the files in templates_app/builtin say it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from templates_app.services.load_builtin import load_builtin_templates
from workflows.lib.errors import StepwellError


class Command(BaseCommand):
    help = "Loads the built-in workflow templates. Safe to repeat: only what has changed is written."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            loaded = load_builtin_templates()
        except StepwellError as error:
            raise CommandError(error.message) from error
        counts = {
            "new": loaded.made,
            "renewed": loaded.changed,
            "as before": loaded.unchanged,
            "withdrawn": loaded.withdrawn,
        }
        words = ", ".join(f"{len(slugs)} {word}" for word, slugs in counts.items() if slugs)
        self.stdout.write(f"Built-in templates: {words or 'none'}.")
