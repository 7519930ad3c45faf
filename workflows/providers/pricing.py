"""What a call cost: our own table first, then the dated prices that genai-prices carries. No network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from workflows.providers.base import ModelRef, Price, Usage

_MILLION: Final = Decimal(1_000_000)
# Where the machine is the operator's own, a call costs nothing on a bill.
_FREE: Final = {"demo": "demonstration", "ollama": "self-hosted"}
# Our names of providers → theirs.
_IDS: Final = {"openai": "openai", "anthropic": "anthropic", "google": "google"}


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars per million tokens, as an admin states them."""

    input_per_million: Decimal
    output_per_million: Decimal
    cached_per_million: Decimal | None = None


def price_of(ref: ModelRef, usage: Usage, *, overrides: Mapping[str, Rate] | None = None) -> Price:
    """The price of `usage` at `ref`; `overrides` maps `provider:model` to a rate and goes first.

    A model that nobody has a price for gives `known=False` and an amount of 0.
    """
    rate = (overrides or {}).get(str(ref))
    if rate is not None:
        return _by_rate(rate, usage)
    if ref.provider in _FREE:
        return Price(Decimal(0), Decimal(0), Decimal(0), known=True, source=_FREE[ref.provider])
    return _by_snapshot(ref, usage)


def estimate_tokens(text: str, *, is_json: bool = False) -> int:
    """About how many tokens a text has: bytes/4 for prose, bytes/2 for JSON. At least 1 for a text that is not empty."""
    size = len(text.encode("utf-8", "replace"))
    return math.ceil(size / (2 if is_json else 4))


def _by_rate(rate: Rate, usage: Usage) -> Price:
    cached = min(usage.cached_tokens, usage.input_tokens)
    cached_rate = rate.cached_per_million if rate.cached_per_million is not None else rate.input_per_million
    amount = (
        (usage.input_tokens - cached) * rate.input_per_million
        + cached * cached_rate
        + usage.output_tokens * rate.output_per_million
    ) / _MILLION
    return Price(amount, rate.input_per_million, rate.output_per_million, known=True, source="own table")


_loaded = False


def load() -> None:
    """Read the price list from disk (about a second, once), so that `price_of` answers at once."""
    global _loaded
    if not _loaded:
        from genai_prices import data_snapshot

        data_snapshot.get_snapshot()
        _loaded = True


def is_loaded() -> bool:
    """Whether `price_of` answers without reading the price list first."""
    return _loaded


def _by_snapshot(ref: ModelRef, usage: Usage) -> Price:
    # The package reads 1.6 MB of data when it is imported (about a second): only where a price is asked for.
    import genai_prices

    try:
        found = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                cache_read_tokens=min(usage.cached_tokens, usage.input_tokens),
            ),
            ref.model,
            provider_id=_IDS.get(ref.provider),
        )
    except LookupError:
        return Price(Decimal(0), known=False)
    prices = found.model_price
    return Price(
        Decimal(found.total_price),
        _per_million(prices.input_mtok),
        _per_million(prices.output_mtok),
        known=True,
        source=f"genai-prices {genai_prices.__version__}",
    )


def _per_million(price: object) -> Decimal | None:
    """A tiered price is told by its base; the amount above was reckoned with the tiers."""
    base = getattr(price, "base", price)
    return Decimal(str(base)) if isinstance(base, (Decimal, int, float)) else None
