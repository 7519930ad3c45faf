"""Addresses of the template gallery (namespace `templates_app`)."""

from django.urls import URLPattern, URLResolver, path

from templates_app.views import gallery

app_name = "templates_app"

urlpatterns: list[URLPattern | URLResolver] = [
    path("templates/", gallery.index, name="index"),
    path("templates/save/", gallery.save, name="save"),
    path("templates/<uuid:pk>/", gallery.detail, name="detail"),
    path("templates/<uuid:pk>/use/", gallery.use, name="use"),
]
