"""A small community, in a data directory with a model and in one without, made once for all."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from xfeed import Feed
from xfeed.data import CommunityConfig, community
from xfeed.phoenix.learning.train import FitReport

THREADS = {"threads": 1}
"""One is the fastest for such small models, and several beside other work the slowest."""


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> None:
    for name in [name for name in os.environ if name.startswith("XFEED_")]:
        if name != "FEED_REFERENCE":
            del os.environ[name]


@pytest.fixture(scope="session")
def small_events() -> list[bytes]:
    """About 18,000 events of 200 people, in order of time."""
    settings = CommunityConfig(n_people=200, n_posts=800, n_impressions=6_000)
    return list(community(settings).events())


@pytest.fixture(scope="session")
def small_dir(tmp_path_factory: pytest.TempPathFactory, small_events: list[bytes]) -> Path:
    """A closed data directory without a model; copy it before changing it."""
    directory = tmp_path_factory.mktemp("small") / "data"
    with Feed.open(directory, config=THREADS) as feed:
        report = feed.ingest(small_events)
    assert report.accepted == len(small_events)
    return directory


@pytest.fixture(scope="session")
def _fitted(tmp_path_factory: pytest.TempPathFactory, small_dir: Path) -> tuple[Path, FitReport]:
    directory = tmp_path_factory.mktemp("fitted") / "data"
    shutil.copytree(small_dir, directory)
    with Feed.open(directory, config=THREADS) as feed:
        return directory, feed.fit()


@pytest.fixture(scope="session")
def fitted_dir(_fitted: tuple[Path, FitReport]) -> Path:
    """A closed data directory with an active model; copy it before changing it."""
    return _fitted[0]


@pytest.fixture(scope="session")
def fit_report(_fitted: tuple[Path, FitReport]) -> FitReport:
    """What the fit behind `fitted_dir` said."""
    return _fitted[1]


@pytest.fixture(scope="session")
def small_feed(small_dir: Path) -> Iterator[Feed]:
    """The small community without a model, open for reading."""
    with Feed.open(small_dir, mode="read", config=THREADS) as feed:
        yield feed


@pytest.fixture(scope="session")
def fitted_feed(fitted_dir: Path) -> Iterator[Feed]:
    """The small community with its model, open for reading."""
    with Feed.open(fitted_dir, mode="read", config=THREADS) as feed:
        yield feed
