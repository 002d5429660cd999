"""What one would run instead of the split trunk, and how fast the machine multiplies."""

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benches.python.flops import Product
from benches.python.phoenix_dense import DenseRanker, arguments
from benches.python.phoenix_workload import Request

RELEASED_CHUNK = 64
"""Candidates that the released pipeline ranks together."""

HISTORY_INPUTS = 6
"""Inputs of the dense form that do not depend on the candidates."""


class Unavailable(Exception):  # noqa: N818 - not an error, a reason
    """A peer cannot run here; the message is the reason."""


def released_flow(dense: DenseRanker, request: Request) -> Callable[[], Tensor]:
    """The released pipeline: chunks of 64, the last one padded, the history encoded every time.

    A candidate's position is its place in its own chunk.
    """
    dense.prepare(RELEASED_CHUNK)
    given = arguments(request)
    known, of_candidates = given[:HISTORY_INPUTS], given[HISTORY_INPUTS:]
    n_candidates = request.n_candidates

    def rank() -> Tensor:
        found = []
        for first in range(0, n_candidates, RELEASED_CHUNK):
            parts = [part[:, first : first + RELEASED_CHUNK] for part in of_candidates]
            missing = RELEASED_CHUNK - parts[0].shape[1]
            if missing:
                rows, *indices = parts
                rows = functional.pad(rows, (0, 0, 0, missing))
                parts = [rows, *(functional.pad(index, (0, missing)) for index in indices)]
            found.append(dense(*known, *parts)[0])
        return torch.cat(found, dim=1)[:, :n_candidates]

    return rank


def onnx_model(dense: DenseRanker, request: Request) -> bytes:
    """The dense form, exported for one number of candidates.

    Raises:
        Unavailable: the exporter is not installed.
    """
    try:
        import onnxscript
    except ImportError as error:
        raise Unavailable(f"ONNX Runtime: `{error.name}` is not installed") from error
    assert onnxscript.__version__
    with (
        warnings.catch_warnings(),
        torch.no_grad(),
        tempfile.TemporaryDirectory() as directory,
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(dense, arguments(request), dynamo=True, verbose=False)
        assert program is not None
        file = Path(directory) / "model.onnx"
        program.save(file)
        return file.read_bytes()


def onnx_session(model: bytes, request: Request, n_threads: int) -> Callable[[], Any]:
    """ONNX Runtime with every optimisation of its graph; inputs are bound ahead.

    Raises:
        Unavailable: the runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise Unavailable(f"ONNX Runtime: `{error.name}` is not installed") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = [tensor.numpy() for tensor in arguments(request)]
    names = [node.name for node in session.get_inputs()]
    assert len(names) == len(given), f"the exported model has the inputs {names}"
    feed = dict(zip(names, given, strict=True))
    return lambda: session.run(None, feed)


def bare_products(
    products: Sequence[Product],
    device: torch.device | None = None,
    dtype: torch.dtype = torch.float32,
) -> Callable[[], None]:
    """Only the matrix products of a pass, with results written in place: the floor.

    Every product has its own operands, so weights are as cold or warm as in a model.
    """

    def operands(product: Product) -> tuple[Tensor, Tensor, Tensor]:
        batch, m, k, n = product.batch, product.m, product.k, product.n
        shapes = ((batch, m, k), (batch, k, n), (batch, m, n))
        left, right, out = (torch.randn(shape, device=device, dtype=dtype) for shape in shapes)
        return (left, right, out) if batch > 1 else (left[0], right[0], out[0])

    made = [operands(product) for product in products]

    def multiply() -> None:
        for left, right, out in made:
            torch.matmul(left, right, out=out)

    return multiply
