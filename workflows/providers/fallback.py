"""The fallback chain: one model call that goes on to the next model where the first cannot answer (P3).

1. The candidates are tried in order: a model, with each account that may call it.
2. A candidate whose breaker is open is passed over, and so is one whose limit would make the call wait too long.
3. A failure goes on to the next candidate where the error table says that another may well answer; where trying the
   same again can help, only after the step's own retries are used up. A refusal goes on only by configuration.
4. Every candidate that did not answer is told to `record`, with its reason and what it had cost by then.
5. Breakers and limits reroute and delay; they never fail a call that has no other way.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

from workflows.lib.clock import utc_now
from workflows.lib.errors import Fault, StepwellError
from workflows.lib.limits import FALLBACK_MODELS
from workflows.providers import registry
from workflows.providers.base import Account, ChatAnswer, ChatRequest, ModelRef, OnDelta, Price, Usage
from workflows.providers.breaker import DEAD_ENDS, Breaker, Verdict
from workflows.providers.errors import ProviderError, timed_out
from workflows.providers.models import BadModel, parse_model
from workflows.providers.pricing import estimate_tokens, is_loaded, load, price_of

# So long a call waits here for its account's limits; longer waits are a timer, or the next candidate.
LONGEST_WAIT_S = 20.0
LONGEST_LAST_WAIT_S = 120.0
# A call that was given less time than this says nothing about the provider when it is not done by then.
PATIENT_S = 30.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """One model with one account. `account` None: nobody has given an account, which the provider will say."""

    ref: ModelRef
    account: Account | None

    @property
    def label(self) -> str:
        return registry.get(self.ref.provider).label

    @property
    def gate(self) -> str:
        """The name under which breaker and limits of this account and host are kept; empty = none are."""
        return gate_name(self.account) if self.account is not None else ""


def gate_name(account: Account) -> str:
    """One name for one account at one host."""
    host = urlsplit(account.base_url).netloc.rpartition("@")[2]
    return f"{account.id or f'env-{account.provider}'}@{host}"


class Gates(Protocol):
    """Breakers and limits of accounts, shared by all processes. No method raises or waits for what is away."""

    async def ask(self, name: str) -> tuple[Breaker, Verdict]:
        """May a call go now, and the state of the breaker."""

    async def succeeded(self, name: str) -> None: ...

    async def failed(self, name: str, error: ProviderError) -> None: ...

    async def wait_for_rate(self, name: str, *, per_minute: int | None, longest_s: float) -> float | None:
        """Take a place in the account's rate: seconds to wait first; None where it would be more than `longest_s`."""

    def slot(
        self, name: str, *, most: int | None, longest_s: float, held_s: float
    ) -> AbstractAsyncContextManager[bool]:
        """One of the account's `most` calls at one time, waited for; False where none came free in time."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A candidate that did not answer. `next` is None where it was the last. `called` False: it was passed over."""

    candidate: Candidate
    next: Candidate | None
    error: StepwellError
    called: bool
    started_at: datetime
    partial: ChatAnswer | None = None


Call: TypeAlias = Callable[..., Awaitable[ChatAnswer]]
WillRetry: TypeAlias = Callable[[ProviderError], bool]


def chain_of(first: ModelRef, more: Iterable[str]) -> tuple[ModelRef, ...]:
    """The models of a chain: each once, in order. What names no model is left out: the first must not fail of it."""
    refs = {first: None}
    for text in more:
        with suppress(BadModel):
            refs[parse_model(text)] = None
    return tuple(refs)[: FALLBACK_MODELS.value + 1]


def candidates_of(
    refs: Sequence[ModelRef], accounts: Callable[[str], Sequence[Account]]
) -> tuple[Candidate, ...]:
    """Each model with every account that may call it; `accounts` gives those of a provider, in order."""
    found: list[Candidate] = []
    for ref in refs:
        mine = accounts(ref.provider)
        if mine:
            found += [Candidate(ref, account) for account in mine]
        else:
            found.append(Candidate(ref, registry.get(ref.provider).account_from_environment()))
    return tuple(found)


