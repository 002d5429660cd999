"""Names of the parameters published in August 2026, and ours for them.

Two things differ beyond names. One matrix per hash function stands there where we have one with
these below each other, and queries, keys and values are one matrix there, group by group. Both
are rearrangements, so gradients map the same way as parameters do.
"""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor

from xfeed.errors import BundleError
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.ranker import Ranker
from xfeed.phoenix.model.retrieval import Retrieval

LAYER_NAMES: Final = {
    "attention_norm": "pre_attn_norm/scale",
    "attention_out_norm": "post_attn_norm/scale",
    "ffn_norm": "pre_ffn_norm/scale",
    "ffn_out_norm": "post_ffn_norm/scale",
    "query_norm": "multi_head_attention/q_norm/scale",
    "key_norm": "multi_head_attention/k_norm/scale",
    "attention_out": "multi_head_attention/out/w",
    "ffn_up": "up_proj/w",
    "ffn_down": "down_proj/w",
}
"""Our name to the published one, inside `transformer/decoder_layer_{i}/`."""

QKV: Final = "multi_head_attention/qkv/w"

TOP_NAMES: Final = {
    "out_norm": "recsys_aggregated_model/final_layer_norm/scale",
    "action_heads": "recsys_aggregated_model/unembeddings",
    "continuous_heads": "recsys_aggregated_model/continuous_unembeddings",
    "temperature": "~/temperature",
}
"""Parameters outside of the inputs."""

CATEGORY_NAMES: Final = {
    "surface_table": "product_surface_emb",
    "post_age_table": "post_age_emb",
    "timezone_table": "timezone_emb",
    "hour_table": "hour_of_day_emb",
    "weekday_table": "day_of_week_emb",
    "author_followed_table": "is_author_followed_by_viewer_emb",
    "author_follows_table": "is_author_following_viewer_emb",
    "stale_table": "is_stale_post_14d_emb",
    "counts_in": "count_lograw_mlp_in",
    "counts_out": "count_lograw_mlp_out",
}
"""Summed inputs, after `hist_` or `cand_`."""

SUMMED_NAMES: Final = {
    "action_projection": "hist_action_emb",
    "dwell_vector": "hist_dwell_time_vec",
    "viewer.country_table": "user_feat_country_emb",
    "viewer.language_table": "user_feat_language_emb",
    "viewer.location_projection": "user_feat_location_proj",
    "viewer.apps_projection": "user_feat_installed_apps_proj",
    "viewer.gender_table": "user_feat_profile_gender_emb",
    "viewer.inferred_gender_table": "user_feat_inferred_gender_emb",
    "viewer.age_bracket_table": "user_feat_age_bracket_emb",
    "viewer.age_vector": "user_feat_age_years_vec",
    "semantic_ids.code_table": "feat_prep_post_sid_combined",
    "semantic_ids.attention_qkv": "feat_prep_post_sid_xattn_qkv",
    "semantic_ids.projection": "feat_prep_post_sid_proj",
}
"""Summed inputs, inside the path of the inputs."""

CONCAT_NAMES: Final = {
    "user_projection": "~/proj_mat_1",
    "candidate_projection": "~/proj_mat_2",
    "history_projection": "~/proj_mat_3",
    "token_projection": "tfmr_proj/w",
    "action_table": "~/action_embedding_table",
    "surface_table": "~/product_surface_embedding_table",
    "post_age_table": "~/post_age_embedding_table",
    "timezone_table": "~/ctx_cat_timezone_emb",
    "hour_table": "~/ctx_cat_local_hour_of_day_emb",
    "weekday_table": "~/ctx_cat_local_day_of_week_emb",
    "history_moment": "~/unified_ctx_history_proj",
    "candidate_moment": "~/unified_ctx_cand_proj",
    "dwell_in": "~/unified_ctx_history_dwell_proj1",
    "dwell_out": "~/unified_ctx_history_dwell_proj2",
    "semantic_ids.code_table": "~/post_sid_combined",
    "semantic_ids.attention_qkv": "~/post_sid_xattn_qkv",
    "semantic_ids.projection": "~/post_sid_proj",
    "viewer.country_table": "~/country_embedding_table",
    "viewer.language_table": "~/language_embedding_table",
    "viewer.location_in": "user_geo_hidden/w",
    "viewer.location_bias": "user_geo_hidden/b",
    "viewer.location_out": "user_geo_proj/w",
    "viewer.apps_projection": "installed_apps_feature_proj/w",
    "viewer.gender_score": "user_gender_score_proj/w",
    "viewer.age_bracket_table": "~/age_bracket_embedding_table",
    "viewer.age_in": "user_age_hidden/w",
    "viewer.age_out": "user_age_proj/w",
    "viewer.projection": "user_features_proj/w",
}
"""Concatenated inputs of the ranker."""

TOWER_IDS: Final = {
    "code_table": "post_sid_combined",
    "attention_qkv": "post_sid_xattn_qkv",
    "projection": "post_sid_proj",
}
"""Semantic ids of the candidate towers."""

TWO_TOWERS: Final = "recsys_two_tower_model"


