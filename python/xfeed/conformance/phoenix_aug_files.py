"""Reads golden files of the August models: configuration, parameters and inputs in our terms."""

from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from xfeed.conformance.phoenix_files import Archive
from xfeed.phoenix import hashes
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.features import post_age_bucket
from xfeed.phoenix.input_config import (
    Category,
    DwellHead,
    MomentConfig,
    SemanticIdConfig,
    ViewerFeatures,
    ViewerField,
)
from xfeed.phoenix.model.inputs import CandidateInputs, HistoryInputs, PostInputs, ViewerColumns

PREP_CATEGORIES: Final[dict[str, Category]] = {
    "enable_product_surface": "surface",
    "enable_post_age": "post_age",
    "enable_timezone": "timezone",
    "enable_hour_of_day": "hour",
    "enable_day_of_week": "weekday",
    "enable_is_author_followed_by_viewer": "author_followed",
    "enable_is_author_following_viewer": "author_follows",
    "enable_stale_post": "stale",
}
"""Switches of the summed inputs to our categories."""

CONCAT_CATEGORIES: Final[dict[int, Category]] = {
    0: "surface",
    5: "timezone",
    6: "hour",
    7: "weekday",
    8: "post_age",
}
"""Columns of the categorical features to our categories."""

VIEWER_FIELDS: Final[dict[str, ViewerField]] = {
    "country": "country",
    "language": "language",
    "location": "location",
    "installed_apps": "apps",
    "gender": "gender",
    "age": "age",
}
"""Names in the switches of viewer features to ours."""


def config_of(s: dict[str, Any]) -> PhoenixConfig:
    """Our configuration of a published ranker or user tower.

    Args:
        s: settings of the ranker, or of the user tower.
    """
    trunk = s["model_config"]
    attention, ffn = trunk["attn_config"], trunk["ffn_config"]
    D, W = trunk["emb_size"], s["emb_table_width"]
    cap = attention["attn_logit_cap"]
    table_sizes = s["hash_table"]["hash_keys"]
    features = _viewer_features(s)
    summed = s["feature_prep_enabled"]
    prep = s["feature_prep"]
    return PhoenixConfig(
        emb_size=D,
        table_width=W,
        n_layers=trunk["num_layers"],
        n_query_heads=attention["num_q_heads"],
        n_kv_heads=attention["num_kv_heads"],
        key_size=attention["key_size"],
        history_len=s["history_seq_len"],
        widening_factor=ffn["widening_factor"],
        user=hashes.user_hash(max(table_sizes["user_id_table_size"], 2)),
        item=hashes.item_hash(max(table_sizes["item_id_table_size"], 2)),
        author=hashes.author_hash(max(table_sizes["author_id_table_size"], 2)),
        address=hashes.address_hash(table_sizes["ip_id_table_size"])
        if s["use_ip_address"]
        else None,
        n_actions=trunk["output_vocab_size"],
        n_continuous=s["num_continuous_actions"],
        history_attention="bidirectional",
        positions="right_anchored" if s["right_anchored_rope"] else "slot",
        attention_multiplier=128**0.5 / attention["key_size"],
        attention_cap=cap if cap > 0 else None,
        attention_cap_kind=attention["attn_logit_cap_method"],
        qk_norm=attention["qk_norm"],
        norms="sandwich" if trunk["primer_norm"] else "pre",
        ffn="gated" if ffn["gated_mlp"] else "plain",
        prefix_len=s["use_user_embedding"] + (features is not None),
        inputs="summed" if summed else "concat",
        user_rows=s["use_user_embedding"],
        item_rows=s["use_post_embedding"],
        semantic_ids=_semantic_ids(s),
        moment=_summed_moment(s) if summed else _concat_moment(s),
        viewer_features=features,
        action_slices=not summed and not s["use_dense_action_table"],
        logit_scale=2 * (512 / D) ** 0.5,
        dwell_heads=tuple(_dwell_head(one) for one in s["continuous_action_losses"]),
        post_age_granularity_mins=s["post_age_granularity_mins"],
        dwell_input=prep["enable_dwell_time"] if summed else not s["transformer_output_only"],
        dwell_hidden=s["unified_context_dwell_time_dim"],
        dwell_scale_secs=prep["dwell_time_norm_scale"]
        if summed
        else s["continuous_action_losses"][0]["norm_config"]["norm_scale"],
    )


