"""What a step type is, what its executor is given, and what it may answer."""

from __future__ import annotations

from abc import ABC
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeAlias

from django import forms

from workflows.definition.graph import DEFAULT_PORT, StepDef
from workflows.definition.library import Library
from workflows.definition.retry import ONCE, RetryPolicy
from workflows.expressions.names import Scope
from workflows.lib.errors import ErrorInfo, Fault, Problem, StepwellError
from workflows.lib.jsontypes import JSONObject, JSONValue
from workflows.providers.base import ChatAnswer, ChatRequest

if TYPE_CHECKING:
    from workflows.lib.safe_http import OutboundRequest, OutboundResponse


class Group(StrEnum):
    """Where the picker shows a type (design README §4: Think, Ask a person, Steer, Do)."""

    THINK = "think"
    ASK = "ask"
    STEER = "steer"
    DO = "do"


class ExecutionKind(StrEnum):
    """How an executor is run: at once in the driver, on the asyncio loop, or in a thread."""

    INLINE = "inline"
    ASYNC = "async"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Port:
    """A way out of a step. `name` is what edges say, `label` what people read."""

    name: str = DEFAULT_PORT
    label: str = ""


# --- what an executor answers -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Emit:
    """An event that the shell tells in the transaction in which the step completes."""

    name: str
    data: JSONValue


