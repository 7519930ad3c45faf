"""The REST API of what a workflow is; `config/api.py` puts all routers into the one API."""
