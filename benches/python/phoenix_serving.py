"""Bundles, viewers and posts for the benches of serving."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from xfeed import _core
from xfeed.actions import ACTIONS, DWELLED_AT_SECS, INDEX, N_DISCRETE
from xfeed.phoenix.batch import InteractionColumns, PostColumns
from xfeed.phoenix.bundles.read import Bundle
from xfeed.phoenix.bundles.write import model_parts, write_bundle
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.features import post_age_bucket
from xfeed.phoenix.hashes import HashConfig, hash_family
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs, PostInputs
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval

from benches.python.phoenix_workload import ACTED, SEED, Request, fill
from benches.python.timing import QUICK
from benches.python.workload import DAY_MS, NOW_MS, Ids, draws

N_ROWS: Final = 20_000 if QUICK else 1_000_000
"""Rows of each table, as in the release."""

SURFACE: Final = 1


@dataclass(frozen=True)
class Viewer:
    """One viewer who asks.

    Attributes:
        key: who.
        history: a full history.
        history_posts: the posts in it.
        candidates: what is to be ranked.
    """

    key: int
    history: InteractionColumns
    history_posts: PostColumns
    candidates: PostColumns

    @property
    def request(self) -> tuple[int, InteractionColumns, PostColumns, PostColumns, int, int]:
        """Arguments of `Phoenix.predict`."""
        return (
            self.key, self.history, self.history_posts, self.candidates, SURFACE, NOW_MS,
        )  # fmt: skip


@dataclass(frozen=True)
class Served:
    """The mini release with drawn weights, as a bundle and as the models in it."""

    bundle: Bundle
    ranker: Ranker
    retrieval: Retrieval
    table: _core.EmbeddingTable


def serve_mini() -> Served:
    """Both models of the mini release; one table of drawn rows serves all kinds of ids."""
    mini = PhoenixConfig.published_mini()
    hashes = {name: replace(hashed, n_rows=N_ROWS) for name, hashed in mini.hashes.items()}
    # a candidate's score does not depend on its place in the request
    config = replace(mini, positions="right_anchored", **hashes)  # type: ignore[arg-type]
    ranker, retrieval = Ranker(config), Retrieval(config)
    fill(ranker, SEED)
    fill(retrieval, SEED + 1)
    generator = np.random.default_rng(SEED)
    rows = generator.standard_normal((N_ROWS, config.table_width), dtype=np.float32) * 0.7
    rows[0] = 0
    table = _core.EmbeddingTable.from_array(rows)
    tables = dict.fromkeys(config.hashes, table)
    values: dict[str, Any] = {field.name: {} for field in fields(Bundle)}
    values |= {
        "id": "bench",
        "directory": Path(),
        "config": config,
        "retrieval_config": config,
        "ranker": model_parts(config, ranker, {}).parameters,
        "retrieval": model_parts(config, retrieval, {}).parameters,
        "ranker_tables": tables,
        "retrieval_tables": tables,
        "actions": tuple(action.name for action in ACTIONS[: config.n_actions]),
        "origin": "published-import",
        "log_offset": 0,
        "files": (),
    }
    return Served(Bundle(**values), ranker, retrieval, table)


def make_posts(seed: int, n_posts: int) -> PostColumns:
    """Posts of the last two days."""
    posts = PostColumns.zeros(n_posts)
    posts.post_key[:] = draws(seed, n_posts) | np.uint64(1)
    posts.author_key[:] = draws(seed + 1, n_posts) % np.uint64(100_000) + np.uint64(1)
    posts.created_ms[:] = (
        NOW_MS - 1_000 - (draws(seed + 2, n_posts) % np.uint64(2 * DAY_MS)).astype(np.int64)
    )
    return posts


def make_viewer(config: PhoenixConfig, n_candidates: int, seed: int) -> Viewer:
    """A viewer with a full history of posts that they acted upon an hour ago or earlier."""
    S = config.history_len
    history = InteractionColumns.zeros(S)
    key = seed + 1
    history.viewer_key[:] = key
    history.post_row[:] = np.arange(S)
    history.at_ms[:] = NOW_MS - 3_600_000 - 60_000 * np.arange(S, 0, -1)
    history.surface[:] = draws(seed, S) % np.uint64(config.n_surfaces)
    bits = np.random.default_rng(seed).random((S, min(config.n_actions, N_DISCRETE))) < ACTED
    history.actions[:] = bits @ (np.uint64(1) << np.arange(bits.shape[1], dtype=np.uint64))
    history.dwell_secs[:] = np.random.default_rng(seed + 1).random(S, dtype=np.float32) * 40
    # long enough on a post is an action of its own
    dwell = np.uint64(1 << INDEX["dwell"])
    dwelled = history.dwell_secs >= DWELLED_AT_SECS
    history.actions[:] = np.where(dwelled, history.actions | dwell, history.actions & ~dwell)
    history.acted_ms[:] = np.where(history.actions != 0, history.at_ms + 1_000, 0)
    history.is_impression[:] = True
    posts = make_posts(seed * 1_000 + 7, S)
    return Viewer(key, history, posts, make_posts(seed * 1_000 + 107, n_candidates))


def gathered(served: Served, viewer: Viewer) -> Request:
    """The same request with its embeddings gathered, for the peers."""
    config, bundle, history = served.ranker.config, served.bundle, viewer.history
    names = bundle.actions
    acted = [(history.actions >> np.uint64(INDEX[name])) & np.uint64(1) for name in names]
    C = len(viewer.candidates)
    now_secs = np.full(C, NOW_MS // 1_000, dtype=np.int64)
    age = post_age_bucket(
        now_secs, viewer.candidates.created_ms // 1_000, config.post_age_granularity_mins
    )
    inputs = HistoryInputs(
        user_rows=rows(served.table, config.user, np.array([viewer.key], dtype=np.uint64)),
        user_valid=torch.ones(1, dtype=torch.bool),
        post=torch.arange(len(history))[None],
        valid=torch.ones(1, len(history), dtype=torch.bool),
        actions=torch.from_numpy(np.stack(acted, axis=1).astype(np.float32))[None],
        surface=torch.from_numpy(history.surface.astype(np.int64))[None],
        dwell_secs=torch.from_numpy(history.dwell_secs)[None],
    )
    candidates = CandidateInputs(
        post=torch.arange(C)[None],
        surface=torch.full((1, C), SURFACE, dtype=torch.int64),
        post_age=torch.from_numpy(age.astype(np.int64))[None],
    )
    posts = [post_inputs(served, columns) for columns in (viewer.history_posts, viewer.candidates)]
    return Request(posts[0], inputs, posts[1], candidates)


def post_inputs(served: Served, posts: PostColumns) -> PostInputs:
    """Rows of posts and of their authors."""
    config = served.ranker.config
    return PostInputs(
        rows(served.table, config.item, posts.post_key),
        rows(served.table, config.author, posts.author_key),
    )


def rows(table: _core.EmbeddingTable, hashed: HashConfig, ids: Ids) -> torch.Tensor:
    """(n, H * W) rows of ids."""
    out = np.empty((len(ids), hashed.n_functions * table.width), dtype=np.float32)
    table.gather_hashed(hash_family(hashed), np.ascontiguousarray(ids), out)
    return torch.from_numpy(out)


def write_demo(directory: Path) -> None:
    """A bundle of the size that xfeed trains, with drawn weights."""
    config = PhoenixConfig.demo()
    parts = []
    for kind in (Ranker, Retrieval):
        model = kind(config)
        fill(model, SEED)
        tables = {
            name: _core.EmbeddingTable.from_array(
                torch.randn(hashed.n_rows, config.table_width).mul_(0.1).numpy()
            )
            for name, hashed in config.hashes.items()
        }
        parts.append(model_parts(config, model, tables))
    write_bundle(
        directory, ranker=parts[0], retrieval=parts[1], metrics={}, log_offset=0, origin="fit"
    )
