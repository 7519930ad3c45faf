"""A step's model call over its fallback chain: picks the candidates, and records each call and hop in the attempt."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from runs.services.values import error_info
from workflows.definition.graph import StepDef
from workflows.definition.retry import ONCE, RetryPolicy
from workflows.lib.clock import utc_now
from workflows.lib.jsontypes import JSONObject
from workflows.providers import registry
from workflows.providers.base import Account, ChatAnswer, ChatRequest, OnDelta
from workflows.providers.errors import ProviderError
from workflows.providers.fallback import Call, Candidate, Hop, candidates_of, chain_of, chat_over
from workflows.providers.models import is_default, resolve_model
from workflows.services.provider_accounts import accounts_of
from workflows.services.provider_gates import the_gates
from workflows.steps.base import StepType
from workflows.steps.fields import config_fields, fallback_of

if TYPE_CHECKING:
    from runs.models import Run
    from runs.services.execute_step import Task


@dataclass(frozen=True, slots=True)
class Route:
    """Where a step's calls may go, as values: no executor asks the database.

    `accounts` are the tenant's by provider; `policy` is the step's retry policy, whose last try goes over the chain.
    """

    default_model: str | None = None
    model_override: str = ""
    fallback: tuple[str, ...] = ()
    on_refusal: bool = False
    policy: RetryPolicy = ONCE
    accounts: Mapping[str, tuple[Account, ...]] = field(default_factory=dict)


def route_of(run: Run, step: StepDef, type_: StepType, settings: JSONObject) -> Route:
    """The route of one step of a run, `run.tenant` loaded: the step's own fallback, else the workflow's, else the tenant's.

    One query, at most every few seconds.
    """
    accounts = accounts_of(run.tenant_id)
    chain = fallback_of(config_fields(type_.ConfigForm), step.config) or settings.get("fallback")
    default = settings.get("default_model")
    return Route(
        default_model=(None if is_default(default) else default)
        or run.tenant.default_model
        or _first_of(accounts),
        model_override=run.model_override,
        fallback=tuple(chain or run.tenant.fallback or ()),
        on_refusal=bool(step.config.get("fallback_on_refusal") or settings.get("fallback_on_refusal")),
        policy=step.retry or type_.retry_policy(step.config),
        accounts=accounts,
    )


def _first_of(accounts: Mapping[str, tuple[Account, ...]]) -> str | None:
    """A tenant that has an account of its own means it, before anything in the environment."""
    for name in accounts:
        model = registry.get(name).default_model()
        if model:
            return f"{name}:{model}"
    return None


async def call_model(
    request: ChatRequest,
    *,
    route: Route,
    task: Task,
    call: Call,
    on_delta: OnDelta,
    deadline: float | None = None,
) -> ChatAnswer:
    """The answer of the first model of the chain that gives a whole one; `deadline` is monotonic, the step's own limit.

    Each call is appended to `task.calls` and each hop to `task.hops`; a broken answer's text is charged as far as it
    can be reckoned. Raises ProviderError, BadModel.
    """
    first = resolve_model(route.model_override or request.model, route.default_model)
    candidates = candidates_of(chain_of(first, route.fallback), lambda name: route.accounts.get(name, ()))

    def will_retry(error: ProviderError) -> bool:
        return task.attempt < route.policy.max_attempts and route.policy.allows(
            error.code, retryable=error.retryable
        )

    def record(hop: Hop) -> None:
        _record_hop(task, request, hop)

    began = [utc_now()]

    async def timed(asked: ChatRequest, **more: object) -> ChatAnswer:
        began[0] = utc_now()
        task.asking = asked.model or ""
        return await call(asked, **more)

    answer, candidate = await chat_over(
        candidates,
        request,
        call=timed,
        gates=the_gates(),
        will_retry=will_retry,
        on_refusal=route.on_refusal,
        on_delta=on_delta,
        record=record,
        **({"time_left": _until(deadline)} if deadline is not None else {}),
    )
    task.answers.append(answer)
    entry = _sent(request, candidate, began[0])
    entry.update(
        provider=answer.provider,
        model=f"{answer.provider}:{answer.model}",
        raw=answer.raw,
        is_demo=answer.is_demo,
        finish_reason=answer.finish_reason,
        **_came(answer),
    )
    task.calls.append(entry)
    return answer


def _until(deadline: float) -> Callable[[], float]:
    return lambda: max(deadline - time.monotonic(), 0.1)


def _record_hop(task: Task, request: ChatRequest, hop: Hop) -> None:
    info = error_info(hop.error)
    entry = _sent(request, hop.candidate, hop.started_at)
    entry["error"] = {"code": info.code, "message": info.message, "detail": info.detail}
    if not hop.called:
        # Passed over: nothing was sent.
        entry |= {"skipped": True, "messages": []}
    if hop.partial is not None:
        task.answers.append(hop.partial)
        entry |= {**_came(hop.partial), "finish_reason": "cut"}
    if hop.next is not None:
        entry["fallback_to"] = str(hop.next.ref)
        task.hops.append(
            {
                "from": str(hop.candidate.ref),
                "to": str(hop.next.ref),
                "account": hop.candidate.account.name if hop.candidate.account is not None else "",
                "code": info.code,
                "reason": info.message,
                "called": hop.called,
                "cost": entry.get("cost", "0"),
                "attempt": task.attempt,
            }
        )
    task.calls.append(entry)


def _sent(request: ChatRequest, candidate: Candidate, started_at: datetime) -> JSONObject:
    """What was sent, to whom; the account by its name, never its key."""
    return {
        "provider": candidate.ref.provider,
        "model": str(candidate.ref),
        "account": candidate.account.name if candidate.account is not None else "",
        "messages": [{"role": message.role, "content": message.content} for message in request.messages],
        **request.facts,
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "response_schema": request.response_schema,
        "started_at": started_at.isoformat(),
        "ended_at": utc_now().isoformat(),
    }


def _came(answer: ChatAnswer) -> JSONObject:
    """What came, and what it cost by which price."""
    return {
        "text": answer.text,
        "usage": {
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
            "cached_tokens": answer.usage.cached_tokens,
            "estimated": answer.usage.estimated,
        },
        "cost": str(answer.price.amount),
        "price": {
            "known": answer.price.known,
            "source": answer.price.source,
            "input_per_million": _text(answer.price.input_per_million),
            "output_per_million": _text(answer.price.output_per_million),
        },
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)
