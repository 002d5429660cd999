"""The ranker with its trunk in Rust."""

import copy
from typing import Literal

from xfeed.phoenix.model.native import NativeTransformer
from xfeed.phoenix.model.ranker import Ranker

Dtype = Literal["float32", "bfloat16", "int8"]


def with_native(ranker: Ranker, n_threads: int, dtype: Dtype = "float32") -> Ranker:
    """The same model; its trunk runs in Rust with so many threads."""
    native = copy.copy(ranker)
    native.trunk = NativeTransformer(ranker.transformer, dtype=dtype, threads=n_threads)
    return native
