"""Every answer a model server may give, given by a local server: only a whole, non-empty one is a success."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.fake_openai import FakeOpenAI, Reply
from workflows.providers import openai_compatible, registry
from workflows.providers.base import Account, ChatAnswer, ChatMessage, ChatRequest
from workflows.providers.chat import chat
from workflows.providers.errors import ProviderError

HTML = "<!doctype html><html><title>Sign in to the guest network</title></html>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as found:
        monkeypatch.setenv("OPENAI_BASE_URL", found.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
        openai_compatible._dialects.clear()
        yield found


def request(prompt: str = "Say hello", model: str = "openai:fake-small", **more: object) -> ChatRequest:
    return ChatRequest(messages=(ChatMessage("user", prompt),), model=model, **more)  # type: ignore[arg-type]


async def ask(asked: ChatRequest | None = None) -> tuple[ChatAnswer, list[str]]:
    pieces: list[str] = []
    answer = await chat(asked or request(), on_delta=pieces.append)
    return answer, pieces


async def failure(asked: ChatRequest | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await ask(asked)
    return caught.value


async def test_an_answer_is_streamed_and_counted(server: FakeOpenAI):
    server.script(Reply(text="Hello there, friend", usage=(1000, 500), cached=200))
    answer, pieces = await ask(request(model="openai:gpt-4o-mini"))
    assert answer.text == "Hello there, friend" == "".join(pieces)
    assert len(pieces) == 3
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.cached_tokens) == (
        1000,
        500,
        200,
    )
    assert not answer.usage.estimated
    assert answer.price.known
    # 800 at 0.15, 200 cached at 0.075 and 500 at 0.60 dollars a million
    assert float(answer.price.amount) == pytest.approx((800 * 0.15 + 200 * 0.075 + 500 * 0.6) / 1e6)


async def test_the_request_carries_settings_key_and_idempotency_key(server: FakeOpenAI):
    server.script(Reply(text="ok"))
    await ask(request(idempotency_key="run-1.step.0"))
    (sent,) = server.requests
    assert sent.headers["authorization"] == "Bearer sk-canary"
    assert sent.headers["idempotency-key"] == "run-1.step.0"
    assert sent.body["temperature"] == 0.7
    assert sent.body["max_tokens"] == 2000
    assert sent.body["stream"] is True


async def test_a_reasoning_model_gets_no_temperature(server: FakeOpenAI):
    server.script(Reply(text="ok"))
    await ask(request(model="openai:o3-mini"))
    assert "temperature" not in server.requests[0].body
    assert server.requests[0].body["max_completion_tokens"] == 2000


async def test_a_refused_parameter_is_left_out_and_remembered(server: FakeOpenAI):
    server.script(
        Reply(status=400, body={"error": {"message": "`temperature` is deprecated for this model."}}),
        Reply(text="one"),
        Reply(text="two"),
    )
    assert (await ask())[0].text == "one"
    assert (await ask())[0].text == "two"
    assert ["temperature" in sent.body for sent in server.requests] == [True, False, False]


async def test_usage_is_estimated_where_the_server_does_not_count(server: FakeOpenAI):
    server.script(Reply(text="four words are here", usage=None))
    answer, _ = await ask()
    assert answer.usage.estimated
    assert answer.usage.output_tokens == 5  # 19 bytes / 4, rounded up


async def test_a_server_that_does_not_stream_is_understood(server: FakeOpenAI):
    server.script(Reply(text="all at once", whole=True))
    answer, pieces = await ask()
    assert answer.text == "all at once"
    assert pieces == ["all at once"]


async def test_a_model_without_a_known_price_says_so(server: FakeOpenAI):
    answer, _ = await ask(request(model="openai:never-heard-of-it"))
    assert not answer.price.known
    assert answer.price.amount == 0


async def test_an_answer_cut_by_its_token_limit_is_flagged(server: FakeOpenAI):
    server.script(Reply(text="half an", finish_reason="length"))
    answer, _ = await ask()
    assert answer.finish_reason == "length"


@pytest.mark.parametrize(
    ("reply", "code", "retryable", "fallback"),
    [
        (Reply(text="one two three", cut_after=2), "cut_stream", True, True),
        (Reply(text="one two three", cut_after=2, clean_cut=True), "cut_stream", True, True),
        (Reply(text="one two three", finish_reason=None), "cut_stream", True, True),
        (Reply(text=""), "empty_answer", True, True),
        (Reply(text=" \n "), "empty_answer", True, True),
        (Reply(text="", finish_reason="length"), "empty_answer", False, True),
        (Reply(html=HTML), "not_an_answer", True, True),
        (Reply(whole=True, body={"hello": "world"}), "not_an_answer", True, True),
        (
            Reply(whole=True, body={"error": {"message": "no", "code": "insufficient_quota"}}),
            "quota",
            False,
            True,
        ),
        (Reply(text="I would", finish_reason="content_filter"), "refused", False, True),
        (Reply(refusal="I can't help with that."), "refused", False, True),
        (Reply(text="a b", error_after=1), "server_error", True, True),
        (
            Reply(text="a b", error_after=1, error={"type": "overloaded_error", "message": "Overloaded"}),
            "overloaded",
            True,
            True,
        ),
        (Reply(status=500), "server_error", True, True),
        (Reply(status=502, html=HTML), "server_error", True, True),
        (Reply(status=529), "overloaded", True, True),
        (Reply(status=408), "timeout", True, True),
        (Reply(status=409), "conflict", True, True),
        (Reply(status=400), "bad_request", False, False),
        (Reply(status=401), "bad_key", False, True),
        (Reply(status=402), "quota", False, True),
        (Reply(status=403), "no_permission", False, True),
        (Reply(status=404), "model_missing", False, True),
        (Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}), "bad_request", False, False),
        (Reply(status=429), "rate_limited", True, True),
        (
            Reply(status=429, body={"error": {"code": "insufficient_quota", "message": "x"}}),
            "quota",
            False,
            True,
        ),
    ],
)
async def test_whatever_is_no_whole_answer_is_a_failure(
    server: FakeOpenAI, reply: Reply, code: str, retryable: bool, fallback: bool
):
    server.script(reply)
    error = await failure()
    assert (error.code, error.retryable, error.fallback) == (code, retryable, fallback)
    assert error.message.endswith(".")
    assert "sk-canary" not in f"{error.message}{error.detail}"
    assert len(server.requests) == 1, "one attempt is one call: retries are the engine's"


async def test_the_wait_a_server_asks_for_is_kept(server: FakeOpenAI):
    server.script(Reply(status=429, headers={"Retry-After": "7"}))
    assert (await failure()).retry_after_s == 7


async def test_a_server_that_is_not_there_is_a_network_fault(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    error = await failure()
    assert (error.code, error.retryable) == ("network", True)


async def test_an_answer_that_takes_too_long_is_given_up(server: FakeOpenAI):
    gate = threading.Event()
    server.script(Reply(text="never comes", wait=gate, hold_after=1))
    error = await failure(request(total_timeout_s=0.2))
    gate.set()
    assert (error.code, error.retryable) == ("timeout", True)


async def test_cancelling_the_call_closes_the_connection(server: FakeOpenAI):
    gate, begun = threading.Event(), asyncio.Event()
    server.script(Reply(text="first second", wait=gate, hold_after=1))
    task = asyncio.create_task(chat(request(), on_delta=lambda text: begun.set()))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(server.disconnected.wait, 10), "the server never saw the connection close"


async def test_a_schema_is_sent_natively_or_in_words(server: FakeOpenAI, monkeypatch: pytest.MonkeyPatch):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    server.script(Reply(text='{"a": "b"}'))
    await ask(request(response_schema=schema))
    assert server.requests[0].body["response_format"]["json_schema"]["schema"] == schema
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url.removesuffix("/v1"))
    await ask(request(model="anthropic:claude-x", response_schema=schema))
    sent = server.requests[1]
    assert "response_format" not in sent.body
    assert '"required"' in sent.prompt
    assert sent.path == "/v1/chat/completions"


async def test_models_are_listed(server: FakeOpenAI):
    provider = registry.get("openai")
    assert await provider.list_models(provider.account_from_environment()) == ("fake-large", "fake-small")


async def test_an_address_that_a_tenant_typed_goes_through_the_outbound_guard(
    server: FakeOpenAI, settings: Any
):
    provider = registry.get("openai")
    account = Account("openai", server.url, "k", trusted=False)
    with pytest.raises(ProviderError) as caught:
        await provider.chat(request(), model="m", account=account, on_delta=lambda text: None)
    assert (caught.value.code, caught.value.retryable) == ("blocked_address", False)
    assert server.requests == []
    with pytest.raises(ProviderError, match="private"):
        await provider.list_models(account)
    settings.OUTBOUND_ALLOW = [urlsplit(server.url).netloc]
    server.script(Reply(text="Hello there, friend"))
    pieces: list[str] = []
    answer = await provider.chat(request(), model="m", account=account, on_delta=pieces.append)
    assert answer.text == "Hello there, friend"
    assert len(pieces) == 3, "it is streamed as ever"


async def test_a_provider_without_an_account_names_the_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("GOOGLE_API_KEY", raising=False)
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    error = await failure(request(model="google:gemini-2.5-flash"))
    assert error.code == "no_account"
    assert error.fix is not None
    assert "GOOGLE_API_KEY" in error.fix


async def test_a_key_that_the_server_repeats_is_not_kept(server: FakeOpenAI):
    server.script(Reply(status=401, body={"error": {"message": "Incorrect API key provided: sk-canary."}}))
    error = await failure()
    assert error.detail == "Incorrect API key provided: (key)."
    assert "sk-canary" not in str(vars(error))


def test_a_key_is_never_part_of_a_repr():
    assert "sk-canary" not in repr(Account("openai", "http://x", "sk-canary"))
