"""The mixer: a request becomes a page through small stages, each in one file.

`stages.py` says what a stage is, `registry.py` lists them by kind, `runner.py` runs them.
"""

from xfeed.mixer.registry import register
from xfeed.mixer.result import FeedItem, FeedResult, Where
from xfeed.mixer.runner import Pipeline
from xfeed.mixer.stages import (
    Filter,
    Hydrator,
    Model,
    Parts,
    QueryHydrator,
    Scorer,
    Selector,
    SideEffect,
    Source,
)
from xfeed.mixer.why import Part, Why

__all__ = [
    "FeedItem",
    "FeedResult",
    "Filter",
    "Hydrator",
    "Model",
    "Part",
    "Parts",
    "Pipeline",
    "QueryHydrator",
    "Scorer",
    "Selector",
    "SideEffect",
    "Source",
    "Where",
    "Why",
    "register",
]
