"""What `manage.py check` says of settings that only fail when they are used."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register
def outbound_allow(**_: Any) -> list[CheckMessage]:
    """STEPWELL_OUTBOUND_ALLOW must be readable: a typing error would show only in the steps of a run."""
    if not settings.OUTBOUND_ALLOW:
        return []  # the common case, without loading the client
    from workflows.lib.safe_http import parse_allow

    try:
        parse_allow(settings.OUTBOUND_ALLOW)
    except ValueError as error:
        return [Error(str(error), hint="Write host or host:port, commas between.", id="stepwell.E001")]
    return []
