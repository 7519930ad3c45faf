"""The REST API of runs ("executions" to its users) and reviews; `config/api.py` puts all routers into the one API."""
