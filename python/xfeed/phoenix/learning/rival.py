"""The bundle that serves now, measured where a new one is measured.

Both models predict the same held-out impressions, which neither was trained on: what the older
one held out is older still, and what came later it never saw. So their losses can be compared.
"""

from pathlib import Path
from typing import Final

import numpy as np
import torch

from xfeed.embeddings import EmbeddingTable
from xfeed.errors import XfeedError
from xfeed.phoenix.batch import PostColumns
from xfeed.phoenix.bundles.read import Bundle, read_bundle
from xfeed.phoenix.learning.evaluate import predict
from xfeed.phoenix.learning.examples import Examples
from xfeed.phoenix.learning.metrics import log_loss
from xfeed.phoenix.learning.optimize import ProgressCallback
from xfeed.phoenix.learning.tables import RowTable, TrainingTables
from xfeed.phoenix.learning.train_ranker import TrainedRanker
from xfeed.phoenix.model.ranker import Ranker

PREFIX: Final = "model."
"""What the names of parameters begin with in a bundle."""


def rival_loss(
    directory: Path, posts: PostColumns, examples: Examples, limit: int, progress: ProgressCallback
) -> float | None:
    """Held-out loss of the ranker in a bundle, as in `RankerReport.loss`.

    Args:
        directory: of the bundle.
        posts: every post.
        examples: split interactions.
        limit: most impressions to score; the same as for the new ranker.
        progress: called after each batch.

    Returns:
        None if there is nothing to compare: no held-out impressions, or a bundle that is damaged
        or was not fitted here.
    """
    samples = examples.held_out_samples(limit)
    if not len(samples):
        return None
    try:
        bundle = read_bundle(directory)
        if bundle.origin != "fit":
            return None
        trained = trained_ranker(bundle, posts)
    except (XfeedError, OSError):
        return None
    probabilities, _ = predict(trained, posts, examples, samples, progress)
    labels = examples.label_actions[samples.impressions[samples.first]]
    losses = [
        log_loss(labels >> np.uint64(head) & np.uint64(1) != 0, probabilities[:, head])
        for head in range(probabilities.shape[1])
    ]
    return float(np.sum([loss for loss in losses if loss is not None]))


def trained_ranker(bundle: Bundle, posts: PostColumns) -> TrainedRanker:
    """The ranker of a bundle; its tables are read from the bundle's file as they are used."""
    model = Ranker(bundle.config)
    model.load_state_dict(
        {name.removeprefix(PREFIX): torch.from_numpy(one) for name, one in bundle.ranker.items()}
    )
    rows = {name: RowTable(EmbeddingTable(one)) for name, one in bundle.ranker_tables.items()}
    return TrainedRanker(model, TrainingTables(bundle.config, posts, rows), 0, 0, float("nan"))