def published_parts(ours: str, model: Ranker | Retrieval) -> list[str]:
    """Paths of the published parameters that lie below each other in one of ours.

    Raises:
        BundleError: the parameter has no published counterpart.
    """
    top, _, name = ours.partition(".")
    if ours in TOP_NAMES:
        return [TOP_NAMES[ours]]
    if top == "transformer":
        _, layer, name = name.split(".")
        tail = QKV if name in {"query", "key", "value"} else LAYER_NAMES.get(name)
        if tail is not None:
            return [f"transformer/decoder_layer_{layer}/{tail}"]
    elif top == "towers":
        return _tower_parts(name, model.config)
    elif top == "tower_semantic_ids":
        return [f"{TWO_TOWERS}/{TOWER_IDS[name]}"]
    elif top == "context_tokens" and model.config.inputs == "summed":
        return _summed_parts(name, model)
    elif top == "context_tokens" and name in CONCAT_NAMES:
        path = CONCAT_NAMES[name]
        if isinstance(model, Ranker):
            return [path]
        path = path.replace("unified_ctx_history_proj", "unified_ctx_proj")
        return [f"{TWO_TOWERS}/{path.removeprefix('~/')}"]
    raise BundleError(
        f"parameter `{ours}` is not part of the models published in August 2026",
        code="not_published",
        hint='switch off what `inputs` "summed" or "concat" cannot have, and `head_bias`',
    )


def _summed_parts(name: str, model: Ranker | Retrieval) -> list[str]:
    """Paths of summed inputs; rows of ids have one matrix per hash function."""
    config = model.config
    top = "~" if isinstance(model, Ranker) else TWO_TOWERS
    if name in SUMMED_NAMES:
        return [f"{top}/{SUMMED_NAMES[name]}"]
    if name == "user_projection":
        return [f"{top}/user_hash_{i}_proj" for i in range(config.user.n_functions)]
    if name == "address_projection":
        assert config.address is not None
        return [f"{top}/user_ip_hash_{i}_proj" for i in range(config.address.n_functions)]
    side, _, field = name.partition(".")
    short = {"history": "hist", "candidate": "cand"}[side]
    if field == "post_projection":
        return [f"{top}/{short}_{part}" for part in _row_parts(config)]
    return [f"{top}/{short}_{CATEGORY_NAMES[field]}"]


def _row_parts(config: PhoenixConfig) -> list[str]:
    """Matrices of a post's and its author's rows."""
    posts = range(config.item.n_functions if config.item_rows else 0)
    authors = range(config.author.n_functions)
    return [f"post_hash_{i}_proj" for i in posts] + [f"author_hash_{i}_proj" for i in authors]


def _tower_parts(name: str, config: PhoenixConfig) -> list[str]:
    """Paths of a candidate tower's parameters; only the first head has no number."""
    tower, _, field = name.partition(".")
    tail = "" if tower == "0" else f"_head_{tower}"
    if field == "tower_sum":
        parts = [f"cand_{part}" for part in _row_parts(config)]
        parts += ["cand_sid_proj"] if config.semantic_ids is not None else []
        return [f"candidate_tower/{part}{tail}" for part in parts]
    layer = {"tower_in": 1, "tower_out": 2}[field]
    return [f"candidate_tower/candidate_tower_projection_{layer}{tail}/w"]


def assembled(ours: str, model: Ranker | Retrieval, tensors: Mapping[str, Tensor]) -> Tensor:
    """One of our parameters, or its gradient, from published tensors.

    Args:
        ours: name of the parameter.
        model: a model of the same shape.
        tensors: parameters or gradients by published path.

    Raises:
        BundleError: a tensor is missing.
    """
    parts = published_parts(ours, model)
    missing = [path for path in parts if path not in tensors]
    if missing:
        raise BundleError(f"published parameter `{missing[0]}` is missing", code="missing_tensor")
    whole = torch.cat([tensors[path] for path in parts]) if len(parts) > 1 else tensors[parts[0]]
    if not parts[0].endswith(QKV):
        return whole
    config = model.config
    G, K = config.n_kv_heads, config.key_size
    R = config.n_query_heads // G
    groups = whole.view(whole.shape[0], G, R + 2, K)  # per group: R queries, a key, a value
    places = {"query": slice(0, R), "key": slice(R, R + 1), "value": slice(R + 1, R + 2)}
    return groups[:, :, places[ours.rpartition(".")[2]]].flatten(1)


def load_august(model: Ranker | Retrieval, parameters: Mapping[str, Tensor]) -> None:
    """Copies parameters published in August 2026 into a model of the same shape.

    Args:
        model: the model to fill, in place.
        parameters: tensors by published path.

    Raises:
        BundleError: a parameter is missing, left over or of another shape.
    """
    left = set(parameters)
    with torch.no_grad():
        for ours, target in model.named_parameters():
            source = assembled(ours, model, parameters)
            if source.shape != target.shape:
                raise BundleError(
                    f"`{ours}` would have shape `{tuple(source.shape)}`, expected "
                    f"`{tuple(target.shape)}`",
                    code="wrong_shape",
                )
            target.copy_(source)
            left -= set(published_parts(ours, model))
    if left:
        raise BundleError(f"published parameters `{sorted(left)}` are unknown", code="left_over")
