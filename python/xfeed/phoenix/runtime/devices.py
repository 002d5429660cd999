"""Moving inputs to where torch computes, and contexts of several viewers next to each other.

The only file that knows about devices: everything else builds inputs on the CPU and reads
answers there.
"""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, Final, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from xfeed.errors import ConfigError
from xfeed.phoenix.options import RuntimeOptions

Tree = TypeVar("Tree")

TORCH_DTYPES: Final = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
}
"""Torch's name of each precision that its engine computes in."""


def checked_device(options: RuntimeOptions) -> torch.device:
    """The device of the options.

    Raises:
        ConfigError: torch does not know it, or it is not there.
    """
    try:
        device = torch.device(options.device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"the device `{options.device}` cannot be used: {str(error).splitlines()[0]}",
            code="bad_device",
            hint="set the device to `cpu`, or install torch for the device",
        ) from error
    return device


def moved(tree: Tree, device: torch.device, dtype: torch.dtype) -> Tree:
    """Inputs on a device, floating values in `dtype`; on the CPU in float32 the very same object.

    Tensors in pinned memory travel while the caller goes on.
    """
    if device.type == "cpu" and dtype == torch.float32:
        return tree
    found: Any = tree
    if isinstance(tree, Tensor):
        wanted = dtype if tree.is_floating_point() else tree.dtype
        found = tree.to(device, wanted, non_blocking=tree.is_pinned())
    elif is_dataclass(tree) and not isinstance(tree, type):
        values = {field.name: getattr(tree, field.name) for field in fields(tree)}
        found = replace(tree, **{name: moved(v, device, dtype) for name, v in values.items()})
    elif isinstance(tree, tuple):
        found = tuple(moved(value, device, dtype) for value in tree)
    return found  # type: ignore[no-any-return]


def joined(parts: Sequence[Tree], pad_axes: dict[str, int]) -> Tree:
    """Several dataclasses of tensors with B = 1 as one, padded behind to the longest.

    Args:
        parts: of one kind.
        pad_axes: axis that differs in length between parts, by the name of the field; such a
            field is filled up with zeros, which stand for absent everywhere in the inputs.
    """
    first: Any = parts[0]
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, Any] = {}
    for field in fields(first):
        values: list[Any] = [getattr(part, field.name) for part in parts]
        columns[field.name] = _joined_values(values, field.name, pad_axes)
    return replace(first, **columns)  # type: ignore[no-any-return]


def _joined_values(values: list[Any], name: str, pad_axes: dict[str, int]) -> Any:
    """One field of all parts."""
    if isinstance(values[0], Tensor):
        if name not in pad_axes:
            return torch.cat(values)
        axis = pad_axes[name]
        longest = max(value.shape[axis] for value in values)
        return torch.cat([_padded(value, axis, longest) for value in values])
    if isinstance(values[0], tuple):
        return tuple(_joined_values(list(v), name, pad_axes) for v in zip(*values, strict=True))
    if is_dataclass(values[0]):
        return joined(values, pad_axes)
    # what is no tensor (None, a position) is the same for all requests of one model
    return values[0]


def _padded(value: Tensor, axis: int, length: int) -> Tensor:
    """Zeros behind, along one axis."""
    missing = length - value.shape[axis]
    if not missing:
        return value
    after = value.dim() - 1 - axis % value.dim()
    return functional.pad(value, (0, 0) * after + (0, missing))
