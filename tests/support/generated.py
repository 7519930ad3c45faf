"""A generated history: finished runs with steps, calls, gates and failures, from a seed. The facts it was made of come
back as plain values, so that figures can be computed by hand from them."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from runs.models import Attempt, Event, Review, Run, RunCounter, StepRun
from workflows.lib.ids import new_id
from workflows.models import Workflow, WorkflowVersion
from workflows.tenancy.models import Tenant, User

MODELS = (("openai", "gpt-4o-mini"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro"))
CAUSES = ("rate_limited", "credit", "timeout")


@dataclass(frozen=True)
class StepFact:
    key: str
    type: str
    ms: int
    status: str = "completed"
    tries: int = 1
    lost_ms: int = 0


@dataclass(frozen=True)
class RunFact:
    id: uuid.UUID
    workflow: Workflow
    person: User | None
    kind: str
    status: str
    started: datetime
    ended: datetime
    reviewed: bool
    cause: str
    mended_ms: int | None
    provider: str
    model: str
    tokens: tuple[int, int]
    cost: Decimal
    called: datetime
    steps: tuple[StepFact, ...]

    @property
    def ms(self) -> int:
        return (self.ended - self.started) // timedelta(milliseconds=1)


def facts(
    seed: int,
    many: int,
    workflows: Sequence[Workflow],
    people: Sequence[User],
    newest: datetime,
    apart: timedelta,
) -> Iterator[RunFact]:
    """Newest first, one every `apart` before `newest`."""
    chance = random.Random(seed)
    for number in range(many):
        ended = newest - apart * number - timedelta(milliseconds=chance.randrange(900))
        kind = "live" if chance.random() < 0.9 else "test"
        status = chance.choices(["completed", "failed", "cancelled"], [92, 6, 2])[0]
        provider, model = chance.choice(MODELS)
        tries = 2 if chance.random() < 0.1 else 1
        lost = chance.randrange(1_000, 20_000) if tries == 2 else 0
        mended = (
            chance.randrange(60_000, 9_000_000) if status == "completed" and chance.random() < 0.02 else None
        )
        ms = int(chance.lognormvariate(9.5, 0.7)) + lost
        started = ended - timedelta(milliseconds=ms)
        steps = [
            StepFact("clean", "clean_text", chance.randrange(1, 30)),
            StepFact("ask", "llm", ms // 2, tries=tries, lost_ms=lost),
            StepFact("each", "fan_out", ms // 3, status="failed" if status == "failed" else "completed"),
        ]
        reviewed = status == "completed" and chance.random() < 0.2
        if reviewed:
            steps.append(StepFact("gate", "review", ms // 4))
        yield RunFact(
            id=new_id(),
            workflow=chance.choice(workflows),
            person=chance.choice([*people, None]),
            kind=kind,
            status=status,
            started=started,
            ended=ended,
            reviewed=reviewed,
            cause=chance.choice(CAUSES) if status == "failed" else "",
            mended_ms=mended,
            provider=provider,
            model=model,
            tokens=(chance.randrange(100, 5_000), chance.randrange(10, 2_000)),
            cost=Decimal(chance.randrange(1, 9_000_000)) / 100_000_000,
            called=started + timedelta(milliseconds=ms // 2 + lost),
            steps=tuple(steps),
        )


def store(tenant: Tenant, history: Sequence[RunFact], versions: dict[uuid.UUID, WorkflowVersion]) -> None:
    """The rows of these runs, straight into the tables. `versions` by workflow id."""
    counter, _ = RunCounter.objects.get_or_create(tenant=tenant)
    for start in range(0, len(history), 2_000):
        part = history[start : start + 2_000]
        Run.objects.bulk_create(
            Run(
                id=fact.id,
                tenant=tenant,
                workflow=fact.workflow,
                version=versions[fact.workflow.pk],
                number=counter.last + len(history) - start - place,
                kind=fact.kind,
                status=fact.status,
                started_by=fact.person,
                input={"text": f"Article {start + place}"},
                output={"content": "A few words."} if fact.status == "completed" else None,
                error={"code": fact.cause, "message": f"What {fact.cause} means."} if fact.cause else None,
                steps_total=len(fact.steps),
                steps_done=len(fact.steps),
                input_tokens=fact.tokens[0],
                output_tokens=fact.tokens[1],
                cost=fact.cost,
                event_seq=2,
                created_at=fact.started,
                started_at=fact.started,
                completed_at=fact.ended,
            )
            for place, fact in enumerate(part)
        )
        steps: list[StepRun] = []
        attempts: list[Attempt] = []
        reviews: list[Review] = []
        events: list[Event] = []
        for fact in part:
            for step in fact.steps:
                row = StepRun(
                    id=new_id(),
                    run_id=fact.id,
                    tenant=tenant,
                    step_key=step.key,
                    label=step.key.capitalize(),
                    type=step.type,
                    status=step.status,
                    round=1 if fact.mended_ms is not None and step.key == "ask" else 0,
                    attempt=step.tries,
                    port="out",
                    output={"content": "A few words."} if step.status == "completed" else None,
                    started_at=fact.started,
                    completed_at=fact.started + timedelta(milliseconds=step.ms),
                )
                steps.append(row)
                if step.type == "llm":
                    attempts += _attempts(tenant, fact, step, row)
                if step.type == "review":
                    reviews.append(
                        Review(
                            tenant=tenant,
                            run_id=fact.id,
                            step_run=row,
                            workflow=fact.workflow,
                            status=Review.Status.DECIDED,
                            title="Publish?",
                            content={"content": "text"},
                            decision="approve",
                            decided_by=fact.person or User.objects.first(),
                            decided_at=fact.ended,
                        )
                    )
            if fact.mended_ms is not None:
                at = fact.ended - timedelta(milliseconds=fact.mended_ms)
                events.append(Event(run_id=fact.id, tenant=tenant, seq=2, type="run_failed", at=at))
            events.append(Event(run_id=fact.id, tenant=tenant, seq=1, type="run_started", at=fact.started))
        StepRun.objects.bulk_create(steps)
        Attempt.objects.bulk_create(attempts)
        Review.objects.bulk_create(reviews)
        Event.objects.bulk_create(events)
    RunCounter.objects.filter(tenant=tenant).update(last=counter.last + len(history))


def _attempts(tenant: Tenant, fact: RunFact, step: StepFact, row: StepRun) -> list[Attempt]:
    found = []
    begun = fact.started
    if step.tries > 1:
        found.append(
            Attempt(
                id=new_id(),
                step_run=row,
                run_id=fact.id,
                tenant=tenant,
                number=1,
                status="failed",
                error={"code": "rate_limited", "message": "Too many requests."},
                started_at=begun,
                ended_at=begun,
            )
        )
        begun += timedelta(milliseconds=step.lost_ms)
    found.append(
        Attempt(
            id=new_id(),
            step_run=row,
            run_id=fact.id,
            tenant=tenant,
            number=step.tries,
            status="succeeded",
            provider=fact.provider,
            model=fact.model,
            input_tokens=fact.tokens[0],
            output_tokens=fact.tokens[1],
            cost=fact.cost,
            started_at=begun,
            ended_at=fact.called,
        )
    )
    return found
