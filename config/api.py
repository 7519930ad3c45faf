"""The one API: its routers, its door (keys, sessions, rate limit), its errors, its document and its browser."""

from __future__ import annotations

from functools import cached_property
from http import HTTPStatus
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver
from django.views.decorators.http import require_GET
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.docs import Swagger
from ninja.openapi.schema import OpenAPISchema

from config.api_errors import standard_error
from runs.api import (
    analytics,
    budgets,
    controls,
    dead_letters,
    deliveries,
    domain_events,
    estimates,
    executions,
    reviews,
    workflow_events,
)
from templates_app.api import templates
from workflows.api import compare, exchange, library, samples, step_types, workflows
from workflows.api.base import JsonParser, body_too_large, problems_of_validation
from workflows.api.rate import count_call
from workflows.lib.errors import Invalid, StepwellError
from workflows.tenancy.actor import Actor
from workflows.tenancy.api_auth import ApiAuth
from workflows.tenancy.error_pages import answer_to

DESCRIPTION = """\
Build workflows, run them, watch them and decide their reviews.

**Keys.** Send `Authorization: Bearer KEY`. An owner or admin makes keys on the page “API keys”; a key has a role and
belongs to one workspace. A signed-in browser may use its session instead (writes carry `X-CSRFToken`).

**Errors.** Every error has the body `{"error": {"code", "message", "request_id", "problems": […]}}`; each problem
names where it is, what is wrong and what to do. What belongs to somebody else answers 404, like what is not there.

**Lists** are `{"items": […], "count": n}` with `limit` (at most 100) and `offset`. **Times** are ISO 8601 in UTC,
**durations** milliseconds, **money** US dollars.

**Limits.** 1,200 calls a minute and key (429 with `Retry-After`), an input of 2,000,000 bytes a run (413).
"""


class ApiKey(ApiAuth):
    """Who calls, if they may come in, and how often they have."""

    # The browser of the API sends the CSRF token of the session then.
    csrf = True

    def __call__(self, request: HttpRequest) -> Actor | None:
        actor = super().__call__(request)
        if actor is not None:
            count_call(actor)
        return actor


class StepwellAPI(NinjaAPI):
    """ninja's API without its page at the root, which only says where the documentation is."""

    def _get_urls(self) -> list[URLResolver | URLPattern]:
        return [pattern for pattern in super()._get_urls() if getattr(pattern, "name", None) != "api-root"]

    def get_root_path(self, path_params: dict[str, Any]) -> str:
        return "/api/"

    @cached_property
    def document(self) -> OpenAPISchema:
        """Made once: it takes a good part of a second, and changes with the code only."""
        return super().get_openapi_schema()

    def get_openapi_schema(self, **how: Any) -> OpenAPISchema:
        return super().get_openapi_schema(**how) if how.get("path_prefix") else self.document


api = StepwellAPI(
    title="Stepwell",
    version="1",
    description=DESCRIPTION,
    urls_namespace="api",
    auth=ApiKey(),
    parser=JsonParser(),
    docs=Swagger({"persistAuthorization": False, "defaultModelsExpandDepth": 0}),
    docs_decorator=require_GET,
)
# Before the others: its /export is no workflow's id.
api.add_router("/workflows", exchange.router)
api.add_router("/workflows", workflows.router)
api.add_router("/workflows", compare.router)
api.add_router("/workflows", samples.router)
api.add_router("/workflows", executions.start_router)
api.add_router("/workflows", estimates.router)
api.add_router("/workflows", workflow_events.router)
api.add_router("/workflow-executions", executions.router)
api.add_router("/workflow-executions", controls.router)
api.add_router("/workflow-executions", reviews.early_router)
api.add_router("/workflow-executions", deliveries.router)
api.add_router("/reviews", reviews.router)
api.add_router("/workflow-templates", templates.router)
api.add_router("/step-types", step_types.router)
api.add_router("/prompts", library.prompt_router)
api.add_router("/personas", library.persona_router)
api.add_router("/budgets", budgets.router)
api.add_router("/analytics", analytics.router)
api.add_router("/events", domain_events.router)
api.add_router("/dead-letters", dead_letters.router)


# --- errors -------------------------------------------------------------------------------------------------------


@api.exception_handler(StepwellError)
def _our_own(request: HttpRequest, error: StepwellError) -> HttpResponse:
    response = answer_to(request, error)
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        # Other limits look back over a minute.
        response["Retry-After"] = str(getattr(error, "retry_after_s", 60))
    return response


@api.exception_handler(ValidationError)
def _wrong_shape(request: HttpRequest, error: ValidationError) -> HttpResponse:
    problems = problems_of_validation(error.errors)
    more = f" ({len(problems)} problems in all)" if len(problems) > 1 else ""
    return answer_to(request, Invalid(f"{problems[0].message}{more}", problems=problems))


@api.exception_handler(AuthenticationError)
def _nobody(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    response = standard_error(request, 401)
    response["WWW-Authenticate"] = 'Bearer realm="Stepwell"'
    return response


@api.exception_handler(HttpError)
def _ninjas(request: HttpRequest, error: HttpError) -> HttpResponse:
    cause = error.__cause__
    if isinstance(cause, StepwellError):
        return _our_own(request, cause)
    return standard_error(request, error.status_code)


@api.exception_handler(Http404)
def _missing(request: HttpRequest, error: Http404) -> HttpResponse:
    return standard_error(request, 404)


@api.exception_handler(RequestDataTooBig)
def _too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return answer_to(request, body_too_large())
