"""Names of the published parameters, actions and heads, and ours for them.

The published model stores its parameters under module paths. The tables below are the whole
mapping; shapes are equal, matrices are input x output on both sides.

The release has two vocabularies of actions. Its checkpoint and its pipeline number the columns of
the ranker as the action enumeration does (1 favorite, 4 reply, 6 repost, 11 dwell, ...); its demo
scripts print names in another order. Only the first one says what a column means.
"""

from collections.abc import Mapping
from typing import Final

import torch

from xfeed.actions import ACTIONS, N_DISCRETE
from xfeed.errors import BundleError
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval

LAYER_NAMES: Final = {
    "attention_norm": "rms_norm/scale",
    "attention_out_norm": "rms_norm_1/scale",
    "ffn_norm": "rms_norm_2/scale",
    "ffn_out_norm": "rms_norm_3/scale",
    "query": "multi_head_attention/query/w",
    "key": "multi_head_attention/key/w",
    "value": "multi_head_attention/value/w",
    "attention_out": "multi_head_attention/linear/w",
    "ffn_gate": "linear/w",
    "ffn_value": "linear_v/w",
    "ffn_down": "linear_1/w",
}
"""Our name to the published one, inside `transformer/decoder_layer_{i}/`."""

CONTEXT_NAMES: Final = {
    "context_tokens.user_projection": "proj_mat_1",
    "context_tokens.history_projection": "proj_mat_3",
    "context_tokens.action_projection": "action_projection",
    "context_tokens.surface_table": "product_surface_embedding_table",
    "context_tokens.dwell_in": "history_dwell_time_proj1",
    "context_tokens.dwell_out": "history_dwell_time_proj2",
}
"""Parameters of both models, inside the model's path."""

RANKER_NAMES: Final = {
    "candidate_projection": "proj_mat_2",
    "post_age_table": "post_age_embedding_table",
    "out_norm": "rms_norm/scale",
    "action_heads": "unembeddings",
    "continuous_heads": "continuous_unembeddings",
}
"""Parameters of the ranker, inside `phoenix_model/`."""

_TOWER: Final = "~build_candidate_representation/candidate_tower/candidate_tower_projection_"

RETRIEVAL_NAMES: Final = {"towers.0.tower_in": f"{_TOWER}1", "towers.0.tower_out": f"{_TOWER}2"}
"""Parameters of the towers, inside `phoenix_retrieval_model/`."""


IGNORED_PARAMETERS: Final = frozenset({"~/log_temperature"})
"""Parameters that a released checkpoint holds and inference does not read."""

DEMO_ORDER: Final = (
    "favorite",
    "reply",
    "repost",
    "photo_expand",
    "click",
    "profile_click",
    "video_quality_view",
    "share",
    "share_via_dm",
    "share_via_copy_link",
    "dwell",
    "quote",
    "quoted_click",
    "follow_author",
    "not_interested",
    "block_author",
    "mute_author",
    "report",
    "dwell_time",
)
"""Names that the release's demo scripts print for the columns of a random model, in their order.

For display beside such output only: it is not the order of a checkpoint's columns.
"""

PIPELINE_WEIGHTS: Final = {"favorite": 1.0, "reply": 0.5, "repost": 0.3, "dwell": 0.2}
"""Weights with which the release's pipeline sorts what it ranked."""


def published_actions(n_actions: int) -> tuple[str, ...]:
    """Names of the columns of a published ranker.

    Args:
        n_actions: its discrete heads.

    Returns:
        For each column the action of that published number, or the number as text where we have
        no such action.
    """
    names = {action.published_number: action.name for action in ACTIONS[:N_DISCRETE]}
    return tuple(names.get(number, str(number)) for number in range(n_actions))


def published_number(name: str) -> int | None:
    """Published number of a head that `published_actions` named; None if it has none."""
    if name.isascii() and name.isdigit():
        return int(name)
    return next((action.published_number for action in ACTIONS if action.name == name), None)


def published_name(ours: str, model: Ranker | Retrieval) -> str:
    """Path of one of our parameters in the published model.

    Raises:
        BundleError: the parameter has no published counterpart.
    """
    if ours.startswith("transformer.layers."):
        _, _, layer, name = ours.split(".")
        return f"transformer/decoder_layer_{layer}/{LAYER_NAMES[name]}"
    own = RANKER_NAMES if isinstance(model, Ranker) else RETRIEVAL_NAMES
    top = "phoenix_model" if isinstance(model, Ranker) else "phoenix_retrieval_model"
    path = (CONTEXT_NAMES | own).get(ours)
    if path is None:
        raise BundleError(
            f"parameter `{ours}` is not part of the published model",
            code="not_published",
            hint="switch off head_bias, post_features and context_features",
        )
    return f"{top}/{path}"


def load_published(model: Ranker | Retrieval, parameters: Mapping[str, torch.Tensor]) -> None:
    """Copies published parameters into a model of the same shape.

    A parameter that the release at hand does not have (the January model has no continuous
    heads) may be missing only if it is empty in our model.

    Args:
        model: the model to fill, in place.
        parameters: tensors by published path.

    Raises:
        BundleError: a parameter is missing, left over or of another shape.
    """
    paths = {ours: published_name(ours, model) for ours, _ in model.named_parameters()}
    left = set(parameters)
    with torch.no_grad():
        for ours, target in model.named_parameters():
            path = paths[ours]
            if path not in parameters:
                if target.numel() == 0:
                    continue
                raise BundleError(f"published parameter `{path}` is missing", code="missing_tensor")
            source = parameters[path]
            if source.shape != target.shape:
                raise BundleError(
                    f"`{path}` has shape `{tuple(source.shape)}`, expected `{tuple(target.shape)}`",
                    code="wrong_shape",
                )
            target.copy_(source)
            left.discard(path)
    if left:
        raise BundleError(f"published parameters `{sorted(left)}` are unknown", code="left_over")
