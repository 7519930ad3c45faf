"""Issue 4's first promise by mouse only: the lead qualification built in the step list, tested, published, run, changed, rolled back.

STEPWELL_PROOFS=1 runs it (`make soak` does); STEPWELL_SHOTS names a folder that takes pictures of every stage.
"""

from __future__ import annotations

from tests.acceptance.lead_by_mouse import Mouse
from tests.support import lead_qualification as lead
from tests.support.lead_qualification import texts


def build(mouse: Mouse, outside: str) -> None:
    """From an empty workflow to the whole one."""
    said = texts(outside)
    start_form(mouse)
    tidy(mouse, said)
    three_branches(mouse, said)
    worth_a_call(mouse, said)
    openers(mouse, said)
    ends(mouse, said)


def start_form(mouse: Mouse) -> None:
    mouse.page.get_by_role("button", name="Edit the run form").click()
    for name, kind in lead.INPUTS.items():
        mouse.input(name, {"string": "Text", "number": "Number"}[kind])
    mouse.variable(*lead.IDEAL)


def tidy(mouse: Mouse, said: dict) -> None:
    mouse.add_at_the_end("Transform", lead.TIDY)
    mouse.choose(mouse.open_card.get_by_label("The result is"), "Fields")
    for name, value in said[lead.TIDY]["fields"].items():
        mouse.pair("Fields", name, value)


def three_branches(mouse: Mouse, said: dict) -> None:
    mouse.add_at_the_end("Ask a model", lead.RESEARCH)
    mouse.text("Prompt", said[lead.RESEARCH]["prompt"])
    mouse.add_at_the_end("Merge", lead.COMBINE)
    mouse.add_branch("Ask a model", lead.SCORE, of=lead.TIDY)
    mouse.text("Prompt", said[lead.SCORE]["prompt"])
    for name, kind in (("score", "Number"), ("tier", "Text"), ("reasons", "List")):
        mouse.field_of_answer(name, kind)
    mouse.text("Temperature", "0.2")
    mouse.text("Longest answer", "1200")
    mouse.text("System prompt", said[lead.SCORE]["system_prompt"])
    mouse.goes_on_to(lead.SCORE, lead.COMBINE)
    mouse.add_branch("HTTP request", lead.HISTORY, of=lead.TIDY)
    mouse.text("Address", said[lead.HISTORY]["url"])
    mouse.pair("Query", "domain", said[lead.HISTORY]["query"]["domain"])
    for name, value in said[lead.HISTORY]["response_mapping"].items():
        mouse.pair("Keep as fields", name, value)
    mouse.goes_on_to(lead.HISTORY, lead.COMBINE)


def worth_a_call(mouse: Mouse, said: dict) -> None:
    mouse.add_at_the_end("Condition", lead.WORTH)
    case = said[lead.WORTH]["cases"][0]["expression"]
    mouse.choose(mouse.open_card.get_by_label("How the condition is written"), "Expression")
    mouse.text("Expression", case)
    mouse.add_after("Review gate", lead.SALES, on=f"on Yes of {lead.WORTH}")
    mouse.text("Question", said[lead.SALES]["title"])
    mouse.text("What is reviewed", said[lead.SALES]["content"])
    mouse.text("Due in", "4 hours")


def openers(mouse: Mouse, said: dict) -> None:
    mouse.add_after("For each", lead.EACH, on=f"on Approved of {lead.SALES}")
    for label, name in (
        ("Items", "items"),
        ("Heading of an item", "heading"),
        ("At the same time", "concurrency"),
        ("Failed items that are fine", "tolerated"),
    ):
        mouse.text(label, str(said[lead.EACH][name]))
    mouse.page.get_by_role("button", name=f"Add a step inside {lead.EACH}").click()
    mouse.pick("Ask a model", lead.DRAFT)
    mouse.text("Prompt", said[lead.DRAFT]["prompt"])
    # Added below it, and carried inside by its handle.
    mouse.add_at_the_end("Ask a model", lead.TONE)
    mouse.drag(lead.TONE, mouse.page.locator(f"#gap-end-{mouse.key(lead.EACH)}"))
    expect_inside(mouse, lead.EACH, lead.DRAFT, lead.TONE)
    mouse.open(lead.TONE)
    mouse.text("Prompt", said[lead.TONE]["prompt"])


def ends(mouse: Mouse, said: dict) -> None:
    mouse.add_branch("Ask a model", lead.BRIEF, of=lead.SALES)
    mouse.text("Prompt", said[lead.BRIEF]["prompt"])
    mouse.add_at_the_end("Review gate", lead.FINAL)
    mouse.text("Question", said[lead.FINAL]["title"])
    mouse.text("What is reviewed", said[lead.FINAL]["content"])
    mouse.goes_on_to(lead.EACH, lead.FINAL)
    # In the wrong order, put right by dragging.
    mouse.add_after("Webhook", lead.TELL, on=f"on Approved of {lead.FINAL}")
    mouse.text("Address", said[lead.TELL]["url"])
    mouse.add_after("HTTP request", lead.NURTURE, on=f"on No of {lead.WORTH}")
    request(mouse, said[lead.NURTURE])
    mouse.goes_on_to(lead.NURTURE, lead.TELL)
    mouse.add_at_the_end("HTTP request", lead.UPDATE)
    request(mouse, said[lead.UPDATE])
    mouse.drag(lead.UPDATE, mouse.page.locator(f"#gap-{mouse.key(lead.TELL)}"))


def request(mouse: Mouse, said: dict) -> None:
    mouse.choose(mouse.field("Method"), "POST")
    mouse.text("Address", said["url"])
    mouse.choose(mouse.field("Body"), "Fields")
    for name, value in said["body_fields"].items():
        mouse.pair("Fields", name, value)


def expect_inside(mouse: Mouse, container: str, *names: str) -> None:
    mouse.page.wait_for_function(
        "([list, names]) => [...document.querySelectorAll(`${list} > [data-step] > article`)]"
        ".map(c => c.dataset.name).join('|') === names",
        arg=[f'[data-flow][data-in-name="{container}"]', "|".join(names)],
    )
