"""A second fit: a worse model is kept beside the active one, and does not serve."""

import shutil
from pathlib import Path

import pytest
from xfeed import Feed

WORSE = {"threads": 1, "training": {"preset": "tiny"}}
"""A profile without biases and without facts about posts loses clearly on so little data."""


@pytest.fixture
def copy(fitted_dir: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "data"
    shutil.copytree(fitted_dir, directory)
    return directory


def test_a_worse_model_is_kept_but_does_not_serve(copy: Path) -> None:
    active = (copy / "bundles" / "active").read_text()
    with Feed.open(copy, config=WORSE) as feed:
        report = feed.fit()
    assert report.rival_loss is not None
    assert report.ranker.loss is not None
    assert report.ranker.loss > 1.02 * report.rival_loss
    assert not report.activated
    assert (copy / "bundles" / "active").read_text() == active
    assert (copy / "bundles" / report.bundle_id / "manifest.json").exists()


def test_a_worse_model_serves_when_somebody_insists(copy: Path) -> None:
    with Feed.open(copy, config=WORSE) as feed:
        report = feed.fit(activate_anyway=True)
        assert report.activated
        assert (copy / "bundles" / "active").read_text().strip() == report.bundle_id
        assert feed.for_you(1).receipt.bundle_id == report.bundle_id
