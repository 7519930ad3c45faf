"""The pieces of a document: texts, numbers, lists and choices, read with every problem named by its path."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, TypeVar

from workflows.expressions.paths import nearest
from workflows.lib.errors import Problem
from workflows.lib.jsontypes import JSONObject, JSONValue

MAX_DEPTH: Final = 60

_Choice = TypeVar("_Choice", bound=StrEnum)
_Made = TypeVar("_Made")


class PieceReader:
    """Reads pieces of one document and gathers what is wrong with them in `problems`."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        # Whether entries were passed over, so that those behind them have other numbers.
        self.left_out = False

    def wrong(self, path: str, code: str, message: str, fix: str | None = None, node: object = None) -> None:
        name = node.get("name") if isinstance(node, Mapping) else None
        key = node.get("id") if isinstance(node, Mapping) else None
        self.problems.append(
            Problem(
                code,
                message,
                step=name if isinstance(name, str) else key if isinstance(key, str) else None,
                step_key=key if isinstance(key, str) else None,
                field=path.rpartition(".")[2].partition("[")[0],
                path=path,
                fix=fix,
            )
        )

    def check_data(self, data: JSONValue, path: str) -> None:
        """NUL and lone surrogates cannot be stored, NaN cannot be written, bottomless data cannot be read."""
        todo: list[tuple[JSONValue, str, int]] = [(data, path, 0)]
        while todo:
            value, at, depth = todo.pop()
            if depth > MAX_DEPTH:
                self.wrong(at, "too_deep", f"{at} is nested more than {MAX_DEPTH} levels deep.")
            elif isinstance(value, str):
                self._check_text(value, at)
            elif isinstance(value, float) and not math.isfinite(value):
                self.wrong(at, "bad_number", f"{at} is not a number that JSON can hold.")
            elif isinstance(value, Mapping):
                for key, entry in value.items():
                    self._check_text(str(key), at)
                    todo.append((entry, f"{at}.{key}", depth + 1))
            elif isinstance(value, list | tuple):
                todo.extend((entry, f"{at}[{index}]", depth + 1) for index, entry in enumerate(value))

    def _check_text(self, text: str, path: str) -> None:
        if "\x00" in text:
            self.wrong(path, "bad_text", f"{path} holds a NUL character.", "Remove it.")
        elif not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
            self.wrong(
                path, "bad_text", f"{path} holds half of a surrogate pair.", "Send it as valid Unicode."
            )

    def _unknown_keys(
        self, data: Mapping[str, Any], known: Iterable[str], path: str, node: object = None
    ) -> None:
        known = tuple(known)
        for key in data:
            if key not in known:
                near = nearest(str(key), known)
                fix = f"Did you mean “{near}”?" if near else f"Known here: {', '.join(known)}."
                self.wrong(f"{path}.{key}", "unknown_key", f"{path} has no “{key}”.", fix, node)

    def _list(
        self,
        data: Mapping[str, Any],
        name: str,
        path: str,
        read: Callable[[Mapping[str, Any], str, int], _Made],
    ) -> list[_Made]:
        value = data.get(name)
        at = f"{path}.{name}"
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            self.wrong(at, "bad_value", f"{at} must be a list.")
            return []
        made: list[_Made] = []
        for index, entry in enumerate(value):
            if isinstance(entry, Mapping):
                made.append(read(entry, f"{at}[{index}]", index))
            else:
                self.left_out = True
                self.wrong(f"{at}[{index}]", "bad_value", f"{at}[{index}] must be an object.")
        return made

    def _object(self, data: Mapping[str, Any], name: str, path: str, node: object = None) -> JSONObject:
        value = data.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be an object.", None, node)
            return {}
        return dict(value)

    def _text(self, data: Mapping[str, Any], name: str, path: str, node: object = None) -> str:
        value = data.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be text.", None, node)
            return ""
        return value

    def _flag(
        self, data: Mapping[str, Any], name: str, path: str, default: bool, node: object = None
    ) -> bool:
        value = data.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be true or false.", None, node)
            return default
        return value

    def _number(
        self,
        data: Mapping[str, Any],
        name: str,
        path: str,
        default: float | None,
        node: object = None,
        *,
        least: float | None = None,
    ) -> float | None:
        value = data.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e15:
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be a number.", None, node)
            return default
        if least is not None and value < least:
            self.wrong(
                f"{path}.{name}", "bad_value", f"{path}.{name} must be at least {least:g}.", None, node
            )
            return default
        return float(value)

    def _integer(
        self,
        data: Mapping[str, Any],
        name: str,
        path: str,
        default: int,
        node: object = None,
        *,
        least: int = 0,
    ) -> int:
        value = self._number(data, name, path, default, node, least=least)
        if value is None or not float(value).is_integer():
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be a whole number.", None, node)
            return default
        return int(value)

    def _choice(
        self,
        data: Mapping[str, Any],
        name: str,
        path: str,
        choices: type[_Choice],
        default: _Choice,
        node: object = None,
    ) -> _Choice:
        value = data.get(name)
        if value is None:
            return default
        try:
            return choices(value)
        except ValueError:
            words = ", ".join(choice.value for choice in choices)
            self.wrong(f"{path}.{name}", "bad_value", f"{path}.{name} must be one of {words}.", None, node)
            return default
