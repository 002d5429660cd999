"""The example history of a checkpoint: a viewer and what they did, oldest first.

The published file is JSON: ``{"user_id": 1, "history": [{"post_id": 2, "author_id": 3,
"actions": {"1": 1.0}}]}``. Actions have the numbers of the published vocabulary; numbers that a
model does not know are left out, as the release does.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from xfeed.errors import BundleError
from xfeed.phoenix.bundles.tensor_file import open_regular, strict_json

MAX_SEQUENCE_BYTES: Final = 2**26

MAX_ACTION_VALUE: Final = 1e6
"""Largest magnitude of an action's value; the published ones are 0 and 1."""


@dataclass(frozen=True, slots=True)
class Sequence:
    """A viewer and n interactions.

    Attributes:
        viewer_id: the viewer.
        post_ids: (n,).
        author_ids: (n,).
        actions: for each interaction, values by published number.
    """

    viewer_id: int
    post_ids: npt.NDArray[np.uint64]
    author_ids: npt.NDArray[np.uint64]
    actions: tuple[dict[int, float], ...]

    def __len__(self) -> int:
        return len(self.post_ids)

    def take(self, rows: slice) -> "Sequence":
        """Picks interactions."""
        return Sequence(
            self.viewer_id, self.post_ids[rows], self.author_ids[rows], self.actions[rows]
        )


def read_sequence(path: Path) -> Sequence:
    """Reads an example history.

    Raises:
        BundleError: the file is missing, too long, or not of the shape above.
    """
    return parse_sequence(path, sequence_bytes(path))


def sequence_bytes(path: Path) -> bytes:
    """The bytes of an example history.

    Raises:
        BundleError: the file is missing or too long.
    """
    with open_regular(path) as file:
        content = file.read(MAX_SEQUENCE_BYTES + 1)
    if len(content) > MAX_SEQUENCE_BYTES:
        raise _bad(path, f"it is longer than `{MAX_SEQUENCE_BYTES}` bytes")
    return content


def parse_sequence(path: Path, content: bytes) -> Sequence:
    """Reads an example history from its bytes; `path` is for messages."""
    try:
        values = strict_json(content)
    except ValueError as error:
        raise _bad(path, str(error)) from error
    if not isinstance(values, dict) or not isinstance(values.get("history"), list):
        raise _bad(path, "it needs `user_id` and the list `history`")
    viewer_id = _id(path, "user_id", values)
    post_ids, author_ids, actions = [], [], []
    for place, one in enumerate(values["history"]):
        if not isinstance(one, dict):
            raise _bad(path, f"`history[{place}]` is not an object")
        post_ids.append(_id(path, "post_id", one))
        author_ids.append(_id(path, "author_id", one))
        actions.append(_actions(path, place, one.get("actions", {})))
    return Sequence(
        viewer_id,
        np.array(post_ids, dtype=np.uint64),
        np.array(author_ids, dtype=np.uint64),
        tuple(actions),
    )


def _id(path: Path, key: str, values: dict[str, Any]) -> int:
    """An id of 64 bits; a negative number is the same bits, read as signed."""
    value = values.get(key)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if type(value) is not int or not -(2**63) <= value < 2**64:
        raise _bad(path, f"`{key}` is `{value!r:.40}`, expected a whole number of 64 bits")
    return value % 2**64


def _actions(path: Path, place: int, values: Any) -> dict[int, float]:
    """Values by published number."""
    found: dict[int, float] = {}
    items: list[tuple[str, Any]] = list(values.items()) if isinstance(values, dict) else [("", 0)]
    for key, value in items:
        number = value if type(value) in (int, float) else math.inf
        good_key = key.isascii() and key.isdigit() and len(key) <= 4
        if not good_key or not abs(number) <= MAX_ACTION_VALUE:
            raise _bad(
                path,
                f"`actions` of `history[{place}]` must give numbers up to {MAX_ACTION_VALUE:g} by "
                "action number",
            )
        found[int(key)] = float(number)
    return found


def _bad(path: Path, why: str) -> BundleError:
    return BundleError(f"`{path.name}` is not a good history: {why}", code="bad_sequence")
