"""Reads an expression into a tree, so that every part knows where it stands and mistakes can be explained."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from workflows.expressions.errors import ExpressionError, Position
from workflows.expressions.names import NAMES
from workflows.expressions.paths import MAX_PATH_PARTS, Path, nearest
from workflows.expressions.tokens import Kind, Token, tokenize
from workflows.lib.jsontypes import JSONValue as Json
from workflows.lib.limits import EXPRESSION_CHARS

# The engine underneath stops at 32 levels, and one of ours can take two of its own.
MAX_DEPTH: Final = 12
MACROS: Final = ("map", "filter", "all", "exists", "exists_one")
_LITERALS: Final[dict[str, Json]] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Constant:
    value: Json
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A path into the data that is known when the expression is read."""

    path: Path
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LoopName:
    """The name that `list.map(x, …)` gives to each item."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Select:
    target: "Node"
    field: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Index:
    target: "Node"
    index: "Node"
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: tuple["Node", ...]
    start: int
    end: int
    method: bool = False


@dataclass(frozen=True, slots=True)
class Macro:
    """`target.map(name, body)` and its kin; a `map` may have a condition."""

    kind: str
    target: "Node"
    name: str
    body: "Node"
    condition: "Node | None"
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Unary:
    sign: str
    operand: "Node"
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Operands joined by signs of one rank, from left to right; `places` are the offsets of the signs."""

    operands: tuple["Node", ...]
    signs: tuple[str, ...]
    places: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Choice:
    condition: "Node"
    when_true: "Node"
    when_false: "Node"
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ListOf:
    entries: tuple["Node", ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ObjectOf:
    entries: tuple[tuple["Node", "Node"], ...]
    start: int
    end: int


Node: TypeAlias = (
    Constant
    | Reference
    | LoopName
    | Select
    | Index
    | Call
    | Macro
    | Unary
    | Chain
    | Choice
    | ListOf
    | ObjectOf
)


def children(node: Node) -> tuple[Node, ...]:
    """The parts of a node, in the order in which they are written."""
    match node:
        case Select():
            return (node.target,)
        case Index():
            return (node.target, node.index)
        case Call():
            return node.arguments
        case Macro():
            return (node.target, *((node.condition,) if node.condition else ()), node.body)
        case Unary():
            return (node.operand,)
        case Chain():
            return node.operands
        case Choice():
            return (node.condition, node.when_true, node.when_false)
        case ListOf():
            return node.entries
        case ObjectOf():
            return tuple(part for entry in node.entries for part in entry)
    return ()


def walk(node: Node) -> Iterator[Node]:
    """A node and everything in it."""
    yield node
    for child in children(node):
        yield from walk(child)


def parse_expression(text: str, labels: Iterable[str] | None = None) -> Node:
    """The tree of an expression. Raises ExpressionError with position and fix."""
    return _parse(text, None if labels is None else frozenset(labels))


@lru_cache(maxsize=1024)
def _parse(text: str, labels: frozenset[str] | None) -> Node:
    if len(text) > EXPRESSION_CHARS.value:
        place = Position.of(text, EXPRESSION_CHARS.value)
        raise ExpressionError("too_long", EXPRESSION_CHARS.says(), place, "Split it over several steps.")
    return _Parser(text, tokenize(text, labels)).read()


_RANKS: Final = (
    frozenset({"||"}),
    frozenset({"&&"}),
    frozenset({"==", "!=", "<", "<=", ">", ">=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)

# Words and names from other languages, and what to write here.
_WORDS: Final = {
    "and": ("“and” is not used here", "Write && for “and”."),
    "AND": ("“AND” is not used here", "Write && for “and”."),
    "or": ("“or” is not used here", "Write || for “or”."),
    "OR": ("“OR” is not used here", "Write || for “or”."),
    "not": ("“not” is not used here", "Write ! for “not”, as in !has(input.x)."),
    "NOT": ("“NOT” is not used here", "Write ! for “not”."),
    "is": ("“is” is not used here", "Write == to compare."),
    "True": ("“True” is not used here", "Write true."),
    "False": ("“False” is not used here", "Write false."),
    "TRUE": ("“TRUE” is not used here", "Write true."),
    "FALSE": ("“FALSE” is not used here", "Write false."),
    "None": ("“None” is not used here", "Write null."),
    "nil": ("“nil” is not used here", "Write null."),
    "NULL": ("“NULL” is not used here", "Write null."),
    "undefined": ("“undefined” is not used here", "Write has(x) to ask whether x exists."),
    "if": ("“if” is not used here", "Write condition ? value : other value."),
    "then": ("“then” is not used here", "Write condition ? value : other value."),
    "else": ("“else” is not used here", "Write condition ? value : other value."),
    "contains": ("“contains” is a function", 'Write contains(text, "part").'),
    "eq": ("“eq” is not used here", "Write == to compare."),
    "let": ("“let” is not used here", "Use a Set variable step."),
    "var": ("“var” is not used here", "Use a Set variable step."),
    "const": ("“const” is not used here", "Use a Set variable step."),
    "return": ("“return” is not used here", "Write only the value."),
    "function": ("Functions cannot be defined here", "Use the listed functions."),
    "lambda": ("“lambda” is not used here", "Write list.map(x, …)."),
    "for": ("“for” is not used here", "Write list.map(x, …) or list.filter(x, …)."),
    "new": ("“new” is not used here", ""),
}


class _Parser:
    """Precedence: ? : < || < && < comparisons < + - < * / % < ! - < . [] ()."""

    def __init__(self, text: str, tokens: list[Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.at = 0
        self.depth = 0
        self.loop_names: list[str] = []

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def fail(self, message: str, start: int, fix: str = "", code: str = "syntax") -> ExpressionError:
        return ExpressionError(code, message, Position.of(self.text, start), fix)

    def advance(self) -> Token:
        token = self.token
        if token.kind is not Kind.END:
            self.at += 1
        return token

    def expect(self, sign: str, what: str, opened: int) -> Token:
        if self.token.is_sign(sign):
            return self.advance()
        if self.token.kind is Kind.END:
            raise self.fail(f"{what} opened here is never closed", opened, f"Put {sign} at its end.")
        raise self.unexpected(f"“{sign}” is expected before")

    def unexpected(self, prefix: str = "") -> ExpressionError:
        token = self.token
        if token.kind is Kind.END:
            if len(self.tokens) == 1:
                return self.fail("The expression is empty", 0, "Write a condition or a value.", "empty")
            return self.fail("The expression ends too early", token.start, "A value is missing at the end.")
        shown = self.text[token.start : token.end][:40]
        if token.kind is Kind.NAME and str(token.value) in _WORDS:
            message, fix = _WORDS[str(token.value)]
            return self.fail(message, token.start, fix)
        if prefix:
            return self.fail(f"{prefix} “{shown}”", token.start)
        fix = ""
        if token.kind in (Kind.NAME, Kind.TEXT, Kind.NUMBER, Kind.LABEL):
            fix = "A sign such as ==, && or + is missing before it; text goes in quotes."
        return self.fail(f"“{shown}” cannot stand here", token.start, fix)

    def read(self) -> Node:
        node = self.choice()
        if self.token.kind is not Kind.END:
            raise self.unexpected()
        return node

    def choice(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.fail(
                "The expression is nested too deeply",
                self.token.start,
                "Split it over several steps.",
                "too_deep",
            )
        condition = self.chain(0)
        if self.token.is_sign("?"):
            opened = self.advance().start
            when_true = self.choice()
            if not self.token.is_sign(":"):
                if self.token.kind is Kind.END:
                    raise self.fail("“?” needs two values", opened, "Write condition ? value : other value.")
                raise self.unexpected("“:” is expected before")
            self.advance()
            when_false = self.choice()
            condition = Choice(condition, when_true, when_false, condition.start, when_false.end)
        self.depth -= 1
        return condition

    def chain(self, rank: int) -> Node:
        if rank == len(_RANKS):
            return self.unary()
        operands = [self.chain(rank + 1)]
        signs: list[str] = []
        places: list[int] = []
        while self.sign_of(rank):
            token = self.advance()
            signs.append(str(token.value))
            places.append(token.start)
            if rank == 2 and len(signs) > 1:
                raise self.fail(
                    "Comparisons cannot be chained", token.start, "Write a < b && b < c instead of a < b < c."
                )
            operands.append(self.chain(rank + 1))
        if len(operands) == 1:
            return operands[0]
        return Chain(tuple(operands), tuple(signs), tuple(places), operands[0].start, operands[-1].end)

    def sign_of(self, rank: int) -> bool:
        token = self.token
        if token.kind is Kind.NAME:
            return token.value == "in" and rank == 2
        return token.kind is Kind.SIGN and token.value in _RANKS[rank]

    def unary(self) -> Node:
        if not self.token.is_sign("!", "-"):
            return self.postfix()
        token = self.advance()
        if self.token.is_sign("!", "-"):
            raise self.fail(
                f"“{token.value}” stands twice", self.token.start, "Write it once, or use brackets."
            )
        operand = self.postfix()
        if token.value == "-" and isinstance(operand, Constant) and _is_number(operand.value):
            return Constant(-operand.value, token.start, operand.end)
        return Unary(str(token.value), operand, token.start, operand.end)

    def postfix(self) -> Node:
        node = self.primary()
        while True:
            if self.token.is_sign("."):
                node = self.dotted(node)
            elif self.token.is_sign("["):
                node = self.indexed(node)
            else:
                return node

    def dotted(self, target: Node) -> Node:
        dot = self.advance()
        token = self.token
        if token.kind is Kind.LABEL and isinstance(target, Reference):
            self.advance()
            return self.longer(target, str(token.value), token)
        if token.kind is not Kind.NAME:
            if token.kind is Kind.NUMBER or token.kind is Kind.TEXT:
                fix = 'Positions and names with signs go in brackets: items[0], input["first name"].'
                raise self.fail("A name must follow the dot", token.start, fix)
            raise self.fail("A name is missing after the dot", dot.start)
        self.advance()
        name = str(token.value)
        if self.token.is_sign("("):
            return self.call(name, token, target)
        return self.longer(target, name, token)

    def longer(self, target: Node, part: str | int, token: Token) -> Node:
        span = (token.start, token.end)
        if isinstance(target, Reference):
            if len(target.path.parts) >= MAX_PATH_PARTS:
                raise self.fail(
                    f"A reference has at most {MAX_PATH_PARTS} parts", token.start, code="too_deep"
                )
            path = Path(target.path.root, (*target.path.parts, part), (*target.path.spans, span))
            return Reference(path, target.start, token.end)
        self.check_length(target, token)
        return Select(target, str(part), target.start, token.end)

    def check_length(self, target: Node, token: Token) -> None:
        length = 0
        while isinstance(target, Select | Index):
            target, length = target.target, length + 1
        if length >= 8:
            raise self.fail("This reference has too many parts", token.start, code="too_deep")

    def indexed(self, target: Node) -> Node:
        opened = self.advance()
        if self.token.is_sign("]"):
            raise self.fail("The brackets are empty", opened.start, "Write a position such as [0].")
        token = self.token
        index = self.choice()
        closed = self.expect("]", "The bracket", opened.start)
        whole = Token(Kind.SIGN, "]", token.start, closed.end)
        if isinstance(index, Constant):
            if isinstance(index.value, str) and isinstance(target, Reference):
                found = self.longer(target, index.value, Token(Kind.TEXT, "", index.start, index.end))
                return (
                    Reference(found.path, found.start, closed.end) if isinstance(found, Reference) else found
                )
            if isinstance(index.value, str):
                return self.longer(target, index.value, whole)
            if not _is_number(index.value) or index.value != int(index.value):
                raise self.fail(
                    "A position is a whole number", index.start, "Count from 0: items[0] is the first."
                )
            if index.value < 0:
                raise self.fail(
                    "A position cannot be negative", index.start, "Write last(list) for the last item."
                )
            if isinstance(target, Reference):
                found = self.longer(target, int(index.value), Token(Kind.NUMBER, 0, index.start, index.end))
                return (
                    Reference(found.path, found.start, closed.end) if isinstance(found, Reference) else found
                )
        self.check_length(target, token)
        return Index(target, index, target.start, closed.end)

    def primary(self) -> Node:
        token = self.token
        if token.kind is Kind.NUMBER or token.kind is Kind.TEXT:
            self.advance()
            return Constant(token.value, token.start, token.end)
        if token.is_sign("("):
            self.advance()
            node = self.choice()
            self.expect(")", "The bracket", token.start)
            return node
        if token.is_sign("["):
            return self.list_of()
        if token.is_sign("{"):
            return self.object_of()
        if token.kind is Kind.NAME:
            return self.named()
        raise self.unexpected()

    def named(self) -> Node:
        token = self.token
        name = str(token.value)
        if name in _LITERALS:
            self.advance()
            return Constant(_LITERALS[name], token.start, token.end)
        if name == "in":
            raise self.fail("A value is missing before “in”", token.start)
        if name in self.loop_names:
            self.advance()
            return LoopName(name, token.start, token.end)
        if self.tokens[self.at + 1].is_sign("("):
            if name in _WORDS and name != "contains":
                raise self.unexpected()
            self.advance()
            return self.call(name, token, None)
        if name in _WORDS:
            raise self.unexpected()
        self.advance()
        return Reference(Path(name, (), ((token.start, token.end),)), token.start, token.end)

    def call(self, name: str, token: Token, target: Node | None) -> Node:
        opened = self.advance()
        if (
            name in MACROS
            and self.tokens[self.at].kind is Kind.NAME
            and self.tokens[self.at + 1].is_sign(",")
        ):
            if target is not None:
                return self.macro(name, token, target, opened)
        elif name in MACROS and target is not None:
            example = (
                f"Write list.{name}(x, …) with a name for the item, as in items.{name}(x, x.price > 10)."
            )
            raise self.fail(f"{name} needs a name for the item", opened.start, example)
        arguments: list[Node] = [] if target is None else [target]
        while not self.token.is_sign(")"):
            arguments.append(self.choice())
            if self.token.is_sign(","):
                self.advance()
                if self.token.is_sign(")"):
                    raise self.fail("A value is missing after the comma", self.token.start)
            elif not self.token.is_sign(")"):
                self.expect(")", "The bracket", opened.start)
        end = self.advance().end
        if name in MACROS:
            example = f"Write list.{name}(x, …), as in items.{name}(x, x.price > 10)."
            raise self.fail(f"{name} is written behind a list", token.start, example)
        start = token.start if target is None else target.start
        return Call(name, tuple(arguments), start, end, target is not None)

    def macro(self, kind: str, token: Token, target: Node, opened: Token) -> Node:
        named = self.advance()
        name = str(named.value)
        if name in NAMES or name in _LITERALS or name in _WORDS or name in self.loop_names:
            raise self.fail(f"“{name}” is taken", named.start, "Choose another name for the item, such as x.")
        self.advance()
        self.loop_names.append(name)
        first = self.choice()
        second = None
        if self.token.is_sign(","):
            comma = self.advance()
            if kind != "map":
                raise self.fail(f"{kind} takes a name and one condition", comma.start)
            second = self.choice()
        self.loop_names.pop()
        end = self.expect(")", "The bracket", opened.start).end
        body, condition = (first, None) if second is None else (second, first)
        return Macro(kind, target, name, body, condition, target.start, end)

    def list_of(self) -> Node:
        opened = self.advance()
        entries: list[Node] = []
        while not self.token.is_sign("]"):
            entries.append(self.choice())
            if self.token.is_sign(","):
                self.advance()
            elif not self.token.is_sign("]"):
                self.expect("]", "The list", opened.start)
        return ListOf(tuple(entries), opened.start, self.advance().end)

    def object_of(self) -> Node:
        opened = self.advance()
        entries: list[tuple[Node, Node]] = []
        seen: set[str] = set()
        while not self.token.is_sign("}"):
            key_token = self.token
            following = self.tokens[min(self.at + 1, len(self.tokens) - 1)]
            if key_token.kind is Kind.NAME and following.is_sign(":"):
                fix = f'Write "{key_token.value}": with quotes.'
                raise self.fail("The names of an object are written in quotes", key_token.start, fix)
            key = self.chain(0)
            if isinstance(key, Constant):
                if not isinstance(key.value, str):
                    raise self.fail("The name of a field must be text", key.start, "Put it in quotes.")
                if key.value in seen:
                    raise self.fail(f"“{key.value[:40]}” stands twice in this object", key.start)
                seen.add(key.value)
            if self.token.kind is Kind.END:
                raise self.fail("The object opened here is never closed", opened.start, "Put } at its end.")
            if not self.token.is_sign(":"):
                raise self.unexpected("“:” is expected before")
            self.advance()
            entries.append((key, self.choice()))
            if self.token.is_sign(","):
                self.advance()
            elif not self.token.is_sign("}"):
                self.expect("}", "The object", opened.start)
        return ObjectOf(tuple(entries), opened.start, self.advance().end)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def unknown_names(node: Node, text: str, extra: Iterable[str] = ()) -> Iterator[ExpressionError]:
    """An error for each reference that starts with a name that does not exist anywhere."""
    known = [*NAMES, *extra]
    for part in walk(node):
        if isinstance(part, Reference) and part.path.root not in known:
            found = nearest(part.path.root, known)
            fix = (
                f"Did you mean “{found}”?"
                if found
                else "Text goes in quotes; data starts with " + ", ".join((*list(NAMES)[:4], "…"))
            )
            place = Position.of(text, part.start)
            yield ExpressionError("unknown_name", f"There is no “{part.path.root}”", place, fix)