async def chat_over(
    candidates: Sequence[Candidate],
    request: ChatRequest,
    *,
    call: Call,
    gates: Gates,
    will_retry: WillRetry,
    on_refusal: bool,
    on_delta: OnDelta,
    record: Callable[[Hop], None],
    time_left: Callable[[], float] = lambda: math.inf,
) -> tuple[ChatAnswer, Candidate]:
    """The first whole answer of the chain, and who gave it.

    `call` is `workflows.providers.chat.chat`; `will_retry` says whether the step would be tried again after an error;
    `time_left` gives the seconds until the step's own limit: a candidate that hangs leaves the next its share.
    Raises the first candidate's error (with the others' in its words); cancelling closes the connection.
    """
    failed: list[Hop] = []
    for place, candidate in enumerate(candidates):
        following = candidates[place + 1] if place + 1 < len(candidates) else None
        started_at = utc_now()
        text: list[str] = []

        def hear(piece: str, text: list[str] = text) -> None:
            text.append(piece)
            on_delta(piece)

        called = False
        try:
            if candidate.account is not None and candidate.account.problem:
                raise ProviderError(
                    candidate.account.problem, code="bad_key", fallback=True, provider=candidate.ref.provider,
                    fault=Fault.AUTHOR, fix="Enter the key again under Connections.",
                )  # fmt: skip
            async with _admitted(
                candidate, gates, alone=following is None, will_retry=will_retry, time_left=time_left
            ):
                called = True
                hung = timed_out(provider=candidate.ref.provider, label=candidate.label)
                shares = 1 if will_retry(hung) else len(candidates) - place
                # A little is kept, so that the call's own limit speaks before the step's does.
                most = min(request.total_timeout_s, time_left() / shares * 0.95)
                timed = replace(request, total_timeout_s=most)
                answer = await _called(candidate, timed, call, gates, hear)
            return answer, candidate
        except ProviderError as error:
            if text and not is_loaded() and candidate.ref.provider != "demo":
                await asyncio.to_thread(load)
            goes_on = _goes_on(error, will_retry=will_retry, on_refusal=on_refusal, was_called=called)
            hop = Hop(
                candidate,
                following if goes_on else None,
                error,
                called,
                started_at,
                _partial(candidate, request, "".join(text)),
            )
            failed.append(hop)
            record(hop)
            if not goes_on or following is None:
                raise _told_with_others(failed) from error
            if text:
                on_delta(f"\n\n*{candidate.label} broke off. {following.label} starts anew:*\n\n")
        except StepwellError as error:
            record(Hop(candidate, None, error, called, started_at))
            raise
        except asyncio.CancelledError:
            if called:
                stopped = ProviderError(
                    "The call was stopped.", code="stopped", provider=candidate.ref.provider
                )
                record(
                    Hop(
                        candidate,
                        None,
                        stopped,
                        called,
                        started_at,
                        _partial(candidate, request, "".join(text)),
                    )
                )
            raise
    raise AssertionError("a chain has at least one candidate")


async def _called(
    candidate: Candidate, request: ChatRequest, call: Call, gates: Gates, on_delta: OnDelta
) -> ChatAnswer:
    gate = candidate.gate
    try:
        # The operator's account is found by the call itself.
        own = {"account": candidate.account} if candidate.account is not None and candidate.account.id else {}
        answer = await call(replace(request, model=str(candidate.ref)), on_delta=on_delta, **own)
    except ProviderError as error:
        if gate and not _is_own_hurry(error, request):
            await gates.failed(gate, error)
        raise
    if gate:
        await gates.succeeded(gate)
    return answer


def _is_own_hurry(error: ProviderError, request: ChatRequest) -> bool:
    """A step that allows seconds finds everybody slow: that is held against no account, which others use too."""
    return error.code == "timeout" and request.total_timeout_s < PATIENT_S


