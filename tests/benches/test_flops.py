"""The documented count of operations against torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.transformer import Transformer

from benches.python.flops import (
    candidate_pass,
    context_len,
    context_pass,
    dense_pass,
    tokens_and_heads,
    total,
)
from benches.python.gpu_attention import DensePass
from benches.python.gpu_shapes import shape
from benches.python.phoenix_workload import fill, make_request

B, C = 2, 5


def counted(config: PhoenixConfig) -> dict[str, int]:
    """What torch counts for each pass."""
    transformer = Transformer(config)
    fill(transformer, 0)
    T = context_len(config)
    tokens, candidates = torch.randn(B, T, config.emb_size), torch.randn(B, C, config.emb_size)
    valid = torch.ones(B, T, dtype=torch.bool)
    found: dict[str, int] = {}
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            context = transformer.encode(tokens, valid, keep_hidden=True)
        found["context"] = counter.get_total_flops()
        with FlopCounterMode(display=False) as counter:
            transformer.attend(context, candidates)
        found["candidates"] = counter.get_total_flops()
        dense = DensePass(transformer, C, fused=False)
        with FlopCounterMode(display=False) as counter:
            dense(tokens, candidates)
        found["dense"] = counter.get_total_flops()
    return found


@pytest.mark.parametrize("name", ["tiny", "tiny-prod"])
def test_the_trunk_takes_as_many_operations_as_documented(name: str) -> None:
    config = shape(name).config
    found = counted(config)
    assert found["context"] == total(context_pass(config, n_viewers=B, keep_hidden=True))
    assert found["candidates"] == total(candidate_pass(config, C, n_viewers=B))
    assert found["dense"] == total(dense_pass(config, C, n_viewers=B))


def test_candidates_of_the_mini_model_take_what_the_text_says() -> None:
    mini = PhoenixConfig.published_mini()
    assert total(candidate_pass(mini, 1, n_layers=1)) == 331_776
    assert total(candidate_pass(mini, 1_500)) == 1_500 * 4 * 331_776


def test_a_context_without_its_output_leaves_out_the_end_of_the_last_layer() -> None:
    config = shape("tiny-prod").config
    whole = total(context_pass(config, keep_hidden=True))
    one_layer = whole // config.n_layers
    rows, width = context_len(config), 2 * config.n_kv_heads * config.key_size
    kept = 2 * rows * config.emb_size * width
    assert total(context_pass(config)) == whole - one_layer + kept


def test_tokens_and_heads_are_what_the_published_ranker_multiplies_besides_the_trunk() -> None:
    config = shape("tiny").config
    ranker = Ranker(config)
    fill(ranker, 0)
    request = make_request(config, C)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        context = ranker.encode_context(request.history_posts, request.history)
        ranker.score_candidates(context, request.posts, request.candidates)
    trunk = {
        name: sum(counts.values())
        for name, counts in counter.get_flop_counts().items()
        if name.endswith("transformer")
    }
    # what is multiplied once for a small table, whatever the request, is not counted
    D, tables = config.emb_size, config.n_surfaces * 2 + config.n_post_ages + config.n_actions
    once = 2 * D * D * (tables + config.dwell_hidden) + 2 * config.history_len * config.dwell_hidden
    whole = counter.get_total_flops() - sum(trunk.values())
    assert whole == total(tokens_and_heads(config, C)) + once + trunk_alone(config)


def trunk_alone(config: PhoenixConfig) -> int:
    """The trunk's methods are called past the module's `forward`, so they count as the ranker's."""
    everything = total(context_pass(config)) + total(candidate_pass(config, C))
    # the torch trunk multiplies the last layer's queries too, which nobody needs
    rows, width = context_len(config), config.n_query_heads * config.key_size
    return everything + 2 * rows * config.emb_size * width
