"""`sign_in_link --email EMAIL` prints the path of a link that signs this person in once."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from workflows.tenancy.models import User
from workflows.tenancy.sign_in_links import LIFE, make_token


class Command(BaseCommand):
    help = "Prints the path of a one-time sign-in link (put the server's address before it)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--email", required=True)
        parser.add_argument("--minutes", type=int, default=int(LIFE.total_seconds() // 60))

    def handle(self, *args: Any, email: str, minutes: int, **options: Any) -> None:
        user = User.objects.filter(email=email.strip().lower(), is_active=True).first()
        if user is None:
            raise CommandError(f"There is no active person with the address {email}.")
        if minutes < 1:
            raise CommandError("A link lives for a minute at least.")
        token = make_token(user, life=timedelta(minutes=minutes))
        self.stdout.write(reverse("accounts:sign_in_link", args=[token]))
