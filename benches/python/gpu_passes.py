"""Every way to run the trunk on one device, checked against float32 and timed."""

import time
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, Final

import torch
from torch import Tensor
from xfeed.phoenix.model.transformer import Context, Transformer

from benches.python.flops import candidate_pass, context_pass, dense_pass, total
from benches.python.gpu_attention import (
    Attend,
    CandidatePass,
    DensePass,
    cudnn,
    eager,
    flash,
    flex,
    usable,
)
from benches.python.gpu_shapes import Shape
from benches.python.phoenix_peers import bare_products
from benches.python.phoenix_workload import SEED, fill

WAYS: Final[dict[str, Attend]] = {"eager": eager, "flash": flash, "cudnn": cudnn, "flex": flex}
TOLERANCE: Final = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""Root of the mean squared difference from float32, as a share of the outputs' spread."""

SQUARE: Final = 8_192
"""Side of the square matrices whose product gives the matrix rate."""


WRONG: Final = "wrong outputs"
"""How the reason begins why a way was left out that ran but gave other outputs."""


class WrongError(Exception):
    """Outputs are not those of the model in float32."""


class Clock:
    """Times calls on one device.

    Args:
        device: where the work runs.
        rounds: calls that count.
    """

    def __init__(self, device: torch.device, rounds: int) -> None:
        self.device, self.rounds = device, rounds

    def ms(self, work: Callable[[], object]) -> float:
        """Median milliseconds after three calls that do not count."""
        for _ in range(3):
            work()
        return median(self._once(work) for _ in range(self.rounds))

    def _once(self, work: Callable[[], object]) -> float:
        if self.device.type != "cuda":
            start = time.perf_counter()
            work()
            return (time.perf_counter() - start) * 1_000
        begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        begin.record()
        work()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end))


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures depend on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {"device": name, "torch": torch.__version__, "cuda": torch.version.cuda}


def square_rate(clock: Clock, dtype: torch.dtype) -> float:
    """TFLOP/s of one product of square matrices: the machine's matrix rate."""
    side = SQUARE if clock.device.type == "cuda" else 512
    left, right = (torch.randn(side, side, device=clock.device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(left)
    return 2 * side**3 / clock.ms(lambda: torch.matmul(left, right, out=out)) / 1e9


def measure(shape: Shape, clock: Clock, dtype: torch.dtype, *, may_compile: bool) -> dict[str, Any]:
    """Every way of one model over B viewers with C candidates each."""
    config, device = shape.config, clock.device
    transformer = Transformer(config)
    fill(transformer, SEED)
    transformer.to(device)
    generator = torch.Generator().manual_seed(SEED)
    T = config.prefix_len + config.history_len
    B, C = shape.n_viewers, shape.n_candidates
    drawn = torch.randn(B, T + C, config.emb_size, generator=generator).to(device)
    tokens, candidates = drawn[:, :T], drawn[:, T:]
    valid = torch.ones(B, T, dtype=torch.bool, device=device)
    exact = transformer.attend(
        transformer.encode(tokens, valid, keep_hidden=False), candidates
    ).float()
    transformer.to(dtype)
    transformer.fuse()
    tokens, candidates = tokens.to(dtype), candidates.to(dtype)
    context = transformer.encode(tokens, valid, keep_hidden=False)

    def checked(out: Tensor) -> float:
        error = float((out.float() - exact).square().mean().sqrt() / exact.std())
        limit = TOLERANCE[dtype]
        # written so that NaN is refused too
        if not error < limit:
            raise WrongError(f"{WRONG}: {error:.2g} of the spread away, allowed is {limit}")
        return error

    n_flops = total(candidate_pass(config, C, n_viewers=B))
    n_context = total(context_pass(config, n_viewers=B))
    passes: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    for name, work in ways(transformer, context, candidates, reasons, may_compile=may_compile):
        try:
            error = checked(work())
            took = clock.ms(work)
        except (RuntimeError, WrongError) as failure:
            reasons[name] = str(failure).splitlines()[0]
            continue
        passes[name] = figures(took, n_flops, B * C) | {"error": error}
    # a request of a new viewer: the context, then the candidates the fastest way
    encode_ms = clock.ms(lambda: transformer.encode(tokens, valid, keep_hidden=False))
    dense: dict[str, Any] = {}
    for name, fused in (("eager", False), ("sdpa", True)):
        if fused and config.attention_cap is not None:
            continue
        run = DensePass(transformer, C, fused=fused)
        error = checked(run(tokens, candidates))
        dense[name] = figures(
            clock.ms(lambda run=run: run(tokens, candidates)),  # type: ignore[misc]
            total(dense_pass(config, C, n_viewers=B)),
            B * C,
        ) | {"error": error}
    bare = clock.ms(bare_products(candidate_pass(config, C, n_viewers=B), device, dtype))
    return {
        "shape": shape.facts(),
        "passes": passes,
        "left_out": reasons,
        "context": figures(encode_ms, n_context, B * C),
        "cold": figures(
            encode_ms + min(one["ms"] for one in passes.values()), n_flops + n_context, B * C
        ),
        "dense": dense,
        "products_alone": figures(bare, n_flops, B * C),
    }


def ways(
    transformer: Transformer,
    context: Context,
    candidates: Tensor,
    reasons: dict[str, str],
    *,
    may_compile: bool,
) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Every way to run the candidate pass; why others are left out goes to `reasons`."""
    yield "Transformer.attend", lambda: transformer.attend(context, candidates)
    modes = {"": None, ", compiled": "default", ", compiled, graphs": "reduce-overhead"}
    for name, attend in WAYS.items():
        reason = usable(attend, transformer.config, candidates.device)
        if reason is not None:
            reasons[name] = reason
            continue
        for suffix, mode in modes.items():
            if mode is None and attend is flex and candidates.is_cuda:
                continue  # not fused without the compiler
            if mode is not None and not may_compile:
                continue
            run: Callable[..., Tensor] = CandidatePass(transformer, attend)
            if mode is not None:
                torch.compiler.reset()
                run = torch.compile(run, mode=mode, dynamic=False)
            yield name + suffix, lambda run=run: run(context, candidates)  # type: ignore[misc]


def figures(ms: float, n_flops: int, n_candidates: int) -> dict[str, float]:
    """One time in all units that are asked for."""
    return {
        "ms": ms,
        "tflops": n_flops / ms / 1e9,
        "candidates_per_s": n_candidates / ms * 1_000,
    }


def add_shares(preset: dict[str, Any], square_tflops: float) -> None:
    """Adds each pass's share of the matrix rate."""
    alone = {name: preset[name] for name in ("context", "cold", "products_alone")}
    groups = (preset["passes"], preset["dense"], alone)
    for one in (one for group in groups for one in group.values()):
        one["share_of_square"] = one["tflops"] / square_tflops
