"""Whether what was got is what was expected.

Integers are compared exactly, whatever their size: ids have 64 bits and a float has 53. Floats may
differ a little; how much depends on the area.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeGuard


class Tolerance(NamedTuple):
    """How far two floats may be apart: the larger of both allowances counts.

    Attributes:
        relative: allowance per size of the larger float.
        absolute: allowance near zero.
    """

    relative: float
    absolute: float


EXACT_SUMS: Final = Tolerance(relative=1e-9, absolute=1e-12)
"""For all areas but those below: sums of a few float64 products in any order."""

ROUNDED: Final = Tolerance(relative=1e-5, absolute=1e-5)
"""For areas whose expected numbers were written down with six digits."""

ROUNDED_AREAS: Final = frozenset({"dpp", "dpp_alpha"})
"""Areas that are compared with `ROUNDED`."""


def tolerance_of(area: str) -> Tolerance:
    """Returns how far floats of `area` may be apart."""
    return ROUNDED if area in ROUNDED_AREAS else EXACT_SUMS


def same(expected: object, got: object, tolerance: Tolerance) -> bool:
    """Says whether `got` is what was expected.

    Args:
        expected: a JSON value.
        got: a value made of dicts, lists, tuples, strings, numbers, booleans and None.
        tolerance: how far floats may be apart.

    Returns:
        Whether they agree: lists in order, mappings in all keys, null only with null, a boolean
        never with a number.
    """
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        return _same_number(expected, got, tolerance)
    if isinstance(expected, Mapping) and isinstance(got, Mapping):
        return expected.keys() == got.keys() and all(
            same(value, got[key], tolerance) for key, value in expected.items()
        )
    if _is_list(expected) and _is_list(got):
        return len(expected) == len(got) and all(
            same(*pair, tolerance) for pair in zip(expected, got, strict=True)
        )
    return type(expected) is type(got) and expected == got


def same_results(
    expected: Mapping[str, object], got: Mapping[str, object], tolerance: Tolerance
) -> bool:
    """Says whether a handler produced every expected result.

    Args:
        expected: results by name.
        got: what the handler returned; results that nobody expects are ignored.
        tolerance: how far floats may be apart.

    Returns:
        Whether all of `expected` is in `got`, with the same values.
    """
    return all(
        name in got and same(value, got[name], tolerance) for name, value in expected.items()
    )


def _same_number(expected: float, got: float, tolerance: Tolerance) -> bool:
    if isinstance(expected, int) and isinstance(got, int):
        return expected == got
    if math.isnan(expected) or math.isnan(got):
        return math.isnan(expected) and math.isnan(got)
    # Two ints of 64 bits can be one float, so an int beyond 2^53 never equals a float "nearly".
    whole = expected if isinstance(expected, int) else got if isinstance(got, int) else 0
    if abs(whole) > 2**53:
        return expected == got
    return math.isclose(expected, got, rel_tol=tolerance.relative, abs_tol=tolerance.absolute)


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)
