"""Error bodies as the vendors send them: (case, vendor, status, body, code, may be retried, another may answer).

Taken from the vendors' documentation and from answers seen in the field; account ids are made up.
"""

from __future__ import annotations

from typing import Any


def openai(message: str, type: str | None, code: str | None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def anthropic(type: str, message: str) -> dict[str, Any]:
    return {
        "type": "error",
        "error": {"type": type, "message": message},
        "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy",
    }


def google(code: int, status: str, message: str, *details: dict[str, Any]) -> list[dict[str, Any]]:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    if details:
        error["details"] = list(details)
    return [{"error": error}]


def google_quota(quota: str) -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{"quotaMetric": "generativelanguage.googleapis.com/requests", "quotaId": quota}],
    }


RETRY_34 = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"}
EXCEEDED = "You exceeded your current quota, please check your plan and billing details."

CASES: tuple[tuple[str, str, int | None, Any, str, bool, bool], ...] = (
    # --- OpenAI ---
    ("credit used up", "openai", 429, openai(EXCEEDED, "insufficient_quota", "insufficient_quota"), "quota", False, True),
    ("hard limit", "openai", 400, openai("Billing hard limit has been reached", "invalid_request_error", "billing_hard_limit_reached"), "quota", False, True),
    ("account not active", "openai", 429, openai("Your account is not active, please check your billing details on our website.", "billing_not_active", "billing_not_active"), "quota", False, True),
    ("requests a minute", "openai", 429, openai("Rate limit reached for gpt-4o in organization org-1 on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.", "requests", "rate_limit_exceeded"), "rate_limited", True, True),
    ("tokens a minute", "openai", 429, openai("Rate limit reached for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Used 29411, Requested 1290. Please try again in 1.402s.", "tokens", "rate_limit_exceeded"), "rate_limited", True, True),
    ("one request over the minute", "openai", 429, openai("Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 61002. The input or output tokens must be reduced in order to run successfully.", "tokens", "rate_limit_exceeded"), "too_long", False, True),
    ("wrong key", "openai", 401, openai("Incorrect API key provided: sk-abc***xyz.", "invalid_request_error", "invalid_api_key"), "bad_key", False, True),
    ("no organization", "openai", 401, openai("You must be a member of an organization to use the API.", "invalid_request_error", None), "bad_key", False, True),
    ("country", "openai", 403, openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"), "no_permission", False, True),
    ("not verified", "openai", 400, openai("Your organization must be verified to stream this model.", "invalid_request_error", "unsupported_value", "stream"), "no_permission", False, True),
    ("no model", "openai", 404, openai("The model `gpt-9` does not exist or you do not have access to it.", "invalid_request_error", "model_not_found"), "model_missing", False, True),
    ("too long", "openai", 400, openai("This model's maximum context length is 128000 tokens. However, your messages resulted in 140012 tokens.", "invalid_request_error", "context_length_exceeded", "messages"), "too_long", False, True),
    ("content rules", "openai", 400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.", "invalid_request_error", "invalid_prompt"), "refused", False, True),
    ("missing field", "openai", 400, openai("Missing required parameter: 'messages'.", "invalid_request_error", "missing_required_parameter", "messages"), "bad_request", False, False),
    ("fault", "openai", 500, openai("The server had an error while processing your request. Sorry about that!", "server_error", None), "server_error", True, True),
    ("overloaded", "openai", 503, openai("That model is currently overloaded with other requests.", "server_error", None), "overloaded", True, True),
    ("gateway page", "openai", 502, "<html><head><title>502 Bad Gateway</title></head></html>", "server_error", True, True),
    ("fault in the stream", "openai", None, openai("The server had an error while processing your request. Sorry about that!", "server_error", None), "server_error", True, True),
    ("credit in the stream", "openai", None, openai(EXCEEDED, "insufficient_quota", "insufficient_quota"), "quota", False, True),
    # --- Anthropic ---
    ("credit used up", "anthropic", 400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."), "quota", False, True),
    ("billing", "anthropic", 402, anthropic("billing_error", "There is an issue with your billing or payment information."), "quota", False, True),
    ("own spend limit", "anthropic", 400, anthropic("invalid_request_error", "You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."), "quota", False, True),
    ("rate", "anthropic", 429, anthropic("rate_limit_error", "This request would exceed your organization's rate limit of 40,000 input tokens per minute."), "rate_limited", True, True),
    ("overloaded", "anthropic", 529, anthropic("overloaded_error", "Overloaded"), "overloaded", True, True),
    ("wrong key", "anthropic", 401, anthropic("authentication_error", "invalid x-api-key"), "bad_key", False, True),
    ("permission", "anthropic", 403, anthropic("permission_error", "Your API key does not have permission to use the specified resource."), "no_permission", False, True),
    ("no model", "anthropic", 404, anthropic("not_found_error", "model: claude-9"), "model_missing", False, True),
    ("too long", "anthropic", 400, anthropic("invalid_request_error", "prompt is too long: 213462 tokens > 200000 maximum"), "too_long", False, True),
    ("too large", "anthropic", 413, anthropic("request_too_large", "Request exceeds the maximum allowed number of bytes."), "too_long", False, True),
    ("content rules", "anthropic", 400, anthropic("invalid_request_error", "Output blocked by content filtering policy"), "refused", False, True),
    ("fault", "anthropic", 500, anthropic("api_error", "Internal server error"), "server_error", True, True),
    ("timeout", "anthropic", 504, anthropic("timeout_error", "The request timed out while processing."), "timeout", True, True),
    ("bad request", "anthropic", 400, anthropic("invalid_request_error", "max_tokens: Field required"), "bad_request", False, False),
    ("overloaded in the stream", "anthropic", None, anthropic("overloaded_error", "Overloaded"), "overloaded", True, True),
    ("rate in the stream", "anthropic", None, anthropic("rate_limit_error", "Number of tokens has exceeded your rate limit"), "rate_limited", True, True),
    # --- Google ---
    ("minute", "google", 429, google(429, "RESOURCE_EXHAUSTED", EXCEEDED, google_quota("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), RETRY_34), "rate_limited", True, True),
    ("day", "google", 429, google(429, "RESOURCE_EXHAUSTED", EXCEEDED, google_quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), RETRY_34), "quota", False, True),
    ("no quota at all", "google", 429, google(429, "RESOURCE_EXHAUSTED", f"{EXCEEDED} * Quota exceeded for metric: generate_content_free_tier_requests, limit: 0", RETRY_34), "quota", False, True),
    ("prepaid used up", "google", 429, google(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted. Please go to AI Studio to manage your project and billing."), "quota", False, True),
    ("billing off", "google", 403, google(403, "PERMISSION_DENIED", "This API method requires billing to be enabled.", {"reason": "BILLING_DISABLED", "domain": "googleapis.com"}), "quota", False, True),
    ("wrong key", "google", 400, google(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", {"reason": "API_KEY_INVALID"}), "bad_key", False, True),
    ("leaked key", "google", 403, google(403, "PERMISSION_DENIED", "Your API key was reported as leaked. Please use another API key."), "no_permission", False, True),
    ("key restricted", "google", 403, google(403, "PERMISSION_DENIED", "Requests to this API generativelanguage.googleapis.com are blocked.", {"reason": "API_KEY_SERVICE_BLOCKED"}), "no_permission", False, True),
    ("service off", "google", 403, google(403, "PERMISSION_DENIED", "Generative Language API has not been used in project 1 before or it is disabled.", {"reason": "SERVICE_DISABLED"}), "no_permission", False, True),
    ("place", "google", 400, google(400, "FAILED_PRECONDITION", "User location is not supported for the API use."), "no_permission", False, True),
    ("no model", "google", 404, google(404, "NOT_FOUND", "models/gemini-9 is not found for API version v1beta, or is not supported for generateContent."), "model_missing", False, True),
    ("too long", "google", 400, google(400, "INVALID_ARGUMENT", "The input token count (1200001) exceeds the maximum number of tokens allowed (1048576)."), "too_long", False, True),
    ("bad request", "google", 400, google(400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unknown name \"foo\": Cannot find field."), "bad_request", False, False),
    ("overloaded", "google", 503, google(503, "UNAVAILABLE", "The model is overloaded. Please try again later."), "overloaded", True, True),
    ("deadline", "google", 504, google(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete."), "timeout", True, True),
    ("fault", "google", 500, google(500, "INTERNAL", "An internal error has occurred."), "server_error", True, True),
    ("overloaded in the stream", "google", None, google(503, "UNAVAILABLE", "The model is overloaded."), "overloaded", True, True),
    # --- Ollama ---
    ("no model", "ollama", 404, {"error": {"message": "model \"llama9\" not found, try pulling it first", "type": "api_error", "param": None, "code": None}}, "model_missing", False, True),
    ("no model, own protocol", "ollama", 404, {"error": "model 'llama9' not found"}, "model_missing", False, True),
    ("busy", "ollama", 503, {"error": {"message": "server busy, please try again.  maximum pending requests exceeded", "type": "api_error"}}, "overloaded", True, True),
    ("memory", "ollama", 500, {"error": {"message": "model requires more system memory (5.6 GiB) than is available (3.1 GiB)", "type": "api_error"}}, "out_of_memory", False, True),
    ("loading", "ollama", 500, {"error": {"message": "unexpected server status: llm server loading model", "type": "api_error"}}, "overloaded", True, True),
    ("runner gone", "ollama", 500, {"error": {"message": "llama runner process has terminated: signal: killed", "type": "api_error"}}, "server_error", True, True),
    ("cloud's week", "ollama", 429, {"error": {"message": "you (ana) have reached your weekly usage limit, upgrade for higher limits", "type": "api_error"}}, "quota", False, True),
    ("cloud's key", "ollama", 401, {"error": "unauthorized"}, "bad_key", False, True),
    # --- servers of the OpenAI kind ---
    ("router's credit", "custom", 402, {"error": {"code": 402, "message": "Insufficient credits. Add more at the website."}}, "quota", False, True),
    ("balance", "custom", 402, {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}, "quota", False, True),
    ("team's credits", "custom", 403, {"code": "permission-denied", "error": "Your team has either used all available credits or reached its monthly spending limit."}, "quota", False, True),
    ("router's rate in the stream", "custom", None, {"error": {"code": 429, "message": "Provider returned error"}}, "rate_limited", True, True),
    ("router's loss in the stream", "custom", None, {"error": {"code": 502, "message": "Provider disconnected unexpectedly"}}, "server_error", True, True),
    ("content filter", "custom", 400, {"error": {"code": "content_filter", "message": "The response was filtered due to the prompt triggering our content management policy."}}, "refused", False, True),
)  # fmt: skip
