"""Addresses of the websockets: the live page of one run, the history, and the bell of every page."""

from django.urls import URLPattern, path

from runs.consumers.bell import BellConsumer
from runs.consumers.history import HistoryConsumer
from runs.consumers.run import RunConsumer

websocket_urlpatterns: list[URLPattern] = [
    path("ws/runs/<uuid:pk>/", RunConsumer.as_asgi()),
    path("ws/runs/", HistoryConsumer.as_asgi()),
    path("ws/bell/", BellConsumer.as_asgi()),
]
