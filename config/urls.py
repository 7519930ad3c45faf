"""Every address of Stepwell: the pages of each app, the one API, the admin, and the two health checks."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

from config import health
from config.api import api

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("", include("workflows.urls")),
    path("", include("runs.urls")),
    path("", include("templates_app.urls")),
]
