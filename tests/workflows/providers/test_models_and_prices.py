"""Which model a step left on default goes to, how references are read, what calls cost, who may register."""

from decimal import Decimal

import pytest

from workflows.lib import plugins
from workflows.providers import registry
from workflows.providers.base import ModelRef, Provider, Usage
from workflows.providers.models import BadModel, parse_model, resolve_model
from workflows.providers.pricing import Rate, estimate_tokens, price_of

VARIABLES = (
    "OPENAI_BASE_URL",
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GOOGLE_API_KEY",
    "GEMINI_API_KEY",
    "OLLAMA_BASE_URL",
    "STEPWELL_LLM_BASE_URL",
    "STEPWELL_LLM_MODEL",
    "STEPWELL_DEFAULT_MODEL",
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("text", "provider", "model"),
    [
        ("openai:gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("ollama:llama3:8b", "ollama", "llama3:8b"),
        ("ollama/llama3:8b", "ollama", "llama3:8b"),
        ("custom:openai/gpt-4o", "custom", "openai/gpt-4o"),
        (" demo : writer ", "demo", "writer"),
    ],
)
def test_references_are_read(text, provider, model):
    assert parse_model(text) == ModelRef(provider, model)


@pytest.mark.parametrize("text", ["gpt-4o", "nobody:gpt", "openai:", ":x", "nobody/gpt"])
def test_references_to_nothing_are_refused_by_name(text):
    with pytest.raises(BadModel) as caught:
        parse_model(text)
    assert "“" in caught.value.message


def test_without_any_key_the_default_is_the_demonstration():
    assert (
        resolve_model(None) == resolve_model("default") == resolve_model("", "") == ModelRef("demo", "writer")
    )


def test_the_step_goes_before_the_setting_before_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    assert resolve_model(None).provider == "anthropic"
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert resolve_model(None).provider == "openai"
    monkeypatch.setenv("STEPWELL_DEFAULT_MODEL", "ollama:qwen3")
    assert resolve_model("default") == ModelRef("ollama", "qwen3")
    assert resolve_model("default", "google:gemini-2.5-pro") == ModelRef("google", "gemini-2.5-pro")
    assert resolve_model("demo:writer", "google:gemini-2.5-pro") == ModelRef("demo", "writer")


def test_a_custom_endpoint_is_a_default_only_when_its_model_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("STEPWELL_LLM_BASE_URL", "http://127.0.0.1:1/v1")
    assert resolve_model(None).provider == "demo"
    monkeypatch.setenv("STEPWELL_LLM_MODEL", "my-model")
    assert resolve_model(None) == ModelRef("custom", "my-model")


def test_an_openai_address_of_ones_own_needs_no_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1/")
    assert resolve_model(None).provider == "openai"
    account = registry.get("openai").account_from_environment()
    assert account is not None
    assert (account.base_url, account.api_key) == ("http://127.0.0.1:1/v1", "")


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_the_default_models_have_a_price(provider):
    found = registry.get(provider)
    assert price_of(ModelRef(provider, found.default_model() or ""), Usage(1_000, 1_000)).amount > 0


def test_an_own_price_goes_first():
    price = price_of(
        ModelRef("openai", "gpt-4o-mini"),
        Usage(1_000_000, 500_000, cached_tokens=400_000),
        overrides={"openai:gpt-4o-mini": Rate(Decimal(2), Decimal(10), Decimal(1))},
    )
    assert price.amount == Decimal("6.6")  # 0.6 * 2 + 0.4 * 1 + 0.5 * 10
    assert price.source == "own table"


def test_an_unknown_model_has_no_price_and_a_machine_of_ones_own_costs_nothing():
    assert price_of(ModelRef("custom", "zzz-unknown"), Usage(10, 10)).known is False
    assert price_of(ModelRef("ollama", "zzz"), Usage(10, 10)).known is True


def test_tokens_are_estimated_by_bytes():
    assert estimate_tokens("x" * 400) == 100
    assert estimate_tokens("x" * 400, is_json=True) == 200
    assert estimate_tokens("") == 0


def test_a_bad_provider_is_refused_with_what_is_missing():
    with pytest.raises(registry.BadProvider, match="label"):
        registry.register(type("NoLabel", (Provider,), {"name": "x"}))
    with pytest.raises(registry.BadProvider, match="method chat"):
        registry.register(
            type(
                "NoChat",
                (Provider,),
                {"name": "x", "label": "X", "account_from_environment": lambda self: None},
            )
        )
    with pytest.raises(registry.BadProvider, match="no provider"):
        registry.register(int)
    with pytest.raises(registry.UnknownProvider, match="demo"):
        registry.get("nobody")


def test_providers_of_other_packages_are_found(monkeypatch: pytest.MonkeyPatch):
    class Point:
        def load(self) -> object:
            return Elsewhere

    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [Point()] if group == "stepwell.providers" else []
    )
    monkeypatch.setattr(registry.PLUGINS, "discovered", False)
    try:
        assert registry.get("elsewhere").label == "Elsewhere"
        assert registry.is_known("demo")
    finally:
        registry.PLUGINS.known.pop("elsewhere", None)


class Elsewhere(Provider):
    """A provider of another package."""

    name, label = "elsewhere", "Elsewhere"

    async def chat(self, request, *, model, account, on_delta):
        raise NotImplementedError

    def account_from_environment(self):
        return None
