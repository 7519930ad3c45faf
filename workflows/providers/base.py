"""What a model provider is: one chat call in, streamed text and one whole answer out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, TypeAlias

from workflows.lib.jsontypes import JSONObject

OnDelta: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ModelRef:
    """`provider:model` taken apart; both parts are never empty."""

    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """`role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call as it is sent. `model` is `provider:model`, or None for the tenant's default.

    `response_schema` asks for JSON of this JSON Schema. `temperature` and `max_tokens` None are left out.
    `aside`: its text is not shown while it is written, since it is not the step's own.
    `facts` go into the call's record: the library prompt with its version, the persona, whether it repairs an answer.
    """

    messages: tuple[ChatMessage, ...]
    model: str | None = None
    temperature: float | None = 0.7
    max_tokens: int | None = 2_000
    response_schema: JSONObject | None = None
    total_timeout_s: float = 300.0
    idempotency_key: str = ""
    aside: bool = False
    facts: JSONObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the provider counted them; `estimated` where it did not."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """What a call cost in US dollars, with the prices per million tokens it was reckoned with.

    `known` False = no price is on file for this model; the amount is then 0 and the UI says so.
    """

    amount: Decimal = Decimal(0)
    input_per_million: Decimal | None = None
    output_per_million: Decimal | None = None
    known: bool = True
    source: str = ""


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """A whole answer: the provider sent its terminal signal. `finish_reason` is `stop`, `length`, `refusal`, …"""

    text: str
    provider: str
    model: str
    usage: Usage = Usage()
    price: Price = Price()
    finish_reason: str = "stop"
    raw: JSONObject = field(default_factory=dict)
    is_demo: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """Where and with which key a provider is called. The key is never shown: it is not part of the repr.

    `id` is empty for the operator's account in the environment. `problem` says why it cannot be used (a key that the
    server can no longer read). The limits are the tenant's own; None = none.
    """

    provider: str
    base_url: str
    api_key: str = field(default="", repr=False)
    name: str = "environment"
    trusted: bool = True
    id: str = ""
    problem: str = ""
    max_concurrency: int | None = None
    requests_per_minute: int | None = None


class Provider(ABC):
    """One vendor or protocol. Subclasses are registered by `@register` in their own file."""

    name: ClassVar[str]
    label: ClassVar[str]
    # The order in which an account in the environment is looked for; the demonstration is last.
    rank: ClassVar[int] = 50

    @abstractmethod
    async def chat(
        self, request: ChatRequest, *, model: str, account: Account | None, on_delta: OnDelta
    ) -> ChatAnswer:
        """Send `request` to `model`, call `on_delta` for each piece of text, return the whole answer.

        Raises `workflows.providers.errors.ProviderError` (with `code`, `retryable`, `retry_after_s`).
        Cancelling the task closes the connection.
        """

    @abstractmethod
    def account_from_environment(self) -> Account | None:
        """The operator's account in the environment variables, or None when there is none."""

    def vendor_address(self) -> str:
        """The vendor's own address, for an account that names none; empty where there is no such thing."""
        return ""

    def default_model(self) -> str | None:
        """The model to use when only the provider is known; None when nobody can say."""
        return None

    async def list_models(self, account: Account | None) -> tuple[str, ...]:
        """Models that the account may call, where the provider has such a list; else a short list of known ones."""
        return ()
