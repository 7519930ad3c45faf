"""Django app of where new workflows come from: the template catalogue."""

from django.apps import AppConfig


class TemplatesAppConfig(AppConfig):
    name = "templates_app"
    verbose_name = "Workflow templates"
    default_auto_field = "django.db.models.BigAutoField"
