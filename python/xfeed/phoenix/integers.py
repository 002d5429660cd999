"""Whole numbers that callers pass, checked before arrays are made of them."""

from operator import index
from typing import SupportsIndex

from xfeed.errors import ShapeError

U64_RANGE = (0, 2**64 - 1)
"""Ids and keys."""

I64_RANGE = (-(2**63), 2**63 - 1)
"""Moments in milliseconds, and numbers of classes, known ones or not."""


def checked_integer(name: str, value: SupportsIndex, bounds: tuple[int, int]) -> int:
    """A whole number as an int; NumPy's are taken as well.

    Args:
        name: of the argument, for the error.
        value: the number.
        bounds: the least and the largest.

    Raises:
        ShapeError: it is no whole number, or out of its bounds.
    """
    low, high = bounds
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise ShapeError(
            f"`{name}` is `{value!r}`, a whole number in {low} ..= {high} is needed",
            code="bad_number",
            hint=f"pass `{name}` as an int in this range",
        )
    return number
