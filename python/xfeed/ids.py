"""Ids at the border: what callers write, and the exact 64-bit number the engine uses."""

from typing import TypeAlias

from xfeed import _core
from xfeed.errors import EventError

IdLike: TypeAlias = int | str
"""An id as callers write it: an integer ``0 ..= 2^63 - 1`` or a string of 1 to 512 bytes."""

_FIRST_STRING_ID = 1 << 63


def to_u64(value: IdLike) -> int:
    """Returns the number by which the engine knows `value`.

    Raises:
        EventError: when it is neither such an integer nor such a string.
    """
    if isinstance(value, str):
        return _core.id_of_text(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise EventError(
            f"the id `{value!r}` is a {type(value).__name__}",
            code="bad_id",
            hint="ids are integers 0 ..= 2^63 - 1 or strings of 1 to 512 bytes",
        )
    if not 0 <= value < _FIRST_STRING_ID:
        raise EventError(
            f"the id `{value}` is outside 0 ..= 2^63 - 1",
            code="bad_id",
            hint="pass larger or negative ids as strings",
        )
    return value
