"""A model can learn from the synthetic community, but not everything."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from xfeed.actions import INDEX
from xfeed.data import Community
from xfeed.data.impressions import SURFACE_SHARE

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def clicks(whole: Community) -> Bools:
    clicked = np.zeros(len(whole.shown), np.bool_)
    clicked[whole.actions.impression[whole.actions.action == INDEX["click"]]] = True
    return clicked


def past_rate(group: Ints, clicked: Bools, early: Bools) -> Floats:
    """Click rate of each row's group in the early part, without the row itself, smoothed."""
    size = int(group.max()) + 1
    mean = float(clicked[early].mean())
    own = early & clicked
    done = np.bincount(group[early], clicked[early], minlength=size)[group] - own
    seen = np.bincount(group[early], minlength=size)[group] - early
    rate: Floats = (done + 10.0 * mean) / (seen + 10.0)
    return rate


def test_tastes_can_be_learnt_far_better_than_popularity(whole: Community) -> None:
    shown, posts, people = whole.shown, whole.posts, whole.people
    clicked = clicks(whole)
    early = shown.at_ms < np.quantile(shown.at_ms, 0.8)
    author, topic = posts.author[shown.post], posts.topics[shown.post, 0]
    by_post = past_rate(shown.post, clicked, early)
    by_viewer = past_rate(shown.viewer, clicked, early)
    features = np.column_stack(
        [
            by_post,
            by_viewer,
            past_rate(author, clicked, early),
            past_rate(shown.viewer * 16 + topic, clicked, early),
            whole.relations.follows.holds(shown.viewer, author, shown.at_ms),
            people.language[shown.viewer] == posts.language[shown.post],
            *(shown.surface == surface for surface in SURFACE_SHARE),
        ]
    )
    model = LogisticRegression(C=100.0, max_iter=500)
    model.fit(features[early], clicked[early])
    learnt = roc_auc_score(clicked[~early], model.predict_proba(features[~early])[:, 1])
    post_only = roc_auc_score(clicked[~early], by_post[~early])
    viewer_only = roc_auc_score(clicked[~early], by_viewer[~early])
    best = roc_auc_score(clicked[~early], whole.click_probability[~early])
    assert 0.70 < learnt < 0.82
    assert learnt > max(post_only, viewer_only) + 0.08
    assert learnt + 0.02 < best < 0.90


def test_the_true_probabilities_are_calibrated(whole: Community) -> None:
    clicked, sure = clicks(whole), whole.click_probability
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        rows = (sure >= low) & (sure < low + 0.2)
        assert rows.sum() > 1_000
        assert clicked[rows].mean() == pytest.approx(sure[rows].mean(), abs=0.02)
