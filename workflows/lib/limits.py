"""Every limit in one place, each with the sentence that a person reads when it is passed."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Limit:
    """`value` in `unit`; `message` says what was passed, with `{value}` and `{field}` to fill."""

    value: int
    unit: str
    message: str

    def says(self, field: str = "") -> str:
        return self.message.format(value=f"{self.value:,}", field=field)


RUN_INPUT_BYTES: Final = Limit(
    2_000_000, "bytes", "“{field}” is larger than {value} bytes, the most a run takes."
)
STEP_OUTPUT_BYTES: Final = Limit(
    8_000_000, "bytes", "The step's output is larger than {value} bytes, the most a step may keep."
)
INLINE_OUTPUT_BYTES: Final = Limit(262_144, "bytes", "Outputs over {value} bytes are kept beside the row.")
STEPS_PER_WORKFLOW: Final = Limit(1_000, "steps", "A workflow holds at most {value} steps.")
EDGES_PER_WORKFLOW: Final = Limit(4_000, "paths", "A workflow holds at most {value} paths.")
WORKFLOW_NAME_CHARS: Final = Limit(255, "characters", "A name has 1 to {value} characters.")
ITEMS_PER_STEP: Final = Limit(5_000, "items", "A loop or fan-out takes at most {value} items.")
STEP_ROUNDS: Final = Limit(50, "rounds", "A step may be sent back at most {value} times in one run.")
CRASHES_PER_STEP: Final = Limit(
    3, "crashes", "The worker stopped {value} times in this step, so it was not tried again."
)
INTERRUPTIONS_PER_STEP: Final = Limit(
    10, "crashes", "The worker stopped {value} times during this step, so it was not tried again."
)
RUN_DEPTH: Final = Limit(8, "levels", "Workflows may start each other at most {value} levels deep.")
EVENT_BYTES: Final = Limit(
    262_144, "bytes", "The data of an event is larger than {value} bytes, the most one takes."
)
EVENT_STARTS: Final = Limit(200, "workflows", "One event starts at most {value} workflows.")
RUNS_PER_MINUTE: Final = Limit(600, "runs", "At most {value} runs may be started a minute.")
API_CALLS_PER_MINUTE: Final = Limit(
    1_200, "calls", "This key has made more than {value} calls in a minute. Wait a moment."
)
API_BODY_BYTES: Final = Limit(
    16_777_216, "bytes", "The request's body is larger than {value} bytes, the most one takes."
)
API_PAGE: Final = Limit(100, "rows", "A page of a list has at most {value} rows.")
TEMPLATE_OUTPUT_CHARS: Final = Limit(
    2_000_000, "characters", "The text grows beyond {value} characters once the data is filled in."
)
EXPRESSION_CHARS: Final = Limit(4_000, "characters", "An expression has at most {value} characters.")
EXPRESSION_TEXT_CHARS: Final = Limit(
    1_000_000, "characters", "The text is too large: at most {value} characters."
)
EXPRESSION_LIST_ITEMS: Final = Limit(2_000, "items", "The list is too long: at most {value} items.")
FALLBACK_MODELS: Final = Limit(8, "models", "A fallback order holds at most {value} models.")
