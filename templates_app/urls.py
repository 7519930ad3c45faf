"""Addresses of the template gallery (namespace `templates_app`)."""

from django.urls import URLPattern, URLResolver, path

from templates_app.views import gallery, welcome

app_name = "templates_app"

urlpatterns: list[URLPattern | URLResolver] = [
    path("templates/", gallery.index, name="index"),
    path("templates/save/", gallery.save, name="save"),
    path("templates/<uuid:pk>/", gallery.detail, name="detail"),
    path("templates/<uuid:pk>/use/", gallery.use, name="use"),
    path("templates/<uuid:pk>/submit/", gallery.submit, name="submit"),
    path("templates/<uuid:pk>/withdraw/", gallery.withdraw, name="withdraw"),
    path("templates/updates/<uuid:pk>/", gallery.update, name="update"),
    path("welcome/", welcome.page, name="welcome"),
    path("welcome/step/", welcome.step, name="welcome_step"),
]
