"""Addresses of the websockets: the live page of one run."""

from django.urls import URLPattern, path

from runs.consumers.run import RunConsumer

websocket_urlpatterns: list[URLPattern] = [
    path("ws/runs/<uuid:pk>/", RunConsumer.as_asgi()),
]
