"""Every setting with its default, its unit and its bounds. There are no defaults anywhere else.

Order of precedence: the defaults here, then `xfeed.toml` in the data directory, then environment
variables (`XFEED_FILTERS__AGE__MAX_AGE_SECS=3600`), then what the caller passes.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from xfeed.config_text import merge, read_environ, read_toml, to_toml, toml_value
from xfeed.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_NAME = "xfeed.toml"

MAX_PAGE_LEN = 500
"""Most posts on a page."""

MAX_SECS = 10**10
"""Longest time span of a setting: some three hundred years."""

SAFETY_FILTERS = ("social_graph", "protected", "labels", "muted_keywords")
"""Filters that always run: where `pipeline.filters` leaves one out, it runs at the end."""

MIN_STORE_BYTES = 2**20
"""A store with less would be busy with nothing but making room."""

Positive = Annotated[int, Field(gt=0, le=2**31)]
Secs = Annotated[int, Field(gt=0, le=MAX_SECS)]


def _enough_bytes(value: int) -> int:
    if 0 < value < MIN_STORE_BYTES:
        raise ValueError(f"0 (no limit) or at least {MIN_STORE_BYTES} is needed")
    return value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ThunderConfig(_Section):
    """The in-network post store and its read."""

    retention_secs: Secs = Field(
        172_800, description="posts older than this are forgotten (X: post_retention_seconds)"
    )
    max_results: Positive = Field(
        1_200, description="most in-network candidates (X: MAX_POSTS_TO_RETURN)"
    )
    max_originals_per_author: Positive = Field(
        50, description="newest originals and quotes per author (X: MAX_ORIGINAL_POSTS_PER_AUTHOR)"
    )
    max_secondary_per_author: Positive = Field(
        30, description="newest replies and reposts per author (X: MAX_REPLY_POSTS_PER_AUTHOR)"
    )
    max_posts_per_timeline: Positive = Field(
        5_000,
        description="most posts of one author, originals and quotes apart from replies and reposts;"
        " the oldest go (X: MAX_POSTING_LIST_SIZE)",
    )
    max_bytes: Annotated[int, Field(ge=0, lt=2**63), AfterValidator(_enough_bytes)] = Field(
        0,
        description="most bytes of the post store, from 1 MiB on; the oldest posts go; 0 is no"
        " limit; texts, histories and the graph are not counted",
    )
    hidden_authors: tuple[Annotated[int, Field(ge=0, lt=2**64)] | str, ...] = Field(
        (), description="accounts that nobody is shown, whoever follows them"
    )
    max_scan_per_author: Positive = Field(
        500,
        description="replies and reposts of one author that a request looks at"
        " (X: MAX_TINY_POSTS_PER_USER_SCAN)",
    )


class StoreConfig(ThunderConfig):
    """`xfeed.PostStore`, the post store alone."""

    max_videos: Positive = Field(
        600, description="most posts of a request for videos (X: MAX_VIDEOS_TO_RETURN)"
    )
    max_videos_per_author: Positive = Field(
        100,
        description="newest videos per author in a request for videos"
        " (X: MAX_VIDEO_POSTS_PER_AUTHOR)",
    )
    max_future_ms: Annotated[int, Field(ge=0, le=MAX_SECS * 1000)] = Field(
        300_000, description="how far ahead of `now_ms` a post may be: clocks of senders differ"
    )
    qps_limit: Annotated[int, Field(ge=0, le=10**9)] = Field(
        0,
        description="requests of one client in a second, and at once; 0 is no limit"
        " (X: qps_limit 8000, for all clients together)",
    )


class WorldConfig(_Section):
    """What else is remembered."""

    max_history_len: Positive = Field(
        1_024, description="newest interactions kept of each viewer (X: max sequence length)"
    )


class SnapshotConfig(_Section):
    """Snapshots of the state, so that a start need not fold the whole log."""

    every_events: Annotated[int, Field(ge=0, le=2**53)] = Field(
        500_000,
        description="events after which a snapshot is made; a clean close makes one after a tenth"
        " of them; 0: only `xfeed snapshot create` makes any",
    )


class KafkaConfig(_Section):
    """`xfeed ingest --from kafka://…`."""

    group: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        "xfeed", description="name under which offsets are committed, for lag dashboards only"
    )
    flush_ms: Annotated[int, Field(ge=1, le=10_000)] = Field(
        50, description="longest wait of an event for others to be applied with"
    )
    max_pending_bytes: Annotated[int, Field(ge=2**16, le=2**31)] = Field(
        67_108_864,
        description="bytes that were read and wait to be applied; beyond this, reading pauses",
    )
    snapshot_secs: Secs = Field(60, description="a snapshot is made after this long at the latest")
    snapshot_events: Positive = Field(
        1_000_000, description="a snapshot is made after so many records at the latest"
    )
    on_lost: Literal["stop", "rebuild"] = Field(
        "stop",
        description="when events that are needed are no longer in the topic, or it is another"
        " topic of the same name: `stop` with an error, or `rebuild` from what there is",
    )
    max_stale_secs: Secs = Field(
        60, description="the state stays ready for so long without a word from the brokers"
    )
    check_secs: Secs = Field(
        10, description="how often topics are looked at for new partitions and new identities"
    )
    connect_timeout_secs: Secs = Field(
        30, description="with --until-caught-up: how long to wait for brokers and topics"
    )
    max_dead_letters_bytes: Annotated[int, Field(ge=2**20, le=2**40)] = Field(
        67_108_864,
        description="size at which the file of refused events is put aside; the one before it goes",
    )


class RetrievalConfig(_Section):
    """Out-of-network candidates from the two towers."""

    max_results: Positive = Field(1_000, description="most retrieved candidates (X: 1000)")
    index: Literal["exact", "ann"] = Field(
        "exact",
        description="how posts are searched: `exact` scans them all, `ann` follows a graph, which"
        " misses some and is for many millions of posts (needs `pip install 'xfeed[ann]'`)",
    )
    dtype: Literal["float32", "bfloat16", "int8"] = Field(
        "int8",
        description="how `exact` stores vectors: `int8` finds what `float32` finds, faster and with"
        " a quarter more memory; `bfloat16` takes half the memory and rounds the vectors",
    )


class PopularConfig(_Section):
    """Popular posts, where no model or no history can tell more."""

    max_results: Positive = Field(200, description="most popular candidates")


class AgeConfig(_Section):
    """The `age` filter."""

    max_age_secs: Secs = Field(
        172_800, description="older posts are removed; exactly this age stays (X: MAX_POST_AGE)"
    )


class LabelsConfig(_Section):
    """The `labels` filter."""

    removing: tuple[str, ...] = Field(
        ("spam", "abuse", "graphic", "illegal", "hidden"),
        description="labels of a post or of its author that remove it",
    )


class FiltersConfig(_Section):
    """Settings of the filters that have any."""

    age: AgeConfig = AgeConfig()
    labels: LabelsConfig = LabelsConfig()


class ScoringConfig(_Section):
    """From predictions to scores."""

    preset: str = Field("x-2026-08-21", description="dated parameter set, see `xfeed config show`")
    weights: dict[str, float] = Field(
        default_factory=dict, description="weights by action that replace those of the preset"
    )


class PipelineConfig(_Section):
    """Which stages run, in order."""

    query_hydrators: tuple[str, ...] = Field(
        ("following", "safety", "seen"), description="what is looked up about the viewer"
    )
    sources: tuple[str, ...] = Field(
        ("in_network", "retrieval", "popular"),
        description="where candidates come from; the first one wins duplicates",
    )
    hydrators: tuple[str, ...] = Field(
        ("core_data", "in_network", "labels"), description="what is looked up about candidates"
    )
    filters: tuple[str, ...] = Field(
        (
            "duplicates",
            "missing_core_data",
            "age",
            "self_post",
            "social_graph",
            "protected",
            "labels",
            "muted_keywords",
            "previously_seen",
            "repost_duplicates",
        ),
        description="what removes candidates, in order; safety filters run even when left out",
    )
    scorers: tuple[str, ...] = Field(
        (
            "predictor",
            "weighted_sum",
            "newest_then_popular",
            "author_diversity",
            "out_of_network",
        ),
        description="what makes the score, in order",
    )
    side_effects: tuple[str, ...] = Field((), description="what runs after the page is made")
    selector: str = Field("top_k", description="what sorts and cuts")

    @field_validator("query_hydrators", "sources", "hydrators", "filters", "scorers")
    @classmethod
    def _named_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"`{repeated[0]}` is named twice")
        return names


class TrainingConfig(_Section):
    """`Feed.fit()`."""

    preset: Literal["demo", "tiny", "tiny-prod", "mini", "nano", "prod"] = Field(
        "demo",
        description="sizes and profile of the models: `demo` is xfeed's own, `mini` that of"
        " May 2026, `nano` and `prod` those of August 2026; all but `demo` and the tiny ones need"
        " far more data, memory and time",
    )
    table_dtype: Literal["float32", "float16", "bfloat16", "int8"] = Field(
        "float32",
        description="how the bundle stores the embedding rows; less than float32 takes a half or a"
        " quarter of the room and changes scores a little",
    )
    max_loss_increase: Annotated[float, Field(ge=0, le=10)] = Field(
        0.02,
        description="a new ranker whose held-out loss exceeds that of the active one by more than"
        " this share is kept but not activated",
    )
    ranker_epochs: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="passes of the ranker over the log; more passes learn ids by heart"
    )
    retrieval_epochs: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="passes of the two towers over the positive impressions"
    )
    held_out_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="newest share of the impressions, kept for evaluation"
    )
    max_rows_per_viewer: Positive = Field(
        16_384, description="newest interactions of each viewer that are learned from"
    )
    min_impressions: Positive = Field(
        200, description="fewer impressions than this are not enough to learn from"
    )


class ModelConfig(_Section):
    """How the models are run; `xfeed.phoenix.options.RuntimeOptions` has the same defaults."""

    engine: Literal["auto", "native", "torch"] = Field(
        "auto",
        description="what runs the transformers: `native` (Rust, on the CPU), `torch`, or `auto`:"
        " native on the CPU, torch elsewhere",
    )
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?|mps)$")] = Field(
        "cpu", description="where torch computes: `cpu`, `cuda`, `cuda:1`, `mps`"
    )
    dtype: Literal["float32", "bfloat16", "int8"] = Field(
        "float32",
        description="precision of the transformers; less than float32 is faster and changes"
        " scores a little, `int8` is for the native engine only",
    )
    context_cache_bytes: Annotated[int, Field(ge=0, le=2**50)] = Field(
        268_435_456,
        description="most bytes of encoded histories that are kept for the viewer's next request;"
        " 0 keeps none",
    )
    score_cache_entries: Annotated[int, Field(ge=0, le=10**9)] = Field(
        200_000,
        description="most candidates whose predictions are kept, some 200 bytes each; 0 keeps none;"
        " always 0 on a GPU",
    )
    max_batch_viewers: Annotated[int, Field(ge=0, le=2**20)] = Field(
        0,
        description="most requests that torch computes together; 0 is 8 on a GPU and 1 on the CPU,"
        " where it gains nothing; the native engine takes each alone",
    )
    batch_wait_ms: Annotated[float, Field(ge=0, le=1_000)] = Field(
        0.0,
        description="how long a request waits for others to be computed with; 0 still groups what"
        " queues while one runs",
    )
    candidate_chunk: Annotated[int, Field(ge=1, le=2**20)] = Field(
        2_048, description="candidates that pass through the model together; bounds memory"
    )
    compile: bool = Field(False, description="applies `torch.compile`, on CUDA only")
    warm_up: bool = Field(
        False, description="answers a made-up request when a model is loaded, before real ones"
    )
    deadline_ms: Annotated[int, Field(ge=0, le=3_600_000)] = Field(
        0,
        description="time from the start of a request after which no further candidate is scored;"
        " what is left is not on the page, which says so; 0 is no limit",
    )


class FeedConfig(_Section):
    """All settings of one feed."""

    clock: Literal["log", "system"] = Field(
        "log",
        description="`log`: now is the time of the latest event, so equal states give equal"
        " answers; `system`: now is the system clock",
    )
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        0, description="the only source of randomness"
    )
    surface: Annotated[int, Field(ge=0, le=15)] = Field(
        1, description="where the page is shown, as the models know it (X: 1 is the home feed)"
    )
    page_size: Annotated[int, Field(ge=1, le=MAX_PAGE_LEN)] = Field(
        20, description="posts in an answer when the caller does not say (X: RESULT_SIZE 35)"
    )
    ingest_batch_len: Annotated[int, Field(ge=1, le=100_000)] = Field(
        8_192, description="events per transaction: acknowledged together"
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        1,
        description="threads of the models; the default ones are small, and more threads than free"
        " cores cost far more than they gain",
    )
    thunder: ThunderConfig = ThunderConfig()
    world: WorldConfig = WorldConfig()
    snapshot: SnapshotConfig = SnapshotConfig()
    kafka: KafkaConfig = KafkaConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    popular: PopularConfig = PopularConfig()
    model: ModelConfig = ModelConfig()
    filters: FiltersConfig = FiltersConfig()
    scoring: ScoringConfig = ScoringConfig()
    pipeline: PipelineConfig = PipelineConfig()
    training: TrainingConfig = TrainingConfig()

    @property
    def digest(self) -> str:
        """Hash of all settings, in hexadecimal."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def load_config(
    directory: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> FeedConfig:
    """Reads the settings of a data directory.

    Args:
        directory: where `xfeed.toml` may lie.
        overrides: nested settings that come last.
        environ: environment variables; those of the process when None.

    Raises:
        ConfigError: naming the setting, the value, what is allowed and, for an unknown name, the
            nearest known one.
    """
    merged: dict[str, Any] = {}
    if directory is not None and (directory / FILE_NAME).exists():
        merge(merged, read_toml(directory / FILE_NAME))
    merge(merged, read_environ(os.environ if environ is None else environ))
    merge(merged, overrides or {})
    try:
        return FeedConfig.model_validate(merged)
    except ValidationError as error:
        raise _explain(error) from None


