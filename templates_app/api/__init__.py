"""The REST API of workflow templates; `config/api.py` puts all routers into the one API."""