def retrieval_config_of(settings: dict[str, Any]) -> PhoenixConfig:
    """Our configuration of a published two-tower model."""
    tower = settings["candidate_tower_config"]
    return replace(
        config_of(settings["user_tower_config"]),
        candidate_tower="mlp" if tower["enable_linear_proj"] else "summed",
        user_out_norm=True,
        n_towers=tower["num_candidate_heads"],
        learned_temperature=True,
    )


def _semantic_ids(s: dict[str, Any]) -> SemanticIdConfig | None:
    if not s["use_post_sid"]:
        return None
    return SemanticIdConfig(
        width=s["sid_embed_dim"],
        n_levels=s["sid_num_levels"],
        codebook_size=s["sid_codebook_size"],
        hash_level=s["sid_hash_level"],
        cross_attention=s["sid_cross_attn"],
    )


def _summed_moment(s: dict[str, Any]) -> MomentConfig:
    prep = s["feature_prep"]
    hidden = prep["engagement_count_mlp_hidden_dim"] if prep["enable_engagement_counts"] else 0
    categories = tuple(ours for theirs, ours in PREP_CATEGORIES.items() if prep[theirs])
    return MomentConfig(categories, counts_hidden=hidden)


def _concat_moment(s: dict[str, Any]) -> MomentConfig:
    columns = s["context_features"]["categorical_features"]
    categories = tuple(CONCAT_CATEGORIES[one["index"]] for one in columns)
    return MomentConfig(categories, tuple(one["embedding_dim"] for one in columns))


def _viewer_features(s: dict[str, Any]) -> ViewerFeatures | None:
    if s["feature_prep_enabled"]:
        prep = s["feature_prep"]
        fields = [ours for name, ours in VIEWER_FIELDS.items() if prep[f"enable_user_{name}"]]
        return ViewerFeatures(tuple(fields)) if fields else None
    u = s["user_features"]
    fields = [
        ours
        for name, ours in VIEWER_FIELDS.items()
        if u.get(f"enable_user_{name}_feature", u.get(f"enable_user_{name}", False))
        or (name == "installed_apps" and u["enable_user_installed_apps"])
    ]
    if not fields:
        return None
    return ViewerFeatures(
        tuple(fields),
        country_width=u["country_emb_dim"],
        language_width=u["language_emb_dim"],
        location_width=u["location_emb_dim"],
        apps_width=u["installed_apps_emb_dim"],
        gender_score_width=u["gender_score_proj_dim"],
        age_bracket_width=u["age_bracket_emb_dim"],
        age_hidden=u["age_mlp_hidden_dim"],
        age_width=u["age_mlp_output_dim"],
        padded_width=u["user_features_concat_dim"] if u["user_features_concat_pad"] else 0,
    )


def _dwell_head(one: dict[str, Any]) -> DwellHead:
    return DwellHead(
        head=one["action_index"],
        activation=one["activation"],
        scale_secs=one["norm_config"]["norm_scale"],
        limit=one["output_cap"] if one["output_cap"] > 0 else None,
        surfaces=tuple(one["product_surfaces"]),
        other_than=tuple(one["exclude_product_surfaces"]),
    )


