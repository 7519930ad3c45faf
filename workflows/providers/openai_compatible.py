"""OpenAI, Anthropic, Google, Ollama and any server that speaks the OpenAI protocol, through one client."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import threading
import weakref
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlsplit

from workflows.lib.jsontypes import JSONObject
from workflows.providers import errors
from workflows.providers.base import Account, ChatAnswer, ChatRequest, OnDelta, Provider, Usage
from workflows.providers.errors import ProviderError
from workflows.providers.pricing import estimate_tokens
from workflows.providers.registry import register

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_S: Final = 10.0
# Silence between two pieces. Thinking models are quiet for minutes, so this is long; the total is the real bound.
READ_S: Final = 180.0
_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
# Of an answer that is not one we read only so much.
_PEEK_BYTES: Final = 20_000

# Models that refuse a temperature and want `max_completion_tokens`.
_REASONING: Final = ("o1", "o3", "o4", "gpt-5", "gpt-6")


@dataclass(frozen=True, slots=True)
class _Dialect:
    """What a server was found not to take; learned from its refusals, so that the next call is right at once."""

    temperature: bool = True
    max_tokens: str = "max_tokens"
    stream_options: bool = True
    response_format: bool = True


class _Clients:
    """One client per event loop, address and key: a pool of connections belongs to the loop that opened it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of_loop: weakref.WeakKeyDictionary[
            asyncio.AbstractEventLoop, dict[tuple[str, str, bool], AsyncOpenAI]
        ] = weakref.WeakKeyDictionary()

    def get(self, openai: ModuleType, account: Account) -> AsyncOpenAI:
        with self._lock:
            clients = self._of_loop.setdefault(asyncio.get_running_loop(), {})
            key = (account.base_url, account.api_key, account.trusted)
            if key not in clients:
                clients[key] = _new_client(openai, account)
            return clients[key]


def _new_client(openai: ModuleType, account: Account) -> AsyncOpenAI:
    import httpx2

    timeout = httpx2.Timeout(READ_S, connect=CONNECT_S)
    if account.trusted:
        host = urlsplit(account.base_url).hostname or ""
        http_client = httpx2.AsyncClient(
            timeout=timeout,
            limits=httpx2.Limits(max_connections=1_000, max_keepalive_connections=100),
            follow_redirects=False,
            # A proxy of the environment cannot reach this machine's own addresses.
            trust_env=host not in _LOOPBACK,
        )
    else:
        # Typed by a tenant: public addresses only, checked whenever a connection is opened.
        from workflows.lib.safe_http import guarded_client

        http_client = guarded_client(timeout=timeout, connections=1_000)
    client: AsyncOpenAI = openai.AsyncOpenAI(
        api_key=account.api_key or "none",
        base_url=account.base_url,
        max_retries=0,  # ours are rows in the database (07 §6)
        http_client=http_client,
    )
    return client


_clients = _Clients()
_dialects: dict[tuple[str, str], _Dialect] = {}


