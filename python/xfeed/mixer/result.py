"""The answer: a page of posts, why they are on it, and where all others went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

import msgspec

from xfeed.ids import IdLike, to_u64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xfeed.mixer.report import Report, StageReport
    from xfeed.mixer.why import Why

Mode = Literal["model", "model_without_history", "newest_then_popular"]
"""How a page was ranked: by the model; by the model for a viewer without history; or, without a
model, newest in-network posts first and then popular ones."""


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One post on a page. Ids are written as their senders wrote them.

    Attributes:
        position: place on the page, from 1.
        post_id: the post.
        author_id: who made it.
        author_handle: their handle, if known.
        kind: ``original``, ``reply``, ``repost`` or ``quote``.
        shown_post_id: the post a reader mainly reads: the reposted one of a repost.
        text: text of the shown post.
        topics: topics of the shown post.
        created_ms: when it was made, unix milliseconds.
        source: which source found it.
        in_network: whether the viewer follows the author; None when unknown.
        score: what the page is sorted by.
        why: the parts of the score.
    """

    position: int
    post_id: str
    author_id: str
    author_handle: str | None
    kind: str
    shown_post_id: str
    text: str
    topics: tuple[str, ...]
    created_ms: int
    source: str
    in_network: bool | None
    score: float
    why: Why

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["topics"] = list(self.topics)
        values["why"] = self.why.to_dict()
        return values


@dataclass(frozen=True, slots=True)
class Where:
    """What became of one post.

    Attributes:
        post_id: the post.
        outcome: ``selected``, ``not_selected``, ``removed`` or ``not_retrieved``.
        stage: the stage that decided, such as ``age``; the source of a selected post.
        reason: code of the reason, empty for a selected post.
        detail: the decisive values, for people.
    """

    post_id: str
    outcome: Literal["selected", "not_selected", "removed", "not_retrieved"]
    stage: str
    reason: str
    detail: str

    def to_dict(self) -> dict[str, str]:
        """As plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __str__(self) -> str:
        match self.outcome:
            case "selected":
                return f"selected: {self.detail}"
            case "not_selected":
                return f"not selected: {self.detail}"
            case "removed":
                return f"removed by {self.stage}: {self.detail}"
            case _:
                return f"not retrieved: {self.detail}"


@dataclass(frozen=True, slots=True)
class Receipt:
    """All that is needed to make the same page again.

    Attributes:
        log_offset: how much of the log the state holds.
        bundle_id: hash of the active model's bundle, empty without one.
        preset: name of the parameter set.
        weights_digest: hash of the weights and factors in use.
        config_digest: hash of all settings.
        seed: seed of all randomness.
        now_ms: the time the request was made for, unix milliseconds.
    """

    log_offset: int
    bundle_id: str
    preset: str
    weights_digest: str
    config_digest: str
    seed: int
    now_ms: int

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class FeedResult(Sequence[FeedItem]):
    """A page. Behaves as a sequence of its items.

    Attributes:
        viewer_id: who asked.
        mode: how the page was ranked.
        items: the posts, best first.
        report: what every stage did.
        receipt: what the page was made from.
    """

    def __init__(
        self,
        *,
        viewer_id: str,
        mode: Mode,
        items: tuple[FeedItem, ...],
        report: Report,
        receipt: Receipt,
        locate: Callable[[int, str], Where],
        removed_examples: Callable[[], list[Where]],
    ) -> None:
        self.viewer_id = viewer_id
        self.mode: Mode = mode
        self.items = items
        self.report = report
        self.receipt = receipt
        self._locate = locate
        self._removed_examples = removed_examples

    @property
    def funnel(self) -> list[StageReport]:
        """Candidates in and out, removals by reason and milliseconds, stage by stage."""
        return self.report.stages

    @property
    def degraded(self) -> list[str]:
        """Stages that failed; empty when all is well."""
        return self.report.degraded

    @property
    def removed(self) -> dict[str, int]:
        """Removed candidates by reason, over all filters."""
        totals: dict[str, int] = {}
        for stage in self.report.stages:
            for reason, count in stage.removed.items():
                totals[reason] = totals.get(reason, 0) + count
        return dict(sorted(totals.items()))

    def where(self, post_id: IdLike) -> Where:
        """What became of a post: its place, or the stage and the reason that kept it away."""
        return self._locate(to_u64(post_id), str(post_id))

    def removed_examples(self) -> list[Where]:
        """One removed post for each reason, in the order of the filters."""
        return self._removed_examples()

    @overload
    def __getitem__(self, index: int) -> FeedItem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[FeedItem, ...]: ...
    def __getitem__(self, index: int | slice) -> FeedItem | tuple[FeedItem, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[FeedItem]:
        return iter(self.items)

    def to_dict(self) -> dict[str, Any]:
        """As plain values. The same request on the same state gives the same values."""
        return {
            "viewer_id": self.viewer_id,
            "mode": self.mode,
            "degraded": self.degraded,
            "items": [item.to_dict() for item in self.items],
            "funnel": [stage.counts() for stage in self.report.stages],
            "receipt": self.receipt.to_dict(),
        }

    def to_json(self) -> bytes:
        """As JSON; the same request on the same state gives the same bytes."""
        return msgspec.json.encode(self.to_dict())

    def __repr__(self) -> str:
        return f"FeedResult(viewer_id={self.viewer_id!r}, mode={self.mode!r}, posts={len(self)})"
