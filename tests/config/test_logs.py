"""Secrets do not reach the logs."""

from config.logs import HIDDEN, hide_secrets


def test_values_with_secret_names_are_hidden_at_any_depth():
    event = {
        "event": "call",
        "api_key": "sk-canary",
        "headers": {"Authorization": "Bearer canary", "Accept": "text/html"},
        "steps": [{"password": "canary"}, "kept"],
        "tokens": 12,
        "token": "canary",
        "key": "",
    }
    assert hide_secrets(None, "info", event) == {
        "event": "call",
        "api_key": HIDDEN,
        "headers": {"Authorization": HIDDEN, "Accept": "text/html"},
        "steps": [{"password": HIDDEN}, "kept"],
        "tokens": 12,
        "token": HIDDEN,
        "key": "",
    }
