"""Websocket consumers of the runs app, and the hub that feeds them live text."""
