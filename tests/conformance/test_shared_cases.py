"""The real cases, which lie outside the repository."""

import pytest
from xfeed.conformance import ConformanceReport, run

from tests.shared_data import shared_path

PASSED = {
    "filter.age": 2,
    "filter.author_socialgraph": 1,
    "filter.drop_duplicates": 1,
    "filter.muted_keyword": 1,
    "filter.previously_seen": 1,
    "filter.retweet_dedup": 1,
    "phoenix.aug_data_01": 1,
    "phoenix.aug_losses_01": 1,
    "phoenix.aug_optim_01": 1,
    "phoenix.aug_ranker_01_feature_prep": 1,
    "phoenix.aug_ranker_02_concat_legacy": 1,
    "phoenix.aug_ranker_loss_01": 1,
    "phoenix.aug_two_tower_01_concat_mlp": 1,
    "phoenix.aug_two_tower_02_combined": 1,
    "phoenix.components_01": 1,
    "phoenix.hash_01": 1,
    "phoenix.pipeline_tiny": 1,
    "phoenix.ranker_01_f32_gqa": 1,
    "phoenix.ranker_02_bf16_gqa": 1,
    "phoenix.ranker_03_f32_right_anchored": 1,
    "phoenix.ranker_04_f32_mqa_no_optional": 1,
    "phoenix.ranker_05_f32_ip_log_dwell": 1,
    "phoenix.ranker_06_f32_mini_release_shape": 1,
    "phoenix.ranker_jan2026_01_f32": 1,
    "phoenix.retrieval_01_f32_mlp_tower": 1,
    "phoenix.retrieval_02_bf16_mlp_tower": 1,
    "phoenix.retrieval_03_f32_mean_pool": 1,
    "scorer.author_diversity": 2,
    "scorer.oon": 1,
    "scorer.order": 1,
    "scorer.sep2026": 3,
    "scorer.weighted": 12,
    "selector.top_k": 1,
    "source.thunder": 1,
    "thunder.caps": 1,
    "thunder.deletes": 1,
    "thunder.duplicates": 1,
    "thunder.kafka": 1,
    "thunder.out_of_order": 1,
    "thunder.rate_limit": 1,
    "thunder.reply_rule": 2,
    "thunder.request_defaults": 1,
    "thunder.retention": 1,
    "thunder.scan_limit": 2,
    "thunder.sort": 1,
    "thunder.trim": 2,
    "thunder.video": 1,
}
"""Cases that hold, by area: the number may only grow."""


@pytest.fixture(scope="module")
def report() -> ConformanceReport:
    return run([shared_path("conformance")])


def test_no_published_case_fails(report: ConformanceReport) -> None:
    failures = {name: area.failures for name, area in report.areas.items() if area.failures}
    assert failures == {}


@pytest.mark.parametrize("area", PASSED)
def test_a_covered_area_keeps_its_passed_cases(report: ConformanceReport, area: str) -> None:
    assert report.areas[area].passed >= PASSED[area]


def test_every_area_that_passes_is_pinned(report: ConformanceReport) -> None:
    passing = {name for name, area in report.areas.items() if area.passed}
    assert passing - PASSED.keys() == set(), "add the areas to PASSED"


def test_nothing_is_unreadable(report: ConformanceReport) -> None:
    assert "files" not in report.areas
