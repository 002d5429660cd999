"""What a handler is: the input it reads, and the function that answers it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

Results = Mapping[str, object]
"""Results by the names that cases use."""


class NotCovered(Exception):  # noqa: N818 - nothing went wrong
    """A case asks for something that the code of xfeed does not compute."""


class Input(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Base of all inputs; a key that is not a field makes the input a foreign one."""


class Shape(NamedTuple):
    """One form of input that an area knows.

    Attributes:
        input: the fields that are read.
        compute: the handler; it gets an `input`.
    """

    input: type[Input]
    compute: Callable[[Any], Results]


def compute(shapes: tuple[Shape, ...], given: object) -> Results:
    """Lets the first shape that knows all keys of an input answer it.

    Args:
        shapes: the forms of input that an area knows.
        given: the input of a case, as JSON values.

    Returns:
        The results.

    Raises:
        NotCovered: when no shape knows the input, or the handler cannot express it.
    """
    reasons: list[str] = []
    for shape in shapes:
        try:
            typed = msgspec.convert(given, shape.input)
        except msgspec.ValidationError as error:
            reasons.append(str(error))
        else:
            return shape.compute(typed)
    raise NotCovered("; ".join(dict.fromkeys(reasons)))
