"""From a viewer to the 200 posts that fit best, and from posts to vectors, end to end."""

import itertools
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.hashes import HashConfig
from xfeed.phoenix.index import VectorIndex
from xfeed.phoenix.model.inputs import PostInputs
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime import Phoenix

from benches.python.phoenix_serving import Served, Viewer, gathered, make_posts, make_viewer
from benches.python.timing import QUICK, Row, turns
from benches.python.workload import NOW_MS, Ids

N_INDEXED: Final = 5_000 if QUICK else 537_000
"""Posts of the published corpus."""

N_FOUND: Final = 200
N_NEW_POSTS: Final = 500 if QUICK else 8_192
N_VIEWERS: Final = 16
ROUNDS: Final = 3 if QUICK else 25
VECTOR_TOLERANCE: Final = 1e-5

Floats = npt.NDArray[np.float32]
Thing = TypeVar("Thing")


def retrieval_rows(bench: str, served: Served) -> list[Row]:
    """Both sides compute with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    phoenix = Phoenix(served.bundle, RuntimeOptions(context_cache_bytes=0, threads=1))
    with torch.inference_mode():
        found = [find_row(bench, served, phoenix), vectors_row(bench, served, phoenix)]
    torch.set_num_threads(before)
    return found


def find_row(bench: str, served: Served, phoenix: Phoenix) -> Row:
    """A viewer's vector and the search, beside the same tower in torch and NumPy's search."""
    config = served.retrieval.config
    viewers = [make_viewer(config, 1, 500 + n) for n in range(N_VIEWERS)]
    generator = np.random.default_rng(1)
    vectors = generator.standard_normal((N_INDEXED, config.emb_size), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.arange(1, N_INDEXED + 1, dtype=np.uint64)
    index = VectorIndex(config.emb_size)
    created_ms = np.full(N_INDEXED, NOW_MS - 1, dtype=np.int64)
    index.insert(ids, vectors, created_ms, np.ones(N_INDEXED, dtype=np.uint64))

    def ours(viewer: Viewer) -> npt.NDArray[np.uint64]:
        vector = phoenix.user_vector(viewer.key, viewer.history, viewer.history_posts, NOW_MS)
        return np.asarray(index.search(vector[None], N_FOUND)[0][0])

    def theirs(viewer: Viewer) -> npt.NDArray[np.uint64]:
        request = gathered(served, viewer)
        vector, _ = served.retrieval.user_vectors(request.history_posts, request.history)
        scores = vectors @ vector[0].numpy()
        best = np.argpartition(-scores, N_FOUND)[:N_FOUND]
        return ids[best[np.argsort(-scores[best], kind="stable")]]

    for viewer in viewers:
        same = len(set(ours(viewer).tolist()) & set(theirs(viewer).tolist()))
        # the last ones may change places by rounding
        assert same >= N_FOUND - 1, f"only {same} of {N_FOUND} posts are the same"
    what = f"from ids to the best {N_FOUND} of {N_INDEXED:,} posts, 1 thread"
    note = "user tower in torch, NumPy's product and argpartition (the released flow)"
    times = turns(
        {"ours": in_turn(ours, viewers), "theirs": in_turn(theirs, viewers)}, rounds=ROUNDS
    )
    return Row(bench, what, times["ours"], times["theirs"], "ms", note)


def vectors_row(bench: str, served: Served, phoenix: Phoenix) -> Row:
    """The candidate tower over new posts."""
    batches = [make_posts(10_000 + 10 * n, N_NEW_POSTS) for n in range(N_VIEWERS)]
    table = torch.from_numpy(served.table.to_array())
    config = served.retrieval.config

    def theirs(posts: PostColumns) -> Floats:
        parts = [
            torch.nn.functional.embedding(row_index(posts_ids, hashed), table).flatten(1)
            for posts_ids, hashed in (
                (posts.post_key, config.item),
                (posts.author_key, config.author),
            )
        ]
        return served.retrieval.post_vectors(PostInputs(parts[0], parts[1])).numpy()

    for posts in batches[:2]:
        worst = np.abs(phoenix.post_vectors(posts) - theirs(posts)).max()
        assert worst < VECTOR_TOLERANCE, f"vectors differ by {worst}"
    times = turns(
        {"ours": in_turn(phoenix.post_vectors, batches), "theirs": in_turn(theirs, batches)},
        rounds=ROUNDS,
    )
    what = f"vectors of {N_NEW_POSTS:,} new posts from their ids, 1 thread"
    note = "hash in NumPy, torch.nn.functional.embedding, tower in torch"
    return Row(bench, what, times["ours"], times["theirs"], "ms", note)


def row_index(ids: Ids, hashed: HashConfig) -> torch.Tensor:
    """(n, H) rows of ids that are not 0, by the formula of the release, in NumPy."""
    scales = np.array(hashed.scales, dtype=np.uint64)
    biases = np.array(hashed.biases, dtype=np.uint64)
    with np.errstate(over="ignore"):
        mixed = (ids[:, None] * scales + biases).view(np.int64)
    return torch.from_numpy(mixed % hashed.modulus % (hashed.n_rows - 1) + 1)


def in_turn(side: Callable[[Thing], object], things: Sequence[Thing]) -> Callable[[], object]:
    """One call of a side, with the next thing every time."""
    ring = itertools.cycle(things)
    return lambda: side(next(ring))
