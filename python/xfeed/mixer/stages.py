"""What a stage is: one protocol per kind.

A stage is built once, from `Parts`, and then serves every request; what belongs to one request
comes in as arguments. Stages know the core and the config, never each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from xfeed._core import CandidateBatch, Query, World
    from xfeed.config import FeedConfig
    from xfeed.mixer.board import ScoreBoard
    from xfeed.mixer.result import FeedResult
    from xfeed.phoenix.batch import InteractionColumns, PostColumns
    from xfeed.presets import Preset


class Model(Protocol):
    """A ranker and a retriever; `xfeed.phoenix.runtime.Phoenix` is one."""

    bundle_id: str

    def predict(
        self,
        viewer_key: int,
        history: InteractionColumns,
        history_posts: PostColumns,
        candidates: PostColumns,
        surface: int,
        now_ms: int,
        *,
        deadline: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """Every action of every candidate, each alone: shape ``(C, A)``, NaN where not predicted.

        Candidates are predicted in their order; from the `deadline` on, a moment of
        `time.monotonic`, none is.
        """

    def user_vector(
        self,
        viewer_key: int,
        history: InteractionColumns,
        history_posts: PostColumns,
        now_ms: int,
    ) -> npt.NDArray[np.float32]:
        """The viewer's place in the space of posts: shape ``(D,)``."""

    def post_vectors(self, posts: PostColumns) -> npt.NDArray[np.float32]:
        """The posts' places: shape ``(N, D)``."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What stages are built from.

    Attributes:
        world: the state.
        config: all settings.
        preset: weights and factors.
        model: the active model, None when there is none.
    """

    world: World
    config: FeedConfig
    preset: Preset
    model: Model | None


@runtime_checkable
class QueryHydrator(Protocol):
    """Adds to the query. When it fails, what it would have added stays unknown."""

    name: ClassVar[str]

    def hydrate(self, query: Query) -> None:
        """Adds what is known about the viewer."""


@runtime_checkable
class Source(Protocol):
    """Finds candidates. When it fails, the others still serve."""

    name: ClassVar[str]

    def find(self, query: Query) -> npt.NDArray[np.uint64]:
        """Posts, best first."""


@runtime_checkable
class Hydrator(Protocol):
    """Adds columns to candidates; never drops or reorders rows."""

    name: ClassVar[str]

    def hydrate(self, query: Query, candidates: CandidateBatch) -> None:
        """Fills its columns."""


@runtime_checkable
class Filter(Protocol):
    """A filter written in Python; the built-in ones are Rust (`rust/xfeed-core/src/filters/`)."""

    name: ClassVar[str]
    reason: ClassVar[str]

    def keep(self, query: Query, candidates: CandidateBatch) -> npt.NDArray[np.bool_]:
        """One bool per row; ``False`` removes it."""


@runtime_checkable
class Scorer(Protocol):
    """Writes predictions, scores or multipliers to the board."""

    name: ClassVar[str]

    def score(self, query: Query, candidates: CandidateBatch, board: ScoreBoard) -> None:
        """Adds its part."""


@runtime_checkable
class Selector(Protocol):
    """Sorts and cuts."""

    name: ClassVar[str]

    def select(
        self, candidates: CandidateBatch, board: ScoreBoard, limit: int
    ) -> tuple[list[int], list[int]]:
        """Positions on the board: selected ones best first, then all others."""


@runtime_checkable
class SideEffect(Protocol):
    """Runs after the answer is made; may fail without harm."""

    name: ClassVar[str]

    def run(self, query: Query, result: FeedResult) -> None:
        """Does it."""
