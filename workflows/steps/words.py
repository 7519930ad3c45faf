"""Settings as people would say them, for one-line summaries: references by what they bring, signs as words."""

from __future__ import annotations

import re
from typing import Final

from workflows.expressions.errors import ExpressionError
from workflows.expressions.paths import Path
from workflows.expressions.references import expression_references, references
from workflows.expressions.tokens import Kind, tokenize
from workflows.lib.jsontypes import JSONObject

# A summary shows a line; what stands behind is not looked at.
_LOOKED_AT: Final = 600
_SIGNS: Final = {">=": "≥", "<=": "≤", "!=": "≠", "==": "is", "&&": "and", "||": "or"}
_ROOTS: Final = {"previous": "what came before", "item": "the item", "index": "its number", "run": "the run"}


def said(path: Path) -> str:
    """What a reference brings: `steps.Tidy.company` is “company”, `steps.Tidy.content` is “Tidy”."""
    names = [part for part in path.parts if isinstance(part, str)]
    if names and names[-1] == "content" and path.root in ("steps", "previous"):
        names.pop()
    return names[-1].replace("_", " ") if names else _ROOTS.get(path.root, path.root)


def spoken(text: str) -> str:
    """The first line of a text with its references in words."""
    text = text[:_LOOKED_AT]
    line = next((line for line in text.splitlines() if line.strip()), "")
    if "{{" not in line:
        return line.strip()
    parts, at = [], 0
    for reference in references(line):
        parts += [line[at : reference.start], said(reference.path)]
        at = reference.end
    return "".join((*parts, line[at:])).strip()


def spoken_expression(text: str) -> str:
    """An expression nearly as people say it: `steps.Score.score >= 70 && !input.old` is “score ≥ 70 and not old”."""
    text = " ".join(text[:_LOOKED_AT].split())
    found = {reference.start: reference for reference in expression_references(text)}
    if not found:
        return text
    try:
        tokens = list(tokenize(text, [r.path.label for r in found.values() if r.path.label]))
    except ExpressionError:
        return text
    parts: list[str] = []
    at = 0
    for token in tokens:
        if token.kind is Kind.END or token.start < at:
            continue
        parts.append(text[at : token.start])
        if token.start in found:
            parts.append(said(found[token.start].path))
            at = found[token.start].end
        else:
            sign = str(token.value)
            if token.kind is Kind.SIGN and sign in _SIGNS:
                parts.append(_SIGNS[sign])
            elif token.is_sign("!"):
                parts.append("not ")
            else:
                parts.append(text[token.start : token.end])
            at = token.end
    return re.sub(r"\s+", " ", "".join((*parts, text[at:]))).strip()


def address_words(url: str) -> str:
    """An address without what everybody knows: its scheme."""
    return re.sub(r"^https?://", "", spoken(url))


def answer_words(config: JSONObject) -> str:
    """“answers with score, tier and reasons” for a structured answer; nothing for text."""
    schema = config.get("response_schema")
    names = list((schema.get("properties") or {}) if isinstance(schema, dict) else {})
    if not names:
        return ""
    if len(names) > 4:
        return f"answers with {', '.join(names[:3])} and {len(names) - 3} more"
    *most, last = names
    return f"answers with {', '.join(most)} and {last}" if most else f"answers with {last}"