@dataclass(frozen=True, slots=True)
class Completed:
    """The step is done. `output` is a JSON object whose main text is `content`; `port` is the way out.

    `variables` are context variables to set, `emits` events to tell, `notes` short facts for the run page ("6 of 20 sentences kept").
    """

    output: JSONObject
    port: str = DEFAULT_PORT
    variables: JSONObject = field(default_factory=dict)
    answers: tuple[ChatAnswer, ...] = ()
    notes: str = ""
    emits: tuple[Emit, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitUntil:
    """Hold no worker until `at` (UTC), then be completed with `output` on `port`."""

    at: datetime
    output: JSONObject
    port: str = DEFAULT_PORT


@dataclass(frozen=True, slots=True)
class ReviewRequest:
    """A gate: what a person is asked, about which value, and who may decide.

    `content` is the value under review (JSON object); `editable` says whether its text may be changed;
    `assignees` are `user:EMAIL` or `role:ROLE`, empty = everybody whose role may review;
    `buttons` are (decision, label, port); `fields` are form field declarations `{name, label, type, required}`.
    At the times of `reminders` who may decide is reminded; at `escalate_at` those of `escalate_to` may decide as well.
    """

    title: str
    content: JSONObject
    instructions: str = ""
    editable: bool = True
    assignees: tuple[str, ...] = ()
    quorum: int = 1
    bar_starter: bool = False
    fields: tuple[JSONObject, ...] = ()
    buttons: tuple[tuple[str, str, str], ...] = (
        ("approve", "Approve", "approved"),
        ("reject", "Reject", "rejected"),
    )
    due_at: datetime | None = None
    default_decision: str | None = None
    reminders: tuple[datetime, ...] = ()
    escalate_at: datetime | None = None
    escalate_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EndRun:
    """End the run now, as completed, with `output` (a filter that does not hold)."""

    output: JSONObject
    reason: str


@dataclass(frozen=True, slots=True)
class NewItem:
    """One item of a container: its value (`item`), and a heading that people tell it by."""

    value: JSONValue
    heading: str = ""


@dataclass(frozen=True, slots=True)
class OpenItems:
    """A container begins: its items, and how they are worked through.

    `tolerated` failed items (or `tolerated_percent` of all) leave the container whole; `needed` completed ones are
    enough (None: all). `in_order`: one after the other, also while one waits. `more`: the container is asked for the next item after the last one. `passes_last`: in the
    body `previous` of a first step is the result of the item before, not the item. `result` is the expression of an
    item's result; empty: the last step's output. `keeps_headings`: an item's heading stands in its result.
    """

    items: tuple[NewItem, ...]
    concurrency: int = 1
    tolerated: int = 0
    tolerated_percent: float | None = None
    needed: int | None = None
    in_order: bool = False
    more: bool = False
    passes_last: bool = False
    result: str = ""
    keeps_headings: bool = False
    notes: str = ""


@dataclass(frozen=True, slots=True)
class StartChild:
    """Run another workflow and wait for it: its output becomes this step's. `workflow` is an id or a name."""

    workflow: str
    input: JSONObject


Outcome: TypeAlias = Completed | WaitUntil | ReviewRequest | EndRun | OpenItems | StartChild


class StepError(StepwellError):
    """A step could not do its work. `retryable` says whether trying again can help."""

    code = "step"
    fault = Fault.AUTHOR

    def __init__(
        self,
        message: str,
        *,
        code: str = "step",
        retryable: bool = False,
        fault: Fault = Fault.AUTHOR,
        field: str | None = None,
        fix: str | None = None,
        detail: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.info = ErrorInfo(
            code=code,
            message=message,
            retryable=retryable,
            fault=fault,
            field=field,
            fix=fix,
            detail=detail,
            retry_after_s=retry_after_s,
        )


class NoEffect(StepError):
    """A StepError after which it is sure that nothing happened outside: not sent at all, or refused by the other side."""


# --- what leaves the house ----------------------------------------------------------------------


class OnUnknown(StrEnum):
    """What to do where nobody knows whether an earlier try got through (07 §4)."""

    REPEAT = "repeat"
    ASK = "ask"
    SKIP = "skip"


class DeliveryStatus(StrEnum):
    """What became of an outward act; `unknown` until there is a receipt."""

    UNKNOWN = "unknown"
    SENT = "sent"
    OUTBOX = "outbox"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Effect:
    """One outward act as the ledger keeps it: `kind` (`email`, `webhook`, `http`), `target` (to whom, where), and `copy`,
    what is sent as a person may read it, without secrets."""

    kind: str
    target: str
    copy: JSONObject
    on_unknown: OnUnknown = OnUnknown.REPEAT


@dataclass(frozen=True, slots=True)
class Receipt:
    """`detail` is what the other side said; a detail with `whole: false` is no answer to go on with.

    `again` says that an earlier try had sent it, and nothing was sent now.
    """

    status: DeliveryStatus
    detail: JSONObject = field(default_factory=dict)
    again: bool = False


@dataclass(frozen=True, slots=True)
class Email:
    """One mail. `html` is the same text for readers that show it; `message_id` is the same on every try."""

    to: tuple[str, ...]
    subject: str
    text: str
    html: str = ""
    reply_to: str = ""
    on_unknown: OnUnknown = OnUnknown.ASK


Act: TypeAlias = Callable[[], Awaitable[JSONObject]]


# --- what an executor is given ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a step may know of its run."""

    id: str
    started_at: datetime
    is_test: bool = False
    yolo: bool = False


def _no_chat(request: ChatRequest) -> Awaitable[ChatAnswer]:
    raise StepError("This step was given no way to call a model.", code="no_model", fault=Fault.INTERNAL)


def _ignore(text: str) -> None:
    return None


async def _act_now(effect: Effect, act: Act) -> Receipt:
    return Receipt(DeliveryStatus.SENT, await act())


def _no_email(email: Email) -> Awaitable[Receipt]:
    raise NoEffect("This step was given no way to send mail.", code="no_email", fault=Fault.INTERNAL)


def _no_connection(request: OutboundRequest, connection: str) -> Awaitable[OutboundResponse]:
    raise NoEffect("This step was given no connections.", code="no_connection", fault=Fault.INTERNAL)


def _no_signature(message_id: str, at: int, body: bytes) -> str:
    raise NoEffect("This step was given no key to sign with.", code="no_signature", fault=Fault.INTERNAL)


_NO_LIBRARY: Final = Library()


@dataclass(frozen=True, slots=True)
class StepContext:
    """Everything an executor gets: values and callbacks, never the ORM, the queue or a socket.

    `scope` holds the data its texts may see; `previous` is the value of the step before;
    `arrived` are the live predecessors' (label, output), in edge order (several where a join brought them together);
    `chat` calls a model (streams to the page, follows the fallback chain, records the attempt by itself);
    `write` shows text on the run page while the step works; `idempotency_key` is the same on every attempt.
    `deliver` makes an outward act through the ledger: once, with a receipt; a test run keeps its copy in the outbox and
    never calls the act. `send_email` does the same for mail. `sign` gives the signature header of a webhook
    (id, Unix seconds, body) by the tenant's key. `library` are the prompts and personas frozen with the definition.
    `call_with` makes a guarded call with the key of a connection, by its name; the step never sees the key.
    """

    step: StepDef
    scope: Scope
    previous: JSONValue
    now: datetime
    run: RunFacts
    attempt: int = 1
    idempotency_key: str = ""
    chat: Callable[[ChatRequest], Awaitable[ChatAnswer]] = _no_chat
    write: Callable[[str], None] = _ignore
    arrived: tuple[tuple[str, JSONObject], ...] = ()
    deliver: Callable[[Effect, Act], Awaitable[Receipt]] = _act_now
    send_email: Callable[[Email], Awaitable[Receipt]] = _no_email
    sign: Callable[[str, int, bytes], str] = _no_signature
    library: Library = _NO_LIBRARY
    call_with: Callable[[OutboundRequest, str], Awaitable[OutboundResponse]] = _no_connection

    @property
    def config(self) -> JSONObject:
        return self.step.config


# --- the type itself ----------------------------------------------------------------------------


class StepType(ABC):
    """A kind of step, declared in one place.

    From this come the builder's form, the API's validation, the OpenAPI schema, the docs page and the canvas node.
    The docstring is the description that people read.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    icon: ClassVar[str]
    group: ClassVar[Group]
    # A few words for the picker, under the label.
    tagline: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    is_container: ClassVar[bool] = False
    is_outward: ClassVar[bool] = False
    can_disable: ClassVar[bool] = True
    default_retry: ClassVar[RetryPolicy] = ONCE
    default_timeout: ClassVar[timedelta] = timedelta(minutes=5)
    ConfigForm: ClassVar[type[forms.Form]] = forms.Form

    def kind(self, config: JSONObject) -> ExecutionKind:
        """How `execute` is to be run with these settings."""
        return ExecutionKind.INLINE

    def uses_model(self, config: JSONObject) -> bool:
        """Whether a model is called with these settings (tile colour, estimates, retry default)."""
        return False

    def ports(self, config: JSONObject) -> tuple[Port, ...]:
        """Ways out, in order; the first is the main one (healing and bypassing follow it). `error` is added by policy."""
        return (Port(),)

    def summary(self, config: JSONObject) -> str:
        """One line in words of what the step does, made from its settings."""
        return self.label

    def retry_policy(self, config: JSONObject) -> RetryPolicy:
        """The policy that holds when the step has none of its own."""
        return self.default_retry

    def output_fields(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        """(name, JSON type) of the output's known fields, for completion in the editor."""
        return (("content", "string"),)

    def sets_variables(self, config: JSONObject) -> tuple[tuple[str, str], ...]:
        """(field, name) of every context variable that the step sets with these settings."""
        return ()

    def adopt(self, config: JSONObject) -> JSONObject:
        """The config with other people's spellings put into ours (`condition` with a bare expression, …)."""
        return config

    def check(self, step: StepDef) -> tuple[Problem, ...]:
        """Semantic problems of the settings that the form's own cleaning cannot see."""
        return ()

    def own_body(self, step: StepDef) -> StepDef | None:
        """For containers: the hidden step that the settings stand for (a prompt per item); None: a body of steps."""
        return None

    def generated(self, step: StepDef) -> tuple[StepDef, ...]:
        """Steps that the settings add after this one in every run, in a row; the workflow itself stays without."""
        return ()

    def along(self, config: JSONObject, output: JSONObject, port: str) -> JSONObject:
        """What the step at the end of a path on `port` is given of this step's output."""
        return output

    def next_item(self, context: StepContext, index: int) -> NewItem | None:
        """For containers whose items come one by one: item number `index`, or None when there is none any more."""
        return None

    def why_no_more(self, context: StepContext, index: int) -> str:
        """After `next_item` gave none: what people should know of it; empty where it simply came to its end."""
        return ""

    def execute(self, context: StepContext) -> Outcome:
        """Do the work (kinds INLINE and CPU). Raises StepError."""
        raise NotImplementedError(f"{type(self).__name__} is not run inline")

    async def execute_async(self, context: StepContext) -> Outcome:
        """Do the work (kind ASYNC). Raises StepError; cancelling the task stops the work."""
        raise NotImplementedError(f"{type(self).__name__} is not run on the loop")

    @classmethod
    def description(cls) -> str:
        """The first paragraph of the docstring."""
        return " ".join((cls.__doc__ or "").strip().split("\n\n")[0].split())

    def form(self, config: JSONObject | None = None, **kwargs: Any) -> forms.Form:
        """The settings form, filled from a stored config (unbound when `config` is None)."""
        return self.ConfigForm(initial=config, **kwargs)
