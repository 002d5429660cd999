from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from xfeed.phoenix.runtime import Phoenix

from tests.phoenix.worlds import World, make_world, small_fit


@pytest.fixture(scope="session")
def world() -> World:
    return make_world()


@pytest.fixture(scope="session")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory, world: World) -> Path:
    """A bundle fitted on the small world."""
    directory = tmp_path_factory.mktemp("bundles") / "first"
    small_fit(directory, world)
    return directory


@pytest.fixture(scope="session")
def phoenix(bundle_dir: Path) -> Phoenix:
    return Phoenix.load(bundle_dir)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes with one thread: fast for small models, and the same bits for any shape."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
