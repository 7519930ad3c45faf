"""The mails that come built in, because templates of workflows send them: a proposal, and asking after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class BuiltinEmail:
    """`variables` are (name, default, description); a default of None has to be filled in by the step."""

    name: str
    description: str
    subject: str
    text: str
    variables: tuple[tuple[str, str | None, str], ...]


BUILTIN_EMAILS: Final = (
    BuiltinEmail(
        "proposal",
        "Sends a proposal with a greeting and the next step.",
        "Our proposal for {{ company }}",
        """Dear {{ recipient }},

thank you for your enquiry. Here is what we propose for {{ company }}:

{{ text }}

The proposal stands until {{ valid_until }}. Write back with questions or changes, and we will look at them at once.

Kind regards
{{ sender }}""",
        (
            ("recipient", None, "Who is greeted"),
            ("company", None, "For whom the proposal is"),
            ("sender", None, "Who signs"),
            ("valid_until", "the end of next month", "Until when it stands"),
        ),
    ),
    BuiltinEmail(
        "proposal_follow_up",
        "Asks, once, what became of a proposal.",
        "Our proposal for {{ company }}: any questions?",
        """Dear {{ recipient }},

some days ago we sent you a proposal for {{ company }}. Is there anything in it that we should explain or change?

{{ text }}

If your plans have changed, a short line is enough and we will close the matter.

Kind regards
{{ sender }}""",
        (
            ("recipient", None, "Who is greeted"),
            ("company", None, "For whom the proposal was"),
            ("sender", None, "Who signs"),
        ),
    ),
)


def builtin_email(name: str) -> BuiltinEmail | None:
    return next((one for one in BUILTIN_EMAILS if one.name == name.casefold()), None)
