"""Search among the vectors of posts."""

from xfeed.phoenix.index.exact import Dtype, Hits, Index, VectorIndex

__all__ = ["Dtype", "Hits", "Index", "VectorIndex"]
