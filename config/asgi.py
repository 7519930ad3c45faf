"""The web process: Django's pages and API over HTTP, the live pages over websockets."""

import os
from importlib import import_module
from importlib.util import find_spec

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

from django.core.asgi import get_asgi_application

# Loads the apps; the imports below need them.
pages = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter

from config.origins import SameOriginValidator

websocket_urlpatterns = (
    import_module("runs.routing").websocket_urlpatterns if find_spec("runs.routing") else []
)

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": SameOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
