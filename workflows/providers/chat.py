"""One model call from end to end: find the model, its provider and account, call it, and put a price on the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from workflows.providers import registry
from workflows.providers.base import Account, ChatAnswer, ChatRequest, OnDelta
from workflows.providers.models import resolve_model
from workflows.providers.pricing import Rate, is_loaded, load, price_of


async def chat(
    request: ChatRequest,
    *,
    default_model: str | None = None,
    on_delta: OnDelta,
    account: Account | None = None,
    prices: Mapping[str, Rate] | None = None,
) -> ChatAnswer:
    """Call the model that `request` names (or the default) and price the answer.

    `account` None: the operator's, from the environment.

    `on_delta` gets each piece of text as it comes. Raises ProviderError, BadModel; no database is touched.
    Cancelling the task closes the connection.
    """
    ref = resolve_model(request.model, default_model)
    provider = registry.get(ref.provider)
    answer = await provider.chat(
        request, model=ref.model, account=account or provider.account_from_environment(), on_delta=on_delta
    )
    if not is_loaded() and not answer.is_demo:
        await asyncio.to_thread(load)  # off the loop, on which other answers stream
    return replace(answer, price=price_of(ref, answer.usage, overrides=prices))
