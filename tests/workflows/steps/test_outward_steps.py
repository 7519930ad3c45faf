"""HTTP request, webhook and email: what they write, what they read, and which faults may be tried again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.outside import Answer, Outside
from tests.support.steps import NOW, FakeLedger, execute, run
from workflows.definition.graph import StepDef
from workflows.steps import registry
from workflows.steps.base import DeliveryStatus, NoEffect, OnUnknown, Receipt, StepError
from workflows.steps.catalog import clean_config
from workflows.steps.http_request import statuses, with_query


@pytest.fixture
def server(settings: Any) -> Iterator[Outside]:
    with Outside() as found:
        settings.OUTBOUND_ALLOW = [found.host]
        yield found


def fault(type: str, config: dict[str, Any], **more: Any) -> StepError:
    with pytest.raises(StepError) as caught:
        execute(type, config, **more)
    return caught.value


# --- the request -------------------------------------------------------------------------------------


def test_inserted_values_are_pieces_of_the_address_and_nothing_more(server: Outside):
    config = {
        "url": f"{server.url}/orders/{{{{input.id}}}}?a=1",
        "query": {
            "q": "{{input.q}}",
            "tags[]": "{{input.tags}}",
            "n": "= 1 + 1",
            "none": "{{input.none}}",
            "b": True,
        },
    }
    run(
        "http_request",
        config,
        input={"id": "../admin?x=1#y", "q": "a&b=c d", "tags": ["x", "y"], "none": None},
    )
    (sent,) = server.requests
    parts = urlsplit(sent.path)
    assert parts.path == "/orders/..%2Fadmin%3Fx%3D1%23y"
    assert parse_qsl(parts.query) == [
        ("a", "1"), ("q", "a&b=c d"), ("tags[]", "x"), ("tags[]", "y"), ("n", "2"), ("b", "true"),
    ]  # fmt: skip


def test_a_reference_at_the_start_may_be_a_whole_address(server: Outside):
    run(
        "http_request",
        {"url": "{{input.base}}/x/{{input.id}}"},
        input={"base": f"{server.url}/v1", "id": "a/b"},
    )
    assert server.requests[0].path == "/v1/x/a%2Fb"


def test_data_cannot_change_the_host(server: Outside):
    error = fault(
        "http_request", {"url": "http://{{input.host}}/"}, input={"host": "127.0.0.1:1@evil.example/"}
    )
    assert error.code in ("bad_url", "unknown_host")
    assert server.requests == []


def test_a_private_address_is_refused_with_its_field(settings: Any):
    settings.OUTBOUND_ALLOW = []
    error = fault("http_request", {"url": "http://169.254.169.254/latest/meta-data/"})
    assert (error.code, error.info.field, error.info.retryable) == ("blocked_address", "url", False)
    assert isinstance(error, NoEffect)


@pytest.mark.parametrize(
    ("config", "body", "kind"),
    [
        (
            {"body": "fields", "body_fields": {"a": "{{input.text}}", "n": "{{input.n}}", "l": ["{{input.text}}"]}},
            {"a": 'say "hi"\n}', "n": 3, "l": ['say "hi"\n}']},
            "application/json",
        ),
        ({"body_expression": "[input.n, input.n * 2]"}, [3, 6], "application/json"),
        ({"body": "form", "body_fields": {"a": "{{input.text}}"}}, "a=say+%22hi%22%0A%7D", "application/x-www-form-urlencoded"),
        ({"body": "text", "body_text": "<{{input.n}}>", "content_type": "text/csv"}, "<3>", "text/csv"),
        ({}, "", None),
    ],
)  # fmt: skip
def test_a_body_is_built_never_pasted(server: Outside, config: dict[str, Any], body: Any, kind: str | None):
    adopted = registry.get("http_request").adopt({"method": "post", "url": server.url, **config})
    run("http_request", adopted, input={"text": 'say "hi"\n}', "n": 3})
    (sent,) = server.requests
    assert sent.method == "POST"
    assert (json.loads(sent.body) if kind == "application/json" else sent.body.decode()) == body
    assert sent.headers.get("content-type") == kind


@pytest.mark.parametrize(
    ("method", "keyed"), [("GET", False), ("HEAD", False), ("PUT", True), ("DELETE", True)]
)
def test_changing_methods_carry_the_key_of_the_step(server: Outside, method: str, keyed: bool):
    ledger = FakeLedger()
    run("http_request", {"method": method, "url": server.url}, ledger=ledger)
    assert server.requests[0].headers.get("idempotency-key") == ("run-1.s_1.0" if keyed else None)
    assert len(ledger.effects) == keyed


def test_headers_from_the_data_cannot_begin_another_header(server: Outside):
    config = {"url": server.url, "headers": {"X-Note": "{{input.note}}"}}
    run("http_request", config, input={"note": "fine"})
    assert server.requests[0].headers["x-note"] == "fine"
    error = fault("http_request", config, input={"note": "a\r\nX-Evil: 1"})
    assert (error.code, error.info.field) == ("bad_header", "headers.X-Note")


@pytest.mark.parametrize("name", ["Authorization", "cookie", "X-API-Key"])
def test_keys_may_not_stand_in_the_settings(name: str):
    for type in ("http_request", "webhook"):
        _, problems = clean_config(registry.get(type), {"url": "https://x.example", "headers": {name: "k"}})
        assert [problem.code for problem in problems] == ["secret_in_settings"]


# --- the answer ----------------------------------------------------------------------------------------


def test_json_comes_as_data_and_as_text(server: Outside):
    server.answer("/", Answer(headers={"Set-Cookie": "secret=1", "ETag": "e1"}, json={"data": [{"id": 7}]}))
    config = {
        "url": f"{server.url}/",
        "response_mapping": {"first": "json.data[0].id", "tag": "headers.etag"},
    }
    outcome = run("http_request", config)
    assert outcome.output["json"] == {"data": [{"id": 7}]}
    assert json.loads(outcome.output["content"]) == {"data": [{"id": 7}]}
    assert (outcome.output["first"], outcome.output["tag"], outcome.output["status"]) == (7, "e1", 200)
    assert "set-cookie" not in outcome.output["headers"]


def test_a_page_comes_as_text(server: Outside):
    server.answer("/", Answer(headers={"Content-Type": "text/html"}, body=b"<h1>Hi</h1>\x00"))
    outcome = run("http_request", {"url": server.url})
    assert outcome.output["content"] == "<h1>Hi</h1>"
    assert "json" not in outcome.output


@pytest.mark.parametrize(
    ("config", "answer", "code", "retryable"),
    [
        ({}, Answer(headers={"Content-Type": "application/json"}, body=b"{half"), "invalid_json", True),
        (
            {"read_as": "json"},
            Answer(headers={"Content-Type": "text/html"}, body=b"<p>"),
            "invalid_json",
            True,
        ),
        ({}, Answer(headers={"Content-Type": "image/png"}, body=b"\x89PNG"), "binary_answer", False),
        ({}, Answer(body=b"a\0b"), "binary_answer", False),
        ({"max_size": 0.001}, Answer(body=b"x" * 2_000), "answer_too_large", False),
        ({"response_mapping": {"a": "json.b"}}, Answer(json={"c": 1}), "not_in_answer", False),
        ({}, Answer(body=b"half", length=100), "cut_stream", True),
    ],
)
def test_an_answer_that_cannot_be_used_is_an_error(
    server: Outside, config: dict[str, Any], answer: Answer, code: str, retryable: bool
):
    server.answer("", answer)
    server.answer("/", answer)
    error = fault("http_request", {"url": server.url, **config})
    assert (error.code, error.info.retryable) == (code, retryable)


def test_nothing_is_read_where_only_the_status_counts(server: Outside):
    server.answer("/", Answer(headers={"Content-Type": "image/png"}, body=b"\x89PNG"))
    outcome = run("http_request", {"url": f"{server.url}/", "read_as": "none"})
    assert (outcome.output["content"], outcome.output["status"]) == ("", 200)


@pytest.mark.parametrize(
    ("status", "retryable", "sure"),
    [
        (400, False, True), (401, False, True), (403, False, True), (404, False, True), (422, False, True),
        (408, True, False), (409, True, False), (429, True, True), (500, True, False), (502, True, False),
        (503, True, True), (529, True, False), (301, False, False),
    ],
)  # fmt: skip
def test_only_what_may_pass_is_tried_again(server: Outside, status: int, retryable: bool, sure: bool):
    server.answer("/", Answer(status, {"Retry-After": "7"}, body=b"why not"))
    error = fault("http_request", {"method": "POST", "url": f"{server.url}/"})
    assert error.info.retryable == retryable
    assert error.info.retry_after_s == (7 if retryable else None)
    assert isinstance(error, NoEffect) == sure
    assert str(status) in error.message
    assert error.info.detail == "why not"


def test_the_words_of_a_refusal_can_be_stored(server: Outside):
    server.answer("/", Answer(500, body=b"a\0b"))
    error = fault("http_request", {"method": "POST", "url": f"{server.url}/"})
    assert error.info.detail == "ab"


def test_other_statuses_may_be_good(server: Outside):
    server.answer("/", Answer(404, json={"found": False}))
    outcome = run("http_request", {"url": f"{server.url}/", "expected": "200-299, 404"})
    assert (outcome.output["status"], outcome.output["json"]) == (404, {"found": False})
    error = fault("http_request", {"url": f"{server.url}/other", "expected": "404"})
    assert "Expected: 404" in error.message


@pytest.mark.parametrize(
    ("text", "some"), [("200", {200}), ("200-202,404", {200, 201, 202, 404}), (" 500 - 501 ,", {500, 501})]
)
def test_statuses_are_numbers_and_ranges(text: str, some: set[int]):
    assert statuses(text) == some


@pytest.mark.parametrize("text", ["ok", "200-", "99", "600", "300-200", "2xx"])
def test_what_is_no_status_is_told_in_the_editor(text: str):
    kind = registry.get("http_request")
    problems = kind.check(
        StepDef("s", "http_request", "S", config={"expected": text, "url": "https://x.example"})
    )
    assert [problem.field for problem in problems] == ["expected"]


def test_a_bad_address_and_a_bad_part_are_told_in_the_editor():
    kind = registry.get("http_request")
    config = {"url": "ftp://x", "response_mapping": {"status": "json.a", "b": "json..c"}}
    problems = kind.check(StepDef("s", "http_request", "S", config=config))
    assert {problem.field for problem in problems} == {"url", "response_mapping.status", "response_mapping.b"}
    assert kind.check(StepDef("s", "http_request", "S", config={"url": "{{input.url}}"})) == ()


def test_a_query_is_added_to_one_that_is_there():
    assert with_query("https://x.example/a?b=1#c", [("d", "2 3")]) == "https://x.example/a?b=1&d=2+3#c"
    assert with_query("https://x.example/a", []) == "https://x.example/a"


def test_an_answer_that_a_receipt_keeps_is_gone_on_with(server: Outside):
    receipt = {
        "status": 201,
        "url": server.url,
        "headers": {"content-type": "application/json; charset=latin-1"},
    }
    ledger = FakeLedger(Receipt(DeliveryStatus.SENT, {**receipt, "body": '{"é": 1}'}, again=True))
    outcome = run("http_request", {"method": "POST", "url": server.url}, ledger=ledger)
    assert outcome.output["json"] == {"é": 1}
    assert "not sent again" in outcome.notes
    assert server.requests == []


@pytest.mark.parametrize("status", [DeliveryStatus.OUTBOX, DeliveryStatus.SKIPPED])
def test_what_was_not_sent_says_so(server: Outside, status: DeliveryStatus):
    for type in ("http_request", "webhook"):
        config = {"url": server.url, **({"method": "POST"} if type == "http_request" else {})}
        outcome = run(type, config, previous={"content": "x"}, ledger=FakeLedger(Receipt(status)))
        assert outcome.output["delivery"] == status
        assert outcome.output["status"] is None
        assert outcome.notes
    assert server.requests == []


# --- webhook ---------------------------------------------------------------------------------------------


def test_a_webhook_sends_an_envelope_with_its_headers(server: Outside):
    config = {
        "url": f"{server.url}/in",
        "event": "order.ready",
        "headers": {"X-One": "1", "webhook-id": "mine"},
    }
    ledger = FakeLedger()
    outcome = run("webhook", config, previous={"content": "hello", "n": 1}, label="Tell them", ledger=ledger)
    (sent,) = server.requests
    message_id = outcome.output["id"]
    assert sent.json == {
        "id": message_id,
        "type": "order.ready",
        "timestamp": NOW.isoformat(),
        "run": {"id": "run-1", "test": False},
        "step": "Tell them",
        "data": {"content": "hello", "n": 1},
    }
    assert sent.headers["webhook-id"] == message_id
    assert message_id.startswith("msg_")
    assert sent.headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert (
        sent.headers["webhook-signature"]
        == f"v1,signature of {message_id} {int(NOW.timestamp())} {len(sent.body)}"
    )
    assert sent.headers["x-one"] == "1"
    assert ledger.effects[0].on_unknown is OnUnknown.REPEAT
    assert json.loads(ledger.effects[0].copy["body"]) == sent.json


def test_every_try_of_a_webhook_sends_the_same_bytes(server: Outside):
    for _ in range(2):
        run("webhook", {"url": server.url}, previous={"content": "x"})
    one, two = server.requests
    assert one.body == two.body
    assert one.headers["webhook-id"] == two.headers["webhook-id"]


def test_a_webhook_takes_fields_or_everything(server: Outside):
    run("webhook", {"url": server.url, "fields": {"a-b": "{{input.n}}"}}, input={"n": 3})
    everything = {"url": server.url, "send": "context"}
    run("webhook", everything, input={"n": 3}, vars={"v": 1}, steps={"One": {"content": "x"}})
    assert server.requests[0].json["data"] == {"a-b": 3}
    assert server.requests[1].json["data"] == {
        "input": {"n": 3},
        "vars": {"v": 1},
        "steps": {"One": {"content": "x"}},
    }


@pytest.mark.parametrize(
    ("status", "retryable"), [(302, False), (400, False), (410, False), (429, True), (500, True)]
)
def test_a_webhook_is_delivered_only_with_a_2xx(server: Outside, status: int, retryable: bool):
    server.answer("/", Answer(status, {"Location": "/elsewhere"}))
    error = fault("webhook", {"url": f"{server.url}/"}, previous={"content": "x"})
    assert error.info.retryable == retryable
    assert len(server.requests) == 1, "the signed message goes nowhere else"


# --- email -----------------------------------------------------------------------------------------------


def test_a_mail_is_written_from_the_data():
    ledger = FakeLedger()
    config = {
        "to": "{{input.who}}",
        "subject": "Order {{input.n}}\r\nBcc: all@example.com",
        "body": "**Ready**\n\n<script>alert(1)</script>",
        "reply_to": "desk@example.com",
    }
    outcome = run(
        "email", config, input={"who": ["ann@example.com", "bob@example.com"], "n": 3}, ledger=ledger
    )
    (mail,) = ledger.mails
    assert mail.to == ("ann@example.com", "bob@example.com")
    assert mail.subject == "Order 3 Bcc: all@example.com", "one line, so that no header begins in it"
    assert mail.text.startswith("**Ready**")
    assert "<strong>Ready</strong>" in mail.html
    assert "<script" not in mail.html
    assert mail.reply_to == "desk@example.com"
    assert mail.on_unknown is OnUnknown.ASK
    assert outcome.output["to"] == ["ann@example.com", "bob@example.com"]
    assert outcome.notes == "Sent to 2 addresses"


def test_plain_text_stays_plain():
    ledger = FakeLedger()
    run(
        "email",
        {"to": "a@x.org", "subject": "S", "format": "text"},
        previous={"content": "**x**"},
        ledger=ledger,
    )
    assert (ledger.mails[0].text, ledger.mails[0].html) == ("**x**", "")


@pytest.mark.parametrize(
    ("to", "addresses"),
    [
        ("a@x.org, b@x.org; a@x.org", ("a@x.org", "b@x.org")),
        ("{{input.step}}", ("c@x.org",)),
        ("{{input.person}}", ("d@x.org",)),
        ("{{input.people}}", ("d@x.org", "e@x.org")),
    ],
)
def test_addresses_are_read_from_texts_lists_and_people(to: str, addresses: tuple[str, ...]):
    data = {
        "step": {"content": "c@x.org"},
        "person": {"email": "d@x.org"},
        "people": [{"email": "d@x.org"}, "e@x.org"],
    }
    ledger = FakeLedger()
    run("email", {"to": to, "subject": "S", "body": "B"}, input=data, ledger=ledger)
    assert ledger.mails[0].to == addresses


@pytest.mark.parametrize(
    ("config", "data", "code", "field"),
    [
        ({"to": "{{input.x}}"}, {"x": "nobody"}, "bad_address", "to"),
        ({"to": "{{input.x}}"}, {"x": "a@x.org\r\nBcc: b@x.org"}, "bad_address", "to"),
        ({"to": "{{input.x}}"}, {"x": 3}, "bad_address", "to"),
        ({"to": "{{input.x}}"}, {"x": []}, "empty_input", "to"),
        ({"to": "{{input.x}}"}, {"x": [f"a{n}@x.org" for n in range(51)]}, "too_many", "to"),
        ({"to": "a@x.org", "subject": " {{input.x}}"}, {"x": " "}, "empty_input", "subject"),
        ({"to": "a@x.org", "body": "{{input.x}}"}, {"x": ""}, "empty_input", "body"),
    ],
)  # fmt: skip
def test_a_mail_that_cannot_be_written_is_not_sent(config: dict[str, Any], data: Any, code: str, field: str):
    ledger = FakeLedger()
    error = fault("email", {"subject": "S", "body": "B", **config}, input=data, ledger=ledger)
    assert (error.code, error.info.field, error.info.retryable) == (code, field, False)
    assert ledger.mails == []


def test_a_bad_address_is_told_in_the_editor():
    kind = registry.get("email")
    (problem,) = kind.check(
        StepDef("s", "email", "S", config={"subject": "S", "body": "T", "to": "ann@example.com, bob"})
    )
    assert problem.field == "to"
    assert "bob" in problem.message
    assert (
        kind.check(StepDef("s", "email", "S", config={"subject": "S", "body": "T", "to": "{{input.a}}"}))
        == ()
    )