class AugustInputs:
    """The golden inputs; every position counts as a post of its own.

    Args:
        z: the golden file.
        config: of the model that reads them.
        dtype: of the numbers.
        rounded: whether the embedding table is rounded to bfloat16 first.
    """

    def __init__(
        self, z: Archive, config: PhoenixConfig, dtype: torch.dtype, *, rounded: bool = False
    ) -> None:
        self.z = z
        self.config = config
        self.dtype = dtype
        table = torch.from_numpy(z["in/emb_table"])
        self.table = (table.bfloat16() if rounded else table).to(dtype)
        self.B, self.S = z["in/history_seq/post_hashes"].shape[:2]
        self.C = z["in/candidate_seq/post_hashes"].shape[1]

    def whole(self, name: str) -> Tensor:
        """An integer or boolean input."""
        return torch.from_numpy(self.z[f"in/{name}"].astype(np.int64))

    def floats(self, name: str) -> Tensor:
        """Any input as numbers of the dtype."""
        return torch.from_numpy(self.z[f"in/{name}"].astype(np.float64)).to(self.dtype)

    def posts(self) -> PostInputs:
        """(B * S + B * C) posts: those of the history first."""

        def both(name: str) -> Tensor:
            return torch.cat([self.whole(f"{side}_seq/{name}").flatten(0, 1) for side in _SIDES])

        items, authors = both("post_hashes"), both("auth_hashes")
        item_rows = self.table[items].flatten(1) if self.config.item_rows else self.table[:0].T
        if not self.config.item_rows:
            item_rows = item_rows.new_zeros(len(items), 0)
        return PostInputs(
            item_rows,
            self.table[authors].flatten(1),
            semantic_ids=both("post_sids"),
            item_hash=items[:, 0],
        )

    def history(self) -> HistoryInputs:
        """B viewers."""
        users = self.whole("user_hashes")
        has_user = self.config.user_rows
        return HistoryInputs(
            user_rows=self.table[users].flatten(1) if has_user else self.table.new_zeros(self.B, 0),
            user_valid=users[:, 0] != 0,
            post=torch.arange(self.B * self.S).view(self.B, self.S),
            valid=self.whole("history_seq/post_hashes")[..., 0] != 0,
            actions=self.floats("history_seq/actions"),
            dwell_secs=self.floats("history_seq/continuous_actions")[..., 1],
            address_rows=self.table[self.whole("user_ip_hashes")] if self.config.address else None,
            viewer=self.viewer(),
            **self.moment("history"),
        )

    def candidates(self) -> CandidateInputs:
        """(B, C)."""
        post = self.B * self.S + torch.arange(self.B * self.C).view(self.B, self.C)
        stale = self.whole("candidate_seq/bool_features")[..., 0]
        return CandidateInputs(post, stale=stale, **self.moment("candidate"))

    def moment(self, side: str) -> dict[str, Tensor]:
        """Columns that both sides have."""
        names = (f"{side}_seq/{k}" for k in ("impr_ts", "post_creation_ts_sec"))
        shown, created = (self.z[f"in/{name}"].astype(np.int64) for name in names)
        age = post_age_bucket(shown, created, self.config.post_age_granularity_mins)
        facts = self.whole(f"{side}_seq/categorical_features")
        flags = self.whole(f"{side}_seq/bool_features")
        return {
            "surface": self.whole(f"{side}_seq/product_surface"),
            "post_age": torch.from_numpy(age),
            "timezone": facts[..., 5],
            "hour": facts[..., 6],
            "weekday": facts[..., 7],
            "author_followed": flags[..., 1],
            "author_follows": flags[..., 2],
            "counts": self.floats(f"{side}_seq/int64_features")[..., 5:10],
        }

    def viewer(self) -> ViewerColumns:
        """Facts about the viewers."""
        whole = self.whole("user_categorical_features")
        numbers = self.floats("user_float_features")
        return ViewerColumns(
            country=whole[:, 1],
            language=whole[:, 0],
            latitude=numbers[:, 1],
            longitude=numbers[:, 0],
            apps=self.whole("user_installed_apps_multihot"),
            gender=whole[:, 3],
            inferred_gender=whole[:, 6],
            inferred_gender_score=numbers[:, 2],
            age_bracket=whole[:, 4],
            age_years=numbers[:, 3],
        )


_SIDES: Final = ("history", "candidate")
