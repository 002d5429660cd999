"""Options that cannot work are refused with a way out, and devices are one place's business."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from xfeed import FeedConfig
from xfeed.config import load_config
from xfeed.errors import ConfigError
from xfeed.models import runtime_options
from xfeed.phoenix.options import RuntimeOptions
from xfeed.phoenix.runtime import Phoenix
from xfeed.phoenix.runtime.devices import joined, moved

from tests.phoenix.worlds import HOUR_MS, START_MS, World, make_posts

pytestmark = pytest.mark.usefixtures("one_thread")

NOW_MS = START_MS + 200 * HOUR_MS


def test_the_settings_have_the_defaults_of_the_options() -> None:
    assert runtime_options(FeedConfig()) == RuntimeOptions()


def test_every_setting_reaches_the_options() -> None:
    changed: dict[str, Any] = {
        "engine": "torch", "device": "cuda:1", "dtype": "bfloat16", "context_cache_bytes": 1,
        "score_cache_entries": 2, "max_batch_viewers": 3, "batch_wait_ms": 4.5,
        "candidate_chunk": 6, "compile": True, "warm_up": True,
    }  # fmt: skip
    config = load_config(None, {"model": changed, "threads": 7}, {})
    assert runtime_options(config) == RuntimeOptions(**changed, threads=7)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"engine": "rust"}, "bad_engine"),
        ({"engine": "native", "device": "cuda"}, "bad_device"),
        ({"engine": "native", "dtype": "float64"}, "bad_dtype"),
        ({"engine": "torch", "dtype": "int8"}, "bad_dtype"),
        ({"device": "cuda", "dtype": "int8"}, "bad_dtype"),
        ({"dtype": "float16"}, "bad_dtype"),
        ({"threads": 0}, "out_of_bounds"),
        ({"candidate_chunk": 0}, "out_of_bounds"),
        ({"max_batch_viewers": -1}, "out_of_bounds"),
        ({"context_cache_bytes": -1}, "out_of_bounds"),
        ({"score_cache_entries": -1}, "out_of_bounds"),
        ({"batch_wait_ms": float("nan")}, "out_of_bounds"),
    ],
)
def test_options_that_cannot_work_are_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RuntimeOptions(**changes)
    assert caught.value.code == code


def test_the_engine_follows_the_device() -> None:
    assert RuntimeOptions().chosen_engine == "native"
    assert RuntimeOptions(dtype="float64").chosen_engine == "torch"
    assert RuntimeOptions(device="cuda").chosen_engine == "torch"
    assert RuntimeOptions(engine="torch").chosen_engine == "torch"


def test_only_a_gpu_groups_by_itself() -> None:
    assert RuntimeOptions().group_len == 1
    assert RuntimeOptions(max_batch_viewers=4).group_len == 1
    assert RuntimeOptions(engine="torch").group_len == 1
    assert RuntimeOptions(engine="torch", max_batch_viewers=4).group_len == 4
    assert RuntimeOptions(device="cuda").group_len == 8
    assert RuntimeOptions(device="cuda", max_batch_viewers=1).group_len == 1


def test_a_device_that_is_not_there_is_refused(bundle_dir: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    with pytest.raises(ConfigError) as caught:
        Phoenix.load(bundle_dir, RuntimeOptions(device="cuda"))
    assert caught.value.code == "bad_device"


def test_options_and_settings_load_no_torch() -> None:
    code = "import sys, xfeed, xfeed.models, xfeed.phoenix.options; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "False"


@dataclass(frozen=True)
class Leaf:
    rows: torch.Tensor
    places: torch.Tensor
    name: str = "leaf"


@dataclass(frozen=True)
class Tree:
    leaf: Leaf
    nothing: None
    pair: tuple[torch.Tensor, ...]


def tree(length: int, value: float) -> Tree:
    leaf = Leaf(torch.full((1, length), value), torch.arange(1))
    return Tree(leaf, None, (torch.full((1, 2, length), value),))


def test_moving_reaches_every_tensor_and_keeps_whole_numbers_whole() -> None:
    here = tree(3, 1.5)
    assert moved(here, torch.device("cpu"), torch.float32) is here
    there = moved(here, torch.device("meta"), torch.bfloat16)
    assert there.leaf.rows.device.type == there.pair[0].device.type == "meta"
    assert there.leaf.rows.dtype == there.pair[0].dtype == torch.bfloat16
    assert there.leaf.places.dtype == torch.int64
    assert there.leaf.name == "leaf"
    assert there.nothing is None


def test_joining_pads_behind_with_zeros() -> None:
    both = joined([tree(2, 1.0), tree(3, 2.0)], {"rows": 1, "pair": 2})
    assert both.leaf.rows.tolist() == [[1, 1, 0], [2, 2, 2]]
    assert both.leaf.places.tolist() == [0, 0]
    assert both.pair[0].shape == (2, 2, 3)
    assert both.pair[0][0, 0].tolist() == [1, 1, 0]
    one = tree(2, 1.0)
    assert joined([one], {}) is one


def ask(phoenix: Phoenix, world: World) -> Any:
    history = world.interactions.take(world.interactions.viewer_key == 7)
    posts = make_posts(200, np.random.default_rng(5))
    return phoenix.predict(7, history, world.posts, posts, 1, NOW_MS)[:, phoenix.heads.filled]


PROBABILITY_ERRORS = {"float32": 1e-6, "bfloat16": 2e-3, "int8": 5e-3}
"""Largest difference of a probability to float64 for a small trained model."""


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [("native", "float32"), ("native", "bfloat16"), ("native", "int8"),
     ("torch", "float32"), ("torch", "bfloat16")],
)  # fmt: skip
def test_lower_precision_stays_near_float64(
    bundle_dir: Path, world: World, engine: Any, dtype: Any
) -> None:
    exact = ask(Phoenix.load(bundle_dir, RuntimeOptions(dtype="float64")), world)
    options = RuntimeOptions(engine=engine, dtype=dtype)
    error = np.abs(ask(Phoenix.load(bundle_dir, options), world) - exact)[:, :-1].max()
    assert error < PROBABILITY_ERRORS[dtype]
    if dtype != "float32":
        assert error > 1e-6, "the option had no effect"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gpu_gives_the_scores_of_the_cpu(bundle_dir: Path, world: World, dtype: Any) -> None:
    exact = ask(Phoenix.load(bundle_dir), world)
    there = Phoenix.load(bundle_dir, RuntimeOptions(device="cuda", dtype=dtype))
    error = np.abs(ask(there, world) - exact)[:, :-1].max()
    assert error < (1e-3 if dtype == "float32" else PROBABILITY_ERRORS[dtype])
    again = Phoenix.load(bundle_dir, replace(there.options, compile=True))
    assert np.abs(ask(again, world) - exact)[:, :-1].max() < PROBABILITY_ERRORS["bfloat16"]
