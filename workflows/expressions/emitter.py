"""Writes the tree of an expression as CEL, and keeps what evaluating it needs: its nodes, variables and loops."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from workflows.expressions.functions import FUNCTIONS
from workflows.expressions.names import EXACT_INTEGER
from workflows.expressions.paths import Path
from workflows.expressions.syntax import (
    Call,
    Chain,
    Choice,
    Constant,
    Index,
    ListOf,
    LoopName,
    Macro,
    Node,
    ObjectOf,
    Reference,
    Select,
    Unary,
)

_GIVES_BOOLEAN: Final = frozenset({"has", "is_empty", "contains", "matches", "starts_with", "ends_with"})
_COMPARISONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_BOOLEAN_DEEDS: Final = frozenset(
    {"compare", "in", "boolean", "holds", "all", "exists", "exists_one", *_GIVES_BOOLEAN}
)


@dataclass(frozen=True, slots=True, eq=False)
class Expression:
    """An expression that was read and may be evaluated any number of times, in any thread."""

    text: str
    tree: Node
    nodes: tuple[Node, ...]
    references: tuple[Reference, ...]
    asked: tuple[Reference, ...]
    loops: Mapping[int, Any]
    program: Any

    @property
    def bare_path(self) -> Path | None:
        """The path, when the expression is nothing but a reference."""
        return self.tree.path if isinstance(self.tree, Reference) else None


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return (
        '"' + re.sub(r"[\x01-\x1f\x7f-\xa0\u2028\u2029]", lambda m: f"\\u{ord(m.group()):04x}", escaped) + '"'
    )


@dataclass(frozen=True, slots=True, eq=False)
class Loop:
    """What the body of one loop reads in each round: numbers of variables, and the loops whose item it names."""

    references: list[int]
    names: list["Loop"]


class Emitter:
    """Writes a tree as CEL and remembers which variables it needs and which node each call stands for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.nodes: list[Node] = []
        self.references: list[Reference] = []
        self.asked: list[Reference] = []
        self.loop_names: dict[str, str] = {}
        self.loops: dict[str, Loop] = {}
        self.loop_of: dict[int, Loop] = {}
        self.frames: list[Loop] = []

    def call(self, deed: str, node: Node, *arguments: str) -> str:
        self.nodes.append(node)
        written = f"([{quoted(deed)},{len(self.nodes) - 1}.0{''.join(',' + given for given in arguments)}])"
        return f"sw{written}" if deed in _BOOLEAN_DEEDS else f"sx{written}[0.0]"

    def emit(self, node: Node) -> str:
        match node:
            case Constant():
                return self.constant(node)
            case Reference():
                self.references.append(node)
                if self.frames:
                    self.frames[-1].references.append(len(self.references) - 1)
                return f"p{len(self.references) - 1}"
            case LoopName():
                self.frames[-1].names.append(self.loops[node.name])
                return self.loop_names[node.name]
            case Select():
                return f"{self.emit(node.target)}[{quoted(node.field)}]"
            case Index():
                return f"{self.emit(node.target)}[{self.emit(node.index)}]"
            case Call():
                return self.function(node)
            case Macro():
                return self.macro(node)
            case Unary():
                if node.sign == "!":
                    return f"(!{self.boolean(node.operand)})"
                return self.call("negative", node, self.emit(node.operand))
            case Chain():
                return self.chain(node)
            case Choice():
                condition = self.boolean(node.condition)
                return f"({condition}?{self.emit(node.when_true)}:{self.emit(node.when_false)})"
            case ListOf():
                return f"[{','.join(self.emit(entry) for entry in node.entries)}]"
            case ObjectOf():
                entries = (f"{self.key(key)}:{self.emit(value)}" for key, value in node.entries)
                return f"{{{','.join(entries)}}}"

    def constant(self, node: Constant) -> str:
        value = node.value
        if value is None:
            return "null"
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return quoted(value)
        if isinstance(value, int) and abs(value) > EXACT_INTEGER:
            return f'b"#{value}"'
        return f"({float(value)!r})"

    def key(self, node: Node) -> str:
        return self.emit(node) if isinstance(node, Constant) else self.call("key", node, self.emit(node))

    def boolean(self, node: Node) -> str:
        written = self.emit(node)
        known = (
            (isinstance(node, Constant) and isinstance(node.value, bool))
            or (isinstance(node, Unary) and node.sign == "!")
            or (isinstance(node, Chain) and (node.signs[0] in _COMPARISONS or node.signs[0] in ("&&", "||")))
            or (isinstance(node, Macro) and node.kind in ("all", "exists", "exists_one"))
            or (isinstance(node, Call) and FUNCTIONS[node.name].name in _GIVES_BOOLEAN)
        )
        return written if known else self.call("boolean", node, written)

    def chain(self, node: Chain) -> str:
        sign = node.signs[0]
        if sign in ("&&", "||"):
            return self.logic(sign, [self.boolean(operand) for operand in node.operands])
        if sign in _COMPARISONS:
            return self.call("in" if sign == "in" else "compare", node, *map(self.emit, node.operands))
        return self.call("calculate", node, *map(self.emit, node.operands))

    def logic(self, sign: str, written: list[str]) -> str:
        # Halved, so that twenty conditions do not nest twenty deep.
        if len(written) == 1:
            return written[0]
        half = len(written) // 2
        left, right = self.logic(sign, written[:half]), self.logic(sign, written[half:])
        return f"({left}?{right}:false)" if sign == "&&" else f"({left}?true:{right})"

    def macro(self, node: Macro) -> str:
        loop = Loop([], [])
        target = self.emit(node.target)
        items = self.call("items", node, target)
        self.loop_of[len(self.nodes) - 1] = loop
        name = f"v{len(self.loop_names)}"
        self.loop_names[node.name], self.loops[node.name] = name, loop
        self.frames.append(loop)
        kept = f"{items}.filter({name},{self.boolean(node.condition)})" if node.condition else items
        if node.kind == "map":
            written = f"{kept}.map({name},{self.emit(node.body)})"
        elif node.kind == "filter":
            written = f"{kept}.filter({name},{self.boolean(node.body)})"
        else:
            # CEL's own all and exists hide an error in one item when another decides.
            written = f"{kept}.map({name},{self.boolean(node.body)})"
        self.frames.pop()
        del self.loop_names[node.name], self.loops[node.name]
        return written if node.kind in ("map", "filter") else self.call(node.kind, node, written)

    def function(self, node: Call) -> str:
        function = FUNCTIONS[node.name]
        match function.name:
            case "has":
                return self.present(node.arguments[0])
            case "default" | "coalesce":
                return self.fallback(node.arguments)
            case "is_empty":
                given = node.arguments[0]
                return f"({self.present(given)}?{self.call('is_empty', node, self.emit(given))}:true)"
            case "matches":
                text, pattern = node.arguments
                written = self.call("need text", text, self.emit(text))
                return f"{written}.matches({self.call('need text', pattern, self.emit(pattern))})"
            case "now" | "today":
                path = Path("run", ("started_at",))
                moment = self.emit(Reference(path, node.start, node.end))
                return moment if function.name == "now" else self.call("date", node, moment)
        return self.call(function.name, node, *map(self.emit, node.arguments))

    def present(self, node: Node) -> str:
        """Whether there is a value that is not null, asked without ever failing on what is missing."""
        match node:
            case Reference():
                self.asked.append(node)
                return f"h{len(self.asked) - 1}"
            case Select():
                held = self.call("holds", node, self.emit(node.target), quoted(node.field))
                return f"({self.present(node.target)}?{held}:false)"
            case Index():
                held = self.call("holds", node, self.emit(node.target), self.emit(node.index))
                return f"({self.present(node.target)}?{held}:false)"
        return f"({self.emit(node)}!=null)"

    def fallback(self, given: tuple[Node, ...]) -> str:
        if len(given) == 1:
            return self.emit(given[0])
        return f"({self.present(given[0])}?{self.emit(given[0])}:{self.fallback(given[1:])})"
