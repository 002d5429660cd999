"""How a bundle is served: engine, device, precision, caches, grouping.

Plain values without torch, so that settings can be turned into them before a model is there.
`xfeed.config` holds the same defaults for a feed; a test compares.
"""

from dataclasses import dataclass
from typing import Final, Literal

from xfeed.errors import ConfigError

Dtype = Literal["float64", "float32", "bfloat16", "int8"]

ENGINES: Final = ("auto", "native", "torch")
DTYPES: Final[dict[str, tuple[Dtype, ...]]] = {
    "native": ("float32", "bfloat16", "int8"),
    "torch": ("float64", "float32", "bfloat16"),
}
"""Precisions of each engine."""

GPU_GROUP_LEN: Final = 8
"""Requests that a GPU computes together unless told otherwise."""


@dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """Choices that change how fast a bundle answers, not what it means.

    Attributes:
        engine: the transformer in Rust, the one in torch, or the first where it can run.
        device: where torch computes, such as ``cpu`` or ``cuda:0``; the Rust engine knows ``cpu``.
        dtype: precision of the transformer; all but float32 and float64 change scores a little.
        threads: threads that one request may use in the Rust engine.
        context_cache_bytes: most bytes of encoded histories that are kept; 0 keeps none.
        score_cache_entries: most candidates whose predictions are kept; 0 keeps none.
        max_batch_viewers: most requests that torch computes together; 0 stands for 8 on a GPU and
            for 1 on the CPU, where grouping was measured to gain nothing.
        batch_wait_ms: how long a request waits for others to be computed with.
        candidate_chunk: candidates that pass through the model together.
        compile: whether `torch.compile` is applied, on CUDA only.
        warm_up: whether loading answers one made-up request, so that the first real one is fast.
    """

    engine: Literal["auto", "native", "torch"] = "auto"
    device: str = "cpu"
    dtype: Dtype = "float32"
    threads: int = 1
    context_cache_bytes: int = 268_435_456
    score_cache_entries: int = 200_000
    max_batch_viewers: int = 0
    batch_wait_ms: float = 0.0
    candidate_chunk: int = 2_048
    compile: bool = False
    warm_up: bool = False

    def __post_init__(self) -> None:
        if self.engine not in ENGINES:
            raise ConfigError(
                f"there is no engine `{self.engine}`",
                code="bad_engine",
                hint=f"use one of {', '.join(ENGINES)}",
            )
        if self.engine == "native" and self.on_accelerator:
            raise ConfigError(
                f"the native engine runs on the CPU, not on `{self.device}`",
                code="bad_device",
                hint="set the engine to `auto` or `torch`",
            )
        known = DTYPES[self.chosen_engine]
        if self.dtype not in known:
            raise ConfigError(
                f"the engine `{self.chosen_engine}` does not compute in `{self.dtype}`",
                code="bad_dtype",
                hint=f"use one of {', '.join(known)}",
            )
        for name, low in (
            ("threads", 1),
            ("max_batch_viewers", 0),
            ("candidate_chunk", 1),
            ("context_cache_bytes", 0),
            ("score_cache_entries", 0),
            ("batch_wait_ms", 0),
        ):
            value = getattr(self, name)
            # written so that NaN is refused too
            if not value >= low:
                raise ConfigError(
                    f"`{name}` must be at least {low}, got `{value}`", code="out_of_bounds"
                )

    @property
    def on_accelerator(self) -> bool:
        """Whether torch computes elsewhere than on the CPU."""
        return self.device.split(":")[0] != "cpu"

    @property
    def group_len(self) -> int:
        """Most requests that are computed together; the Rust engine takes them one by one."""
        if self.chosen_engine == "native":
            return 1
        return self.max_batch_viewers or (GPU_GROUP_LEN if self.on_accelerator else 1)

    @property
    def chosen_engine(self) -> Literal["native", "torch"]:
        """The engine that `auto` stands for here.

        The Rust engine has no float64; asking for that asks for torch.
        """
        if self.engine != "auto":
            return self.engine
        return "torch" if self.on_accelerator or self.dtype == "float64" else "native"
