"""What is served is what was trained: both paths to the model's inputs give the same scores."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from xfeed import _core
from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.phoenix.bundles.read import Bundle
from xfeed.phoenix.config import PhoenixConfig, TrainConfig
from xfeed.phoenix.learning.batching import Batcher
from xfeed.phoenix.learning.examples import Examples
from xfeed.phoenix.learning.tables import TrainingTables
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval
from xfeed.phoenix.profiles import for_training
from xfeed.phoenix.runtime import Phoenix

from tests.phoenix.random_inputs import randomise
from tests.phoenix.worlds import World, small_config

pytestmark = pytest.mark.usefixtures("one_thread")

PROFILES = {
    "demo": small_config(),
    "tiny": for_training("tiny").ranker,
    "tiny-prod": for_training("tiny-prod").ranker,
}


def served(ranker: Ranker, tables: TrainingTables) -> Phoenix:
    """A runtime with these weights, as if read from a bundle; the towers do not matter here."""
    config = ranker.config
    retrieval = Retrieval(small_config())
    randomise(retrieval, 5)
    return Phoenix(
        Bundle(
            id="made",
            directory=Path(),
            config=config,
            retrieval_config=retrieval.config,
            ranker={f"model.{name}": one.numpy() for name, one in ranker.state_dict().items()},
            retrieval={
                f"model.{name}": one.numpy() for name, one in retrieval.state_dict().items()
            },
            ranker_tables={name: table.table.core for name, table in tables.tables.items()},
            retrieval_tables={
                name: _core.EmbeddingTable.from_array(
                    np.zeros((hashed.n_rows, retrieval.config.table_width), dtype=np.float32)
                )
                for name, hashed in retrieval.config.hashes.items()
            },
            actions=tuple(action.name for action in ACTIONS[:N_DISCRETE]),
            origin="fit",
            log_offset=0,
            metrics={},
            files=(),
            notes={},
        )
    )


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_serving_gives_the_scores_of_training(world: World, profile: str) -> None:
    config: PhoenixConfig = PROFILES[profile]
    posts = replace(world.posts, created_ms=world.posts.created_ms.copy())
    posts.created_ms[:3] = 0
    ranker = Ranker(config)
    randomise(ranker, 1)
    generator = torch.Generator().manual_seed(2)
    examples = Examples.split(world.interactions, 0.1)
    tables = TrainingTables.fresh(config, posts, TrainConfig(table_init_std=1.0), generator)
    samples = examples.training_samples(1, np.random.default_rng(0))
    samples = samples.take(np.arange(0, len(samples), 40))
    batch = Batcher(config, posts, examples, tables).batch(samples)
    with torch.inference_mode():
        scores = ranker(batch.posts, batch.history, batch.candidates)
        trained = scores.logits[:, 0].sigmoid().numpy()
        seconds = ranker.seconds(scores, batch.candidates)[:, 0, 0].numpy()
    phoenix = served(ranker, tables)
    rows = world.interactions
    shown = examples.assemble(samples, config.history_len).candidate_row[:, 0]
    assert len(shown) > 20
    for i, row in enumerate(shown):
        history = rows.take(rows.viewer_key == rows.viewer_key[row])
        got = phoenix.predict(
            int(rows.viewer_key[row]),
            history,
            posts,
            posts.take(rows.post_row[[row]]),
            int(rows.surface[row]),
            int(rows.at_ms[row]),
        )[0]
        np.testing.assert_allclose(got[:N_DISCRETE], trained[i], atol=2e-5)
        np.testing.assert_allclose(got[N_DISCRETE], seconds[i], atol=1e-3)
