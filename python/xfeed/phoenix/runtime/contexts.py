"""Encoded histories that are kept, so that a viewer who asks again pays for candidates only.

A context depends on the viewer and on the rows of the history as they are known at the moment,
on nothing else; so these are the key, and a changed history is simply another key. What was not
asked for longest goes first when the budget is used up.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class CacheStats:
    """What a cache did since loading.

    Attributes:
        hits: answers found.
        misses: answers that had to be computed.
        evictions: answers that made room for others.
        entries: answers that are kept now.
        nbytes: bytes they take.
    """

    hits: int
    misses: int
    evictions: int
    entries: int
    nbytes: int


class ByteCache(Generic[Value]):
    """Least recently used values up to a budget of bytes; safe from several threads.

    Args:
        max_bytes: the budget; 0 keeps nothing.
        size_of: bytes of a value.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, tuple[Value, int]] = OrderedDict()
        self._nbytes = self._hits = self._misses = self._evictions = 0

    def get(self, key: bytes) -> Value | None:
        """The value of a key, which is now the most recent one."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self._misses += 1
                return None
            self._hits += 1
            self._kept.move_to_end(key)
            return found[0]

    def put(self, key: bytes, value: Value) -> None:
        """Keeps a value; one that is larger than the whole budget is not kept."""
        size = self._size_of(value)
        if size > self._max_bytes:
            return
        with self._lock:
            before = self._kept.pop(key, None)
            if before is not None:
                self._nbytes -= before[1]
            self._kept[key] = (value, size)
            self._nbytes += size
            while self._nbytes > self._max_bytes:
                _, (_, freed) = self._kept.popitem(last=False)
                self._nbytes -= freed
                self._evictions += 1

    def clear(self) -> None:
        """Forgets everything but the counts."""
        with self._lock:
            self._kept.clear()
            self._nbytes = 0

    @property
    def stats(self) -> CacheStats:
        """Counts since loading."""
        with self._lock:
            return CacheStats(
                self._hits, self._misses, self._evictions, len(self._kept), self._nbytes
            )


def owned(value: Value) -> Value:
    """The same value, without memory that only other tensors need.

    A part of a larger tensor keeps all of it: keys and values, which are cut out of one product,
    would keep the queries beside them.
    """
    found: Any = value
    if isinstance(value, Tensor):
        if value.untyped_storage().nbytes() > value.numel() * value.element_size():
            found = value.clone(memory_format=torch.contiguous_format)
    elif isinstance(value, tuple):
        found = tuple(map(owned, value))
    elif is_dataclass(value) and not isinstance(value, type):
        found = replace(value, **{f.name: owned(getattr(value, f.name)) for f in fields(value)})
    return found  # type: ignore[no-any-return]


def nbytes_of(value: object) -> int:
    """Bytes that a value keeps in memory; what knows its own `nbytes` is asked.

    A tensor keeps the whole storage that it lies in.
    """
    if isinstance(value, Tensor):
        return value.untyped_storage().nbytes()
    own = getattr(value, "nbytes", None)
    if isinstance(own, int):
        return own
    if isinstance(value, (tuple, list)):
        return sum(map(nbytes_of, value))
    if is_dataclass(value):
        return sum(nbytes_of(getattr(value, field.name)) for field in fields(value))
    return 0