class _admitted:
    """Waits until breaker, rate and concurrency let the call through; raises ProviderError where it should not wait."""

    def __init__(
        self,
        candidate: Candidate,
        gates: Gates,
        *,
        alone: bool,
        will_retry: WillRetry,
        time_left: Callable[[], float],
    ) -> None:
        self.candidate, self.gates, self.time_left = candidate, gates, time_left
        self.alone, self.will_retry = alone, will_retry
        self.slot: AbstractAsyncContextManager[bool] | None = None

    async def __aenter__(self) -> None:
        gate, account = self.candidate.gate, self.candidate.account
        if not gate or account is None:
            return
        breaker, verdict = await self.gates.ask(gate)
        if not verdict.allowed:
            error = paused(self.candidate, breaker, verdict)
            # With no other way a call goes all the same when it is the last chance, or waiting mends nothing.
            if not self.alone or (breaker.code not in DEAD_ENDS and self.will_retry(error)):
                raise error
        # Would the step come again after being told that there is no room?
        comes_again = not self.alone or self.will_retry(too_busy(self.candidate, LONGEST_WAIT_S))
        longest = min(LONGEST_WAIT_S if comes_again else LONGEST_LAST_WAIT_S, self.time_left() / 2)
        wait = await self.gates.wait_for_rate(gate, per_minute=account.requests_per_minute, longest_s=longest)
        if wait is None:
            raise too_busy(self.candidate, longest)
        if wait > 0:
            await asyncio.sleep(wait)
        if account.max_concurrency:
            slot = self.gates.slot(
                gate,
                most=account.max_concurrency,
                longest_s=longest,
                held_s=min(self.time_left(), 3_600) + 30,
            )
            if not await slot.__aenter__():
                await slot.__aexit__(None, None, None)
                raise too_busy(self.candidate, longest)
            self.slot = slot

    async def __aexit__(self, *exc: object) -> None:
        if self.slot is not None:
            await self.slot.__aexit__(None, None, None)


def _goes_on(error: ProviderError, *, will_retry: WillRetry, on_refusal: bool, was_called: bool) -> bool:
    """Whether the next candidate is asked after this."""
    if error.code == "refused":
        return on_refusal
    if not error.fallback:
        return False
    # Passed over: to wait for it would be to retry what is known not to work.
    return not was_called or not will_retry(error)


def paused(candidate: Candidate, breaker: Breaker, verdict: Verdict) -> ProviderError:
    """The breaker is open: “OpenAI is paused after 5 failures, next probe at 12:00:30 UTC.”"""
    at = verdict.next_probe_at or 0.0
    after = (
        "because its credit or quota is used up"
        if breaker.code == "quota"
        else "because it does not accept the key"
        if breaker.code == "bad_key"
        else f"after {breaker.failures} failures"
    )
    clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")
    return ProviderError(
        f"{candidate.label} is paused {after}, next probe at {clock}.",
        code="paused",
        retryable=True,
        fallback=True,
        # Rounded up, so that the retry does not come a moment too early.
        retry_after_s=max(math.ceil(at - utc_now().timestamp()), 1),
        provider=candidate.ref.provider,
        detail=breaker.reason or None,
    )


def too_busy(candidate: Candidate, waited_s: float) -> ProviderError:
    """The account's own limits would make the call wait for longer than it should."""
    return ProviderError(
        f"The limit set for this {candidate.label} account leaves no room for the call within {waited_s:g} seconds.",
        code="rate_limited",
        retryable=True,
        fallback=True,
        retry_after_s=waited_s,
        provider=candidate.ref.provider,
        fix="Raise the account's limits under Connections, or add a fallback.",
    )


def _partial(candidate: Candidate, request: ChatRequest, text: str) -> ChatAnswer | None:
    """What a broken answer is reckoned to have cost: vendors bill what they wrote, and say nothing of it then."""
    if not text:
        return None
    sent = "\n".join(message.content for message in request.messages)
    usage = Usage(estimate_tokens(sent), estimate_tokens(text), estimated=True)
    is_demo = candidate.ref.provider == "demo"
    # A stopped call cannot wait for the price list to be read.
    price = price_of(candidate.ref, usage) if is_loaded() or is_demo else Price(known=False)
    return ChatAnswer(
        text=text,
        provider=candidate.ref.provider,
        model=candidate.ref.model,
        usage=usage,
        price=price,
        finish_reason="cut",
        is_demo=is_demo,
    )


def _told_with_others(failed: Sequence[Hop]) -> ProviderError:
    """The first error, which is of the model that the author chose, with the sentences of the fallbacks after it."""
    errors = [hop.error for hop in failed if isinstance(hop.error, ProviderError)]
    first = errors[0]
    if len(errors) == 1:
        return first
    others = " ".join(dict.fromkeys(error.message for error in errors[1:]))
    waits = [error.retry_after_s for error in errors if error.retry_after_s is not None]
    return ProviderError(
        f"{first.message} The fallbacks did not answer either: {others}",
        code=first.code,
        retryable=any(error.retryable for error in errors),
        fallback=first.fallback,
        retry_after_s=min(waits) if waits else None,
        detail=first.detail,
        provider=first.provider,
        status=first.http_status,
        fault=first.fault,
        fix=first.fix,
    )
