"""The For You feed that anyone can install, run, read and trust.

    import xfeed

    feed = xfeed.Feed.open("data/")
    feed.ingest(events)
    feed.fit()
    page = feed.for_you(viewer_id=42, limit=20)
    page[0].why
    page.where(post_id=7)

Names load on first use: importing xfeed imports neither torch nor pydantic.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from xfeed.errors import (
    BundleError,
    ConfigError,
    EventError,
    RateLimitError,
    ShapeError,
    StoreError,
    XfeedError,
)

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch as Candidates
    from xfeed._core import Query, World
    from xfeed._core import version as _version
    from xfeed.config import FeedConfig
    from xfeed.embeddings import EmbeddingTable, HashFamily
    from xfeed.events import Event
    from xfeed.feed import Feed
    from xfeed.mixer.result import FeedResult
    from xfeed.mixer.runner import Pipeline
    from xfeed.mixer.stages import (
        Filter,
        Hydrator,
        QueryHydrator,
        Scorer,
        Selector,
        SideEffect,
        Source,
    )
    from xfeed.store import PostStore

    __version__ = _version()

_HOMES = {
    "Candidates": ("xfeed._core", "CandidateBatch"),
    "EmbeddingTable": ("xfeed.embeddings", "EmbeddingTable"),
    "Event": ("xfeed.events", "Event"),
    "Feed": ("xfeed.feed", "Feed"),
    "FeedConfig": ("xfeed.config", "FeedConfig"),
    "FeedResult": ("xfeed.mixer.result", "FeedResult"),
    "Filter": ("xfeed.mixer.stages", "Filter"),
    "HashFamily": ("xfeed.embeddings", "HashFamily"),
    "Hydrator": ("xfeed.mixer.stages", "Hydrator"),
    "Pipeline": ("xfeed.mixer.runner", "Pipeline"),
    "PostStore": ("xfeed.store", "PostStore"),
    "Query": ("xfeed._core", "Query"),
    "QueryHydrator": ("xfeed.mixer.stages", "QueryHydrator"),
    "Scorer": ("xfeed.mixer.stages", "Scorer"),
    "Selector": ("xfeed.mixer.stages", "Selector"),
    "SideEffect": ("xfeed.mixer.stages", "SideEffect"),
    "Source": ("xfeed.mixer.stages", "Source"),
    "World": ("xfeed._core", "World"),
}

__all__ = [
    "BundleError",
    "Candidates",
    "ConfigError",
    "EmbeddingTable",
    "Event",
    "EventError",
    "Feed",
    "FeedConfig",
    "FeedResult",
    "Filter",
    "HashFamily",
    "Hydrator",
    "Pipeline",
    "PostStore",
    "Query",
    "QueryHydrator",
    "RateLimitError",
    "Scorer",
    "Selector",
    "ShapeError",
    "SideEffect",
    "Source",
    "StoreError",
    "World",
    "XfeedError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("xfeed._core").version()
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(import_module(module), attribute)
    raise AttributeError(f"module 'xfeed' has no attribute {name!r}")
