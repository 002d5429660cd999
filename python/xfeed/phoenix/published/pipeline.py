"""The released pipeline on a bundle: find posts of the corpus for a history, rank them, sort them.

The release reads the *first* positions of the history, ranks in chunks, and lets a candidate's
position follow its slot in the chunk; `flow="published"` does the same, to compare numbers. The
other flow is ours: every candidate stands at the same position, so neither its neighbours nor
its place matter, and all are scored in one pass. Neither passes dwell, surfaces or times, which
the example history does not have.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from xfeed import _core
from xfeed.errors import BundleError
from xfeed.phoenix.bundles.corpus import Corpus
from xfeed.phoenix.bundles.layout import Tensors
from xfeed.phoenix.bundles.read import Bundle
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs, PostInputs
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval
from xfeed.phoenix.published.may import PIPELINE_WEIGHTS, published_number
from xfeed.phoenix.published.sequence import Sequence

Flow = Literal["published", "one-pass"]
"""Chunks with positions by slot, or all candidates at the same position."""

Ids = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]

DEFAULT_TOP_K: Final = 200
"""Posts that the release retrieves."""

SCORING_ROWS: Final = 65_536
"""Rows of the corpus that are scored together, so that a mapped corpus passes through."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """The K nearest posts of a corpus, best first; of equal ones the earlier row.

    Attributes:
        rows: (K,) rows of the corpus.
        scores: (K,) dot products with the viewer's vector.
    """

    rows: npt.NDArray[np.int64]
    scores: Floats


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a run found.

    Attributes:
        retrieved: what was found, in that order.
        probabilities: (K, A) of every action, in the order of retrieval.
        weighted: (K,) weighted sum of some of them.
        order: (K,) places in `retrieved`, best first.
    """

    retrieved: Retrieved
    probabilities: Floats
    weighted: Floats
    order: npt.NDArray[np.int64]