def store_config(settings: Mapping[str, Any]) -> StoreConfig:
    """The settings of a post store that stands alone.

    Args:
        settings: those that differ from the defaults.

    Raises:
        ConfigError: as `load_config`.
    """
    try:
        return StoreConfig.model_validate(dict(settings))
    except ValidationError as error:
        raise _explain(error, StoreConfig) from None


def suggest(directory: Path, settings: Mapping[str, Any]) -> Path | None:
    """Writes `settings` as the `xfeed.toml` of a new data directory; returns the file if it did.

    A directory that holds a log or settings already is left as it is.
    """
    path = directory / FILE_NAME
    if not settings or path.exists() or (directory.exists() and any(directory.iterdir())):
        return None
    load_config(None, settings, {})
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(to_toml(settings) + "\n", encoding="utf-8")
    return path


class Row(NamedTuple):
    """One setting, for people.

    Attributes:
        name: dotted name, as `--set` takes it.
        value: its value, as TOML.
        description: what it means.
    """

    name: str
    value: str
    description: str


def describe(section: BaseModel, prefix: str = "") -> list[Row]:
    """Every setting below `section` with its value and meaning, in order."""
    rows = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            rows += describe(value, f"{prefix}{name}.")
        else:
            rows.append(Row(prefix + name, toml_value(value), field.description or ""))
    return rows


def _explain(error: ValidationError, model: type[BaseModel] = FeedConfig) -> ConfigError:
    first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(path, _paths(model), n=1)
        hint = f"did you mean `{near[0]}`?" if near else "`xfeed config show` lists all settings"
        return ConfigError(f"there is no setting `{path}`", code="unknown_setting", hint=hint)
    return ConfigError(
        f"`{path}` is `{first['input']}`: {first['msg'].lower()}",
        code="bad_setting",
        hint="`xfeed config show` lists all settings with their bounds",
    )


def _paths(model: type[BaseModel], prefix: str = "") -> list[str]:
    found = []
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += _paths(field.annotation, f"{prefix}{name}.")
    return found
