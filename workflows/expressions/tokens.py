"""Cuts an expression into tokens, knowing that step labels may hold spaces and signs."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from workflows.expressions.errors import ExpressionError, Position
from workflows.expressions.paths import normal


class Kind(StrEnum):
    NUMBER = "number"
    TEXT = "text"
    NAME = "name"
    LABEL = "label"
    SIGN = "sign"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """`value` is the number, the decoded text, the name, the label or the sign; `start` and `end` are offsets."""

    kind: Kind
    value: str | float | int
    start: int
    end: int

    def is_sign(self, *signs: str) -> bool:
        return self.kind is Kind.SIGN and self.value in signs


_SPACE = re.compile(r"(?:\s|//[^\n]*)+")
_NAME = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?")
_SIGNS: Final = ("&&", "||", "==", "!=", "<=", ">=", *"<>!+-*/%?:.,()[]{}")
_WORDS = re.compile(r"[^\W\d]\w*(?:[ -]+\w+)*")
_RESERVED_WORDS: Final = frozenset({"in", "and", "or", "not", "is", "then", "else", "contains"})
_ESCAPES: Final = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "/": "/", "?": "?",
}  # fmt: skip

# What people write from other languages, longest first: (what, message, fix).
_FOREIGN: Final = (
    ("===", "“===” is not used here", "Write == to compare."),
    ("!==", "“!==” is not used here", "Write != for “is not equal”."),
    ("<>", "“<>” is not used here", "Write != for “is not equal”."),
    ("=>", "“=>” is not used here", "Write >= for “at least”, or list.map(x, …) to work on a list."),
    ("=<", "“=<” is not used here", "Write <= for “at most”."),
    ("=~", "“=~” is not used here", 'Write matches(text, "pattern").'),
    ("**", "“**” is not used here", "Multiply instead: x * x."),
    ("??", "“??” is not used here", 'Write default(x, "…").'),
    ("?.", "“?.” is not used here", 'Write default(a.b, "…") or has(a.b).'),
    ("++", "“++” is not used here", "Write + 1."),
    ("+=", "Values cannot be changed in an expression", "Use a Set variable step."),
    ("-=", "Values cannot be changed in an expression", "Use a Set variable step."),
    ("{{", "An expression is written without braces", "Leave {{ and }} out: the names work as they are."),
    ("}}", "An expression is written without braces", "Leave {{ and }} out: the names work as they are."),
    ("=", "“=” does not compare", "Write == to compare."),
    ("&", "“&” is not used here", "Write && for “and”."),
    ("|", "“|” is not used here", 'Write || for “or”, or default(x, "…") for a default.'),
    (";", "An expression is one formula, without “;”", "Leave “;” out."),
    ("^", "“^” is not used here", "Multiply instead: x * x."),
    ("$", "“$” is not used here", "Names are written as they are: input.total."),
    ("@", "“@” is not used here", "Names are written as they are: input.total."),
    ("#", "“#” is not used here", "Comments start with //."),
    ("`", "“`” is not used here", "Put text in double quotes."),
    ("~", "“~” is not used here", ""),
    ("\\", "“\\” can only stand inside quotes", ""),
    ("“", "Curly quotes are not used here", "Put text in straight double quotes."),
    ("”", "Curly quotes are not used here", "Put text in straight double quotes."),
    ("„", "Curly quotes are not used here", "Put text in straight double quotes."),
    ("‘", "Curly quotes are not used here", "Put text in straight double quotes."),
    ("’", "Curly quotes are not used here", "Put text in straight double quotes."),
    ("≤", "“≤” is not used here", "Write <=."),
    ("≥", "“≥” is not used here", "Write >=."),
    ("≠", "“≠” is not used here", "Write !=."),
    ("×", "“×” is not used here", "Write *."),
    ("÷", "“÷” is not used here", "Write /."),
    ("−", "This is a long dash", "Write - for minus."),
    ("–", "This is a long dash", "Write - for minus."),
)


def tokenize(text: str, labels: Iterable[str] | None = None) -> list[Token]:
    """The tokens of an expression, ended by one of kind END. Raises ExpressionError.

    `labels` are the step labels that exist; after `steps.` the longest that fits is taken. Without a fit the
    words up to the next sign are the label.
    """
    known = {normal(label) for label in labels or ()}
    longest = max((len(label) for label in labels or ()), default=0)
    if refused := re.search("[\x00\ud800-\udfff]", text):
        shown = f"U+{ord(refused.group()):04X}"
        raise ExpressionError(
            "syntax", f"The character {shown} cannot stand here", Position.of(text, refused.start())
        )
    tokens: list[Token] = []
    at = 0
    while True:
        if found := _SPACE.match(text, at):
            at = found.end()
        if at >= len(text):
            tokens.append(Token(Kind.END, "", len(text), len(text)))
            return tokens
        if _after_steps(tokens):
            token = _label(text, at, known, longest)
        elif text[at] == "." and tokens and _is_value(tokens[-1]):
            # `steps.2nd` and `items.0` go on with a name, they hold no number .2 or .0.
            token = Token(Kind.SIGN, ".", at, at + 1)
        else:
            token = _token(text, at)
        tokens.append(token)
        at = token.end


def _is_value(token: Token) -> bool:
    return token.kind in (Kind.NAME, Kind.LABEL, Kind.TEXT) or token.is_sign(")", "]")


def _after_steps(tokens: list[Token]) -> bool:
    return (
        len(tokens) >= 2
        and tokens[-1].is_sign(".")
        and tokens[-2].kind is Kind.NAME
        and tokens[-2].value == "steps"
        and not (len(tokens) >= 3 and tokens[-3].is_sign("."))
    )


def _label(text: str, at: int, known: set[str], longest: int) -> Token:
    # Unicode folding may change a label's length a little, so a few more and fewer characters are tried.
    for end in range(min(len(text), at + longest * 3 + 3 if longest < 8 else at + longest + 8), at, -1):
        cut_inside_word = end < len(text) and _is_word(text[end]) and _is_word(text[end - 1])
        if not text[end - 1].isspace() and not cut_inside_word and normal(text[at:end]) in known:
            return Token(Kind.LABEL, text[at:end], at, end)
    if not (found := _WORDS.match(text, at)):
        raise ExpressionError(
            "syntax", "A step's label is missing after “steps.”", Position.of(text, at),
            'Write steps.Label.content or steps["Label"].content.',
        )  # fmt: skip
    end = found.end()
    for word in re.finditer(r"[ -]+(\w+)", found.group()):
        if word.group(1) in _RESERVED_WORDS:
            end = at + word.start()
            break
    # `steps.A - 1` is a subtraction, `steps.Follow-up` is a label.
    if spaced := re.search(r" -|- ", text[at:end]):
        end = at + spaced.start()
    return Token(Kind.LABEL, text[at:end], at, end)


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _token(text: str, at: int) -> Token:
    sign = text[at]
    if found := _NAME.match(text, at):
        end = found.end()
        if (
            end < len(text)
            and text[end] in "\"'"
            and found.group().lower() in {"r", "b", "br", "rb", "f", "u"}
        ):
            raise ExpressionError(
                "syntax", f"A letter before the quotes ({found.group()}{text[end]}…) is not used here",
                Position.of(text, at), "Put text in plain double quotes.",
            )  # fmt: skip
        return Token(Kind.NAME, found.group(), at, end)
    if sign.isdigit() or (sign == "." and text[at + 1 : at + 2].isdigit()):
        return _number(text, at)
    if sign in "\"'":
        return _text(text, at)
    for foreign, message, fix in _FOREIGN:
        if text.startswith(foreign, at) and not (
            len(foreign) == 1 and text.startswith(("==", "&&", "||"), at)
        ):
            raise ExpressionError("syntax", message, Position.of(text, at), fix)
    for known in _SIGNS:
        if text.startswith(known, at):
            return Token(Kind.SIGN, known, at, at + len(known))
    shown = sign if sign.isprintable() else f"U+{ord(sign):04X}"
    raise ExpressionError("syntax", f"The character {shown} cannot stand here", Position.of(text, at))


def _number(text: str, at: int) -> Token:
    found = _NUMBER.match(text, at)
    end = found.end() if found else at + 1
    written = text[at:end]
    if not found or (end < len(text) and (_is_word(text[end]) or text[end : end + 2].strip(" ") == ".")):
        raise ExpressionError(
            "syntax", f"{text[at : end + 10].split()[0]} is not a number", Position.of(text, at),
            "Numbers are written as 12, 0.5 or 1e6; text goes in quotes.",
        )  # fmt: skip
    value: int | float = int(written) if written.isdigit() and len(written) <= 400 else float(written)
    if value in (float("inf"),):
        raise ExpressionError("syntax", f"{written[:20]} is too large a number", Position.of(text, at))
    return Token(Kind.NUMBER, value, at, end)


def _text(text: str, at: int) -> Token:
    quote = text[at]
    if text.startswith(quote * 3, at):
        raise ExpressionError(
            "syntax",
            "Three quotes are not used here",
            Position.of(text, at),
            "Put text in single pairs of quotes.",
        )
    pieces: list[str] = []
    place = at + 1
    while place < len(text):
        sign = text[place]
        if sign == quote:
            return Token(Kind.TEXT, "".join(pieces), at, place + 1)
        if sign != "\\":
            pieces.append(sign)
            place += 1
            continue
        escape = text[place + 1 : place + 2]
        if escape in _ESCAPES and escape:
            pieces.append(_ESCAPES[escape])
            place += 2
        elif found := re.compile(r"u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})").match(
            text, place + 1
        ):
            code = int(next(group for group in found.groups() if group), 16)
            if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
                raise ExpressionError(
                    "syntax", f"\\{found.group()} is no character", Position.of(text, place)
                )
            pieces.append(chr(code))
            place = found.end()
        else:
            # Patterns are full of \d and \w: they stay as they are.
            pieces.append("\\")
            place += 1
    raise ExpressionError(
        "syntax", f"The text that starts here is never closed: {text[at : at + 20]}", Position.of(text, at),
        f"Put {quote} at its end.",
    )  # fmt: skip
