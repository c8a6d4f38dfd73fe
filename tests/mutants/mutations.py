"""The mutants of a source: one small change each, which a test should notice.

The changes are mutmut's, and two of ours: a condition becomes its opposite, and a call that stands alone is
left out. Left as they are: types, decorators, what an error says, and strings with blanks, which are words
for people. A string without blanks is changed once, not three times.
"""

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import libcst as cst
import libcst.metadata as of
from mutmut.mutation.mutators import mutation_operators, operator_string

UNTOUCHED = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Raise, cst.Assert)


TYPES = {"Callable", "Iterator", "Literal", "Mapping", "Sequence", "dict", "list", "tuple"}


def _opposite(node: cst.If | cst.While) -> Iterable[cst.CSTNode]:
    bracketed = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.with_changes(test=cst.UnaryOperation(cst.Not(), bracketed))


def _left_out(node: cst.Expr) -> Iterable[cst.CSTNode]:
    if isinstance(node.value, cst.Call):
        yield cst.Pass()


OPERATORS = [*mutation_operators, (cst.If, _opposite), (cst.While, _opposite), (cst.Expr, _left_out)]


@dataclass(frozen=True)
class Mutant:
    """A change of one node. ``lines`` are the first and last of its statement; of a block, those of the node.

    Of a table that fills many lines Python runs the first alone.
    """

    source: "Source"
    where: str  # such as Run.run_id; empty outside of functions and classes
    lines: tuple[int, int]
    before: cst.CSTNode
    after: cst.CSTNode

    @cached_property
    def text(self) -> str:
        """The source with the change."""
        return self.source.module.deep_replace(self.before, self.after).code  # type: ignore[union-attr]

    @cached_property
    def change(self) -> tuple[str, str]:
        """The lines that differ: as they were, and as they are now."""
        compared = difflib.unified_diff(
            self.source.text.splitlines(), self.text.splitlines(), n=0, lineterm=""
        )
        lines = list(compared)[3:]
        return _joined(lines, "-"), _joined(lines, "+")


def _joined(lines: list[str], sign: str) -> str:
    return "\n".join(line[1:].strip() for line in lines if line.startswith(sign))


class Source:
    """A module's text, and its mutants in the order of their places.

    A mutant's name is the hash of the top-level statement that it is in, of its place therein and of what is
    there instead: the name stays while other functions are edited.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        wrapper = of.MetadataWrapper(cst.parse_module(text))
        self.module = wrapper.module
        self.mutants: dict[str, Mutant] = {}
        for statement in self.module.body:
            self._add(statement, wrapper.resolve(of.PositionProvider))

    def _add(self, statement: cst.CSTNode, places: Mapping[cst.CSTNode, of.CodeRange]) -> None:
        around = self.module.code_for_node(statement)
        top = places[statement].start.line
        for where, line, node, after in _changes(statement, (), None):
            start = places[node].start
            parts = around, str(start.line - top), str(start.column), self.module.code_for_node(after)
            name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]
            lines = places[line or node].start.line, places[line or node].end.line
            self.mutants.setdefault(name, Mutant(self, ".".join(where), lines, node, after))


def _changes(
    node: cst.CSTNode, where: tuple[str, ...], line: cst.SimpleStatementLine | None
) -> Iterator[tuple[tuple[str, ...], cst.SimpleStatementLine | None, cst.CSTNode, cst.CSTNode]]:
    """Where, in which statement, what, and what instead."""
    if isinstance(node, UNTOUCHED) or _names_a_type(node):
        return
    if isinstance(node, cst.FunctionDef | cst.ClassDef):
        where = (*where, node.name.value)
    if isinstance(node, cst.SimpleStatementLine):
        line = node
    yield from ((where, line, node, after) for after in _instead(node))
    for child in node.children:
        yield from _changes(child, where, line)


def _names_a_type(node: cst.CSTNode) -> bool:
    """``Name = Literal["a", "b"]``."""
    value = getattr(node, "value", None)
    is_type = (
        isinstance(value, cst.Subscript) and isinstance(value.value, cst.Name) and value.value.value in TYPES
    )
    return isinstance(node, cst.Assign) and is_type


def _instead(node: cst.CSTNode) -> Iterator[cst.CSTNode]:
    for kind, operator in OPERATORS:
        if not isinstance(node, kind):
            continue
        if operator is not operator_string:
            yield from operator(node)
        elif isinstance(node, cst.SimpleString) and " " not in node.value:
            yield from islice(operator(node), 1)
