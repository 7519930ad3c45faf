"""The fallback chain over real connections: who is asked, after what, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from tests.support.fake_openai import FakeOpenAI, Reply
from workflows.providers.base import Account, ChatAnswer, ChatMessage, ChatRequest, ModelRef
from workflows.providers.breaker import Breaker, Verdict
from workflows.providers.chat import chat
from workflows.providers.errors import ProviderError
from workflows.providers.fallback import Candidate, Hop, candidates_of, chain_of, chat_over
from workflows.services.provider_gates import ProviderGates

ASKED = ChatRequest(messages=(ChatMessage("user", "Tell me about wells."),))
OPENAI_CREDIT = {"error": {"message": "You exceeded your current quota.", "type": "insufficient_quota"}}
ANTHROPIC_CREDIT = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "Your credit balance is too low to access the Anthropic API.",
    },
}
GOOGLE_CREDIT = [
    {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"quotaId": "RequestsPerDay"}]}}
]


class Told:
    """What a chain said on its way."""

    def __init__(self) -> None:
        self.hops: list[Hop] = []
        self.text = ""

    def hear(self, piece: str) -> None:
        self.text += piece


@pytest.fixture
def first() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


@pytest.fixture
def second() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as server:
        yield server


def at(server: FakeOpenAI, provider: str, **fields: Any) -> Candidate:
    account = Account(provider=provider, base_url=server.url, api_key="k", id=f"{provider}-1", **fields)
    return Candidate(ModelRef(provider, "some-model"), account)


def never(error: ProviderError) -> bool:
    return False


def while_it_helps(error: ProviderError) -> bool:
    return error.retryable


def ask(
    *candidates: Candidate,
    told: Told | None = None,
    will_retry: Callable[[ProviderError], bool] = never,
    on_refusal: bool = False,
    gates: Any = None,
    **more: Any,
) -> tuple[ChatAnswer, Candidate]:
    told = told or Told()
    return asyncio.run(
        chat_over(
            candidates,
            ASKED,
            call=chat,
            gates=gates or ProviderGates("redis://127.0.0.1:1/0"),
            will_retry=will_retry,
            on_refusal=on_refusal,
            on_delta=told.hear,
            record=told.hops.append,
            **more,
        )
    )


@pytest.mark.parametrize(
    ("provider", "reply", "code"),
    [
        ("openai", Reply(status=429, body={"error": {"code": "rate_limit_exceeded"}}), "rate_limited"),
        ("anthropic", Reply(status=529, body={"error": {"type": "overloaded_error"}}), "overloaded"),
        ("openai", Reply(status=429, body=OPENAI_CREDIT), "quota"),
        ("anthropic", Reply(status=400, body=ANTHROPIC_CREDIT), "quota"),
        ("google", Reply(status=429, body=GOOGLE_CREDIT), "quota"),
        ("custom", Reply(status=402, body={"error": {"message": "Insufficient Balance"}}), "quota"),
        ("openai", Reply(text="Half of an answer", cut_after=2), "cut_stream"),
        ("openai", Reply(text="Half of an answer", cut_after=2, clean_cut=True), "cut_stream"),
        (
            "anthropic",
            Reply(text="Half an answer", error_after=1, error={"type": "overloaded_error"}),
            "overloaded",
        ),
        ("openai", Reply(html="<html>Sign in to the hotel's network</html>"), "not_an_answer"),
        ("openai", Reply(text=""), "empty_answer"),
        ("openai", Reply(status=401, body={"error": {"code": "invalid_api_key"}}), "bad_key"),
    ],
)
def test_the_next_model_answers_where_the_first_cannot(
    first: FakeOpenAI, second: FakeOpenAI, provider: str, reply: Reply, code: str
) -> None:
    first.script(reply)
    second.script(Reply(text="A whole answer."))
    told = Told()
    answer, candidate = ask(at(first, provider), at(second, "ollama"), told=told)
    assert answer.text == "A whole answer."
    assert str(candidate.ref) == "ollama:some-model"
    [hop] = told.hops
    assert hop.error.code == code
    assert hop.next == candidate
    assert hop.called
    assert told.text.endswith("A whole answer.")


def test_a_model_that_hangs_leaves_the_next_its_share_of_the_time(
    first: FakeOpenAI, second: FakeOpenAI
) -> None:
    import threading

    held = threading.Event()
    first.script(Reply(text="Too late", wait=held))
    second.script(Reply(text="In time."))
    told = Told()
    try:
        answer, _ = ask(at(first, "openai"), at(second, "google"), told=told, time_left=lambda: 1.0)
    finally:
        held.set()
    assert answer.text == "In time."
    assert told.hops[0].error.code == "timeout"


def test_what_may_pass_is_left_to_the_steps_own_retries(first: FakeOpenAI, second: FakeOpenAI) -> None:
    first.script(Reply(status=503))
    with pytest.raises(ProviderError) as raised:
        ask(at(first, "openai"), at(second, "google"), will_retry=while_it_helps)
    assert raised.value.code == "overloaded"
    assert raised.value.retryable
    assert second.count() == 0


def test_what_no_retry_mends_goes_on_at_once(first: FakeOpenAI, second: FakeOpenAI) -> None:
    first.script(Reply(status=429, body=OPENAI_CREDIT))
    ask(at(first, "openai"), at(second, "google"), will_retry=while_it_helps)
    assert second.count() == 1


def test_a_bad_request_is_nobody_elses_affair(first: FakeOpenAI, second: FakeOpenAI) -> None:
    first.script(Reply(status=400, body={"error": {"message": "messages: field required"}}))
    with pytest.raises(ProviderError) as raised:
        ask(at(first, "openai"), at(second, "google"))
    assert raised.value.code == "bad_request"
    assert second.count() == 0


@pytest.mark.parametrize("on_refusal", [False, True])
def test_a_refusal_goes_on_only_by_configuration(
    first: FakeOpenAI, second: FakeOpenAI, on_refusal: bool
) -> None:
    first.script(Reply(refusal="I will not.", finish_reason="stop"))
    if on_refusal:
        assert ask(at(first, "openai"), at(second, "google"), on_refusal=True)[1].ref.provider == "google"
    else:
        with pytest.raises(ProviderError) as raised:
            ask(at(first, "openai"), at(second, "google"))
        assert raised.value.code == "refused"
        assert second.count() == 0


def test_a_broken_answer_is_reckoned_told_as_broken_and_its_text_kept_apart(
    first: FakeOpenAI, second: FakeOpenAI
) -> None:
    first.script(Reply(text="Half of an answer", cut_after=2))
    second.script(Reply(text="Whole."))
    told = Told()
    price = Candidate(ModelRef("openai", "gpt-4o-mini"), at(first, "openai").account)
    answer, _ = ask(price, at(second, "google"), told=told)
    assert answer.text == "Whole."
    assert told.text == "Half of\n\n*OpenAI broke off. Google starts anew:*\n\nWhole."
    partial = told.hops[0].partial
    assert partial is not None
    assert (partial.text, partial.finish_reason, partial.usage.estimated) == ("Half of", "cut", True)
    assert partial.price.known
    assert partial.price.amount > 0


def test_when_nobody_answers_the_first_error_is_told_with_the_others(
    first: FakeOpenAI, second: FakeOpenAI
) -> None:
    first.script(Reply(status=429, body=OPENAI_CREDIT))
    second.script(Reply(status=503, headers={"Retry-After": "9"}))
    told = Told()
    with pytest.raises(ProviderError) as raised:
        ask(at(first, "openai"), at(second, "google"), told=told)
    error = raised.value
    assert error.code == "quota"
    assert error.retryable
    assert error.retry_after_s == 9
    assert "Google is overloaded" in error.message
    assert [hop.next is None for hop in told.hops] == [False, True]


def test_an_open_breaker_is_passed_over_without_a_call_and_says_when_it_is_probed(
    first: FakeOpenAI, second: FakeOpenAI
) -> None:
    gates = ProviderGates("redis://127.0.0.1:1/0")
    one, other = at(first, "openai"), at(second, "google")
    first.script(*[Reply(status=500) for _ in range(5)])
    for _ in range(5):
        ask(one, other, gates=gates)
    told = Told()
    ask(one, other, gates=gates, told=told, will_retry=while_it_helps)
    assert first.count() == 5
    [hop] = told.hops
    assert not hop.called
    assert hop.error.message.startswith("OpenAI is paused after 5 failures, next probe at ")


def test_a_step_in_a_hurry_pauses_nobody(first: FakeOpenAI) -> None:
    import threading

    held = threading.Event()
    gates = ProviderGates("redis://127.0.0.1:1/0")
    candidate = at(first, "openai")
    first.script(*[Reply(text="Too late", wait=held) for _ in range(6)])
    try:
        for _ in range(6):
            with pytest.raises(ProviderError) as raised:
                ask(candidate, gates=gates, time_left=lambda: 0.05)
            assert raised.value.code == "timeout"
    finally:
        held.set()
    assert gates.breakers([candidate.gate])[candidate.gate].is_untouched


class Shut:
    """Gates whose breakers are all open."""

    async def ask(self, name: str) -> tuple[Breaker, Verdict]:
        open_ = Breaker(probe_at=4e9, failures=5, code="server_error")
        return open_, Verdict(False, next_probe_at=4e9)

    async def succeeded(self, name: str) -> None: ...

    async def failed(self, name: str, error: ProviderError) -> None: ...

    async def wait_for_rate(self, name: str, *, per_minute: int | None, longest_s: float) -> float | None:
        return 0.0

    def slot(self, name: str, **limits: Any) -> AbstractAsyncContextManager[bool]:
        raise AssertionError("nobody asked for one")


def test_an_open_breaker_delays_a_call_that_is_alone_but_never_takes_its_last_chance(
    first: FakeOpenAI,
) -> None:
    with pytest.raises(ProviderError) as raised:
        ask(at(first, "openai"), gates=Shut(), will_retry=while_it_helps)
    assert raised.value.code == "paused"
    assert raised.value.retry_after_s is not None
    assert first.count() == 0
    first.script(Reply(text="It works again."))
    assert ask(at(first, "openai"), gates=Shut())[0].text == "It works again."


def test_an_account_whose_rate_is_used_up_gives_way_to_the_next(
    first: FakeOpenAI, second: FakeOpenAI
) -> None:
    gates = ProviderGates("redis://127.0.0.1:1/0")
    slow = at(first, "openai", requests_per_minute=1)
    ask(slow, at(second, "google"), gates=gates)
    _, candidate = ask(slow, at(second, "google"), gates=gates)
    assert candidate.ref.provider == "google"
    assert (first.count(), second.count()) == (1, 1)


def test_an_account_takes_only_so_many_calls_at_one_time(first: FakeOpenAI) -> None:
    gates = ProviderGates("redis://127.0.0.1:1/0")
    narrow = at(first, "openai", max_concurrency=2)
    at_once: list[int] = []
    under_way = 0

    async def counted(request: ChatRequest, **more: Any) -> ChatAnswer:
        nonlocal under_way
        under_way += 1
        at_once.append(under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return ChatAnswer("x", "openai", "m")

    async def many() -> None:
        await asyncio.gather(
            *(
                chat_over(
                    (narrow,), ASKED, call=counted, gates=gates, will_retry=never, on_refusal=False,
                    on_delta=lambda piece: None, record=lambda hop: None,
                )
                for _ in range(8)
            )
        )  # fmt: skip

    asyncio.run(many())
    assert len(at_once) == 8
    assert max(at_once) == 2


def test_a_chain_names_each_model_once_and_leaves_out_what_names_none() -> None:
    refs = chain_of(ModelRef("openai", "a"), ["google:b", "nonsense", "openai:a", "openai:c", "google:b"])
    assert [str(ref) for ref in refs] == ["openai:a", "google:b", "openai:c"]


def test_every_account_of_a_provider_is_a_candidate_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    mine = [Account("openai", "http://a/v1", id="1"), Account("openai", "http://b/v1", id="2")]
    found = candidates_of(
        chain_of(ModelRef("openai", "m"), ["google:g"]), lambda name: mine if name == "openai" else ()
    )
    assert [(str(c.ref), c.account.base_url if c.account else None) for c in found] == [
        ("openai:m", "http://a/v1"),
        ("openai:m", "http://b/v1"),
        ("google:g", None),
    ]
    assert found[0].gate == "1@a"


def test_a_key_that_cannot_be_read_is_a_reason_to_go_on(first: FakeOpenAI) -> None:
    told = Told()
    locked = Candidate(
        ModelRef("openai", "m"), Account("openai", "http://x/v1", id="1", problem="It cannot be read.")
    )
    assert ask(locked, at(first, "google"), told=told)[1].ref.provider == "google"
    assert told.hops[0].error.code == "bad_key"
