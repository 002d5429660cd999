"""From a run to a page: numbers become names, rows become places."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from xfeed.columns import KINDS
from xfeed.mixer.result import FeedItem, FeedResult, Mode, Receipt, Where
from xfeed.mixer.why import Why

if TYPE_CHECKING:
    from xfeed._core import World
    from xfeed.mixer.runner import Pipeline, Run

IN_NETWORK = {1: True, 0: False, -1: None}


def make_page(pipeline: Pipeline, run: Run, receipt: Receipt, viewer_id: str) -> FeedResult:
    """Turns a run into the answer; `viewer_id` is the viewer as the caller wrote it."""
    world = pipeline.parts.world
    mode: Mode = "newest_then_popular"
    if run.board.by_model:
        mode = "model" if run.has_history else "model_without_history"
    elif pipeline.parts.model is not None and not len(run.board.rows):
        # Nothing was left to predict; the model stood ready.
        mode = "model" if run.has_history else "model_without_history"
    return FeedResult(
        viewer_id=viewer_id,
        mode=mode,
        items=_items(world, run),
        report=run.report,
        receipt=receipt,
        locate=lambda post, spelled: _locate(pipeline, run, post, spelled),
        removed_examples=lambda: _removed_examples(world, run),
    )


def _items(world: World, run: Run) -> tuple[FeedItem, ...]:
    candidates = run.candidates
    post, author = candidates.post_id, candidates.author_id
    shown, created_ms = candidates.shown_post_id, candidates.created_ms
    kind, in_network = candidates.kind, candidates.in_network
    source, sources = candidates.source, candidates.sources
    line_of = {int(row): line for line, row in enumerate(run.board.rows)}
    items = []
    for position, row in enumerate(run.selected, start=1):
        text, _, topics = world.content(int(shown[row]))
        why = Why.of(run.board, line_of[row])
        items.append(
            FeedItem(
                position=position,
                post_id=world.spell(int(post[row])),
                author_id=world.spell(int(author[row])),
                author_handle=world.handle(int(author[row])),
                kind=KINDS[kind[row]],
                shown_post_id=world.spell(int(shown[row])),
                text=text or "",
                topics=tuple(topics),
                created_ms=int(created_ms[row]),
                source=sources[source[row]],
                in_network=IN_NETWORK[int(in_network[row])],
                score=why.score,
                why=why,
            )
        )
    return tuple(items)


def _removed_examples(world: World, run: Run) -> list[Where]:
    posts = run.candidates.post_id
    first: dict[tuple[str, str], Where] = {}
    for row in range(len(run.verdicts)):
        removal = run.verdicts.removal(row)
        if removal is not None and removal[:2] not in first:
            stage, reason, detail = removal
            where = Where(world.spell(int(posts[row])), "removed", stage, reason, detail)
            first[stage, reason] = where
    return [first[stage, reason] for stage, reason, _ in run.verdicts.counts()]


def _locate(pipeline: Pipeline, run: Run, post: int, spelled: str) -> Where:
    rows = np.flatnonzero(run.candidates.post_id == np.uint64(post)).tolist()
    n_scored = int(np.isfinite(run.board.score).sum())
    for row in rows:
        if row in run.selected:
            place = run.selected.index(row) + 1
            source = run.candidates.sources[run.candidates.source[row]]
            detail = f"place {place} of {len(run.selected)}, found by {source}"
            return Where(spelled, "selected", source, "", detail)
    for row in rows:
        if row in run.not_selected:
            place = len(run.selected) + run.not_selected.index(row) + 1
            line = int(np.flatnonzero(run.board.rows == row)[0])
            score = run.board.score[line]
            if not np.isfinite(score):
                detail = "nothing could be predicted for it"
                return Where(spelled, "not_selected", "scorers", "not_scored", detail)
            detail = f"place {place} of {n_scored} with score {score:.6f}, the page ends at "
            detail += f"{len(run.selected)}"
            return Where(spelled, "not_selected", "top_k", "below_the_cut", detail)
    for row in rows:
        removal = run.verdicts.removal(row)
        if removal is not None:
            stage, reason, detail = removal
            return Where(spelled, "removed", stage, reason, detail)
    return _not_retrieved(pipeline, run, post, spelled)


def _not_retrieved(pipeline: Pipeline, run: Run, post: int, spelled: str) -> Where:
    world = pipeline.parts.world
    match world.post_state(post):
        case "unknown":
            detail = "the post never came in, or is older than the retention"
            return Where(spelled, "not_retrieved", "store", "unknown_post", detail)
        case "deleted":
            return Where(spelled, "not_retrieved", "store", "deleted_post", "the post was deleted")
    around = np.flatnonzero(run.candidates.shown_post_id == np.uint64(post))
    if len(around):
        other = world.spell(int(run.candidates.post_id[around[0]]))
        detail = f"the post itself was not found by a source, but its repost {other} was"
        return Where(spelled, "not_retrieved", "sources", "found_as_repost", detail)
    probed = pipeline.probe(run.query.viewer, run.query.now_ms, post)
    if probed is not None:
        stage, reason, detail = probed
        detail = f"no source found it, and {stage} would remove it: {detail}"
        return Where(spelled, "not_retrieved", stage, reason, detail)
    detail = "no source found it among its best"
    if not world.posts_of(np.array([post], dtype=np.uint64))["is_original"][0]:
        detail = (
            "replies and reposts come from followed accounts only, replies only to originals or "
            "to followed accounts below them"
        )
    return Where(spelled, "not_retrieved", "sources", "not_found", detail)
