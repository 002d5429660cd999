"""A bundle that answers requests: engines, caches, grouping, deadlines."""

from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime.contexts import CacheStats
from xfeed.phoenix.runtime.serving import Phoenix, RuntimeStats

__all__ = ["CacheStats", "Phoenix", "RuntimeOptions", "RuntimeStats"]
