"""Tells the open pages of a person that their rights may have changed, so that sockets ask again at once."""

from __future__ import annotations

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

log = structlog.get_logger(__name__)


def person_group(user_id: object) -> str:
    """The channel group of everything that one person has open."""
    return f"person.{user_id}"


def rights_changed(user_id: object) -> None:
    """Call it where a role or a membership changes; told after the commit. Sockets look again every 30 s anyway."""
    transaction.on_commit(lambda: _tell(user_id))


def _tell(user_id: object) -> None:
    try:
        async_to_sync(get_channel_layer().group_send)(person_group(user_id), {"type": "membership.changed"})
    except Exception as error:  # Redis may be away; the role has changed all the same
        log.warning("rights_change_not_told", user=str(user_id), error=str(error))
