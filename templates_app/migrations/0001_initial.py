"""The table of workflow templates."""

import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("tenancy", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="WorkflowTemplate",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("slug", models.SlugField(max_length=80)),
                ("name", models.CharField(max_length=255)),
                ("category", models.CharField(max_length=60)),
                (
                    "icon",
                    models.CharField(
                        default="layers", help_text="A name of static/icons.txt.", max_length=40
                    ),
                ),
                (
                    "description",
                    models.TextField(
                        blank=True, help_text="What it does, in a sentence or two.", max_length=2000
                    ),
                ),
                (
                    "outcome",
                    models.CharField(
                        blank=True, help_text="What one has in hand afterwards.", max_length=300
                    ),
                ),
                ("document", models.TextField(help_text="The definition as JSON.")),
                ("content_hash", models.CharField(editable=False, max_length=64)),
                (
                    "source",
                    models.CharField(
                        choices=[("file", "Built in"), ("people", "Made by people")],
                        default="people",
                        editable=False,
                        max_length=8,
                    ),
                ),
                ("loaded_hash", models.CharField(blank=True, editable=False, max_length=64)),
                (
                    "status",
                    models.CharField(
                        choices=[("draft", "Draft"), ("published", "Published"), ("withdrawn", "Withdrawn")],
                        default="draft",
                        max_length=16,
                    ),
                ),
                (
                    "install_count",
                    models.PositiveIntegerField(default=0, editable=False, verbose_name="uses"),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                (
                    "created_by",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        blank=True,
                        help_text="Whose it is; empty = every tenant sees it.",
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="workflow_templates",
                        to="tenancy.tenant",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "indexes": [models.Index(fields=["status", "tenant", "name"], name="template_gallery")],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "slug"), name="template_slug_once_per_tenant"),
                    models.UniqueConstraint(
                        condition=models.Q(("tenant__isnull", True)),
                        fields=("slug",),
                        name="template_slug_once_for_all",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("status__in", ["draft", "published", "withdrawn"])),
                        name="template_status_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("source__in", ["file", "people"])), name="template_source_known"
                    ),
                ],
            },
        ),
    ]
