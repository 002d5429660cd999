"""Reads the golden cases of the filters.

A case names the filter, its settings, what is known about the viewer (known and empty unless it
says otherwise; null = could not be looked up), the candidates as arguments of `set_core` (null =
not in the store), rows that are out already, and the expected reason per row (null = kept).
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
from xfeed import _core

Case = dict[str, Any]

VIEWER: Final = 99
NOW_MS: Final = 1_000_000
LOOKED_UP: Final = ("blocked", "blocked_by", "muted", "muted_words", "seen")


def cases() -> list[Case]:
    """All cases, in the order of the file."""
    found: list[Case] = json.loads(Path(__file__).with_name("filters.json").read_text("utf-8"))
    return found


def query_of(case: Case) -> _core.Query:
    """The viewer of a case."""
    viewer = {"id": VIEWER, **{name: [] for name in LOOKED_UP}, **case.get("viewer", {})}
    query = _core.Query(viewer["id"], NOW_MS)
    query.set_safety(*(viewer[name] for name in ("blocked", "blocked_by", "muted", "muted_words")))
    query.set_seen(viewer["seen"])
    query.set_following(viewer.get("following", []))
    return query


def batch_of(case: Case) -> _core.CandidateBatch:
    """The candidates of a case."""
    batch = _core.CandidateBatch()
    for row, candidate in enumerate(case["candidates"]):
        source = candidate.get("source", "one")
        batch.push_source(source, np.array([candidate["post"]], dtype=np.uint64))
        core = candidate["core"]
        if core is not None:
            related = [tuple(other) for other in core.get("related", [])]
            facts = {name: value for name, value in core.items() if name != "related"}
            batch.set_core(
                row, facts.pop("author"), facts.pop("created_ms"), related=related, **facts
            )
        batch.set_labels(row, candidate.get("labels", []))
    return batch


def verdicts_of(case: Case) -> _core.Verdicts:
    """What the filter of a case says."""
    batch = batch_of(case)
    verdicts = _core.Verdicts(len(batch))
    for row in case.get("already_removed", []):
        verdicts.remove(row, "an earlier filter", "earlier", "")
    settings = _core.FilterSettings(
        max_age_ms=case.get("max_age_ms", 0), removing_labels=case.get("removing_labels", [])
    )
    _core.run_filters([case["filter"]], settings, query_of(case), batch, verdicts)
    return verdicts