class OpenAICompatible(Provider):
    """The protocol. A vendor is a subclass that says its address, its variables and what it takes."""

    base_url: ClassVar[str] = ""
    key_variables: ClassVar[tuple[str, ...]] = ()
    url_variables: ClassVar[tuple[str, ...]] = ()
    needs_key: ClassVar[bool] = True
    # An address of one's own may be a server that asks for no key.
    url_is_enough: ClassVar[bool] = False
    default_model_name: ClassVar[str] = ""
    known_models: ClassVar[tuple[str, ...]] = ()
    # Whether `response_format: json_schema` is heeded; else the schema is said in words as well.
    heeds_schema: ClassVar[bool] = True

    # --- accounts ---

    def account_from_environment(self) -> Account | None:
        """The operator's account: a key, or an address where the vendor needs no key."""
        key = _first_variable(self.key_variables)
        url = _first_variable(self.url_variables)
        if self.needs_key and not key and not (url and self.url_is_enough):
            return None
        if not self.needs_key and not url:
            return None
        return Account(provider=self.name, base_url=self.address(url), api_key=key)

    def address(self, url: str) -> str:
        """The base URL as the client wants it, from what the operator wrote."""
        return (url or self.base_url).rstrip("/")

    def vendor_address(self) -> str:
        # The address of a machine of one's own is nobody's vendor.
        return self.base_url if self.needs_key else ""

    def default_model(self) -> str | None:
        return self.default_model_name or None

    async def list_models(self, account: Account | None) -> tuple[str, ...]:
        account = account or self.account_from_environment()
        if account is None:
            return self.known_models
        try:
            openai = await _openai()
            client = _clients.get(openai, account)
            async with asyncio.timeout(15):
                page = await client.models.list()
            return tuple(sorted(model.id.removeprefix("models/") for model in page.data)) or self.known_models
        except TimeoutError:
            raise errors.timed_out(provider=self.name, label=self.label, seconds=15) from None
        except Exception as error:
            raise self._translated(error, "") from error

    # --- the call ---

    async def chat(
        self, request: ChatRequest, *, model: str, account: Account | None, on_delta: OnDelta
    ) -> ChatAnswer:
        """See Provider.chat. One attempt: a refused parameter is left out and asked once more, nothing else repeats."""
        if account is None:
            raise errors.no_account(provider=self.name, label=self.label, variable=self._variable())
        try:
            return await self._attempt(request, model, account, on_delta)
        except ProviderError as error:
            # Some servers repeat the key that they refuse.
            if account.api_key and error.detail:
                error.detail = error.detail.replace(account.api_key, "(key)")
            raise

    async def _attempt(
        self, request: ChatRequest, model: str, account: Account, on_delta: OnDelta
    ) -> ChatAnswer:
        openai = await _openai()
        client = _clients.get(openai, account)
        place = (account.base_url, model)
        try:
            async with asyncio.timeout(request.total_timeout_s):
                while True:
                    dialect = _dialects.get(place) or self._first_dialect(model)
                    try:
                        return await self._call(client, request, model, dialect, on_delta)
                    except openai.APIStatusError as error:
                        learned = _learned(dialect, error.status_code, _words(error))
                        if learned is None:
                            raise
                        _dialects[place] = learned
        except TimeoutError:
            raise errors.timed_out(
                provider=self.name, label=self.label, seconds=request.total_timeout_s
            ) from None
        except ProviderError:
            raise
        except Exception as error:
            raise self._translated(error, model) from error

    def _variable(self) -> str:
        return (self.key_variables if self.needs_key else self.url_variables)[0]

    def _first_dialect(self, model: str) -> _Dialect:
        if _is_reasoning(model):
            return _Dialect(temperature=False, max_tokens="max_completion_tokens")
        return _Dialect()

    async def _call(
        self, client: AsyncOpenAI, request: ChatRequest, model: str, dialect: _Dialect, on_delta: OnDelta
    ) -> ChatAnswer:
        body = self._body(request, model, dialect)
        headers = {"Idempotency-Key": request.idempotency_key} if request.idempotency_key else None
        stream: Any = await client.chat.completions.create(**body, stream=True, extra_headers=headers)
        try:
            content_type = stream.response.headers.get("content-type", "").lower()
            if "json" in content_type and "event-stream" not in content_type:
                # Some servers ignore `stream` and answer whole.
                return self._whole(await stream.response.aread(), content_type, body, model, on_delta)
            if "html" in content_type or "xml" in content_type:
                text = await _peek(stream.response)
                raise errors.not_an_answer(
                    provider=self.name, label=self.label, content_type=content_type, body=text
                )
            return await self._streamed(stream, body, model, on_delta)
        finally:
            # Also on cancellation: closing the response closes the connection, so the vendor stops writing.
            await asyncio.shield(stream.response.aclose())

    async def _streamed(self, stream: Any, body: JSONObject, model: str, on_delta: OnDelta) -> ChatAnswer:
        pieces: list[str] = []
        refusal: list[str] = []
        finish: str | None = None
        usage: Usage | None = None
        answered_by = model
        try:
            async for chunk in stream:
                answered_by = getattr(chunk, "model", None) or answered_by
                usage = _usage(getattr(chunk, "usage", None)) or usage
                for choice in getattr(chunk, "choices", None) or ():
                    delta = choice.delta
                    text = getattr(delta, "content", None) if delta is not None else None
                    if text:
                        pieces.append(text)
                        on_delta(text)
                    refused = getattr(delta, "refusal", None) if delta is not None else None
                    if refused:
                        refusal.append(refused)
                    finish = choice.finish_reason or finish
        except Exception as error:
            # Once the vendor has said that the answer is whole, only the count of tokens can be missing.
            if finish is None:
                raise self._translated(error, model, mid_stream=bool(pieces)) from error
        if finish is None:
            raise errors.cut_stream(
                provider=self.name, label=self.label, detail=f"{sum(map(len, pieces))} characters had come."
            )
        return self._answer("".join(pieces), "".join(refusal), finish, usage, answered_by, model, body)

    def _whole(
        self, raw: bytes, content_type: str, body: JSONObject, model: str, on_delta: OnDelta
    ) -> ChatAnswer:
        text = raw.decode("utf-8", "replace")
        try:
            data = json.loads(text)
        except ValueError:
            data = None
        if isinstance(data, dict) and data.get("error"):
            raise errors.error_from_answer(
                provider=self.name, label=self.label, model=model, status=None, body=data["error"]
            )
        choices = data.get("choices") if isinstance(data, dict) else None
        if not isinstance(data, dict) or not isinstance(choices, list) or not choices:
            raise errors.not_an_answer(
                provider=self.name, label=self.label, content_type=content_type, body=text
            )
        choice = choices[0] if isinstance(choices[0], dict) else {}
        message = choice.get("message") or {}
        words = message.get("content") or ""
        finish = choice.get("finish_reason")
        if not finish:
            raise errors.cut_stream(provider=self.name, label=self.label)
        if words:
            on_delta(words)
        return self._answer(
            words,
            message.get("refusal") or "",
            finish,
            _usage(data.get("usage")),
            data.get("model") or model,
            model,
            body,
        )

    def _answer(
        self,
        text: str,
        refusal: str,
        finish: str,
        usage: Usage | None,
        answered_by: str,
        model: str,
        body: JSONObject,
    ) -> ChatAnswer:
        if finish in ("content_filter", "refusal", "safety") or (refusal and not text.strip()):
            raise errors.refused(provider=self.name, label=self.label, detail=refusal or text or None)
        if not text.strip():
            raise errors.empty_answer(
                provider=self.name, label=self.label, used_up=finish in ("length", "max_tokens")
            )
        if usage is None:
            sent = "\n".join(str(message["content"]) for message in body["messages"])
            usage = Usage(estimate_tokens(sent), estimate_tokens(text), estimated=True)
        return ChatAnswer(
            text=text,
            provider=self.name,
            model=model,
            usage=usage,
            finish_reason="length" if finish == "max_tokens" else finish,
            raw={"request": body, "answered_by": answered_by},
        )

    def _body(self, request: ChatRequest, model: str, dialect: _Dialect) -> JSONObject:
        messages = [{"role": message.role, "content": message.content} for message in request.messages]
        body: JSONObject = {"model": model, "messages": messages}
        if request.temperature is not None and dialect.temperature:
            body["temperature"] = request.temperature
        if request.max_tokens is not None:
            body[dialect.max_tokens] = request.max_tokens
        if dialect.stream_options:
            body["stream_options"] = {"include_usage": True}
        if request.response_schema is not None:
            native = self.heeds_schema and dialect.response_format
            if native:
                body["response_format"] = {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "answer",
                        "schema": request.response_schema,
                        "strict": _is_strict(request.response_schema),
                    },
                }
            if not native or self.needs_words_for_schema:
                _say_schema(messages, request.response_schema)
        return body

    # Servers of unknown make may take the parameter and ignore it.
    needs_words_for_schema: ClassVar[bool] = False

    def _translated(self, error: Exception, model: str, *, mid_stream: bool = False) -> ProviderError:
        """Our error for whatever the client raised."""
        if isinstance(error, ProviderError):
            return error
        import httpx2
        import openai

        from workflows.lib.safe_http import outbound_cause

        refused = outbound_cause(error)
        if refused is not None:
            return errors.outbound(refused, provider=self.name)
        if isinstance(error, openai.APITimeoutError | httpx2.TimeoutException):
            return errors.timed_out(provider=self.name, label=self.label)
        if isinstance(error, openai.APIStatusError):
            headers = dict(error.response.headers)
            content_type = headers.get("content-type", "")
            if (
                "html" in content_type
                and error.status_code not in (401, 403, 404, 429)
                and error.status_code < 500
            ):
                return errors.not_an_answer(
                    provider=self.name,
                    label=self.label,
                    content_type=content_type,
                    body=_text_of(error.response),
                )
            return errors.error_from_answer(
                provider=self.name,
                label=self.label,
                model=model,
                status=error.status_code,
                body=error.body if error.body is not None else _text_of(error.response),
                headers=headers,
            )
        if isinstance(error, openai.APIConnectionError | httpx2.TransportError | OSError):
            make = errors.cut_stream if mid_stream else errors.network
            return make(provider=self.name, label=self.label, detail=str(error.__cause__ or error))
        if isinstance(error, openai.APIError):
            return errors.error_from_answer(
                provider=self.name,
                label=self.label,
                model=model,
                status=None,
                body=error.body or error.message,
            )
        if isinstance(error, ValueError):  # a line of the stream that is no JSON
            return errors.cut_stream(provider=self.name, label=self.label, detail=str(error))
        raise error


