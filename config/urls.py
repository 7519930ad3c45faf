"""Every address of Stepwell: the pages of each app, the one API, the admin, and the two health checks."""

from typing import Any

from django.contrib import admin
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from config import health
from config.api import api


class _Favicon(RedirectView):
    """Where browsers look on pages that name no picture of their own: the admin, plain answers of the API."""

    http_method_names = ["get", "head"]

    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        return static("favicon.svg")


urlpatterns: list[URLPattern | URLResolver] = [
    path("favicon.ico", _Favicon.as_view(), name="favicon"),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("", include("workflows.urls")),
    path("", include("runs.urls")),
    path("", include("templates_app.urls")),
]
