"""The tables of stages, one per kind. `config.pipeline` names what runs and in which order.

Built-in filters are Rust and listed in `rust/xfeed-core/src/registry.rs`; the table here holds
those written in Python.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar

from xfeed import _core
from xfeed.errors import ConfigError
from xfeed.mixer.hydrators.core_data import CoreData
from xfeed.mixer.hydrators.in_network import InNetworkFlag
from xfeed.mixer.hydrators.labels import Labels
from xfeed.mixer.query_hydrators.following import Following
from xfeed.mixer.query_hydrators.safety import Safety
from xfeed.mixer.query_hydrators.seen import Seen
from xfeed.mixer.scorers.author_diversity import AuthorDiversity
from xfeed.mixer.scorers.newest_then_popular import NewestThenPopular
from xfeed.mixer.scorers.out_of_network import OutOfNetwork
from xfeed.mixer.scorers.predictor import Predictor
from xfeed.mixer.scorers.weighted_sum import WeightedSum
from xfeed.mixer.selectors.top_k import TopK
from xfeed.mixer.sources.in_network import InNetwork
from xfeed.mixer.sources.popular import Popular
from xfeed.mixer.sources.retrieval import Retrieval
from xfeed.mixer.stages import (
    Filter,
    Hydrator,
    Parts,
    QueryHydrator,
    Scorer,
    Selector,
    SideEffect,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Builder = Any  # a class or a function that takes `Parts` and returns a stage

QUERY_HYDRATORS: dict[str, Builder] = {s.name: s for s in (Following, Safety, Seen)}
SOURCES: dict[str, Builder] = {s.name: s for s in (InNetwork, Retrieval, Popular)}
HYDRATORS: dict[str, Builder] = {s.name: s for s in (CoreData, InNetworkFlag, Labels)}
PYTHON_FILTERS: dict[str, Builder] = {}
SCORERS: dict[str, Builder] = {
    s.name: s for s in (Predictor, WeightedSum, NewestThenPopular, AuthorDiversity, OutOfNetwork)
}
SELECTORS: dict[str, Builder] = {s.name: s for s in (TopK,)}
SIDE_EFFECTS: dict[str, Builder] = {}

_METHODS: tuple[tuple[str, type, dict[str, Builder]], ...] = (
    ("filter", Filter, PYTHON_FILTERS),
    ("source", Source, SOURCES),
    ("scorer", Scorer, SCORERS),
    ("selector", Selector, SELECTORS),
    ("side effect", SideEffect, SIDE_EFFECTS),
)

StageClass = TypeVar("StageClass", bound=type)


def register(stage: StageClass) -> StageClass:
    """Adds a stage written in Python to the table of its kind, for use in `config.pipeline`.

    The class has a `name`, is built with `Parts` as its only argument or with none, and has the
    method of its kind: `keep` for a filter, `find` for a source, `score` for a scorer, `select` for
    a selector, `run` for a side effect, `hydrate(query)` for a query hydrator and
    `hydrate(query, candidates)` for a hydrator.

    Raises:
        ConfigError: when it is none of these, or when its name is taken.
    """
    kind, table = _table_of(stage)
    name = str(getattr(stage, "name", ""))
    taken = name in table or (kind == "filter" and name in dict(_core.filters()))
    if not name or taken:
        raise ConfigError(
            f"the {kind} `{stage.__name__}` is called `{name}`, which is "
            + ("taken" if taken else "no name"),
            code="bad_stage",
            hint="give it a class attribute `name` of its own",
        )
    table[name] = stage
    return stage


def _table_of(stage: type) -> tuple[str, dict[str, Builder]]:
    for kind, protocol, table in _METHODS:
        wanted = [member for member in vars(protocol) if not member.startswith("_")]
        if all(hasattr(stage, member) for member in wanted):
            if kind == "filter" and not getattr(stage, "reason", ""):
                break
            return kind, table
    hydrate = getattr(stage, "hydrate", None)
    if hydrate is not None:
        takes_candidates = hydrate.__code__.co_argcount > 2
        return ("hydrator", HYDRATORS) if takes_candidates else ("query hydrator", QUERY_HYDRATORS)
    raise ConfigError(
        f"`{stage.__name__}` has the methods of no kind of stage",
        code="bad_stage",
        hint="see xfeed/mixer/stages.py; a filter needs `name`, `reason` and `keep`",
    )


def build(kind: str, table: dict[str, Builder], names: Iterable[str], parts: Parts) -> list[Any]:
    """Builds stages by name, in order.

    Raises:
        ConfigError: for an unknown name, with the nearest known one.
    """
    stages = []
    for name in names:
        if name not in table:
            near = difflib.get_close_matches(name, table, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(table)}"
            raise ConfigError(f"there is no {kind} `{name}`", code="unknown_stage", hint=hint)
        stages.append(_make(table[name], parts))
    return stages


def _make(builder: type, parts: Parts) -> Any:
    # A protocol brings an `__init__` of its own, which says nothing.
    own = [c for c in builder.__mro__ if c is not object and not getattr(c, "_is_protocol", False)]
    takes_parts = any("__init__" in vars(kind) for kind in own)
    return builder(parts) if takes_parts else builder()


__all__ = ["Hydrator", "QueryHydrator", "build", "register"]