@register
class OpenAI(OpenAICompatible):
    """OpenAI itself, or whatever stands at OPENAI_BASE_URL."""

    name, label, rank = "openai", "OpenAI", 10
    base_url = "https://api.openai.com/v1"
    key_variables = ("OPENAI_API_KEY",)
    url_variables = ("OPENAI_BASE_URL",)
    url_is_enough = True
    default_model_name = "gpt-4o-mini"
    known_models = ("gpt-4o-mini", "gpt-4o", "gpt-4.1", "gpt-4.1-mini", "o3")


@register
class Anthropic(OpenAICompatible):
    """Anthropic's models through its OpenAI-compatible endpoint."""

    name, label, rank = "anthropic", "Anthropic", 20
    base_url = "https://api.anthropic.com/v1"
    key_variables = ("ANTHROPIC_API_KEY",)
    url_variables = ("ANTHROPIC_BASE_URL",)
    default_model_name = "claude-sonnet-4-5"
    known_models = ("claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-5")
    # The endpoint takes `response_format` and ignores it.
    heeds_schema = False

    def address(self, url: str) -> str:
        # The variable is shared with Anthropic's own tools, which add the version themselves.
        found = super().address(url)
        return found if found.endswith("/v1") else f"{found}/v1"


@register
class Google(OpenAICompatible):
    """Google's Gemini models through their OpenAI-compatible endpoint."""

    name, label, rank = "google", "Google", 30
    base_url = "https://generativelanguage.googleapis.com/v1beta/openai"
    key_variables = ("GOOGLE_API_KEY", "GEMINI_API_KEY")
    url_variables = ("GOOGLE_BASE_URL", "GEMINI_BASE_URL")
    default_model_name = "gemini-2.5-flash"
    known_models = ("gemini-2.5-flash", "gemini-2.5-pro", "gemini-2.5-flash-lite")


