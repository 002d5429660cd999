"""Runs a request through the stages, in the published order.

Query hydrators, sources, hydrators, filters, scorers, selector. A failed stage is named in the
answer: without a safety hydrator nothing is shown, without any other the rest still serves.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from xfeed import _core
from xfeed.config import SAFETY_FILTERS
from xfeed.errors import ShapeError
from xfeed.mixer import registry
from xfeed.mixer.board import ScoreBoard
from xfeed.mixer.report import Report

if TYPE_CHECKING:
    from xfeed._core import CandidateBatch, Query, Verdicts
    from xfeed.mixer.result import FeedResult
    from xfeed.mixer.stages import Filter, Parts


@dataclass(frozen=True, slots=True)
class Run:
    """Everything one request left behind.

    Attributes:
        query: who asked and what was known.
        candidates: all candidates, in rows that never moved.
        verdicts: kept or removed, per row.
        board: scores of the kept ones.
        selected: rows on the page, best first.
        not_selected: scored rows that did not get on it, best first.
        report: counts and times per stage.
        has_history: whether anything is known of what the viewer did.
    """

    query: Query
    candidates: CandidateBatch
    verdicts: Verdicts
    board: ScoreBoard
    selected: list[int]
    not_selected: list[int]
    report: Report
    has_history: bool


class Pipeline:
    """The stages that `config.pipeline` names, built once and used by every request.

    Args:
        parts: what the stages are built from.

    Raises:
        ConfigError: when the config names a stage that does not exist.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        names = parts.config.pipeline
        tables = registry
        self._query_hydrators = tables.build(
            "query hydrator", tables.QUERY_HYDRATORS, names.query_hydrators, parts
        )
        self._sources = tables.build("source", tables.SOURCES, names.sources, parts)
        self._hydrators = tables.build("hydrator", tables.HYDRATORS, names.hydrators, parts)
        self._scorers = tables.build("scorer", tables.SCORERS, names.scorers, parts)
        (self._selector,) = tables.build("selector", tables.SELECTORS, [names.selector], parts)
        self._side_effects = tables.build(
            "side effect", tables.SIDE_EFFECTS, names.side_effects, parts
        )
        settings = parts.config.filters
        self._settings = _core.FilterSettings(
            max_age_ms=settings.age.max_age_secs * 1_000,
            removing_labels=list(settings.labels.removing),
        )
        rust = dict(_core.filters())
        forgotten = [name for name in SAFETY_FILTERS if name not in names.filters]
        self._filters = [*names.filters, *forgotten]
        self._python_filters: dict[str, Filter] = {
            name: tables.build("filter", rust | tables.PYTHON_FILTERS, [name], parts)[0]
            for name in names.filters
            if name not in rust
        }

    @property
    def parts(self) -> Parts:
        """What the stages were built from."""
        return self._parts

    def run(self, viewer: int, now_ms: int, limit: int) -> Run:
        """Makes one page of at most `limit` posts for `viewer` as of `now_ms`."""
        deadline_ms = self._parts.config.model.deadline_ms
        deadline = time.monotonic() + deadline_ms / 1_000 if deadline_ms else None
        report = Report()
        query = self._hydrated_query(viewer, now_ms, report)
        candidates = self._retrieved(query, report)
        self._hydrate(query, candidates, report)
        verdicts = _core.Verdicts(len(candidates))
        self._filter(query, candidates, verdicts, report)
        board = ScoreBoard.blank(verdicts.kept(), deadline)
        self._score(query, candidates, board, report)
        with report.stage("selector", self._selector.name, len(board.rows)) as stage:
            selected, others = self._selector.select(candidates, board, limit)
            stage.n_out = len(selected)
        return Run(
            query=query,
            candidates=candidates,
            verdicts=verdicts,
            board=board,
            selected=[int(board.rows[line]) for line in selected],
            not_selected=[int(board.rows[line]) for line in others],
            report=report,
            has_history=self._has_history(viewer, now_ms),
        )

    def run_side_effects(self, query: Query, page: FeedResult) -> None:
        """Runs what comes after the page; a failure is noted in its report and stops nothing."""
        for effect in self._side_effects:
            with page.report.soft_stage("side_effect", effect.name, len(page)):
                effect.run(query, page)

    def probe(self, viewer: int, now_ms: int, post: int) -> tuple[str, str, str] | None:
        """Which filter would remove `post` if a source had found it: filter, reason, detail."""
        report = Report()
        query = self._hydrated_query(viewer, now_ms, report)
        candidates = _core.CandidateBatch()
        candidates.push_source("probe", np.array([post], dtype=np.uint64))
        self._hydrate(query, candidates, report)
        verdicts = _core.Verdicts(1)
        self._filter(query, candidates, verdicts, report)
        return verdicts.removal(0)

    def _has_history(self, viewer: int, now_ms: int) -> bool:
        _, rows = self._parts.world.history(viewer, now_ms, 1)
        return len(rows["at_ms"]) > 0

    def _hydrated_query(self, viewer: int, now_ms: int, report: Report) -> Query:
        query = _core.Query(viewer, now_ms)
        for hydrator in self._query_hydrators:
            with report.soft_stage("query_hydrator", hydrator.name):
                hydrator.hydrate(query)
        return query

    def _retrieved(self, query: Query, report: Report) -> CandidateBatch:
        candidates = _core.CandidateBatch()
        for source in self._sources:
            with report.soft_stage("source", source.name) as stage:
                found = np.ascontiguousarray(source.find(query))
                if found.dtype != np.uint64:
                    raise ShapeError(f"`find` gave {found.dtype}, uint64 is needed", code="bad_ids")
                candidates.push_source(source.name, found)
                stage.n_out = len(found)
        return candidates

    def _hydrate(self, query: Query, candidates: CandidateBatch, report: Report) -> None:
        for hydrator in self._hydrators:
            with report.soft_stage("hydrator", hydrator.name, len(candidates)):
                hydrator.hydrate(query, candidates)

    def _filter(
        self, query: Query, candidates: CandidateBatch, verdicts: Verdicts, report: Report
    ) -> None:
        names = self._filters
        first = len(report.stages)
        # Neighbouring Rust filters run in one call; a Python filter between them splits the run.
        for is_python, group in groupby(names, key=lambda name: name in self._python_filters):
            if is_python:
                for name in group:
                    self._run_python_filter(name, query, candidates, verdicts, report)
            else:
                self._run_rust_filters(list(group), query, candidates, verdicts, report)
        _count_removals(report, first, verdicts)

    def _run_rust_filters(
        self,
        names: list[str],
        query: Query,
        candidates: CandidateBatch,
        verdicts: Verdicts,
        report: Report,
    ) -> None:
        nanos = _core.run_filters(names, self._settings, query, candidates, verdicts)
        for name, spent in zip(names, nanos, strict=True):
            with report.stage("filter", name) as stage:
                pass
            stage.millis = spent / 1_000_000

    def _run_python_filter(
        self,
        name: str,
        query: Query,
        candidates: CandidateBatch,
        verdicts: Verdicts,
        report: Report,
    ) -> None:
        stage_filter = self._python_filters[name]
        with report.soft_stage("filter", name) as stage:
            keep = np.asarray(stage_filter.keep(query, candidates))
            if keep.shape != (len(candidates),) or keep.dtype != np.bool_:
                stage.error = (
                    f"`keep` gave {keep.dtype} of shape {keep.shape}, "
                    f"bool of shape ({len(candidates)},) is needed"
                )
        if stage.error:
            # Nobody knows what a broken filter protects from.
            keep = np.zeros(len(candidates), dtype=np.bool_)
        for row in np.flatnonzero(~keep):
            reason = "filter_failed" if stage.error else stage_filter.reason
            verdicts.remove(int(row), name, reason, stage.error)

    def _score(
        self, query: Query, candidates: CandidateBatch, board: ScoreBoard, report: Report
    ) -> None:
        n = len(board.rows)
        for scorer in self._scorers:
            with report.soft_stage("scorer", scorer.name, n) as stage:
                scorer.score(query, candidates, board)
                stage.n_out = n
                # a scorer that ran out of time has done its part, and the answer says so
                stage.error = board.shortfalls.get(scorer.name, "")
        unscored = int((~np.isfinite(board.score)).sum())
        if unscored:
            report.stages[-1].removed["not_scored"] = unscored


def _count_removals(report: Report, first: int, verdicts: Verdicts) -> None:
    """Writes candidates in and out to the reports of filters, which know only their own times."""
    left = len(verdicts)
    counts = verdicts.counts()
    for stage in report.stages[first:]:
        stage.n_in = left
        stage.removed = {reason: n for name, reason, n in counts if name == stage.name}
        left -= sum(stage.removed.values())
        stage.n_out = left
