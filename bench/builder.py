"""What each thing a person does in the builder costs the server, with 20 and with 200 steps: processor time and queries."""

from __future__ import annotations

from typing import Final

from bench.pages import Browser
from bench.report import equal, section, spent
from bench.support import DATA_DIR, Bench
from tests.support.builder_deeds import deeds, workflow_of
from tests.support.redis import redis_server

# How many steps, and a model step in the middle of them.
SIZES: Final = ((20, "s10"), (200, "s110"))


def main() -> None:
    bench = Bench.get()
    counts: dict[str, list[int]] = {}
    with redis_server(DATA_DIR):
        browser = Browser(bench)
        for steps, key in SIZES:
            section(f"The builder, {steps} steps: processor time of a request")
            workflow = workflow_of(steps, bench.actor)
            for deed in deeds(browser.client, workflow, key, steps):
                asked = spent(deed.name, deed.ask, target=deed.ms, ready=deed.ready, times=5)
                counts.setdefault(deed.name, []).append(asked)
        section("The builder, queries with 20 and with 200 steps")
        different = {name: asked for name, asked in counts.items() if len(set(asked)) > 1}
        for name, found in different.items():
            equal(name, found, "queries")
        if not different:
            equal(
                f"all {len(counts)} the same; the sum",
                [sum(column) for column in zip(*counts.values(), strict=True)],
                "queries",
            )


if __name__ == "__main__":
    main()