class PublishedPipeline:
    """Both models of a bundle in the order of the release.

    Args:
        bundle: from `read_bundle`.
        dtype: what the layers compute in: float32, float64 for checking, or bfloat16 as the
            release, which keeps everything but the layers in float32.

    Raises:
        BundleError: the models read more than the release's inputs.
    """

    def __init__(self, bundle: Bundle, dtype: torch.dtype = torch.float32) -> None:
        for config in (bundle.config, bundle.retrieval_config):
            if config.post_features or config.context_features or config.affinity_input:
                raise BundleError(
                    "the models of this bundle read more than a published history holds",
                    code="not_published",
                    hint="serve it with `xfeed feed`; this command runs imported checkpoints",
                )
        self.bundle = bundle
        self._dtype = torch.float64 if dtype == torch.float64 else torch.float32
        self._numbers = [published_number(name) for name in bundle.actions]
        self._ranker = Ranker(bundle.config)
        self._retrieval = Retrieval(bundle.retrieval_config)
        _fill(self._ranker, bundle.ranker, self._dtype)
        _fill(self._retrieval, bundle.retrieval, self._dtype)
        for model in (self._ranker, self._retrieval):
            model.transformer.to(dtype)

    def run(
        self,
        corpus: Corpus,
        sequence: Sequence,
        *,
        top_k: int = DEFAULT_TOP_K,
        newest: bool = False,
        flow: Flow = "published",
    ) -> Ranked:
        """Retrieves, ranks and sorts.

        Args:
            corpus: what to search.
            sequence: viewer and history, oldest first.
            top_k: how many posts to retrieve; all when the corpus is smaller.
            newest: reads the newest positions of the history instead of the first ones.
            flow: how candidates are ranked.
        """
        found = self.retrieve(corpus, sequence, top_k=top_k, newest=newest)
        probabilities = self.rank(
            corpus.post_ids[found.rows],
            corpus.author_ids[found.rows],
            sequence,
            newest=newest,
            flow=flow,
        )
        weighted = self.weigh(probabilities)
        order = np.argsort(-weighted, kind="stable")
        return Ranked(found, probabilities, weighted, order)

    def retrieve(
        self, corpus: Corpus, sequence: Sequence, *, top_k: int, newest: bool = False
    ) -> Retrieved:
        """Finds the `top_k` posts with the largest dot products, exactly."""
        scores = self.score_corpus(corpus, sequence, newest=newest)
        rows = np.arange(len(scores))
        top_k = min(top_k, len(scores))
        if 0 < top_k < len(scores):
            # everything that ties with the last place stays in until the rows decide
            last = np.partition(scores, -top_k)[-top_k]
            rows = np.flatnonzero(scores >= last)
        best = rows[np.lexsort((rows, -scores[rows]))[:top_k]]
        return Retrieved(best, scores[best])

    def score_corpus(self, corpus: Corpus, sequence: Sequence, *, newest: bool = False) -> Floats:
        """(N,) dot product of every post with the viewer's vector.

        Raises:
            BundleError: a result is not finite.
        """
        user = self.user_vector(sequence, newest=newest)
        scores = np.empty(len(corpus), np.float32)
        for start in range(0, len(corpus), SCORING_ROWS):
            here = slice(start, start + SCORING_ROWS)
            scores[here] = corpus.vectors[here] @ user
        _check_finite("retrieval", scores)
        return scores

    def user_vector(self, sequence: Sequence, *, newest: bool = False) -> Floats:
        """(D,) vector of the viewer, of unit length."""
        with torch.inference_mode():
            config, tables = self.bundle.retrieval_config, self.bundle.retrieval_tables
            part = self._part(sequence, config, newest=newest)
            posts = self._posts(config, tables, part.post_ids, part.author_ids)
            history = self._history(config, tables, part)
            vector: Floats = self._retrieval.user_vectors(posts, history)[0][0].float().numpy()
        return vector

    def rank(
        self,
        post_ids: Ids,
        author_ids: Ids,
        sequence: Sequence,
        *,
        newest: bool = False,
        flow: Flow = "published",
    ) -> Floats:
        """(C, A) probability of every action for some posts, in the order of the bundle's actions.

        Raises:
            BundleError: a result is not finite.
        """
        config, tables = self.bundle.config, self.bundle.ranker_tables
        chunk = self.bundle.notes.get("candidate_len", 0) if flow == "published" else 0
        chunk = chunk if isinstance(chunk, int) and chunk > 0 else max(len(post_ids), 1)
        first_slot = 0 if flow == "published" else None
        out = np.empty((len(post_ids), config.n_actions), np.float32)
        with torch.inference_mode():
            part = self._part(sequence, config, newest=newest)
            posts = self._posts(config, tables, part.post_ids, part.author_ids)
            context = self._ranker.encode_context(posts, self._history(config, tables, part))
            for start in range(0, len(post_ids), chunk):
                here = slice(start, start + chunk)
                posts = self._posts(config, tables, post_ids[here], author_ids[here])
                place = torch.arange(len(post_ids[here]))[None]
                at = CandidateInputs(post=place, surface=torch.zeros_like(place))
                scores = self._ranker.score_candidates(context, posts, at, first_slot)
                out[here] = scores.logits[0].float().sigmoid().numpy()
        _check_finite("the ranker", out)
        return out

    def weigh(self, probabilities: Floats) -> Floats:
        """(C,) the release's weighted sum of four actions; an action without a head counts 0."""
        weights = np.array([PIPELINE_WEIGHTS.get(n, 0.0) for n in self.bundle.actions], np.float32)
        summed: Floats = probabilities @ weights
        return summed

    def _part(self, sequence: Sequence, config: PhoenixConfig, *, newest: bool) -> Sequence:
        """As many positions as the model reads."""
        S = config.history_len
        return sequence.take(slice(-S, None) if newest else slice(0, S))

    def _rows(
        self,
        config: PhoenixConfig,
        tables: dict[str, _core.EmbeddingTable],
        name: str,
        ids: Ids,
    ) -> Tensor:
        """(n, H * W) rows of ids, side by side."""
        hashed, table = config.hashes[name], tables[name]
        family = _core.HashFamily(list(hashed.scales), list(hashed.biases), hashed.modulus)
        out = np.empty((len(ids), hashed.n_functions * table.width), np.float32)
        table.gather_hashed(family, np.ascontiguousarray(ids), out)
        return torch.from_numpy(out).to(self._dtype)

    def _posts(
        self,
        config: PhoenixConfig,
        tables: dict[str, _core.EmbeddingTable],
        post_ids: Ids,
        author_ids: Ids,
    ) -> PostInputs:
        item = self._rows(config, tables, "item", post_ids)
        return PostInputs(item, self._rows(config, tables, "author", author_ids))

    def _history(
        self, config: PhoenixConfig, tables: dict[str, _core.EmbeddingTable], part: Sequence
    ) -> HistoryInputs:
        """The history as the models take it; id 0 is padding."""
        viewer = np.array([part.viewer_id], np.uint64)
        columns = {number: i for i, number in enumerate(self._numbers) if number is not None}
        actions = torch.zeros(1, len(part), config.n_actions, dtype=self._dtype)
        for place, values in enumerate(part.actions):
            for number, value in values.items():
                if number in columns:
                    actions[0, place, columns[number]] = value
        return HistoryInputs(
            user_rows=self._rows(config, tables, "user", viewer),
            user_valid=torch.from_numpy(viewer != 0),
            post=torch.arange(len(part))[None],
            valid=torch.from_numpy(part.post_ids != 0)[None],
            actions=actions,
            surface=torch.zeros(1, len(part), dtype=torch.int64),
        )


def _check_finite(what: str, values: Floats) -> None:
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        raise BundleError(f"{what} gave `{n_bad}` values that are not finite", code="not_finite")


def _fill(model: nn.Module, tensors: Tensors, dtype: torch.dtype) -> None:
    """Copies parameters into a model and freezes it."""
    state = {name.removeprefix("model."): torch.from_numpy(v) for name, v in tensors.items()}
    model.load_state_dict(state)
    model.to(dtype)
    model.requires_grad_(requires_grad=False)
    model.eval()
