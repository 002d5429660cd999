"""Numbers and posts that cases write in a short form.

`"100..159"` is a range with both ends, `"now-700+id"` a sum over names, and
`"author id%7+2, ids 1..300, created_at now-1000+id//3"` a list of posts.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from xfeed.conformance.shape import NotCovered

MAX_LEN: Final = 1_000_000
"""Longest range that is written out."""

OPERATORS: Final[Mapping[type[ast.operator], Callable[[int, int], int]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


class ShortPost(NamedTuple):
    """A post of a short form; the time is in seconds."""

    post_id: int
    author_id: int
    created_at: int


def integers(text: str) -> list[int]:
    """Reads `"7"` or `"100..159"`, both ends included.

    Raises:
        NotCovered: when it is neither.
    """
    first, dots, last = text.partition("..")
    try:
        start, end = int(first), int(last if dots else first)
    except ValueError:
        raise NotCovered(f"`{text}` is not a range such as 1..300") from None
    if end - start >= MAX_LEN:
        raise NotCovered(f"the range `{text}` is longer than {MAX_LEN}")
    return list(range(start, end + 1))


def evaluate(text: str, names: Mapping[str, int]) -> int:
    """Computes an expression of integers, names and `+ - * // %`.

    Raises:
        NotCovered: when there is anything else in it.
    """
    try:
        return _value(ast.parse(text.strip(), mode="eval").body, names)
    except (SyntaxError, ArithmeticError, RecursionError):
        raise NotCovered(f"`{text}` is not an expression of {', '.join(names)}") from None


def posts(text: str, now: int) -> list[ShortPost]:
    """Reads `"author 1, ids 1..600, created_at now-700+id"`; times are in seconds.

    Raises:
        NotCovered: when another field is named, or one is missing.
    """
    fields = dict(part.split(None, 1) for part in text.split(",") if len(part.split(None, 1)) > 1)
    if fields.keys() != {"author", "ids", "created_at"}:
        raise NotCovered(f"`{text}` does not name ids, author and created_at")
    return listed(integers(fields["ids"].strip()), fields["author"], fields["created_at"], now)


def listed(ids: list[int], author: str, created_at: str, now: int) -> list[ShortPost]:
    """Writes out posts whose author and time are expressions of `id`, `i` and `now`.

    Raises:
        NotCovered: as `evaluate`.
    """
    found: list[ShortPost] = []
    for i, post_id in enumerate(ids):
        names = {"now": now, "id": post_id, "i": i}
        found.append(ShortPost(post_id, evaluate(author, names), evaluate(created_at, names)))
    return found


def _value(node: ast.expr, names: Mapping[str, int]) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, names), _value(right, names))
        case _:
            raise SyntaxError