@register
class Ollama(OpenAICompatible):
    """Models on a machine of one's own, served by Ollama."""

    name, label, rank = "ollama", "Ollama", 40
    base_url = "http://127.0.0.1:11434/v1"
    key_variables = ("OLLAMA_API_KEY",)
    url_variables = ("OLLAMA_BASE_URL",)
    needs_key = False
    default_model_name = "llama3.2"
    known_models = ("llama3.2", "qwen3", "gemma3", "mistral")

    def address(self, url: str) -> str:
        # Ollama's own variable is the bare server; its OpenAI protocol lives under /v1.
        found = super().address(url)
        return found if found.endswith("/v1") else f"{found}/v1"


@register
class Custom(OpenAICompatible):
    """Any other server that speaks the OpenAI protocol (STEPWELL_LLM_BASE_URL)."""

    name, label, rank = "custom", "Custom endpoint", 45
    key_variables = ("STEPWELL_LLM_KEY",)
    url_variables = ("STEPWELL_LLM_BASE_URL",)
    needs_key = False
    needs_words_for_schema = True

    def default_model(self) -> str | None:
        # Nobody can guess the models of an unknown server.
        return os.environ.get("STEPWELL_LLM_MODEL", "").strip() or None


# --- helpers --------------------------------------------------------------------------------------


