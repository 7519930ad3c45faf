"""The error table, row by row, with bodies as the vendors send them."""

from datetime import UTC, datetime

import pytest

from tests.workflows.providers.vendor_errors import CASES
from workflows.providers.errors import TABLE, error_from_answer, wait_asked_for

GOOGLE_MINUTE = [
    {
        "error": {
            "code": 429,
            "message": "You exceeded your current quota, please check your plan and billing details.",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"},
            ],
        }
    }
]
GOOGLE_DAY = [
    {
        "error": {
            "code": 429,
            "status": "RESOURCE_EXHAUSTED",
            "details": [{"quotaId": "GenerateRequestsPerDayPerProject"}],
        }
    }
]
GOOGLE_KEY = [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}]
ANTHROPIC_CREDIT = {
    "type": "error",
    "error": {
        "type": "invalid_request_error",
        "message": "Your credit balance is too low to access the API.",
    },
}
OPENAI_QUOTA = {
    "message": "You exceeded your current quota.",
    "type": "insufficient_quota",
    "code": "insufficient_quota",
}
OPENAI_LONG = {
    "message": "This model's maximum context length is 8192 tokens.",
    "code": "context_length_exceeded",
}


@pytest.mark.parametrize(
    ("provider", "status", "body", "code", "retryable", "fallback"),
    [
        ("openai", 429, OPENAI_QUOTA, "quota", False, True),
        (
            "openai",
            429,
            {"code": "rate_limit_exceeded", "message": "Limit 3 / min"},
            "rate_limited",
            True,
            True,
        ),
        ("openai", 401, {"code": "invalid_api_key"}, "bad_key", False, True),
        ("openai", 404, {"code": "model_not_found"}, "model_missing", False, True),
        ("openai", 400, OPENAI_LONG, "too_long", False, True),
        ("openai", 400, {"code": "content_policy_violation"}, "refused", False, True),
        ("openai", 400, {"message": "Missing field"}, "bad_request", False, False),
        ("openai", 503, {"message": "The engine is currently overloaded"}, "overloaded", True, True),
        ("anthropic", 400, ANTHROPIC_CREDIT, "quota", False, True),
        ("anthropic", 402, {"type": "billing_error"}, "quota", False, True),
        ("anthropic", 429, {"type": "rate_limit_error"}, "rate_limited", True, True),
        ("anthropic", 529, {"type": "overloaded_error"}, "overloaded", True, True),
        ("anthropic", 413, {"type": "request_too_large"}, "too_long", False, True),
        ("anthropic", None, {"type": "overloaded_error"}, "overloaded", True, True),
        ("anthropic", None, {"type": "rate_limit_error"}, "rate_limited", True, True),
        ("google", 429, GOOGLE_MINUTE, "rate_limited", True, True),
        ("google", 429, GOOGLE_DAY, "quota", False, True),
        ("google", 400, GOOGLE_KEY, "bad_key", False, True),
        ("google", 503, [{"error": {"status": "UNAVAILABLE"}}], "overloaded", True, True),
        (
            "ollama",
            404,
            {"message": 'model "llama9" not found, try pulling it first'},
            "model_missing",
            False,
            True,
        ),
        ("custom", 402, {"message": "Insufficient Balance"}, "quota", False, True),
        ("custom", 524, "a gateway's page", "timeout", True, True),
        ("custom", 599, "", "server_error", True, True),
        ("custom", 418, "", "bad_request", False, False),
    ],
)
def test_each_answer_has_its_meaning(provider, status, body, code, retryable, fallback):
    error = error_from_answer(provider=provider, label="Vendor", model="m-1", status=status, body=body)
    assert (error.code, error.retryable, error.fallback) == (code, retryable, fallback)
    assert "{" not in error.message


def test_nothing_that_cannot_help_is_retried():
    for rule in TABLE:
        if rule.code in {
            "quota",
            "bad_key",
            "bad_request",
            "model_missing",
            "too_long",
            "refused",
            "no_permission",
        }:
            assert not rule.retryable, rule


def test_waits_are_read_in_every_form():
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    assert wait_asked_for({"Retry-After": "12"}, None) == 12
    assert wait_asked_for({"retry-after": "Fri, 20 Nov 2026 12:00:30 GMT"}, None, now=now) == 30
    assert wait_asked_for({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, None, now=now) == 0
    assert wait_asked_for({"retry-after-ms": "1500"}, None) == 1.5
    assert wait_asked_for({}, GOOGLE_MINUTE) == 34
    assert wait_asked_for({"retry-after": "soon"}, {"error": "x"}) is None
    assert wait_asked_for({"retry-after": "inf"}, None) is None


def test_the_vendors_own_words_are_kept_and_bounded():
    error = error_from_answer(provider="google", label="Google", model="m", status=400, body=GOOGLE_KEY)
    assert error.detail == "API key not valid. Please pass a valid API key."
    long = error_from_answer(provider="x", label="X", model="m", status=500, body="y" * 100_000)
    assert long.detail is not None
    assert len(long.detail) == 2_000


@pytest.mark.parametrize(
    ("vendor", "status", "body", "code", "retryable", "fallback"),
    [case[1:] for case in CASES],
    ids=[f"{case[1]}: {case[0]}" for case in CASES],
)
@pytest.mark.parametrize("unwrapped", [False, True], ids=["whole", "as the client hands it on"])
def test_each_vendors_own_shape_has_its_meaning(vendor, status, body, code, retryable, fallback, unwrapped):
    # The client takes what stands under "error" out of an object, and leaves a list as it is.
    if unwrapped and isinstance(body, dict):
        body = body.get("error", body)
    error = error_from_answer(provider=vendor, label="Vendor", model="m-1", status=status, body=body)
    assert (error.code, error.retryable, error.fallback) == (code, retryable, fallback)
    assert error.message.endswith(".")
    assert error.detail
    assert error.retryable or error.retry_after_s is None


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 20s.", 20),
        ("Please try again in 1.402s. Visit the site.", 1.402),
        ("Please try again in 120ms.", 0.12),
        ("Please try again in 6m0s.", 360),
        ("Please try again in 1h2m3.5s.", 3_723.5),
        ("Please try again in 7m12s", 432),
        ("Please retry after 6 seconds.", 6),
        ("Please retry in 34.07s.", 34.07),
        ("Please try again later.", None),
        ("Please try again in a moment.", None),
    ],
)
def test_a_wait_that_only_the_body_says_is_read(words, seconds):
    assert wait_asked_for({}, {"error": {"message": words}}) == seconds
    assert wait_asked_for({"Retry-After": "3"}, {"error": {"message": words}}) == 3
