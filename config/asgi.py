"""The web process: Django's pages and API over HTTP, the live pages over websockets."""

import gc
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

# Loads the apps; the imports below need them.
pages = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import WebsocketDenier
from django.urls import re_path

from config.origins import SameOriginValidator
from runs.routing import websocket_urlpatterns

# Without the last one an unknown address is a fault with a traceback, which any stranger could write into the log.
sockets = URLRouter([*websocket_urlpatterns, re_path("", WebsocketDenier.as_asgi())])

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": SameOriginValidator(AuthMiddlewareStack(sockets)),
    }
)

# What is loaded stays for good: the collector need not walk over it whenever a page makes many lists. A dashboard of 90
# days of 100,000 runs takes a third less time.
gc.collect()
gc.freeze()
gc.set_threshold(10_000, 20, 20)