_package: ModuleType | None = None


async def _openai() -> ModuleType:
    """The client's package; its import takes seconds, so it happens once, on first use and off the loop."""
    global _package
    if _package is None:
        _package = await asyncio.to_thread(importlib.import_module, "openai")
    return _package


def _first_variable(names: tuple[str, ...]) -> str:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), "")


def _is_reasoning(model: str) -> bool:
    name = model.rpartition("/")[2].lower()
    return any(name == prefix or name.startswith((f"{prefix}-", f"{prefix}.")) for prefix in _REASONING)


def _learned(dialect: _Dialect, status: int, words: str) -> _Dialect | None:
    """The dialect without the parameter that the server names in its refusal; None when it names none of ours."""
    if status not in (400, 422):
        return None
    if dialect.temperature and "temperature" in words:
        return replace(dialect, temperature=False)
    if dialect.max_tokens == "max_tokens" and "max_completion_tokens" in words:
        return replace(dialect, max_tokens="max_completion_tokens")
    if dialect.stream_options and "stream_options" in words:
        return replace(dialect, stream_options=False)
    if dialect.response_format and ("response_format" in words or "json_schema" in words):
        return replace(dialect, response_format=False)
    return None


def _words(error: Any) -> str:
    return f"{error.message} {json.dumps(error.body, default=str)}".lower()


def _usage(found: Any) -> Usage | None:
    """Tokens as the vendor counted them, from an object of the client or a plain mapping."""
    if found is None:
        return None
    prompt, completion = _part(found, "prompt_tokens"), _part(found, "completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    cached = _part(_part(found, "prompt_tokens_details"), "cached_tokens")
    return Usage(prompt, completion, cached if isinstance(cached, int) else 0)


def _part(found: Any, name: str) -> Any:
    return found.get(name) if isinstance(found, Mapping) else getattr(found, name, None)


def _is_strict(schema: JSONObject) -> bool:
    """Whether the schema keeps OpenAI's rules for strict mode: every object closed and all its fields required."""
    if schema.get("type") == "object":
        properties = schema.get("properties")
        if not isinstance(properties, dict) or schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("required") or ()) != set(properties):
            return False
        return all(isinstance(part, dict) and _is_strict(part) for part in properties.values())
    if schema.get("type") == "array":
        items = schema.get("items")
        return isinstance(items, dict) and _is_strict(items)
    return not any(word in schema for word in ("oneOf", "allOf", "not", "if", "patternProperties"))


def _say_schema(messages: list[dict[str, str]], schema: JSONObject) -> None:
    words = (
        "Answer with one JSON value and nothing else: no explanation, no code fence. It must match this JSON Schema:\n"
        + json.dumps(schema, ensure_ascii=False)
    )
    if messages and messages[0]["role"] == "system":
        messages[0] = {"role": "system", "content": f"{messages[0]['content']}\n\n{words}"}
    else:
        messages.insert(0, {"role": "system", "content": words})


async def _peek(response: Any) -> str:
    """The beginning of an unexpected body, never all of it."""
    found = b""
    chunks: AsyncIterator[bytes] = response.aiter_bytes()
    async for chunk in chunks:
        found += chunk
        if len(found) >= _PEEK_BYTES:
            break
    return found[:_PEEK_BYTES].decode("utf-8", "replace")


def _text_of(response: Any) -> str:
    try:
        text: str = response.text
    except Exception:  # the body was never read, or is not text
        return ""
    return text[:_PEEK_BYTES]
