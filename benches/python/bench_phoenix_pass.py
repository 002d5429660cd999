"""One ranking of the mini model: ours beside the dense form and what one would run it on.

The model has the sizes of the release of May 2026 and drawn weights; the viewer has a full history
of 127 positions and the embeddings are already gathered. `cold` encodes the viewer first, `warm`
finds them encoded.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor
from xfeed.phoenix.config import PhoenixConfig
from xfeed.phoenix.model.ranker import Ranker

from benches.python.flops import candidate_pass, context_pass, tokens_and_heads, total
from benches.python.phoenix_dense import DenseRanker, arguments
from benches.python.phoenix_peers import (
    RELEASED_CHUNK,
    Unavailable,
    bare_products,
    onnx_model,
    onnx_session,
    released_flow,
)
from benches.python.phoenix_trunks import Dtype, with_native
from benches.python.phoenix_workload import Request, make_ranker, make_request, rank_cold
from benches.python.timing import QUICK, Figure, Findings, Row, Target, Times, turns

BENCH: Final = "phoenix_pass"
SIZES: Final = (64, 200) if QUICK else (64, 200, 500, 1_000, 1_500)
ROUNDS: Final = 2 if QUICK else 15
THREADS: Final = (1, 2)
LOGIT_TOLERANCE: Final = 2e-4
"""Of float32 logits whose spread is about 1, between ways to compute the same sums."""

NARROW: Final[tuple[Dtype, ...]] = ("bfloat16", "int8")

OURS: Final = ("ours", "ours, a third", "warm", "context", *NARROW)
"""Sides whose trunk runs in Rust, with its own threads."""

PEERS: Final = {
    "dense": "dense form in torch: one sequence, T x T mask, capped attention",
    "dense in place": "the same without temporary tensors",
    "dense sdpa": "dense form with torch's fused attention, which has no cap (other numbers)",
    "dense compiled": "dense form by torch.compile",
    "released flow": f"dense form in chunks of {RELEASED_CHUNK}, history encoded in each",
    "onnx": "dense form exported to ONNX Runtime",
    "torch trunk": "xfeed's split form, trunk in torch instead of Rust",
    "products": "only the matrix products of our pass, by torch.matmul: the floor",
}
EVERYWHERE: Final = ("dense", "released flow")
"""Peers that are shown for every number of candidates; the others for the largest."""


@dataclass(frozen=True)
class Models:
    """The same weights, in every form.

    Attributes:
        ranker: the split form, in torch.
        uncapped: the same without the cap of attention.
        dense: dense forms by name.
    """

    ranker: Ranker
    uncapped: Ranker
    dense: dict[str, DenseRanker]

    @classmethod
    def make(cls) -> "Models":
        config = PhoenixConfig.published_mini()
        ranker = make_ranker(config)
        dense = {
            "dense": DenseRanker(ranker),
            "dense in place": DenseRanker(ranker, "in place"),
            "dense sdpa": DenseRanker(ranker, "sdpa"),
        }
        return cls(ranker, make_ranker(replace(config, attention_cap=None)), dense)


def run() -> Findings:
    models = Models.make()
    found: dict[tuple[int, int], dict[str, Times]] = {}
    skipped: list[str] = []
    errors: dict[str, float] = {}
    n_before = torch.get_num_threads()
    with torch.inference_mode():
        onnx = _exported(models, skipped)
        for n_threads in THREADS:
            torch.set_num_threads(n_threads)
            for n_candidates in SIZES:
                request = make_request(models.ranker.config, n_candidates)
                sides = dict(_sides(models, request, n_threads, errors))
                if n_candidates == SIZES[-1] and onnx is not None:
                    sides["onnx"] = _checked_onnx(onnx, models, request, n_threads)
                # around our trunk torch computes with one thread: what is left to it is little,
                # and its threads would wait for a core that the trunk's have
                in_torch = {name: 1 if name in OURS else n_threads for name in sides}
                found[n_candidates, n_threads] = turns(
                    {name: _with_threads(in_torch[name], side) for name, side in sides.items()},
                    rounds=ROUNDS,
                )
    torch.set_num_threads(n_before)
    rows = [row for size in SIZES for n in THREADS for row in _rows(found, size, n, errors)]
    raw = {
        f"{size} candidates, {n} threads": {name: times.p50 for name, times in sides.items()}
        for (size, n), sides in found.items()
    }
    # The targets are about 1,500 candidates; a small run says nothing about them.
    wanted = [] if QUICK else _targets(found)
    return Findings(rows, wanted, raw | {"errors": errors}, _figures(models, found), skipped)


def _with_threads(n_threads: int, side: Callable[[], object]) -> Callable[[], object]:
    def call() -> object:
        torch.set_num_threads(n_threads)
        return side()

    return call


def _sides(
    models: Models, request: Request, n_threads: int, errors: dict[str, float]
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Everything that ranks this request, after a check that it gives the same scores."""
    C = request.n_candidates
    largest = max(SIZES) == C
    ours = with_native(models.ranker, n_threads)
    scores = rank_cold(ours, request).logits
    yield "ours", lambda: rank_cold(ours, request)
    context = ours.encode_context(request.history_posts, request.history)
    yield "warm", lambda: ours.score_candidates(context, request.posts, request.candidates)
    yield "context", lambda: ours.encode_context(request.history_posts, request.history)
    given = arguments(request)
    for name, dense in models.dense.items():
        if not largest and name not in EVERYWHERE:
            continue
        dense.prepare(C)
        same = scores
        if name == "dense sdpa":
            same = rank_cold(with_native(models.uncapped, n_threads), request).logits
        _check_equal(name, same, dense(*given)[0])
        yield name, lambda dense=dense: dense(*given)  # type: ignore[misc]
        if name == "dense" and largest and not QUICK:
            compiled = torch.compile(dense, dynamic=False)
            _check_equal("dense compiled", scores, compiled(*given)[0])
            yield "dense compiled", lambda compiled=compiled: compiled(*given)  # type: ignore[misc]
    released = released_flow(models.dense["dense"], request)
    _check_equal("released flow", _in_chunks(ours, request), released())
    yield "released flow", released
    if not largest:
        return
    a_third = make_request(models.ranker.config, C // 3)
    yield "ours, a third", lambda: rank_cold(ours, a_third)
    _check_equal("torch trunk", scores, rank_cold(models.ranker, request).logits)
    yield "torch trunk", lambda: rank_cold(models.ranker, request)
    yield "products", bare_products(_products(models.ranker.config, C))
    for dtype in NARROW:
        narrow = with_native(models.ranker, n_threads, dtype)
        errors[dtype] = float((rank_cold(narrow, request).logits - scores).abs().max())
        assert errors[dtype] > 0, f"the trunk computes in float32 instead of {dtype}"
        errors["spread"] = float(scores.std())
        yield dtype, lambda narrow=narrow: rank_cold(narrow, request)  # type: ignore[misc]


def _products(config: PhoenixConfig, n_candidates: int) -> list[Any]:
    return [
        *context_pass(config),
        *candidate_pass(config, n_candidates),
        *tokens_and_heads(config, n_candidates),
    ]


def _in_chunks(ranker: Ranker, request: Request) -> Tensor:
    """Our scores of candidates whose position is their place in a chunk of 64."""
    context = ranker.encode_context(request.history_posts, request.history)
    found = []
    for first in range(0, request.n_candidates, RELEASED_CHUNK):
        part = request.part(first, first + RELEASED_CHUNK)
        found.append(ranker.score_candidates(context, *part, first_slot=0).logits)
    return torch.cat(found, dim=1)


def _exported(models: Models, skipped: list[str]) -> bytes | None:
    """The exported model for the largest number of candidates, or why there is none."""
    request = make_request(models.ranker.config, SIZES[-1])
    dense = models.dense["dense"]
    dense.prepare(SIZES[-1])
    try:
        model = onnx_model(dense, request)
        onnx_session(model, request, 1)
    except Unavailable as reason:
        skipped.append(str(reason))
        return None
    return model


def _checked_onnx(
    model: bytes, models: Models, request: Request, n_threads: int
) -> Callable[[], object]:
    session = onnx_session(model, request, n_threads)
    want = rank_cold(models.ranker, request).logits
    _check_equal("onnx", want, torch.from_numpy(session()[0]))
    return session


def _check_equal(name: str, ours: Tensor, theirs: Tensor) -> None:
    worst = float((ours - theirs).abs().max())
    assert worst < LOGIT_TOLERANCE, f"logits of `{name}` differ by {worst} from ours"


def _rows(
    found: dict[tuple[int, int], dict[str, Times]], size: int, n: int, errors: dict[str, float]
) -> Iterator[Row]:
    sides = found[size, n]
    what = f"rank {size:,}, {n} thread{'s' * (n > 1)}"
    for name, note in PEERS.items():
        if name in sides:
            yield Row(BENCH, f"{what}, cold", sides["ours"], sides[name], "ms", note)
    yield Row(BENCH, f"{what}, warm", sides["warm"], sides["ours"], "ms", "ours, cold")
    for dtype in NARROW:
        if dtype in sides:
            note = (
                f"ours in float32; largest difference of a logit {errors[dtype]:.2g}, "
                f"spread of the logits {errors['spread']:.2g}"
            )
            yield Row(BENCH, f"{what}, cold, {dtype}", sides[dtype], sides["ours"], "ms", note)


def _targets(found: dict[tuple[int, int], dict[str, Times]]) -> list[Target]:
    wanted: list[Target] = []
    for n in THREADS:
        most, few = found[SIZES[-1], n], found[SIZES[0], n]
        ours, tail = most["ours"].p50, f"1,500 candidates, {n} thread{'s' * (n > 1)}"
        # with few candidates the context is most of the time, and a difference is no noise
        saved = (few["ours"].p50 - few["warm"].p50) / few["context"].p50
        wanted += [
            Target(f"times the dense form, {tail}", most["dense"].p50 / ours, 15),
            Target(f"times the dense form with SDPA, {tail}", most["dense sdpa"].p50 / ours, 4),
            Target(f"over its matrix products alone, {tail}", ours / most["products"].p50, 2, True),
            Target(f"time over that of 500, {tail}", ours / most["ours, a third"].p50, 3.2, True),
            Target(
                f"share of a context's cost that a warm one saves, {SIZES[0]} candidates, "
                f"{n} thread{'s' * (n > 1)}",
                saved,
                0.9,
            ),
        ]
    return wanted


def _figures(models: Models, found: dict[tuple[int, int], dict[str, Times]]) -> list[Figure]:
    size = SIZES[-1]
    flops = total(_products(models.ranker.config, size))
    figures = []
    for n in THREADS:
        sides, what = found[size, n], f"{size:,} candidates, {n} thread{'s' * (n > 1)}"
        for name in ("ours", "products"):
            rate = flops / sides[name].p50 / 1e6
            note = f"{flops / 1e9:.2f} GFLOP of matrix products"
            figures.append(Figure(f"{name}, {what}", rate, "GFLOP/s", note))
        figures.append(Figure(f"context alone, {what}", sides["context"].p50, "ms"))
    return figures
