"""Django app of tenants, people, their roles and their keys (nested, with its own label and migrations)."""

from django.apps import AppConfig


class TenancyConfig(AppConfig):
    name = "workflows.tenancy"
    label = "tenancy"
    verbose_name = "Tenants and people"
    default_auto_field = "django.db.models.BigAutoField"
