"""`make soak`: random workflows on real workers that are killed, frozen and cut off at random; the doctor looks at the end.

SOAK_MINUTES (default 10) says how long, SOAK_SEED repeats a soak. Everything lives in a folder of its own under /tmp,
which stays when something was wrong. Exit status 1: a run did not end, or the doctor found something.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runs.models import Run
    from tests.support.fake_openai import FakeOpenAI
    from tests.support.jobs import OwnRedis
    from workflows.tenancy.actor import Actor

MINUTES = float(os.environ.get("SOAK_MINUTES") or 10)
SEED = int(os.environ.get("SOAK_SEED") or random.SystemRandom().randrange(1_000_000))
LEASE_SECONDS = 3
# D1: two minutes after the last fault every run has ended.
SETTLE_SECONDS = 120.0
RUNS_AT_ONCE = 12
WORKERS, KEEPERS = 2, 2
DONE = ("completed", "failed", "cancelled")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Site:
    """The processes of the soak and what may happen to them."""

    def __init__(
        self, folder: Path, environment: dict[str, str], redis: OwnRedis, chance: random.Random
    ) -> None:
        self.folder = folder
        self.environment = environment
        self.redis = redis
        self.chance = chance
        self.done: Counter[str] = Counter()
        self.frozen: list[tuple[float, subprocess.Popen[bytes]]] = []
        self.workers = [self._start("run_worker", "--threads", "6", "--grace", "1") for _ in range(WORKERS)]
        self.keepers = [self._start("run_keeper", "--every", "0.5") for _ in range(KEEPERS)]

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        from config.launcher.processes import die_with
        from config.paths import BASE_DIR

        with (self.folder / "process.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(BASE_DIR / "manage.py"), *arguments],
                cwd=BASE_DIR,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with(os.getpid()),
            )

    def something_happens(self) -> None:
        """One random fault. A worker is not killed so often that a step's three crashes come together by themselves."""
        what = self.chance.choice(
            [
                "kill_worker",
                "kill_worker",
                "stop_worker",
                "kill_keeper",
                "flush",
                "redis",
                "freeze",
                "nothing",
            ]
        )
        self.done[what] += 1
        match what:
            case "kill_worker":
                self._replace(self.workers, signal.SIGKILL)
            case "stop_worker":
                self._replace(self.workers, signal.SIGTERM)
            case "kill_keeper":
                self._replace(self.keepers, signal.SIGKILL)
            case "flush":
                self.redis.client().flushall()
            case "redis":
                self.redis.kill()
                time.sleep(self.chance.uniform(0, 2))
                self.redis.start()
            case "freeze":
                worker = self.chance.choice(self.workers)
                worker.send_signal(signal.SIGSTOP)
                self.frozen.append((time.monotonic() + self.chance.uniform(1, LEASE_SECONDS * 3), worker))

    def _replace(self, processes: list[subprocess.Popen[bytes]], how: signal.Signals) -> None:
        place = self.chance.randrange(len(processes))
        old = processes[place]
        old.send_signal(signal.SIGCONT)
        old.send_signal(how)
        try:
            old.wait(timeout=30)
        except subprocess.TimeoutExpired:
            old.kill()
            old.wait()
        arguments = [str(argument) for argument in old.args[2:]] if isinstance(old.args, list) else []
        processes[place] = self._start(*arguments)

    def thaw(self, everybody: bool = False) -> None:
        now = time.monotonic()
        for at, process in list(self.frozen):
            if everybody or at <= now:
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)
                self.frozen.remove((at, process))

    def close(self) -> None:
        for process in (*self.workers, *self.keepers):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


def random_workflow(chance: random.Random) -> Any:
    """Three to ten steps in a chain with side branches: text, models, delays, conditions, joins that race."""
    from tests.runs.support import definition_of, node

    count = chance.randint(3, 10)
    nodes: list[dict[str, Any]] = [node("k0", "clean_text", config={"text": "{{ input.text }}"})]
    paths: list[str] = []
    for number in range(1, count):
        key = f"k{number}"
        kind = chance.choice(["llm", "llm", "llm", "transform", "delay", "summarize"])
        fields: dict[str, Any] = {}
        if kind == "llm":
            config = {"prompt": f"Say something, {key}: {{{{ previous }}}}", "model": "openai:fake-small"}
            retry = {"max_attempts": 4, "delay_ms": chance.choice([100, 3_000]), "jitter": 0}
            fields = {"config": config, "retry_policy": retry}
        elif kind == "delay":
            fields = {"config": {"duration": f"{chance.randint(1, 4)} seconds"}}
        sources = sorted(chance.sample(range(number), min(number, chance.choice([1, 1, 1, 2, 3]))))
        if len(sources) > 1 and chance.random() < 0.5:
            fields["join"] = {"rule": "any", "losers": chance.choice(["cancel", "leave"])}
        nodes.append(node(key, kind, **fields))
        paths += [f"k{source}>{key}" for source in sources]
    return definition_of(nodes, *paths)


def teach(model: FakeOpenAI, chance: random.Random) -> None:
    """Answers that take their time, and now and then fail in ways that a retry mends."""
    from tests.support.fake_openai import Reply, Request

    def answer(_: Request) -> Reply:
        draw = chance.random()
        if draw < 0.06:
            return Reply(status=503)
        if draw < 0.1:
            return Reply(pieces=["cut ", "short"], cut_after=1)
        pieces = ["word "] * chance.randint(1, 30)
        return Reply(pieces=pieces, delay_s=chance.uniform(0, 0.1))

    model.default = answer


def soak(folder: Path, model: FakeOpenAI) -> int:
    from django.core.management import call_command

    from runs.models import Run
    from tests.support.jobs import OwnRedis
    from tests.support.stack import stack_environment

    call_command("migrate", verbosity=0)
    chance = random.Random(SEED)
    redis = OwnRedis(folder)
    redis.start()
    own = {
        "STEPWELL_LEASE_SECONDS": str(LEASE_SECONDS),
        "OPENAI_BASE_URL": model.url,
        "OPENAI_API_KEY": "fake",
    }
    if url := os.environ.get("DATABASE_URL"):
        own["DATABASE_URL"] = url
    teach(model, random.Random(f"{SEED} model"))
    actor = _actor()
    site = Site(folder, stack_environment(folder, 0, own), redis, chance)
    began = time.monotonic()
    next_fault = next_word = began + 5
    try:
        while time.monotonic() < began + MINUTES * 60:
            open_runs = Run.objects.exclude(status__in=DONE).count()
            for _ in range(RUNS_AT_ONCE - open_runs):
                _begin(actor, chance)
            site.thaw()
            if time.monotonic() >= next_fault:
                site.something_happens()
                next_fault = time.monotonic() + chance.uniform(2, 8)
            if time.monotonic() >= next_word:
                say(f"{time.monotonic() - began:5.0f} s  {_counts()}  faults {dict(site.done)}")
                next_word = time.monotonic() + 15
            time.sleep(0.3)
        site.thaw(everybody=True)
        settle = time.monotonic() + SETTLE_SECONDS
        while Run.objects.exclude(status__in=DONE).exists() and time.monotonic() < settle:
            time.sleep(0.5)
    finally:
        site.close()
        redis.kill()
    return _verdict(site)


def _verdict(site: Site) -> int:
    from django.db.models import Sum

    from runs.models import Attempt, Run, StepRun
    from runs.services.doctor import examine

    wrong = [finding.sentence for finding in examine()]
    wrong += [
        f"Run {run.number} has not ended: {run.status}." for run in Run.objects.exclude(status__in=DONE)
    ]
    for run in Run.objects.filter(status__in=DONE):
        steps = StepRun.objects.filter(run=run).aggregate(sum=Sum("input_tokens"))["sum"] or 0
        tries = Attempt.objects.filter(run=run).aggregate(sum=Sum("input_tokens"))["sum"] or 0
        if not steps == tries == run.input_tokens:
            wrong.append(
                f"Run {run.number} counts {run.input_tokens} tokens, its steps {steps}, its tries {tries}."
            )
        # What is meant to fail here is mended by a retry; three crashes in one step are the soak's own doing.
        if run.status == "failed" and (run.error or {}).get("code") not in (
            "crashed",
            "server_error",
            "cut_stream",
        ):
            wrong.append(f"Run {run.number} failed: {run.error}")
    interrupted = Attempt.objects.filter(status="interrupted").count()
    say(f"{_counts()}  tries {Attempt.objects.count()}, cut short {interrupted}  faults {dict(site.done)}")
    for sentence in wrong:
        say(f"WRONG: {sentence}")
    say(f"SOAK_SEED={SEED}: {'nothing is wrong' if not wrong else f'{len(wrong)} things are wrong'}.")
    return 1 if wrong else 0


def _actor() -> Actor:
    from tests.support import factories

    return factories.world().bob


def _begin(actor: Actor, chance: random.Random) -> Run:
    from tests.runs.support import started

    return started(
        actor, random_workflow(chance), {"text": "The well is old. Its water is cold. We drink it."}
    )


def _counts() -> dict[str, int]:
    from runs.models import Run

    return dict(sorted(Counter(Run.objects.values_list("status", flat=True)).items()))


def main() -> int:
    say(f"Soaking for {MINUTES:g} minutes, SOAK_SEED={SEED}")
    folder = Path(tempfile.mkdtemp(prefix="stepwell-soak-", dir="/tmp"))
    os.environ["STEPWELL_DATA_DIR"] = str(folder)
    os.environ.pop("REDIS_URL", None)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("STEPWELL_LOG_LEVEL", "ERROR")
    import django

    django.setup()
    from tests.support.fake_openai import FakeOpenAI

    with FakeOpenAI() as model:
        status = soak(folder, model)
    if status:
        say(f"Everything is kept in {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
